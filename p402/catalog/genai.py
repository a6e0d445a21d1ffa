"""Decides how genai-prices' answer for a listed id becomes price rows: history, tiers, services.
Does not look for ids the fact tables do not list, and opens no connection.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from genai_prices import data, types
from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

from .merge import GenaiPrice
from .rates import Rounding, nano_per_request, pico
from .sources import GENAI

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genai_prices.types import ModelInfo, Provider

    from .sources import Band, Json

# The id map of catalog.md § 3: genai-prices' name for a provider of ours.
GENAI_ID = {
    "xai": "x-ai",
    "togetherai": "together",
    "fireworks-ai": "fireworks",
    "novita-ai": "novita",
    "cloudflare-workers-ai": "cloudflare",
    "amazon-bedrock": "aws",
}
# genai-prices' price key → ours.
RATE_KEYS = {
    "input_mtok": "in",
    "output_mtok": "out",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_in",
    "output_audio_mtok": "audio_out",
    "output_reasoning_mtok": "reasoning",
}
SERVICES = {
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast"},
    "fast_speed": {"speed": "fast"},  # Anthropic's word for it
}


def providers() -> dict[str, Provider]:
    return {provider.id: provider for provider in data.providers}


def match(known: dict[str, Provider], provider: str, model: str) -> ModelInfo | None:
    """Asks the source's own matcher for one listed id, without its fall-back to other providers."""
    if provider == "huggingface" and ":" in model:
        model, backend = model.rsplit(":", 1)
        provider = f"huggingface_{backend}"
    source = known.get(GENAI_ID.get(provider, provider))
    return source.find_model(model) if source is not None else None


def price(info: ModelInfo, asked: str, rounding: Rounding) -> GenaiPrice | None:
    """One entry of genai-prices as catalogue price rows; None where it has no token price."""
    rows: list[Json] = []
    for start in _starts(info):
        at = datetime.combine(start or date(1970, 1, 1), time(), UTC)
        row = _row(info, at, rounding)
        if row is None:
            continue
        if rows and {key: value for key, value in rows[-1].items() if key != "from"} == row:
            continue
        if start is not None and rows:
            row = {"from": f"{start.isoformat()}T00:00:00Z", **row}
        rows.append(row)
    return GenaiPrice(rows, exact=info.id.lower() == asked.lower()) if rows else None


def stated(known: dict[str, Provider], provider: str, model: str, day: str) -> dict[str, Any]:
    """What is said of one id on that day, in the source's own units."""
    info = match(known, provider, model)
    at = datetime.combine(date.fromisoformat(day), time(), UTC)
    return _standard(info, at) if info is not None else {}


def _starts(info: ModelInfo) -> list[date | None]:
    constraints = [variant.constraint for variant in info.price_variants or ()]
    if isinstance(info.prices, list):
        constraints += [price.constraint for price in info.prices]
    dates = {c.start_date for c in constraints if isinstance(c, StartDateConstraint)}
    return [None, *sorted(dates)]


def _row(info: ModelInfo, at: datetime, rounding: Rounding) -> Json | None:
    standard = _standard(info, at)
    bands = _bands(standard, info.id, rounding)
    if not bands or not all(band["in"] and band["out"] for band in bands):
        return None
    row: Json = {"bands": bands}
    if (per_thousand := standard.get("requests_kcount")) is not None:
        row["per_request"] = nano_per_request(_base(per_thousand))
    service: Json = {}
    for name, context in SERVICES.items():
        variant = _variant(info, at, context)
        if not variant:
            continue
        priced = _bands({**standard, **variant}, f"{info.id} {name}", rounding)
        if priced != bands:
            service.setdefault(name.removesuffix("_speed"), priced)
    if service:
        row["service"] = dict(sorted(service.items()))
    return row


def _standard(info: ModelInfo, at: datetime) -> dict[str, Any]:
    """The standard price at `at`; hours of the day are left to the windows: the dearest counts."""
    if not isinstance(info.prices, list):
        return _priced(info.prices)
    timed = [p for p in info.prices if isinstance(p.constraint, TimeOfDateConstraint)]
    if timed:
        rows = [_priced(price.prices) for price in info.prices]
        return max(rows, key=lambda row: _base(row.get("input_mtok", Decimal(0))))
    return _priced(info.get_prices(at))


def _variant(info: ModelInfo, at: datetime, context: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variant in info.price_variants or ():
        if variant.constraint is not None and not variant.constraint.active(at):
            continue
        if variant.when == context:
            for key, price in _priced(variant.prices).items():
                found.setdefault(key, price)
    return found


def _priced(prices: object) -> dict[str, Any]:
    return {key: price for key, price in vars(prices).items() if price is not None}


def _base(price: Any) -> Decimal:
    return Decimal(getattr(price, "base", price))


def _bands(prices: dict[str, Any], where: str, rounding: Rounding) -> list[Band]:
    """One band a threshold; each rate is that of its own last tier below the threshold."""
    if "input_mtok" not in prices or "output_mtok" not in prices:
        return []
    starts = {0}
    for key in RATE_KEYS:
        starts |= {tier.start for tier in getattr(prices.get(key), "tiers", ())}
    bands: list[Band] = []
    for start in sorted(starts):
        band: Band = {"above": start}
        for key, ours in RATE_KEYS.items():
            if (price := prices.get(key)) is not None:
                rate = _at(price, start)
                band[ours] = pico(rate, f"{GENAI} {where} {ours}", rounding)
        bands.append(band)
    return bands


def _at(price: Any, start: int) -> Decimal:
    tiers: Iterable[Any] = getattr(price, "tiers", ())
    reached = [tier.price for tier in tiers if tier.start <= start]
    return Decimal(reached[-1]) if reached else _base(price)


def published(body: object) -> dict[str, Provider]:
    """The package's data format, as its own updater reads it (behind our size bound)."""
    if not isinstance(body, list):
        raise TypeError("a provider array")
    return {provider.id: provider for provider in types._providers_from_raw(body)}


def answer(known: dict[str, Provider], provider: str, model: str) -> list[Json] | None:
    """Price rows of one listed id in one state of the data."""
    info = match(known, provider, model)
    found = price(info, model, Rounding()) if info is not None else None
    return found.rows if found is not None else None


def with_off_peak(rows: list[Json], known: Json) -> list[Json]:
    """New rows with off-peak bands at the same share of the list price as the known row has."""
    if "off" not in known:
        return rows
    share = Fraction(known["off"][0]["in"], known["bands"][0]["in"])
    return [
        {
            **row,
            "off": [
                {
                    key: rate if key == "above" else math.ceil(rate * share)
                    for key, rate in b.items()
                }
                for b in row["bands"]
            ],
        }
        for row in rows
    ]
