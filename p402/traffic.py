"""Decides the demonstration's requests: varied tasks, four modes, streams, tools, schemas.

Does not send them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

MODES = ("cost", "quality", "speed", "balanced")

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "invoice",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"vendor": {"type": "string"}, "total_cents": {"type": "integer"}},
            "required": ["vendor", "total_cents"],
            "additionalProperties": False,
        },
    },
}


class Ask(NamedTuple):
    """One request of the demonstration: what the table calls it, and its body."""

    title: str
    mode: str
    body: dict[str, Any]


class _Kind(NamedTuple):
    title: str
    prompt: str
    output_max: int = 200
    extra: Mapping[str, Any] = MappingProxyType({})


_KINDS = (
    _Kind("code review", "Review this Python: def mean(xs): return sum(xs) / len(xs)"),
    _Kind(
        "invoice → JSON", "Vendor: Nokia Oyj. Total: 129,90 €.", 120, {"response_format": _SCHEMA}
    ),
    _Kind("proof", "Prove that the square root of 2 is irrational, step by step."),
    _Kind("greeting", "Good morning! How do I find the station?", 60),
    _Kind("weather tool", "What is the weather in Oulu?", 80, {"tools": [_TOOL]}),
    _Kind("poem", "Write a short poem about the first snow on a harbour."),
    _Kind("summary", "Summarise in two sentences: " + "The committee met again. " * 60, 120),
    _Kind("arithmetic", "A train leaves at 9:40 and takes 2 h 35 min. When does it arrive?", 120),
    _Kind("translation", "Translate into Finnish: The bridge is closed until Monday.", 60),
    _Kind("plan", "Plan the migration of a 2 TB PostgreSQL database with one hour of downtime."),
    _Kind("classification", "Positive or negative? 'It broke on the second day.' One word.", 20),
)
_SMALL = (
    _Kind("greeting", "Say good morning in one sentence.", 40),
    _Kind("invoice → JSON", "Vendor: Nokia. Total: 129 cents.", 80, {"response_format": _SCHEMA}),
    _Kind("capital", "What is the capital of Finland?", 40),
    _Kind("haiku", "Write a haiku about snow.", 60),
)


def varied(count: int) -> Iterator[Ask]:
    """`count` requests; kinds and modes turn at different speeds, so that all pairs occur."""
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        mode = MODES[(number + number // len(_KINDS)) % len(MODES)]
        body: dict[str, Any] = {
            "model": "sandbox-max" if number % 3 else "auto",
            "messages": [{"role": "user", "content": kind.prompt}],
            "max_tokens": kind.output_max,
            "stream": number % 2 == 0,
            "p402": {"mode": mode},
            **kind.extra,
        }
        yield Ask(kind.title, mode, body)


def small(count: int) -> Iterator[Ask]:
    """`count` requests that a very small model can answer; every other one is a stream."""
    for number in range(count):
        kind = _SMALL[number // 2 % len(_SMALL)]
        mode = MODES[number % len(MODES)]
        body: dict[str, Any] = {
            "model": "gpt-5.4",
            "messages": [{"role": "user", "content": kind.prompt}],
            "max_tokens": kind.output_max,
            "stream": number % 2 == 0,
            "p402": {"mode": mode},
            **kind.extra,
        }
        yield Ask(kind.title, mode, body)
