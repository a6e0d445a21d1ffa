"""Decides how latency is taken: requests at a steady rate, each timed from when it was due.

Does not judge; a stall shows in every request that was due while it lasted.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.claims.crowd import Caller
from tests.claims.stage import Stage, key_of

EVERY_S = 0.02


@dataclass
class Stretch:
    """Requests of one stretch of time, in seconds from when they were due."""

    took: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    # Acknowledged requests.
    rids: list[str] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """The middle one."""
        return statistics.median(self.took)

    @property
    def p99(self) -> float:
        """All but one of a hundred are faster."""
        return statistics.quantiles(self.took, n=100)[98]

    def slow(self, beside: Stretch, deadline_s: float) -> int:
        """Those that waited for more than half of a deadline beyond the others' worst."""
        return sum(took > beside.p99 + deadline_s / 2 for took in self.took)


async def load(stage: Stage, tenant: str, lasting_s: float) -> Stretch:
    """One tenant's requests, due at fixed instants, whether or not earlier ones have ended."""
    told, began = Stretch(), time.monotonic()
    idle: list[Caller] = []

    async def one(number: int) -> None:
        due = began + number * EVERY_S
        await asyncio.sleep(max(0, due - time.monotonic()))
        caller = idle.pop() if idle else Caller(stage.gate.port, key_of(tenant))
        chat = [{"role": "user", "content": "hi"}]
        body = {"model": "claims", "messages": chat, "max_tokens": 4, "user": f"{tenant}/{number}"}
        reply = await caller.ask(body)
        told.took.append(time.monotonic() - due)
        told.codes[reply.code or str(reply.status)] += 1
        told.rids += [reply.rid] if reply.acknowledged else []
        idle.append(caller)

    await asyncio.gather(*(one(number) for number in range(int(lasting_s / EVERY_S))))
    for caller in idle:
        caller.hang_up()
    return told
