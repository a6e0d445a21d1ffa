"""Claim 3: a row that was acknowledged is never lost and never there twice, over kill -9.

Over HTTP with the whole gateway, and beneath it with the journal alone, thousands of rows a life.
"""

from __future__ import annotations

import asyncio
import random

from tests.claims.books import SETTLE, Books
from tests.claims.rust import cargo_test, found
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "acknowledged ledger rows lost (duplicated), kill -9 at random points"
TARGET = "0 (0)"
NAMES = ("one", "two", "three")


async def killed(stage: Stage, scale: Scale, kills: int) -> Storm:
    """Clients note what was acknowledged while the gateway is killed at random."""
    storm = Storm(stage, NAMES, each=8, seed=scale.seed, leaving=0.0, max_tokens=(4, 32))
    dice = random.Random(scale.seed)
    over = False
    async with asyncio.TaskGroup() as group:
        group.create_task(storm.blow(lambda: over))
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            stage.gate.kill()
            await asyncio.to_thread(stage.gate.start)
        over = True
    return storm


def measure(scale: Scale) -> Verdict:
    """Compares what clients were told with what is in the ledger."""
    kills = scale.pick(5, 1_000)
    wide = f'{WIDE}in_flight_max = 64\ndaily_cap_usd = "100000"'
    text = model("claims", "steady") + "".join(tenant(name, wide) for name in NAMES)
    with Stage(text, seed=scale.seed, pause_ms=20) as stage:
        storm = asyncio.run(killed(stage, scale, kills))
        books = Books(stage.data)
        books.until_indexed(storm.acknowledged)
        ends, spent, counted = books.ends(), books.spent(), books.counted()
    told = storm.acknowledged
    lost = sum(ends.get(rid) != (SETTLE, nano) for rid, nano in told.items())
    # A row that was counted twice makes the running totals larger than the sum of the rows.
    twice = sum(spent != counted for _ in (0,))
    rows = cargo_test("p402-io", "ledger_kill", P402_KILLS=str(scale.pick(60, 1_000)))
    journal = found(r"(\d+) kills, (\d+) acknowledged requests, 0 lost", rows)
    return Verdict(
        lost == 0 and twice == 0 and len(told) > 200,
        f"{lost} of {len(told):,} over HTTP ({kills} kills), 0 of {int(journal[1]):,} in the "
        f"journal ({journal[0]} kills); {twice} counted twice",
    )
