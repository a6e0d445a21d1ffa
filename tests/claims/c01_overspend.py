"""Claim 1: nobody is billed more than the cap, whatever dies: gateways killed, clients gone.

The provider's own bill file is what counts, not our ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from tests.claims.books import Books
from tests.claims.provider import read_bill, totals
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.storm import Storm, unbooked
from tests.claims.verdict import Scale, Verdict

TITLE = "overspend by the provider's own bill, gateway killed (-9) under load, clients leaving"
TARGET = "0 nano-dollars"
# One is soon spent, one never; two caps are the day's, two are budgets.
CAPS = {"spent": "0.02", "daily": "0.10", "budget": "0.20", "wide": "0.40"}
ALIVE_S = 0.2
# Once the killing is over the clients go on until each cap has refused this often, or so long.
REFUSED_MIN = 20
CALM_S = 20.0


def configuration() -> str:
    """Four tenants with caps of their own, two providers that fail in every way."""
    sections = [model("claims-a", "rough"), model("claims-b", "tough")]
    for name, cap in CAPS.items():
        key = "daily_cap_usd" if name in ("daily", "wide") else "budget_usd"
        period = '\nbudget_period = "total"' if key == "budget_usd" else ""
        sections.append(tenant(name, f'{WIDE}in_flight_max = 24\n{key} = "{cap}"{period}'))
    return "\n".join(sections)


async def storm(stage: Stage, scale: Scale, kills: int, each: int) -> Storm:
    """`each` clients of a tenant press on while gateways are killed, each time under load."""
    clients = Storm(stage, list(CAPS), each=each, seed=scale.seed)
    dice = random.Random(scale.seed)
    killed = 0.0

    async def killer() -> None:
        nonlocal killed
        for _ in range(kills):
            await asyncio.sleep(ALIVE_S * dice.uniform(0.5, 3))
            gate = dice.choice(stage.gates)
            gate.kill()
            await asyncio.to_thread(gate.start)
        killed = time.monotonic()

    def over() -> bool:
        if not killed:
            return False
        met = all(clients.capped[name] >= REFUSED_MIN for name in CAPS)
        return met or time.monotonic() - killed > CALM_S

    async with asyncio.TaskGroup() as group:
        group.create_task(killer())
        group.create_task(clients.blow(over))
    return clients


@dataclass(frozen=True)
class Found:
    """What a storm came to."""

    # Nano-dollars beyond a cap, by the provider's own bill.
    over: int
    # What was billed and is not in the ledger: an overspend that has not met its cap yet.
    unbooked: int
    unbooked_requests: int
    billed: int
    refused: int
    # Every cap was met: a run in which none was proves nothing.
    proves: bool


def embedded(scale: Scale, kills: int) -> Found:
    """One gateway, its accounts in its own process."""
    with Stage(configuration(), seed=scale.seed) as stage:
        clients = asyncio.run(storm(stage, scale, kills, 12))
        books = Books(stage.data)
        books.until_indexed(clients.acknowledged)
        ends = books.ends()
        return found(stage, clients, ends)


def shared(scale: Scale, kills: int) -> Found:
    """Three gateways, their accounts in one Redis, their ledger in one PostgreSQL."""
    with Stage(configuration(), seed=scale.seed, shared=3) as stage:
        return found(stage, asyncio.run(storm(stage, scale, kills, 6)), None)


def found(stage: Stage, clients: Storm, ends: dict[str, tuple[int, int]] | None) -> Found:
    """Ends everything, then compares caps and rows with the bill."""
    for gate in stage.gates:
        gate.stop()
    stage.provider.stop()
    entries = read_bill(stage.provider.bill)
    billed = totals(entries)
    missing = [] if ends is None else unbooked(entries, ends)
    return Found(
        over=max(0, *(billed[name] - round(float(cap) * 1e9) for name, cap in CAPS.items())),
        unbooked=sum(nano for _, nano in missing),
        unbooked_requests=len(missing),
        billed=len(entries),
        refused=sum(clients.capped.values()),
        proves=all(clients.capped[name] >= REFUSED_MIN for name in CAPS),
    )


def measure(scale: Scale) -> Verdict:
    """Both homes."""
    kills = scale.pick(10, 1_000)
    one, three = embedded(scale, kills), shared(scale, kills // 2)
    missing = one.unbooked_requests
    return Verdict(
        one.over + three.over == 0 and missing == 0 and one.proves and three.proves,
        f"{one.over} over {one.billed:,} billed requests in process, {three.over} over "
        f"{three.billed:,} of 3 gateways on one Redis; {kills} + {kills // 2} kills, "
        f"{one.refused + three.refused:,} refusals at a cap; {one.unbooked:,} nano in {missing} "
        "requests billed and not booked",
    )
