"""Decides how a primitive is driven: a Gateway on a scripted upstream, an event loop, batches.

Deliberately no server and no socket: what is timed is the crossing and the core behind it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from benches.hello import BODY, REPLY
from p402 import _core

BATCH = 100
OFFERS = 320
PROVIDERS = 16
# Limits so wide that no request of a bench is refused.
GUARD = {
    "daily_cap_usd": "9000000",
    "in_flight_max": 256,
    "rate": {"limit": 1_000_000, "per_s": 1},
}


class Line:
    """A gateway attached to a loop of its own."""

    def __init__(self, chunks: list[str]) -> None:
        names = [f"bench{i}" for i in range(PROVIDERS)]
        steps = [{"chunk": chunk} for chunk in chunks]
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(prefix="p402-bench-")
        self.gateway = _core.Gateway(
            json.dumps({"keys": {name: ["x"] for name in names}, "guard": GUARD}).encode(),
            catalog=[_catalog(names)],
            data_dir=self.folder.name,
            transport=json.dumps([{"steps": steps}]),
        )
        self.loop.add_reader(self.gateway.start(), self.gateway.drain)

    def close(self) -> None:
        self.loop.remove_reader(self.gateway.wake_fd)
        self.gateway.stop(0)
        self.loop.close()
        self.folder.cleanup()

    async def chat(self, body: bytes) -> bytes:
        """One request to the last byte of its reply."""
        reply = self.gateway.chat("bench", [], body, self.gateway.ticks())
        status, _headers, got, more = await self._next(reply)
        assert status == 200, got
        while more:
            chunk, more = await self._next(reply)
            got += chunk
        return bytes(got)

    def batch(self, body: bytes) -> bytes:
        """BATCH requests one after another, so that the loop's own start does not count."""

        async def run() -> bytes:
            got = b""
            for _ in range(BATCH):
                got = await self.chat(body)
            return got

        return self.loop.run_until_complete(run())

    async def _next(self, reply: _core.Reply) -> Any:
        future = self.loop.create_future()
        part = reply.next(future)
        return part if part is not None else await future


def request(*, stream: bool = False, **p402: object) -> bytes:
    messages = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "How does the same question cost so much more elsewhere?"},
    ]
    wish = {"mode": "balanced", **p402}
    return json.dumps(
        {"model": "auto", "stream": stream, "p402": wish, "messages": messages}
    ).encode()


@pytest.fixture
def whole() -> Iterator[Line]:
    line = Line([BODY.decode()])
    yield line
    line.close()


@pytest.fixture
def streaming() -> Iterator[Line]:
    line = Line(events())
    yield line
    line.close()


def events() -> list[str]:
    """Twenty frames as a provider sends them."""
    head = {name: REPLY[name] for name in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"

    def chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    frames = [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": f"word {i} "}) for i in range(16)),
        chunk({}, "stop"),
        head | {"choices": [], "usage": REPLY["usage"]},
    ]
    return [f"data: {json.dumps(frame)}\n\n" for frame in frames] + ["data: [DONE]\n\n"]


def _catalog(providers: list[str]) -> bytes:
    records: list[dict[str, Any]] = [
        {"t": "header", "schema": 1, "date": "2026-11-22", "inputs": {}, "attributions": []}
    ]
    records += [
        {
            "t": "provider",
            "id": name,
            "kind": "config",
            "dialect": "openai",
            "base_url": f"http://{name}.test/v1",
            "auth": "bearer",
            "env": [],
            "routable": True,
            "flags": [],
        }
        for name in providers
    ]
    records += [_offer(i, providers[i % len(providers)]) for i in range(OFFERS)]
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _offer(i: int, provider: str) -> dict[str, Any]:
    bands = [{"above": 0, "in": 50_000 + 30_000 * i, "out": 200_000 + 120_000 * i}]
    return {
        "t": "offer",
        "provider": provider,
        "model": f"bench-{i}",
        "canonical": f"bench-{i}",
        "upstream_id": "mock",
        "context": 200_000,
        "max_output": 32_000,
        "modalities": ["text"],
        "tools": True,
        "structured": True,
        "efforts": [],
        "flags": [],
        "prices": [{"bands": bands}],
        "capability": 30 + i * 37 % 60,
        "ttft_ms": 200 + i * 13 % 900,
        "tokens_per_s": 40 + i * 7 % 160,
        "source": "bench",
        "as_of": "2026-11",
        "n_agree": 1,
        "confidence": "config",
    }
