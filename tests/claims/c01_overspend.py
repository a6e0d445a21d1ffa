"""Claim 1: nobody is billed more than the cap, whatever dies: gateways killed, clients gone.

The provider's own bill file is what counts, not our ledger.
"""

from __future__ import annotations

import asyncio
import random
import time

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


async def storm(stage: Stage, scale: Scale, kills: int) -> Storm:
    """Clients press on while the gateway is killed `kills` times, each time under load."""
    clients = Storm(stage, list(CAPS), each=12, seed=scale.seed)
    dice = random.Random(scale.seed)
    killed = 0.0

    async def killer() -> None:
        nonlocal killed
        for _ in range(kills):
            await asyncio.sleep(ALIVE_S * dice.uniform(0.5, 3))
            stage.gate.kill()
            await asyncio.to_thread(stage.gate.start)
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


def measure(scale: Scale) -> Verdict:
    """Kills the gateway under load, then compares caps with the bill."""
    kills = scale.pick(12, 1_000)
    with Stage(configuration(), seed=scale.seed) as stage:
        clients = asyncio.run(storm(stage, scale, kills))
        books = Books(stage.data)
        books.until_indexed(clients.acknowledged)
        ends = books.ends()
        stage.gate.stop()
        stage.provider.stop()
        entries = read_bill(stage.provider.bill)
    billed = totals(entries)
    caps = {name: round(float(cap) * 1e9) for name, cap in CAPS.items()}
    over = max(0, *(billed[name] - cap for name, cap in caps.items()))
    missing = unbooked(entries, ends)
    refused = sum(clients.capped.values())
    # A run in which no cap was met proves nothing.
    proves = all(clients.capped[name] >= REFUSED_MIN for name in CAPS)
    print(missing[:20], len(missing))
    return Verdict(
        over == 0 and not missing and proves,
        f"{over} nano over, {sum(nano for _, nano in missing)} nano in {len(missing)} requests "
        f"billed and not booked; {len(entries):,} billed requests, {kills} kills, {refused:,} refusals at a cap",
    )
