"""Claim 22: no tenant reaches what is another's: requests, idempotency keys, balances.

The long form asks benches.apart whether one tenant's flood slows another down.
"""

from __future__ import annotations

import asyncio
import itertools

import httpx

from benches import apart
from tests.claims.crowd import Caller, Told
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict

TITLE = "what is addressable across tenants; others' p99 under one tenant's flood (long form)"
TARGET = "0; ≤ + 10 %"
# Names that run into one another wherever one is pasted to another.
NAMES = ("a", "a.b", "a-b", "ab", "a_b", "A", "default", "acct")
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


def measure(scale: Scale) -> Verdict:
    """Tries every pair of tenants; the long form measures a flood, too."""
    text = model("claims", "steady") + "".join(tenant(name, WIDE) for name in NAMES)
    with Stage(text, seed=scale.seed, pause_ms=1) as stage:
        seen, tries = asyncio.run(crossings(stage))
    told = f"{seen} of {tries} tries over {len(NAMES)} tenants"
    if not scale.long:
        return Verdict(seen == 0, told)
    rows = apart.measure()
    pace = ", ".join(f"{row.refused_per_s:,.0f}/s × {row.ratio('p99'):.2f}" for row in rows)
    held = seen == 0 and rows[-1].ratio("p99") <= SLOWER_MAX
    return Verdict(held, f"{told}; p99 beside refusals, one core: {pace}")
