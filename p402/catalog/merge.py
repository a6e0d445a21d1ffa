"""Decides which price an offer gets when sources agree, differ or are old, and how far to trust it.
Does not read files and does not decide which offers exist (build.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .rates import pico, ratio, scaled
from .sources import FRESH_DAYS, GENAI, GENAI_DATE, Band, Json, Quote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from decimal import Decimal

    from .rates import Rounding


@dataclass(frozen=True)
class GenaiPrice:
    """genai-prices' whole answer for one offer: its history, tiers and service classes."""

    rows: list[Json]
    exact: bool


@dataclass(frozen=True)
class Chosen:
    """The price of one offer with its provenance."""

    rows: list[Json]
    source: str
    dated: date
    n_agree: int
    confidence: str


@dataclass(frozen=True)
class Evidence:
    """All that is known of one offer's price, and the day it is judged at."""

    genai: GenaiPrice | None
    quotes: Sequence[Quote]
    built: date
    # exceptions.toml: the source that is right, whatever the order of authority says.
    trusted: str | None = None

    def fresh(self, dated: date) -> bool:
        return (self.built - dated).days <= FRESH_DAYS


@dataclass(frozen=True)
class Tiers:
    """An offer's long-prompt prices as models.tsv has them, and who states exactly these."""

    text: str
    sources: frozenset[str]
    where: str
    rounding: Rounding
    # The provider's thresholds belong to the dearer side (xAI): 200,000 is stored as 199,999.
    inclusive: bool = False


def choose(evidence: Evidence) -> Chosen | None:
    """Price authority of catalog.md § 3; None where nobody states a price."""
    genai = _current(evidence.genai, evidence.built)
    if evidence.trusted is not None:
        return _trusted(evidence, genai)
    if genai is not None and evidence.fresh(GENAI_DATE):
        return _with_genai(evidence, genai)
    everything = [*evidence.quotes, *([genai] if genai is not None else [])]
    fresh = [quote for quote in everything if evidence.fresh(quote.dated)]
    if fresh:
        return _by_majority(evidence, fresh)
    if everything:
        first = max(everything, key=lambda quote: (quote.dated, quote.dearness))
        return _made(evidence, first, "stale")
    return None


def _current(genai: GenaiPrice | None, built: date) -> Quote | None:
    """genai-prices' first band on the build date, as one more quote."""
    if genai is None:
        return None
    now = f"{built.isoformat()}T00:00:00Z"
    valid = [row for row in genai.rows if row.get("from", "") <= now]
    rates = dict((valid or genai.rows)[-1]["bands"][0])
    rates.pop("above")
    return Quote(GENAI, GENAI_DATE, rates)


def _trusted(evidence: Evidence, genai: Quote | None) -> Chosen:
    named = [q for q in (genai, *evidence.quotes) if q and q.source == evidence.trusted]
    if not named:
        raise ValueError(f"exceptions.toml trusts {evidence.trusted}, which states no price here")
    return _made(evidence, named[0], "agree" if _backing(evidence, named[0]) > 1 else "single")


def _with_genai(evidence: Evidence, genai: Quote) -> Chosen:
    backing = _backing(evidence, genai)
    rivals = [
        quote
        for quote in evidence.quotes
        if quote.pair != genai.pair
        and _backing(evidence, quote) >= 2
        and _fresh_among(evidence, quote)
    ]
    if rivals and backing < 2:
        return _made(evidence, max([genai, *rivals], key=lambda quote: quote.dearness), "disputed")
    return _made(evidence, genai, "agree" if backing >= 2 else "single")


def _fresh_among(evidence: Evidence, like: Quote) -> bool:
    return any(q.pair == like.pair and evidence.fresh(q.dated) for q in evidence.quotes)


def _by_majority(evidence: Evidence, fresh: list[Quote]) -> Chosen:
    votes = {quote.pair: sum(q.pair == quote.pair for q in fresh) for quote in fresh}
    most = max(votes.values())
    leaders = [quote for quote in fresh if votes[quote.pair] == most]
    if len({quote.pair for quote in leaders}) > 1:
        return _made(evidence, max(leaders, key=lambda quote: quote.dearness), "disputed")
    backing = _backing(evidence, leaders[0])
    return _made(evidence, leaders[0], "agree" if backing >= 2 else "single")


def _backing(evidence: Evidence, quote: Quote) -> int:
    """How many sources state this in and out, the old ones included."""
    genai = _current(evidence.genai, evidence.built)
    everyone = [*evidence.quotes, *([genai] if genai else [])]
    return sum(other.pair == quote.pair for other in everyone)


def _made(evidence: Evidence, quote: Quote, confidence: str) -> Chosen:
    agreeing = [other for other in evidence.quotes if other.pair == quote.pair]
    if quote.source == GENAI and evidence.genai is not None:
        rows = evidence.genai.rows
    else:
        rows = [{"bands": [{"above": 0, **_with_cache(quote, agreeing)}]}]
    dated = max([quote.dated, *(other.dated for other in agreeing)])
    return Chosen(rows, quote.source, dated, _backing(evidence, quote), confidence)


def _with_cache(quote: Quote, agreeing: Sequence[Quote]) -> Band:
    """Cache rates the source leaves out, from sources that state the same in and out."""
    rates = dict(quote.rates)
    for other in agreeing:
        for key, rate in other.rates.items():
            rates.setdefault(key, rate)
    return {key: rates[key] for key in ("in", "out", "cache_read", "cache_write") if key in rates}


def add_tiers(chosen: Chosen, evidence: Evidence, tiers: Tiers) -> list[Json]:
    """Lays `>N:in/out/cache_read;…` over rows whose base price the tiers' own source states.

    genai-prices' own tiers are in its rows already. An old source's tiers do not outlive a fresh
    price without them: surcharges end (claude-opus-4-6 on 2026-03-13).
    """
    stating = {
        quote.pair
        for quote in evidence.quotes
        if quote.source in tiers.sources
        and (evidence.fresh(quote.dated) or chosen.confidence == "stale")
    }
    if not tiers.text or any(len(row["bands"]) > 1 for row in chosen.rows):
        return chosen.rows
    laid = []
    for row in chosen.rows:
        base = row["bands"][0]
        if (base["in"], base["out"]) not in stating:
            laid.append(row)
            continue
        bands = [base, *(_tier(part, base, tiers) for part in tiers.text.split(";"))]
        bands.sort(key=lambda band: band["above"])
        # A long prompt is never cheaper by the token: such a tier belongs to another base price.
        sound = all(band["in"] >= base["in"] and band["out"] >= base["out"] for band in bands)
        laid.append({**row, "bands": bands} if sound else row)
    return laid


def _tier(part: str, base: Band, tiers: Tiers) -> Band:
    threshold, _, prices = part.strip().removeprefix(">").partition(":")
    cells = dict(zip(("in", "out", "cache_read"), prices.split("/"), strict=True))
    round_number = int(threshold) % 1_000 == 0
    band: Band = {"above": int(threshold) - (tiers.inclusive and round_number)}
    for key, text in cells.items():
        if text:
            band[key] = pico(text, f"{tiers.where} tier {threshold} {key}", tiers.rounding)
    for key in ("cache_read", "cache_write", "cache_write_1h"):
        if key in base and key not in band:
            band[key] = ratio(base[key], band["in"], base["in"])
    return band


def add_write_rates(rows: list[Json]) -> list[Json]:
    """Anthropic bills a one-hour cache write at twice the input rate where a source omits it."""
    return [
        {
            **row,
            "bands": [
                {**band, "cache_write_1h": band.get("cache_write_1h", 2 * band["in"])}
                for band in row["bands"]
            ],
        }
        for row in rows
    ]


def add_off_peak(rows: list[Json], multiplier: Decimal) -> list[Json]:
    """Multiplies the list bands out, so that nobody multiplies at run time."""
    return [
        {
            **row,
            "off": [
                {
                    key: rate if key == "above" else scaled(rate, multiplier)
                    for key, rate in band.items()
                }
                for band in row["bands"]
            ],
        }
        for row in rows
    ]
