"""Decides the offers that do not chat: embeddings, speech, transcription, moderation.
Does not choose which: each stands in exceptions.toml, with its evidence.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from . import genai
from .rates import pico
from .sources import GENAI

if TYPE_CHECKING:
    from genai_prices.types import Provider

    from .exceptions import Rule
    from .rates import Rounding
    from .sources import Json

# What each kind counts, as genai-prices has it, and how many of our units are in one of its.
UNITS: dict[str, tuple[str, str, Decimal]] = {
    "embedding": ("input_mtok", "in", Decimal(1)),
    "speech": ("input_mchars", "out", Decimal(1)),
    # Dollars an hour: a second's price, times a million, is a rate like the others.
    "transcription": ("input_audio_hours", "out", Decimal(1_000_000) / 3_600),
}


def offers(rules: list[Rule], known: dict[str, Provider], rounding: Rounding) -> list[Json]:
    """An offer for each id of each rule; an id without a price is an error."""
    made: list[Json] = []
    for rule, model in ((row, model) for row in rules for model in row["models"]):
        offer: Json = {
            "t": "offer",
            "provider": rule["provider"],
            "model": model,
            "canonical": model,
            "kind": rule["kind"],
            "context": rule["context"],
            **_price(rule, model, known, rounding),
            "source": rule["source"] if rule.get("free") else GENAI,
            "as_of": rule["date"][:7],
            "n_agree": 1,
            "confidence": "single",
        }
        # Whoever stands first in the file is at home.
        if not any(before["model"] == model for before in made):
            offer["home"] = True
        made.append(offer)
    return made


def _price(rule: Rule, model: str, known: dict[str, Provider], rounding: Rounding) -> Json:
    if rule.get("free"):
        return {"free": True, "prices": [{"bands": [{"above": 0, "in": 0, "out": 0}]}]}
    where = f"{rule['provider']}/{model}"
    name, side, share = UNITS[rule["kind"]]
    stated = genai.stated(known, rule["provider"], model, rule["date"])
    if name not in stated:
        raise ValueError(f"exceptions.toml [[passing]] {where}: genai-prices states no {name}")
    rate = pico(Decimal(stated[name]) * share, f"{GENAI} {where}", rounding)
    return {"prices": [{"bands": [{"above": 0, "in": 0, "out": 0, side: rate}]}]}
