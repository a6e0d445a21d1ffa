"""Claim 30: Redis hangs under load; three gateways spend what they had leased, and no more.

The bill of the provider is compared with a tight cap once Redis is back and all is spent.
"""

from __future__ import annotations

import asyncio
import time

from tests.claims.provider import read_bill, totals
from tests.claims.servers import Redis
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "3 gateways, Redis hung under load, tight caps, `escrow`: overspend"
TARGET = "0 nano-dollars, and not all refused"
CAPS = {"budget": "0.60", "daily": "0.60"}
EACH = 9
REFUSED_MIN = 20
CALM_S = 40.0


def configuration() -> str:
    """One provider that answers; caps that are met after the outage."""
    sections = [model("claims", "steady")]
    for name, cap in CAPS.items():
        key = "daily_cap_usd" if name == "daily" else "budget_usd"
        sections.append(tenant(name, f'{WIDE}in_flight_max = 24\n{key} = "{cap}"'))
    return "\n".join(sections)


async def storm(stage: Stage, scale: Scale) -> tuple[Storm, int]:
    """Clients press on before, during and after the outage; what was served during it."""
    clients = Storm(stage, list(CAPS), each=EACH, seed=scale.seed)
    (redis,) = (server for server in stage.servers if isinstance(server, Redis))
    back = 0.0

    def over() -> bool:
        met = all(clients.capped[name] >= REFUSED_MIN for name in CAPS)
        return bool(back) and (met or time.monotonic() - back > CALM_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(clients.blow(over))
        # Long enough that slices are leased.
        await asyncio.sleep(8)
        redis.pause()
        await asyncio.sleep(0.5)
        before = clients.codes["200"]
        await asyncio.sleep(scale.pick(6, 60))
        served = clients.codes["200"] - before
        redis.resume()
        back = time.monotonic()
    return clients, served


def measure(scale: Scale) -> Verdict:
    """Hangs Redis, then reads the bill."""
    with Stage(configuration(), seed=scale.seed, shared=3) as stage:
        clients, served = asyncio.run(storm(stage, scale))
        for gate in stage.gates:
            gate.stop()
        stage.provider.stop()
        entries = read_bill(stage.provider.bill)
    billed = totals(entries)
    over = max(0, *(billed[name] - round(float(cap) * 1e9) for name, cap in CAPS.items()))
    proves = all(clients.capped[name] >= REFUSED_MIN for name in CAPS)
    return Verdict(
        over == 0 and served > 0 and proves,
        f"{over} over {len(entries):,} billed requests; {served:,} answered from slices in "
        f"{scale.pick(6, 60)} s without Redis, {clients.codes['guard_unavailable']:,} refused",
    )
