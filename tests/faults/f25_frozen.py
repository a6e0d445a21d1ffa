"""Fault 25: a gateway is frozen (SIGSTOP) beyond its leases, and Redis is wiped meanwhile.

What it held is recovered away; once it goes on it must not spend it a second time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from tests.claims.provider import read_bill, totals
from tests.claims.servers import Redis
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "gateway frozen beyond its slot leases, Redis wiped meanwhile: overspend"
TARGET = "0 nano-dollars"
CAPS = {"budget": "0.20", "daily": "0.20"}
SLOT_LEASE_S = 3
REFUSED_MIN = 20
CALM_S = 60.0


def configuration() -> str:
    """Leases that end while it is frozen; caps that are met afterwards."""
    sections = [model("claims", "steady")]
    for name, cap in CAPS.items():
        key = "daily_cap_usd" if name == "daily" else "budget_usd"
        leases = f"slot_lease_s = {SLOT_LEASE_S}\nrenew_every_s = 1\n"
        sections.append(tenant(name, f'{WIDE}{leases}in_flight_max = 24\n{key} = "{cap}"'))
    return "\n".join(sections)


async def freeze(stage: Stage, scale: Scale) -> Storm:
    """Clients of both gateways press on; the first one stands still."""
    clients = Storm(stage, list(CAPS), each=6, seed=scale.seed, leaving=0.0)
    (redis,) = (server for server in stage.servers if isinstance(server, Redis))
    thawed = 0.0

    def over() -> bool:
        met = all(clients.capped[name] >= REFUSED_MIN for name in CAPS)
        return bool(thawed) and (met or time.monotonic() - thawed > CALM_S)

    async with asyncio.TaskGroup() as group:
        group.create_task(clients.blow(over))
        await asyncio.sleep(1)
        os.killpg(stage.gate.pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        redis.say("FLUSHALL")
        await asyncio.sleep(scale.pick(SLOT_LEASE_S + 1, 58))
        os.killpg(stage.gate.pid, signal.SIGCONT)
        thawed = time.monotonic()
    return clients


def measure(scale: Scale) -> Verdict:
    """Freezes, wipes, thaws, then reads the bill."""
    with Stage(configuration(), seed=scale.seed, shared=2) as stage:
        clients = asyncio.run(freeze(stage, scale))
        for gate in stage.gates:
            gate.stop()
        stage.provider.stop()
        entries = read_bill(stage.provider.bill)
    billed = totals(entries)
    over = max(0, *(billed[name] - round(float(cap) * 1e9) for name, cap in CAPS.items()))
    proves = all(clients.capped[name] >= REFUSED_MIN for name in CAPS)
    return Verdict(
        over == 0 and proves,
        f"{over} over {len(entries):,} billed requests, {sum(clients.capped.values()):,} refused "
        "at a cap",
    )
