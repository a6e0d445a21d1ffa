"""Decides which sandbox models and providers exist, what they cost and how fast they pretend to be.

Does not answer requests: every number a reply, a latency or a catalogue record needs is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from p402.sandbox import vectors

TASKS = (
    "reasoning",
    "coding",
    "agentic",
    "math",
    "extraction",
    "summarisation",
    "creative",
    "chat",
    "instruction",
)
PICO_PER_USD_PER_MTOK = 1_000_000
CONFIDENCE = 0.9
AS_OF = "2026-11"
CREATED_S = 1_795_305_600
HELLO = "hello"
FAULT_PREFIX = "sandbox-fault:"
EFFORT_GAIN = {"low": -6.0, "medium": -2.0, "high": 0.0}


@dataclass(frozen=True, slots=True)
class SandboxModel:
    """A caricature of one class of model; `scores` follow the order of `TASKS`."""

    id: str
    note: str
    scores: tuple[float, ...]
    ttft_ms: int
    tokens_per_s: int
    input_usd_per_mtok: str
    output_usd_per_mtok: str
    context: int = 128_000
    max_output: int = 16_384
    tools: bool = True
    vision: bool = False
    structured: bool = True
    efforts: tuple[str, ...] = ()
    shows_reasoning: bool = False
    cached_usd_per_mtok: str | None = None
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class SandboxProvider:
    """One base path of the server, presented to the catalogue as a provider of its own.

    Models at home elsewhere cost the surcharge on top.
    """

    id: str
    base: str
    models: tuple[str, ...]
    hardware: str | None = None
    surcharge_percent: int = 0


_MODELS = (
    SandboxModel(
        id="sandbox-nano",
        note="smallest and cheapest, for bulk classification; no structured output",
        scores=(28, 30, 14, 32, 42, 44, 40, 48, 40),
        ttft_ms=350,
        tokens_per_s=180,
        input_usd_per_mtok="0.05",
        output_usd_per_mtok="0.20",
        context=32_768,
        max_output=8_192,
        structured=False,
    ),
    SandboxModel(
        id="sandbox-fast",
        note="open model on dedicated inference hardware",
        scores=(52, 56, 38, 58, 56, 58, 52, 62, 56),
        ttft_ms=120,
        tokens_per_s=450,
        input_usd_per_mtok="0.59",
        output_usd_per_mtok="0.79",
        context=131_072,
        max_output=32_768,
    ),
    SandboxModel(
        id="sandbox-mini",
        note="small all-rounder of a first party",
        scores=(50, 54, 36, 56, 58, 60, 56, 66, 60),
        ttft_ms=450,
        tokens_per_s=150,
        input_usd_per_mtok="0.25",
        output_usd_per_mtok="1.50",
        context=400_000,
        max_output=64_000,
        vision=True,
        cached_usd_per_mtok="0.025",
    ),
    SandboxModel(
        id="sandbox-vision",
        note="reads images cheaply, average elsewhere",
        scores=(54, 50, 34, 55, 66, 62, 58, 64, 58),
        ttft_ms=600,
        tokens_per_s=110,
        input_usd_per_mtok="0.40",
        output_usd_per_mtok="1.60",
        vision=True,
    ),
    SandboxModel(
        id="sandbox-coder",
        note="specialised in code and tool loops",
        scores=(60, 80, 70, 62, 60, 50, 42, 54, 62),
        ttft_ms=700,
        tokens_per_s=95,
        input_usd_per_mtok="0.90",
        output_usd_per_mtok="3.60",
        context=256_000,
        max_output=65_536,
        cached_usd_per_mtok="0.09",
    ),
    SandboxModel(
        id="sandbox-pro",
        note="large model, the sensible default",
        scores=(74, 76, 62, 76, 74, 74, 74, 80, 76),
        ttft_ms=900,
        tokens_per_s=70,
        input_usd_per_mtok="3",
        output_usd_per_mtok="15",
        context=200_000,
        max_output=64_000,
        vision=True,
        cached_usd_per_mtok="0.30",
    ),
    SandboxModel(
        id="sandbox-thinker",
        note="open reasoning model that shows its reasoning",
        scores=(70, 68, 52, 80, 62, 58, 54, 62, 60),
        ttft_ms=800,
        tokens_per_s=80,
        input_usd_per_mtok="0.55",
        output_usd_per_mtok="2.19",
        max_output=32_768,
        efforts=("low", "medium", "high"),
        shows_reasoning=True,
        cached_usd_per_mtok="0.14",
    ),
    SandboxModel(
        id="sandbox-reasoner",
        note="hidden reasoning, best at mathematics and proofs",
        scores=(86, 80, 66, 94, 74, 68, 62, 70, 74),
        ttft_ms=1_000,
        tokens_per_s=75,
        input_usd_per_mtok="2",
        output_usd_per_mtok="8",
        context=200_000,
        max_output=100_000,
        vision=True,
        efforts=("low", "medium", "high"),
        cached_usd_per_mtok="0.50",
    ),
    SandboxModel(
        id="sandbox-max",
        note="frontier model, dear and strong everywhere",
        scores=(88, 86, 78, 90, 82, 80, 82, 86, 84),
        ttft_ms=1_300,
        tokens_per_s=50,
        input_usd_per_mtok="5",
        output_usd_per_mtok="25",
        context=1_000_000,
        max_output=128_000,
        vision=True,
        cached_usd_per_mtok="0.50",
    ),
)

MODELS: dict[str, SandboxModel] = {model.id: model for model in _MODELS}

PLAIN = SandboxModel(
    id=HELLO,
    note="test model: says Hello, world! and counts 11 + 5 tokens",
    scores=(50, 50, 50, 50, 50, 50, 50, 50, 50),
    ttft_ms=100,
    tokens_per_s=200,
    input_usd_per_mtok="1",
    output_usd_per_mtok="5",
    context=1_000_000,
    max_output=128_000,
    vision=True,
    efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    lenient=True,
)

PROVIDERS = (
    SandboxProvider(
        id="sandbox",
        base="/v1",
        models=(
            "sandbox-nano",
            "sandbox-mini",
            "sandbox-vision",
            "sandbox-coder",
            "sandbox-pro",
            "sandbox-reasoner",
            "sandbox-max",
        ),
    ),
    SandboxProvider(
        id="sandbox-b",
        base="/b/v1",
        models=("sandbox-nano", "sandbox-mini", "sandbox-thinker", "sandbox-pro", "sandbox-max"),
        surcharge_percent=10,
    ),
    SandboxProvider(
        id="sandbox-lpu",
        base="/lpu/v1",
        models=("sandbox-fast",),
        hardware="lpu",
    ),
)


def find(model_id: str) -> SandboxModel | None:
    """The row that answers for a model id; test names (`hello`, `sandbox-fault:…`) share one."""
    if model_id == HELLO or model_id.startswith(FAULT_PREFIX):
        return PLAIN
    return MODELS.get(model_id)


def catalog_records(base_url: str) -> list[dict[str, Any]]:
    """Catalogue records of all sandbox providers; `base_url` is what the ready line printed."""
    root = base_url.rstrip("/").removesuffix("/v1")
    records = [_provider_record(provider, root) for provider in PROVIDERS]
    for model in sorted(_MODELS, key=lambda row: row.id):
        records.extend(_capability_records(model))
    homes: set[str] = set()
    for provider in PROVIDERS:
        for model_id in sorted(provider.models):
            home = model_id not in homes
            homes.add(model_id)
            records.append(_offer_record(provider, MODELS[model_id], home=home))
    records.append(vectors.offer(PROVIDERS[0].id, AS_OF, _pico(vectors.USD_PER_MTOK)))
    return records


def _provider_record(provider: SandboxProvider, root: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "t": "provider",
        "id": provider.id,
        "kind": "sandbox",
        "dialect": "openai",
        "base_url": root + provider.base,
        "auth": "none",
        "env": [],
    }
    if provider.hardware is not None:
        record["hardware"] = provider.hardware
    record["routable"] = True
    record["flags"] = []
    return record


def _capability_records(model: SandboxModel) -> list[dict[str, Any]]:
    gains = {effort: EFFORT_GAIN[effort] for effort in model.efforts} or {"best": 0.0}
    return [
        {
            "t": "capability",
            "model": model.id,
            "effort": effort,
            "scores": [float(score) + gain for score in model.scores],
            "conf": [CONFIDENCE] * len(TASKS),
            "basis": "sandbox",
        }
        for effort, gain in gains.items()
    ]


def _offer_record(provider: SandboxProvider, model: SandboxModel, *, home: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "t": "offer",
        "provider": provider.id,
        "model": model.id,
        "canonical": model.id,
    }
    if home:
        record["home"] = True
    record |= {
        "context": model.context,
        "max_output": model.max_output,
        "modalities": ["text", "image"] if model.vision else ["text"],
        "tools": model.tools,
        "structured": model.structured,
        "reasoning": bool(model.efforts),
        "efforts": list(model.efforts),
        "flags": [],
        "prices": [{"bands": [_band(model, 0 if home else provider.surcharge_percent)]}],
        "capability": {"model": model.id, "match": "exact"},
        "ttft_ms": model.ttft_ms,
        "tokens_per_s": model.tokens_per_s,
        "source": "sandbox",
        "as_of": AS_OF,
        "n_agree": 1,
        "confidence": "config",
    }
    return record


def _band(model: SandboxModel, surcharge_percent: int) -> dict[str, int]:
    factor = 100 + surcharge_percent
    band = {
        "above": 0,
        "in": _pico(model.input_usd_per_mtok) * factor // 100,
        "out": _pico(model.output_usd_per_mtok) * factor // 100,
    }
    if model.cached_usd_per_mtok is not None:
        band["cache_read"] = _pico(model.cached_usd_per_mtok) * factor // 100
    return band


def _pico(usd_per_mtok: str) -> int:
    """Pico-dollars per token, exact: a price that is no whole number of them is a table error."""
    pico = Decimal(usd_per_mtok) * PICO_PER_USD_PER_MTOK
    if pico != pico.to_integral_value():
        raise ValueError(f"{usd_per_mtok} is finer than a pico-dollar per token")
    return int(pico)
