"""Fault 29: clients hang up in crowds while providers hang or answer 502; nothing stays held.

A third provider answers, so that there is something to lose.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

from tests.claims.books import Books
from tests.claims.crowd import Caller
from tests.claims.provider import read_bill
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.storm import Storm, unbooked
from tests.claims.verdict import Scale, Verdict

TITLE = "disconnect storm, providers that hang or answer 502: held after 60 s"
TARGET = "0 nano-dollars"
NAME = "storm"
REST_S = 60.0
BUDGET_NANO = 100_000_000_000
# Fewer clients than may be heard out at once (64): nothing that was billed may be missing.
CLIENTS = 32
# Long enough for a busy machine, short enough that silence ends within the test.
TIMES = "[timeouts]\nfirst_byte_min_ms = 800\nfirst_byte_max_ms = 1000\nbody_min_ms = 800\n"


async def blow(stage: Stage, scale: Scale) -> Storm:
    """Two of three hang up within a tenth of a second."""
    storm = Storm(stage, [NAME], each=CLIENTS, seed=scale.seed, leaving=0.66)
    await storm.last(scale.pick(1_500, 20_000))
    return storm


async def held(stage: Stage, books: Books) -> int:
    """Nano-dollars that are neither left nor spent."""
    caller = Caller(stage.gate.port, key_of(NAME))
    told = await caller.ask({"model": "no-such-model", "messages": []})
    caller.hang_up()
    left = int(Decimal(told.headers["x-p402-budget-remaining-usd"]).scaleb(9))
    return BUDGET_NANO - books.spent()[NAME] - left


def until_free(stage: Stage, books: Books) -> tuple[int, float]:
    """What is held once nothing is open, or after a minute; and how long that took."""
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        still = asyncio.run(held(stage, books)) if books.open() == 0 else books.open()
        if still == 0 or waited > REST_S:
            return still, waited
        time.sleep(0.1)  # polls a foreign process


def measure(scale: Scale) -> Verdict:
    """Storms, then waits for what is held."""
    guard = f'{WIDE}in_flight_max = 256\nbudget_usd = "100"\nbudget_period = "total"'
    offers = model("claims-a", "mute") + model("claims-b", "bad") + model("claims-c", "steady")
    text = f"{TIMES}{offers}{tenant(NAME, guard)}"
    with Stage(text, seed=scale.seed) as stage:
        storm = asyncio.run(blow(stage, scale))
        books = Books(stage.data)
        still, waited = until_free(stage, books)
        books.until_indexed(storm.acknowledged)
        missing = unbooked(read_bill(stage.provider.bill), books.ends())
    left = storm.codes["0"]
    return Verdict(
        still == 0 and not missing and left > storm.asked // 4,
        f"{still} after {waited:.1f} s; {storm.asked:,} requests, {left:,} left half-way, "
        f"{len(missing)} billed and not booked",
    )
