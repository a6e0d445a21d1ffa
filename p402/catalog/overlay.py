"""Decides what a refresh changes: lays records over records, names changes, holds wild ones back.
Does not fetch and does not write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .check import check
from .schema import OFFER_KEYS, line, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]
Key = tuple[str, str]
Offers = dict[Key, Json]

# A rate that moves further than this on one source's word waits for --accept.
RISE_MAX, FALL_MAX = 3, 2
RATES = ("in", "out", "cache_read", "cache_write", "cache_write_1h")


@dataclass
class Changes:
    """What is different for a user of the catalogue, by kind."""

    new: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    dearer: list[str] = field(default_factory=list)
    cheaper: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        signs = {"new": "+", "gone": "-", "back": "+", "dearer": "↑", "cheaper": "↓"}
        return [
            f"{sign} {kind:8}{entry}"
            for kind, sign in signs.items()
            for entry in sorted(getattr(self, kind))
        ]


def parse(text: bytes) -> list[Json]:
    """Records of a file, through the same JSON reader as everywhere in the builder."""
    return [json.loads(raw) for raw in text.splitlines() if raw.strip()]


def offers(records: Iterable[Json]) -> Offers:
    return {(r["provider"], r["model"]): r for r in records if r["t"] == "offer"}


def laid(base: Offers, layers: Iterable[Iterable[Json]]) -> Offers:
    """Later layers over earlier ones, field by field, as the core lays them."""
    result = dict(base)
    for layer in layers:
        for key, record in offers(layer).items():
            result[key] = {**result.get(key, {}), **record}
    return result


def changes(before: Offers, after: Offers) -> Changes:
    found = Changes()
    for key, offer in after.items():
        name, old = "/".join(key), before.get(key)
        if old is None:
            found.new.append(f"{name}  {_price(offer)}")
            continue
        was_stale, is_stale = (o["confidence"] == "stale" for o in (old, offer))
        if was_stale != is_stale:
            (found.gone if is_stale else found.back).append(name)
        rise = _blend(offer) - _blend(old)
        if rise:
            kind = found.dearer if rise > 0 else found.cheaper
            kind.append(f"{name}  {_price(old)} → {_price(offer)}")
    found.gone += ["/".join(key) for key in before.keys() - after.keys()]
    return found


def _band(offer: Json) -> Json:
    band: Json = offer["prices"][-1]["bands"][0]
    return band


def _blend(offer: Json) -> int:
    return int(3 * _band(offer)["in"] + _band(offer)["out"])


def _price(offer: Json) -> str:
    band = _band(offer)
    return f"{dollars(band['in'])} / {dollars(band['out'])}"


def dollars(pico: int) -> str:
    """A rate as people read it: dollars per million tokens, from the integer."""
    whole, part = divmod(pico, 1_000_000)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".") if part else str(whole)


def wild(old: Json, new: Json) -> str | None:
    """Why one source's word is not enough for this move of a rate; None where it is."""
    for before, after in zip(old["prices"][-1]["bands"], new["prices"][-1]["bands"], strict=False):
        for name in RATES:
            if name not in before or name not in after:
                continue
            was, now = before[name], after[name]
            told = f"{name} {dollars(was)} → {dollars(now)}"
            if was and not now:
                return f"{told}: became zero"
            if now > was * RISE_MAX and was:
                return f"{told}: rises more than × {RISE_MAX}"
            if now * FALL_MAX < was:
                return f"{told}: falls by more than half"
    return None


def sound(compiled: list[Json], effective: Offers) -> None:
    """Checks the whole catalogue as it would stand with the overlay; raises CatalogError."""
    rest = [record for record in compiled if record["t"] != "offer"]
    ordered = [
        {key: offer[key] for key in OFFER_KEYS if key in offer} for offer in effective.values()
    ]
    every = sorted([*rest, *ordered], key=sort_key)
    check("".join(f"{line(record)}\n" for record in every).encode(), bounded=False)
