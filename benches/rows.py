"""Decides what was promised, row by row, and whether a run kept it.

Deliberately pure: results in, verdicts out; the numbers of the rows are those of the design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """One promise: a measured value, its limit, and how it reads."""

    text: str
    value: float | None
    limit: float
    unit: str

    @property
    def kept(self) -> bool | None:
        return None if self.value is None else self.value <= self.limit


@dataclass(frozen=True)
class Row:
    number: int
    what: str
    bars: tuple[Bar, ...]

    @property
    def verdict(self) -> str:
        """miss if one bar is missed; pass only if all were measured."""
        kept = [bar.kept for bar in self.bars]
        if False in kept:
            return "miss"
        return "pass" if None not in kept else "not measured"


def rows(results: Results) -> list[Row]:
    """Every row of this release, measured or not."""
    every = [
        _row_1(results),
        _row_2(results),
        *_streams(results),
        *_prompts(results),
        *_money(results),
        *_cache(results),
        *_footprint(results),
        _languages(results),
    ]
    return sorted(every, key=lambda row: row.number)


def median(results: Results, *path: str) -> float | None:
    """The median at a path, or nothing where it was not measured."""
    at: Any = results
    for step in path:
        if not isinstance(at, dict) or step not in at:
            return None
        at = at[step]
    value = at.get("median") if isinstance(at, dict) else at
    return None if value is None else float(value)


def ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or not under else over / under


def less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _cpu(results: Results, name: str, scenario: str = "base", c: str = "8") -> float | None:
    return median(results, "cpu", scenario, c, name, "cpu_us")


def _row_1(results: Results) -> Row:
    ours = _cpu(results, "p402")
    bars = [
        Bar("CPU per request, c = 8", ours, 130, "µs"),
        Bar("× ASGI hello", ratio(ours, _cpu(results, "asgi-hello")), 2.1, "×"),
    ]
    for peer in ("smg", "tensorzero"):
        theirs = _cpu(results, peer)
        if theirs is not None:
            bars.append(Bar(f"× {peer}, bare", ratio(ours, theirs), 1.0, "×"))
    return Row(1, "ASGI front: guard, ledger, routing 320 offers, metadata", tuple(bars))


def _row_2(results: Results) -> Row:
    half = ("latency", "half")
    return Row(
        2,
        "added latency at half load, open loop",
        (
            Bar("p50", median(results, *half, "latency_p50_ms"), 0.5, "ms"),
            Bar("p99", median(results, *half, "latency_p99_ms"), 2.0, "ms"),
        ),
    )


def _streams(results: Results) -> list[Row]:
    burst = _cpu(results, "p402", "burst")
    return [
        Row(
            5,
            "added time to first token, 50 streams",
            (Bar("p50", median(results, "ttft", "p402", "ttft_p50_ms"), 0.3, "ms"),),
        ),
        Row(
            6,
            "stream of 20 events",
            (
                Bar("CPU per stream, c = 8", burst, 250, "µs"),
                Bar("× nginx", ratio(burst, _cpu(results, "nginx", "burst")), 2.0, "×"),
            ),
        ),
    ]


def _prompts(results: Results) -> list[Row]:
    long = less(_cpu(results, "p402", "long"), _cpu(results, "p402"))
    ranked = median(results, "kernels", "route/320")
    return [
        Row(7, "50 KB prompt", (Bar("CPU over the base request", long, 90, "µs"),)),
        Row(8, "320 candidates scored and ranked", (Bar("per request", ranked, 10, "µs"),)),
    ]


def _money(results: Results) -> list[Row]:
    """What it costs to spend safely: each step by itself, nothing else on its core."""

    def told(name: str) -> float | None:
        return median(results, "kernels", name)

    trip_us = told("store/redis trip p50")
    trip = None if trip_us is None else trip_us / 1_000
    return [
        Row(
            9,
            "guard decision, memory home",
            (
                Bar("p50", told("guard/decision p50"), 0.3, "µs"),
                Bar("p99", told("guard/decision p99"), 1, "µs"),
            ),
        ),
        Row(
            10,
            "Redis home, on this host",
            (
                Bar("one admission, p50", trip, 0.1, "ms"),
                Bar("Redis' CPU per request", told("store/redis per request"), 15, "µs"),
            ),
        ),
        Row(
            13,
            "ledger row, before its acknowledgement",
            (
                Bar("p50", told("ledger/append p50"), 2, "µs"),
                Bar("p99", told("ledger/append p99"), 15, "µs"),
            ),
        ),
    ]


def _cache(results: Results) -> list[Row]:
    """The ladder of `benches.cached`: one client in turn, which waits for nobody else."""

    def told(rung: str, measure: str) -> float | None:
        return median(results, "cache", rung, measure)

    return [
        Row(
            11,
            "cache hit, the same question",
            (
                Bar("the gateway's share, p50", told("hit, exact", "own_p50_ms"), 0.3, "ms"),
                Bar("p99", told("hit, exact", "own_p99_ms"), 1, "ms"),
            ),
        ),
        Row(
            12,
            "cache hit by meaning, the encoder included",
            (
                Bar("client to client, p50", told("hit, semantic", "p50_ms"), 10, "ms"),
                Bar("p99", told("hit, semantic", "p99_ms"), 20, "ms"),
            ),
        ),
    ]


def _footprint(results: Results) -> list[Row]:
    idle = median(results, "rss", "p402", "idle_mb")
    loaded = median(results, "cpu", "base", "128", "p402", "rss_largest_mb")
    memory = [Bar("idle", idle, 70, "MB"), Bar("loaded, c = 128", loaded, 100, "MB")]
    litellm = median(results, "cpu", "base", "8", "litellm", "rss_sum_mb")
    if litellm is not None:
        ours = median(results, "cpu", "base", "8", "p402", "rss_sum_mb")
        memory.append(Bar("× LiteLLM, whole tree", ratio(ours, litellm), 1 / 3, "×"))
    start = median(results, "start", "p402")
    return [
        Row(14, "memory per process", tuple(memory)),
        Row(16, "start to first reply", (Bar("from exec", start, 1.5, "s"),)),
    ]


# How many events one pass of the kernel `codec` streams.
CODEC_EVENTS = 200


def _languages(results: Results) -> Row:
    """What a provider of another language, or a client of another door, costs beside bytes."""

    def told(name: str) -> float | None:
        return median(results, "kernels", name)

    passing = told("codec request/openai (bytes pass)")
    bars = []
    for name in ("anthropic", "gemini", "bedrock"):
        added = less(told(f"codec request/{name}"), passing)
        bars.append(Bar(f"{name}: a request of 1 KB, over passing bytes", added, 60, "µs"))
        event = ratio(told(f"codec event/{name}"), CODEC_EVENTS)
        bars.append(Bar(f"{name}: an event", event, 4, "µs"))
    for name in ("messages", "responses", "generate"):
        entered = told(f"codec request/{name}, inbound")
        bars.append(Bar(f"/{name}: a request of 1 KB", entered, 60, "µs"))
        event = ratio(told(f"codec event/{name}, outbound"), CODEC_EVENTS)
        bars.append(Bar(f"/{name}: an event", event, 4, "µs"))
    return Row(18, "another language, at a provider or at a door", tuple(bars))
