"""Claim 2: nothing leaks: no slot and no hold outlives the requests of clients that left or died.

At rest every slot must be free and every dollar that is not spent be there, to the nano.
"""

from __future__ import annotations

import asyncio
import random
import time
from decimal import Decimal

from tests.claims.books import Books
from tests.claims.crowd import Caller, Told
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "refusals caused by leaked state; time until a slot or hold is free again"
TARGET = "0; slots ≤ 15 s; holds after a restart ≤ 2 s"
NAME = "leaky"
SLOTS = 8
BUDGET_NANO = 2_000_000_000
SLOT_LEASE_S = 15.0
RESTART_S = 2.0
REST_S = 20.0


async def ask(stage: Stage, requests: int) -> list[Told]:
    """So many small requests at once."""
    callers = [Caller(stage.gate.port, key_of(NAME)) for _ in range(requests)]
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    told = await asyncio.gather(*(caller.ask({**body, "user": f"{NAME}/0"}) for caller in callers))
    for caller in callers:
        caller.hang_up()
    return told


async def until_free(stage: Stage) -> tuple[float, int]:
    """Seconds until all slots are free and nothing is held, and what was wrong until the end."""
    began = time.monotonic()
    books = Books(stage.data)
    while True:
        refused = sum(one.code != "" and one.status == 429 for one in await ask(stage, SLOTS))
        (alone,) = await ask(stage, 1)
        await asyncio.to_thread(books.until_indexed, [alone.rid])
        left = int(Decimal(alone.headers["x-p402-budget-remaining-usd"]).scaleb(9))
        missing = abs(BUDGET_NANO - books.spent()[NAME] - left)
        waited = time.monotonic() - began
        if refused + missing == 0 or waited > REST_S:
            return waited, refused + missing


async def leave_half_way(stage: Stage, scale: Scale, requests: int) -> Storm:
    """More clients than slots; two of three hang up at a random moment."""
    storm = Storm(stage, [NAME], each=2 * SLOTS, seed=scale.seed, leaving=0.66)
    await storm.last(requests)
    return storm


async def die_half_way(stage: Stage, scale: Scale) -> float:
    """The gateway is killed with every slot taken; seconds from its next start to nothing open."""
    storm = Storm(stage, [NAME], each=2 * SLOTS, seed=scale.seed + 1, leaving=0.0)
    dead = False
    async with asyncio.TaskGroup() as group:
        group.create_task(storm.blow(lambda: dead))
        await asyncio.sleep(random.Random(scale.seed).uniform(0.5, 1))
        stage.gate.kill()
        dead = True
    await asyncio.to_thread(stage.gate.start)
    waited, wrong = await until_free(stage)
    return waited if wrong == 0 else float("inf")


def measure(scale: Scale) -> Verdict:
    """Storms, then looks at what is left behind."""
    guard = f'{WIDE}in_flight_max = {SLOTS}\nbudget_usd = "2"\nbudget_period = "total"'
    offers = model("claims-a", "rough") + model("claims-b", "tough") + model("claims-c", "steady")
    requests, deaths = scale.pick(1_500, 10_000), scale.pick(3, 100)
    with Stage(offers + tenant(NAME, guard), seed=scale.seed) as stage:
        storm = asyncio.run(leave_half_way(stage, scale, requests))
        freed_s, wrong = asyncio.run(until_free(stage))
        restarts = [asyncio.run(die_half_way(stage, scale)) for _ in range(deaths)]
    left = storm.codes["0"]
    return Verdict(
        wrong == 0 and freed_s <= SLOT_LEASE_S and max(restarts) <= RESTART_S and left > 100,
        f"{wrong} refusals or nanos left over {storm.asked:,} requests of which {left:,} were "
        f"left half-way; all free after {freed_s:.1f} s, after a kill -9 and restart within "
        f"{max(restarts):.1f} s of ready ({deaths} times)",
    )
