"""Decides whether a catalogue file is sound: shape, order, references, integers.
Does not decide whether a price is right; the Rust loader checks the same file again, in its terms.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from .providers import DIALECTS_WITH_CODEC
from .quirks import check_flag
from .schema import BAND_KEYS, OFFER_KEYS, PRICE_KEYS, line, sort_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sources import Json

BYTES_MAX = 1_500_000
LOOPBACK = ("http://127.0.0.1:", "http://localhost:")
SERVICES = frozenset({"flex", "priority", "fast"})
CONFIDENCE = frozenset({"agree", "single", "disputed", "stale"})


class CatalogError(ValueError):
    """A line of the file that no reader should accept."""


@dataclass
class Seen:
    """What earlier lines declared, for the lines that point at it."""

    counts: Counter[str] = field(default_factory=Counter)
    providers: set[str] = field(default_factory=set)
    windows: set[str] = field(default_factory=set)
    capability: set[str] = field(default_factory=set)
    offers: set[str] = field(default_factory=set)
    homes: set[str] = field(default_factory=set)


def check(text: bytes, *, bounded: bool = True) -> Counter[str]:
    """Checks the whole file; returns how many records of each type it holds.

    The size bound is the shipped file's: a refreshed catalogue may outgrow it.
    """
    if bounded and len(text) > BYTES_MAX:
        raise CatalogError(f"{len(text):,} bytes, at most {BYTES_MAX:,}")
    records = list(_records(text))
    if not records or records[0]["t"] != "header":
        raise CatalogError("line 1: the header must come first")
    for number, (before, after) in enumerate(pairwise(records), start=2):
        if sort_key(before) >= sort_key(after):
            raise CatalogError(f"line {number}: out of order, or twice the same key")
    seen = Seen()
    for number, record in enumerate(records, start=1):
        try:
            _record(record, seen)
        except (KeyError, TypeError, ValueError) as fault:
            raise CatalogError(f"line {number}: {fault}") from fault
        seen.counts[record["t"]] += 1
    return seen.counts


def _records(text: bytes) -> Iterator[Json]:
    for number, raw in enumerate(text.decode().splitlines(), start=1):
        record: Json = json.loads(raw)
        if line(record) != raw:
            raise CatalogError(f"line {number}: not canonical JSON")
        yield record


def _record(record: Json, seen: Seen) -> None:
    match record["t"]:
        case "provider":
            seen.providers.add(record["id"])
            _provider(record)
        case "window":
            seen.windows.add(record["id"])
        case "capability":
            seen.capability.add(record["model"])
            _scores(record)
        case "offer":
            _offer(record, seen)
        case "alias":
            for target in (record["to"], *record.get("next", ())):
                _known(target, seen.offers, "offer")
        case "header":
            _require(not seen.counts["header"], "a second header")
        case other:
            raise CatalogError(f"unknown record type {other!r}")


def _provider(record: Json) -> None:
    for flag in record["flags"]:
        check_flag(flag, record["id"])
    if record["routable"]:
        _require("{" not in record["base_url"], "routable, but its address has a placeholder")
        safe = record["base_url"].startswith(("https://", *LOOPBACK))
        _require(safe, "routable, but neither over https nor on this machine")
        spoken = record["dialect"] in DIALECTS_WITH_CODEC
        _require(spoken, "routable, but its dialect has no codec")


def _scores(record: Json) -> None:
    scores, conf = record["scores"], record["conf"]
    _require(len(scores) == 9 and len(conf) == 9, "nine scores and nine confidences")
    _require(all(0 <= score <= 100 for score in scores), "a score outside 0-100")
    _require(all(0 <= share <= 1 for share in conf), "a confidence outside 0-1")


def _offer(record: Json, seen: Seen) -> None:
    where = f"{record['provider']}/{record['model']}"
    _require(list(record) == [key for key in OFFER_KEYS if key in record], f"{where}: key order")
    _known(record["provider"], seen.providers, "provider")
    if "window" in record:
        _known(record["window"], seen.windows, "window")
        _require(all("off" in row for row in record["prices"]), f"{where}: no off-peak price")
    if "capability" in record:
        _known(record["capability"]["model"], seen.capability, "capability row")
    for flag in record.get("flags", ()):
        check_flag(flag, where)
    canonical = str(record.get("canonical", record["model"]))
    if record.get("home"):
        _require(canonical not in seen.homes, f"{where}: a second home of {canonical}")
        seen.homes.add(canonical)
    _require(record["confidence"] in CONFIDENCE, f"{where}: {record['confidence']!r}")
    _require(record["context"] > 0, f"{where}: no context")
    _prices(where, record["prices"])
    _require(
        record.get("free", False) == (not _costs(record)), f"{where}: a zero price is no price"
    )
    seen.offers.add(where)


def _costs(record: Json) -> bool:
    """A chat is paid for both ways; of anything else one way is enough."""
    listed = [row["bands"] for row in record["prices"]]
    listed += [row["off"] for row in record["prices"] if "off" in row]
    listed += [bands for row in record["prices"] for bands in row.get("service", {}).values()]
    enough = any if "kind" in record else all
    return all(enough((band["in"], band["out"])) for bands in listed for band in bands)


def _prices(where: str, rows: list[Json]) -> None:
    _require(bool(rows) and "from" not in rows[0], f"{where}: the first price has no beginning")
    starts = [row["from"] for row in rows[1:]]
    _require(starts == sorted(set(starts)), f"{where}: price history out of order")
    for row in rows:
        _require(set(row) <= set(PRICE_KEYS), f"{where}: unknown price keys")
        service = row.get("service", {})
        _require(set(service) <= SERVICES, f"{where}: unknown service class")
        for bands in (row["bands"], *service.values()):
            _bands(where, bands)
        if "off" in row:
            _bands(where, row["off"])


def _bands(where: str, bands: list[Json]) -> None:
    edges = [band["above"] for band in bands]
    _require(bool(edges) and edges[0] == 0, f"{where}: the first band starts at 0")
    _require(edges == sorted(set(edges)), f"{where}: bands out of order")
    for band in bands:
        _require(set(band) <= set(BAND_KEYS), f"{where}: unknown rates")
        _require(all(type(rate) is int for rate in band.values()), f"{where}: a rate is no integer")
        _require(all(rate >= 0 for rate in band.values()), f"{where}: a negative rate")


def _known(name: str, names: set[str], kind: str) -> None:
    _require(name in names, f"unknown {kind} {name!r}")


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  an assertion reads so
    if not holds:
        raise CatalogError(otherwise)
