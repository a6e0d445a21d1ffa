"""Decides how a client's program reports: one JSON line per check, one at the end.

Knows no client; needs nothing but the standard library, for it runs in every environment.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

BASE_URL = os.environ["P402_BASE_URL"]
KEY = os.environ["P402_KEY"]
PIN_KEY = os.environ["P402_PIN_KEY"]
TEXT = "Hello, world!"
HELLO = [{"role": "user", "content": "Say hello."}]
KEYS = [
    *("request_id", "tenant_id", "provider", "model", "cost_usd", "direct_cost", "savings"),
    *("input_tokens", "output_tokens", "latency_ms", "provider_latency_ms", "cached"),
    "routing_mode",
]
# 11 input tokens at $2.50 and 5 output tokens at $15 per million.
COST_USD = 0.0001025
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
_count = 0


@contextmanager
def check(name: str) -> Iterator[None]:
    """Runs the block; says whether it held."""
    global _count  # noqa: PLW0603 - one program, one tally
    _count += 1
    try:
        yield
    except Exception as error:  # noqa: BLE001 - reported, not swallowed
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename.endswith("check.py")]
        where = f"line {own[-1].lineno}: {own[-1].line}" if own else ""
        _say({"check": name, "ok": False, "detail": f"{where} {type(error).__name__}: {error}"})
    else:
        _say({"check": name, "ok": True})


@contextmanager
def raises(kind: type[BaseException] | tuple[type[BaseException], ...]) -> Iterator[list[Any]]:
    """The block must raise `kind`; the error is the first item of the list."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
        return
    raise AssertionError(f"nothing raised, expected {kind}")


def looked_up(request_id: str) -> dict[str, Any]:
    """What the gateway keeps of a request: the way to its cost for clients that drop the rest."""
    ask = Request(f"{BASE_URL}/requests/{request_id}", headers={"authorization": f"Bearer {KEY}"})
    with urlopen(ask, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def finish() -> None:
    """The last line: how many checks were made."""
    _say({"done": _count})


def metadata(found: Any, mode: str = "balanced", direct_cost: float = COST_USD) -> dict[str, Any]:
    """The thirteen keys, in order, with the figures of the test upstream."""
    assert isinstance(found, dict), f"no metadata: {found!r}"
    assert list(found) == KEYS, list(found)
    assert found["request_id"].startswith("req_")
    assert len(found["request_id"]) == 36
    assert (found["input_tokens"], found["output_tokens"]) == (11, 5), found
    assert (found["cost_usd"], found["direct_cost"]) == (COST_USD, direct_cost), found
    assert found["savings"] == round(direct_cost - COST_USD, 9)
    assert found["cached"] is False
    assert found["routing_mode"] == mode, found
    assert 0 <= found["provider_latency_ms"] <= found["latency_ms"], found
    return found


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
