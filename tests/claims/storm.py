"""Decides what a storm of clients does: many tenants, streams or not, some hang up half-way.

Does not judge: it remembers what was acknowledged and what was refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.claims.crowd import Caller, Told
from tests.claims.provider import Entry, by_request
from tests.claims.stage import Stage, key_of

# A refused or broken client asks again after this, so that caps are pressed without a pause.
AGAIN_S = 0.05
CAPPED = ("budget_exceeded", "daily_spend_limit_exceeded")
COST = re.compile(rb'"cost_usd":([0-9.]+)')
WORDS = "The quick brown fox jumps over the lazy dog and pays for every word of it. "


@dataclass
class Storm:
    """Clients of `tenants`, `each` of them per tenant; a share of `leaving` hangs up."""

    stage: Stage
    tenants: Sequence[str]
    each: int
    seed: int
    leaving: float = 0.1
    model: str = "auto"
    max_tokens: tuple[int, int] = (16, 256)
    # Acknowledged requests and what they were said to cost, in nano-dollars.
    acknowledged: dict[str, int] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    # How often a cap refused, by tenant.
    capped: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    async def blow(self, over: Callable[[], bool]) -> None:
        """All clients ask until it is over; the last requests end in peace."""
        async with asyncio.TaskGroup() as group:
            for name in self.tenants:
                for n in range(self.each):
                    dice = random.Random(f"{self.seed}-{name}-{n}")
                    gate = self.stage.gates[n % len(self.stage.gates)]
                    caller = Caller(gate.port, key_of(name))
                    group.create_task(self._client(name, caller, dice, over))

    async def last(self, requests: int) -> None:
        """All clients ask until so many requests were made."""
        await self.blow(lambda: self.asked >= requests)

    def body(self, tenant: str, dice: random.Random) -> dict[str, Any]:
        """One request, as the dice fall."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": WORDS * dice.randint(1, 6)}],
            "max_tokens": dice.randint(*self.max_tokens),
            "stream": dice.random() < 0.5,
            "user": f"{tenant}/{self.asked}",
        }

    async def _client(
        self, tenant: str, caller: Caller, dice: random.Random, over: Callable[[], bool]
    ) -> None:
        while not over():
            self.asked += 1
            body = self.body(tenant, dice)
            key = body["user"]
            leave_s = dice.uniform(0, 0.1) if dice.random() < self.leaving else None
            told = await caller.ask(body, leave_s=leave_s, idempotency_key=key)
            self._note(tenant, told)
            if told.status != 200 and leave_s is None:
                await asyncio.sleep(AGAIN_S)
        caller.hang_up()

    def _note(self, tenant: str, told: Told) -> None:
        if told.acknowledged:
            cost = Decimal(COST.findall(told.raw)[-1].decode())
            self.acknowledged[told.rid] = int(cost.scaleb(9))
        code = told.code
        self.codes[code or str(told.status)] += 1
        self.capped[tenant] += code in CAPPED


def rid_of(user: str) -> str:
    """The id of a request that was sent with its name as idempotency key (guard.md § 4)."""
    named = user.partition("/")[0].encode() + b"\xff" + user.encode()
    return f"req_{hashlib.sha256(named).hexdigest()[:32]}"


def unbooked(entries: list[Entry], ends: dict[str, tuple[int, int]]) -> list[tuple[str, int]]:
    """Requests whose provider billed more than the ledger booked: their name and the difference.

    Such a nano-dollar would be spent twice: an overspend that has not met its cap yet. A request
    that the ledger does not know by its name is not judged here: its tenant's sum still is.
    """
    found = []
    for user, lines in by_request(entries).items():
        billed = sum(line.nano for line in lines)
        _, booked = ends.get(rid_of(user), (0, billed))
        if billed > booked:
            found.append((f"{user} {[line.end for line in lines]}", billed - booked))
    return found
