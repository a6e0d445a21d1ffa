"""Decides what each refresh source says about our offers: prices, context, what exists.
Does not decide what is believed (overlay.py, refresh.py) and adds no offer without a price.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from .fetch import Bounds, FetchError, Target, fetch_json
from .overlay import Json, Offers, offers
from .rates import pico

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

OPENROUTER_URL = "https://openrouter.ai/api/v1/models"
GENAI_URL = (
    "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/"
    "data.json"
)
AT_ONCE_MAX = 8
MTOK = 1_000_000
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest|preview)$")
# Fewer than this share of what we knew: the list is broken, or cut, sooner than the models gone.
FIELDS_OF_CONTEXT = ("context_length", "context_window", "max_model_len", "inputTokenLimit")
PLAUSIBLE_SHARE = 0.5
_RATES = {
    "prompt": "in",
    "completion": "out",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write",
}


@dataclass
class Ask:
    """What a source needs to know: the catalogue as it stands, the day, the keys, the bounds."""

    known: list[Json]
    today: str
    env: Mapping[str, str] = field(repr=False)
    bounds: Bounds
    urls: dict[str, str]

    def __post_init__(self) -> None:
        self.offers: Offers = offers(self.known)

    def of(self, provider: str) -> dict[str, Json]:
        return {model: o for (name, model), o in self.offers.items() if name == provider}


@dataclass
class Answer:
    """Records to lay over the catalogue, and what went wrong on the way."""

    records: list[Json] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def openrouter(http: httpx.AsyncClient, ask: Ask) -> Answer:
    """Its public model list: per-token prices, context, parameters."""
    body = await fetch_json(http, Target(ask.urls["openrouter"]), ask.bounds)
    rows = {row["id"]: row for row in _listed(body) if not row["id"].startswith("~")}
    answer, known = Answer(), ask.of("openrouter")
    canonical = {o.get("canonical", o["model"]) for o in ask.offers.values()}
    for name, row in sorted(rows.items()):
        if name.endswith(":batch"):
            continue
        record = _openrouter_offer(name, row, known.get(name), ask.today)
        if record is not None:
            if name not in known:
                tail = name.rsplit("/", 1)[-1]
                record["canonical"] = tail if tail in canonical else name
            answer.records.append(record)
    _hide(answer, known, set(rows), "openrouter")
    return answer


def _openrouter_offer(name: str, row: Json, known: Json | None, today: str) -> Json | None:
    """The offer as the list has it; None without a price, or where nothing differs."""
    pricing = row.get("pricing")
    if not isinstance(pricing, dict):
        return None
    try:
        rates = {
            ours: pico(Decimal(str(pricing[theirs])) * MTOK)
            for theirs, ours in _RATES.items()
            if theirs in pricing
        }
    except (InvalidOperation, ValueError):
        return None  # "-1" marks a price that depends on the backend
    rates = {key: rate for key, rate in rates.items() if rate or key in {"in", "out"}}
    if "in" not in rates or "out" not in rates:
        return None
    record: Json = {"t": "offer", "provider": "openrouter", "model": name}
    context = row.get("context_length")
    if isinstance(context, int) and context > 0:
        record["context"] = context
    if known is None:
        if "context" not in record or not rates["in"] or not rates["out"]:
            return None
        parameters = set(row.get("supported_parameters") or ())
        record["tools"] = "tools" in parameters
        record["structured"] = "structured_outputs" in parameters
        record["reasoning"] = "reasoning" in parameters
    same_price = known is not None and _says(known, rates)
    if not same_price:
        record["prices"] = _repriced(known, rates, today)
    if not same_price or (known is not None and known["confidence"] == "stale"):
        record |= {"source": "openrouter", "as_of": today[:7], "n_agree": 1, "confidence": "single"}
    differs = known is None or any(known.get(key) != value for key, value in record.items())
    return record if differs else None


def _says(known: Json, rates: Json) -> bool:
    band = known["prices"][-1]["bands"][0]
    return all(band.get(key) == rate for key, rate in rates.items())


def _repriced(known: Json | None, rates: Json, today: str) -> list[Json]:
    """The new price from today on, after what was true until now.

    Lists omit long-prompt bands: they keep their distance from the base.
    """
    row: Json = {"bands": [{"above": 0, **rates}]}
    if known is None:
        return [row]
    base, *upper = known["prices"][-1]["bands"]
    for band in upper:
        moved = {
            key: -(-rate * rates.get(key, base[key]) // base[key])
            for key, rate in band.items()
            if key != "above" and base.get(key)
        }
        row["bands"].append({"above": band["above"], **moved})
    start = f"{today}T00:00:00Z"
    past = [earlier for earlier in known["prices"] if earlier.get("from", "") < start]
    return [*past, {"from": start, **row}]


async def genai_prices(http: httpx.AsyncClient, ask: Ask) -> Answer:
    """The published prices, for offers whose price came from there and moved since the release."""
    from . import genai  # noqa: PLC0415  it needs the extra p402[catalog]

    body = await fetch_json(http, Target(ask.urls["genai-prices"]), ask.bounds)
    try:
        published = genai.published(body)
    except (TypeError, ValueError, KeyError) as error:
        raise FetchError(f"genai-prices: not its data format ({type(error).__name__})") from None
    bundled, answer = genai.providers(), Answer()
    for (provider, model), offer in sorted(ask.offers.items()):
        if offer.get("source") != "genai-prices" or "kind" in offer:
            continue
        old, new = (genai.answer(known, provider, model) for known in (bundled, published))
        if new is None or old == new:
            continue
        record: Json = {"t": "offer", "provider": provider, "model": model}
        record["prices"] = genai.with_off_peak(new, offer["prices"][-1])
        record |= {"source": "genai-prices", "as_of": ask.today[:7], "n_agree": 1}
        record["confidence"] = "single"
        answer.records.append(record)
    return answer


async def providers(http: httpx.AsyncClient, ask: Ask) -> Answer:
    """What each provider with a key lists: gone models are hidden from modes, prices untouched."""
    answer, gate = Answer(), asyncio.Semaphore(AT_ONCE_MAX)
    rows = [r for r in ask.known if r["t"] == "provider" and r["routable"]]
    keyed = [(row, key) for row in rows if (key := _key(row, ask.env))]
    if not keyed:
        answer.notes.append("providers: no provider key in the environment")

    async def one(row: Json, key: str) -> None:
        async with gate:
            try:
                most = "pageSize" if row["dialect"] == "gemini" else "limit"
                target = Target(f"{row['base_url']}/models?{most}=1000", _headers(row, key))
                listed = _listed(await fetch_json(http, target, ask.bounds))
            except FetchError as error:
                answer.notes.append(f"providers: {row['id']}: {error}")
                return
        _compare(answer, row["id"], ask.of(row["id"]), listed)

    await asyncio.gather(*(one(row, key) for row, key in keyed))
    answer.records.sort(key=lambda record: (record["provider"], record["model"]))
    answer.notes.sort()
    return answer


def _key(row: Json, env: Mapping[str, str]) -> str:
    return next((env[name] for name in row["env"] if env.get(name)), "")


def _headers(row: Json, key: str) -> dict[str, str]:
    if row["dialect"] == "anthropic" and row["auth"] == "x-api-key":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    if row["auth"] in {"bearer", "bearer_optional"}:
        return {"authorization": f"Bearer {key}"}
    return {row["auth"]: key}


def _compare(answer: Answer, provider: str, known: dict[str, Json], listed: list[Json]) -> None:
    rows = {row["id"].removeprefix("models/"): row for row in listed}
    bare = {_DATED.sub("", name) for name in rows} | set(rows)
    present = {name for name in known if name in bare or _DATED.sub("", name) in bare}
    for name in sorted(present):
        context = next(
            (
                value
                for field_name in FIELDS_OF_CONTEXT
                if isinstance(value := rows.get(name, {}).get(field_name), int) and value > 0
            ),
            known[name]["context"],
        )
        if context != known[name]["context"]:
            answer.records.append(
                {"t": "offer", "provider": provider, "model": name, "context": context}
            )
    _hide(answer, known, present, provider)
    unpriced = sorted(rows.keys() - known.keys() - {_DATED.sub("", name) for name in known})
    if unpriced:
        answer.notes.append(f"providers: {provider} lists {len(unpriced)} models without a price")


def _hide(answer: Answer, known: dict[str, Json], present: set[str], provider: str) -> None:
    """Gone from the list = stale: no mode takes it, a client that names it still may."""
    living = {name for name, offer in known.items() if offer["confidence"] != "stale"}
    if len(living & present) < len(living) * PLAUSIBLE_SHARE:
        answer.notes.append(
            f"{provider} lists {len(living & present)} of the {len(living)} models we know: "
            "too few to believe, nothing hidden"
        )
        return
    answer.records += [
        {"t": "offer", "provider": provider, "model": name, "confidence": "stale"}
        for name in sorted(living - present)
    ]


def _listed(body: Any) -> list[Json]:
    rows = body.get("data", body.get("models")) if isinstance(body, dict) else body
    if not isinstance(rows, list):
        raise FetchError("the answer is no model list")
    named = [{"id": row.get("name"), **row} for row in rows if isinstance(row, dict)]
    return [row for row in named if isinstance(row["id"], str)]
