"""Decides which rows of the fact tables are offers, and what one offer says.
Does not choose between prices (merge.py), type flags (quirks.py) or write the file (build.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import genai, quirks
from .merge import Chosen, Evidence, Tiers, add_off_peak, add_tiers, add_write_rates, choose
from .providers import spoken
from .schema import BAND_KEYS, EFFORTS, MODALITIES, OFFER_KEYS, PRICE_KEYS
from .sources import quotes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from genai_prices.types import Provider

    from .exceptions import Exceptions
    from .providers import Windowed
    from .sources import Facts, Json, Row

KINDS_WITHOUT_PRICE = frozenset({"subscription", "local"})
WITHOUT_CHAT = frozenset({"responses_only", "completions_only"})


@dataclass
class Market:
    """What the offers are made from, and what was found on the way."""

    facts: Facts
    exceptions: Exceptions
    built: date
    flags: dict[str, list[str]]
    windowed: dict[tuple[str, str], Windowed]
    known: dict[str, Provider] = field(default_factory=genai.providers)
    dropped: Counter[str] = field(default_factory=Counter)
    disputed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.providers = {row["provider_id"]: row for row in self.facts.providers}
        self.twins = _twins(self.facts.models)

    def offers(self) -> list[Json]:
        """Every offer that passes the gate, in table order."""
        made = []
        for row in self.facts.models:
            offer = self._offer(row)
            if isinstance(offer, str):
                self.dropped[offer] += 1
            else:
                made.append(offer)
        return made

    def _offer(self, row: Row) -> Json | str:
        """The offer, or why there is none."""
        provider, where = self.providers[row["provider"]], (row["provider"], row["model"])
        reason = self._without_endpoint(row, provider) or self._not_living(row)
        if reason is not None:
            return reason
        chosen = self._price(row)
        if chosen is None:
            return "no price"
        if provider["dialect"] == "anthropic" and not _has_write_rates(chosen):
            return "anthropic without a cache write rate"
        if chosen.confidence == "disputed" and provider["kind"] == "first_party":
            self.disputed.append("/".join(where))
        offer = {**_facts(row), **_priced(chosen)}
        if own := quirks.offer_flags("/".join(where), row["flags"], self.flags[row["provider"]]):
            offer["flags"] = own
        if (window := self.windowed.get(where)) is not None:
            offer["window"] = window.id
            offer["prices"] = add_off_peak(offer["prices"], window.multiplier)
        return offer

    def _without_endpoint(self, row: Row, provider: Row) -> str | None:
        """Nobody to call: the first half of the gate."""
        if provider["kind"] in KINDS_WITHOUT_PRICE:
            return f"provider kind {provider['kind']}"
        if provider["routable"] != "yes":
            return "provider not routable"
        if not spoken(provider):
            return f"dialect {provider['dialect']} has no codec yet"
        if no_chat := WITHOUT_CHAT & set(row["flags"].split("+")):
            return min(no_chat)
        if row["provider"] == "google" and not row["model"].startswith(("gemini", "gemma")):
            return "a Vertex id, not the Gemini API's"
        return None

    def _not_living(self, row: Row) -> str | None:
        """Nothing to sell: the second half."""
        if not row["context"] or int(row["context"]) <= 0:
            return "no context"
        if row["status"] == "deprecated":
            return "deprecated"
        if row["deprecates"] and row["deprecates"] <= self.built.isoformat():
            return "past its deprecation date"
        if (row["provider"], row["model"]) in self.twins:
            return "another spelling of a listed id"
        reason = self.exceptions.dropped(row)
        return f"exceptions.toml: {reason}" if reason else None

    def _price(self, row: Row) -> Chosen | None:
        provider, name = row["provider"], row["model"]
        rounding = self.facts.rounding
        info = genai.match(self.known, provider, name)
        if info is None and row["sources"] == "genai-prices":
            return None  # its own matcher does not know this id, so no API does
        evidence = Evidence(
            genai.price(info, name, rounding) if info is not None else None,
            quotes(self.facts, provider, name),
            self.built,
            self.exceptions.trusted(provider, name),
        )
        chosen = choose(evidence)
        if chosen is None:
            return None
        stating = frozenset(row["tier_sources"].split("+"))
        inclusive = "tier_inclusive" in self.providers[provider]["flags"].split(";")
        tiers = Tiers(row["tiers"], stating, f"{provider}/{name}", rounding, inclusive)
        rows = add_tiers(chosen, evidence, tiers)
        if provider == "anthropic":
            rows = add_write_rates(rows)
        return Chosen(rows, chosen.source, chosen.dated, chosen.n_agree, chosen.confidence)


def in_order(offer: Json) -> Json:
    """The offer as the file has it: the schema's keys in the schema's order."""
    if unknown := offer.keys() - set(OFFER_KEYS):
        raise ValueError(f"offer keys outside the schema: {sorted(unknown)}")
    offer = {**offer, "prices": [_price_in_order(row) for row in offer["prices"]]}
    # What every reader assumes of an absent field is not said again, 3,000 times over.
    if offer["canonical"] == offer["model"]:
        del offer["canonical"]
    if offer["n_agree"] == 1:
        del offer["n_agree"]
    return {key: offer[key] for key in OFFER_KEYS if key in offer}


def _price_in_order(row: Json) -> Json:
    def bands(listed: Iterable[Json]) -> list[Json]:
        return [{key: band[key] for key in BAND_KEYS if key in band} for band in listed]

    ordered: Json = {key: row[key] for key in PRICE_KEYS if key in row}
    for key in ("bands", "off"):
        if key in ordered:
            ordered[key] = bands(ordered[key])
    if "service" in ordered:
        ordered["service"] = {name: bands(listed) for name, listed in ordered["service"].items()}
    return ordered


def _has_write_rates(chosen: Chosen) -> bool:
    return all("cache_write" in band for row in chosen.rows for band in row["bands"])


def _priced(chosen: Chosen) -> Json:
    return {
        "prices": chosen.rows,
        "source": chosen.source,
        "as_of": chosen.dated.isoformat()[:7],
        "n_agree": chosen.n_agree,
        "confidence": chosen.confidence,
    }


def _facts(row: Row) -> Json:
    """What the tables say of the model besides its price; unknown fields are left out."""
    context = int(row["context"])
    offer: Json = {
        "t": "offer",
        "provider": row["provider"],
        "model": row["model"],
        "canonical": row["canonical"],
        "context": context,
    }
    for key in ("max_input", "max_output"):
        # A bound that is the whole context bounds nothing.
        if row[key] and 0 < int(row[key]) < context:
            offer[key] = int(row[key])
    columns = {"tools": "tools", "structured": "structured_output", "reasoning": "reasoning"}
    offer |= {key: row[column] == "1" for key, column in columns.items() if row[column]}
    if (modalities := _modalities(row["input_modalities"])) != ["text"]:
        offer["modalities"] = modalities
    if row["efforts"]:
        offer["efforts"] = sorted(row["efforts"].split("+"), key=EFFORTS.index)
    if row["capability_model"]:
        effort = {"effort": row["capability_effort"]}
        offer["capability"] = {
            "model": row["capability_model"],
            **({} if row["capability_effort"] in {"", "best"} else effort),
            "match": row["capability_match"],
        }
    if row["deprecates"]:
        offer["deprecates"] = row["deprecates"]
    return offer


def _modalities(text: str) -> list[str]:
    """Every chat model reads text; what is not stated beyond that is not claimed."""
    named = {"file" if kind == "pdf" else kind for kind in text.split("+") if kind}
    return sorted(named | {"text"}, key=MODALITIES.index)


def _twins(models: list[Row]) -> set[tuple[str, str]]:
    """Ids of one provider that differ in case alone: the one most sources list is the one."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in models:
        groups.setdefault((row["provider"], row["model"].lower()), []).append(row)
    twins: set[tuple[str, str]] = set()
    for group in groups.values():
        group.sort(key=lambda row: (-len(row["sources"].split("+")), row["model"]))
        twins |= {(row["provider"], row["model"]) for row in group[1:]}
    return twins
