"""Claim 22: no tenant reaches what is another's: requests, idempotency keys, balances.

And in the long form: one tenant's flood does not slow the others down.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable

import httpx

from tests.claims.crowd import Caller, Told
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict

TITLE = "what is addressable across tenants; others' p99 under one tenant's flood (long form)"
TARGET = "0; ≤ + 10 %"
# Names that run into one another wherever one is pasted to another.
NAMES = ("a", "a.b", "a-b", "ab", "a_b", "A", "default", "acct")
FLOOD = 32
SAMPLES = 2_000
SLOWER_MAX = 1.10


def body(name: str) -> dict[str, object]:
    """A small request."""
    chat = [{"role": "user", "content": f"I am {name}"}]
    return {"model": "claims", "messages": chat, "max_tokens": 4, "user": f"{name}/0"}


async def crossings(stage: Stage) -> tuple[int, int]:
    """How much of one another the tenants saw, and how often they tried."""
    told: dict[str, Told] = {}
    for name in NAMES:
        caller = Caller(stage.gate.port, key_of(name))
        # One idempotency key for all: it must name another request for each of them.
        told[name] = await caller.ask(body(name), idempotency_key="the-same")
        caller.hang_up()
    seen = len(NAMES) - len({one.rid for one in told.values() if one.status == 200})
    root = f"http://127.0.0.1:{stage.gate.port}/api/v2"
    async with httpx.AsyncClient(trust_env=False) as client:
        pairs = list(itertools.permutations(NAMES, 2))
        for mine, other in pairs:
            header = {"authorization": f"Bearer {key_of(mine)}"}
            got = await client.get(f"{root}/requests/{told[other].rid}", headers=header)
            seen += got.status_code != 404
        for name in NAMES:
            header = {"authorization": f"Bearer {key_of(name)}"}
            got = await client.get(f"{root}/requests/{told[name].rid}", headers=header)
            seen += got.status_code != 200
    return seen, len(pairs) + len(NAMES)


async def p99(stage: Stage) -> float:
    """Of one quiet tenant's requests, one after the other, in seconds."""
    caller = Caller(stage.gate.port, key_of(NAMES[1]))
    took = []
    for _ in range(SAMPLES):
        began = time.perf_counter()
        await caller.ask(body(NAMES[1]))
        took.append(time.perf_counter() - began)
    caller.hang_up()
    return statistics.quantiles(took, n=100)[98]


async def flood(stage: Stage, over: Callable[[], bool]) -> None:
    """Requests that layer 1 refuses, as fast as they are answered."""

    async def one() -> None:
        caller = Caller(stage.gate.port, key_of(NAMES[0]))
        while not over():
            await caller.ask(body(NAMES[0]))
        caller.hang_up()

    await asyncio.gather(*(one() for _ in range(FLOOD)))


async def slower(stage: Stage) -> float:
    """The quiet tenant's p99 beside a flood, relative to without one."""
    calm = await p99(stage)
    over = False
    flooding = asyncio.create_task(flood(stage, lambda: over))
    beside = await p99(stage)
    over = True
    await flooding
    return beside / calm


def measure(scale: Scale) -> Verdict:
    """Tries every pair of tenants."""
    quiet = "rate = { limit = 10, per_s = 3600 }"
    text = model("claims", "steady")
    text += "".join(tenant(name, quiet if name == NAMES[0] else WIDE) for name in NAMES)
    with Stage(text, seed=scale.seed, pause_ms=1) as stage:
        seen, tries = asyncio.run(crossings(stage))
        ratio = asyncio.run(slower(stage)) if scale.long else None
    pace = "" if ratio is None else f"; p99 × {ratio:.2f} beside a flood"
    held = seen == 0 and (ratio is None or ratio <= SLOWER_MAX)
    return Verdict(held, f"{seen} of {tries} tries over {len(NAMES)} tenants{pace}")
