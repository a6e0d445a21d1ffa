"""Fault 28: the host's clock jumps an hour, across midnight and back, with requests under way.

A request belongs to the day on which it was admitted, and a day that has begun does not go back.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from sqlite3 import connect

from tests.claims.books import SETTLE, Books
from tests.claims.crowd import Caller, Told
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict
from tests.faults.trouble import Trouble

TITLE = "clock ± 1 h, across midnight and back, requests under way: nanos in the wrong day"
TARGET = "0; nothing held; nobody refused but by the rate, whose bucket a clock set back empties"
NAME = "traveller"
DAY_S, HOUR_S = 86_400, 3_600
# Requests are admitted this long before a jump, and run on beyond it.
BEFORE_S = 0.4
MARGIN_S = 30
EACH = 24
BUDGET_NANO = 1_000_000_000
# A bucket knows no time before its last request's: it is as if it had just been emptied.
EMPTIED = "rate_limit_exceeded"


class Traveller:
    """A gateway's clock, and what must have been counted on which day."""

    def __init__(self, stage: Stage, trouble: Trouble) -> None:
        self._stage = stage
        self._trouble = trouble
        self.due: dict[str, int] = {}
        self.wrong: list[str] = []
        self._day = 0

    def now(self) -> float:
        """What the gateway takes for the time."""
        return time.time() + self._trouble.clock_s

    def jump_to(self, instant_s: float) -> None:
        """The clock says so from now on."""
        self._trouble.clock(instant_s - time.time())

    async def across(self, instant_s: float) -> None:
        """Requests before a jump to this instant, and after it, all under way together."""
        before = self._begin()
        await asyncio.sleep(BEFORE_S)
        self.jump_to(instant_s)
        after = self._begin()
        for day, tasks in (before, after):
            for told in await asyncio.gather(*tasks):
                if told.acknowledged:
                    self.due[told.rid] = day
                else:
                    self.wrong.append(told.code or str(told.status))

    def _begin(self) -> tuple[int, list[asyncio.Task[Told]]]:
        """Requests of this instant; their day is never an earlier one than the account's."""
        self._day = max(self._day, int(self.now() // DAY_S))
        return self._day, [asyncio.ensure_future(self._one()) for _ in range(EACH)]

    async def _one(self) -> Told:
        caller = Caller(self._stage.gate.port, key_of(NAME))
        chat = [{"role": "user", "content": "hi"}]
        body = {"model": "claims", "messages": chat, "max_tokens": 64, "user": f"{NAME}/0"}
        told = await caller.ask(body)
        caller.hang_up()
        return told


async def journey(traveller: Traveller, rounds: int) -> None:
    """An hour on, an hour back, over midnight, back over midnight, on again."""
    for _ in range(rounds):
        midnight = (int(traveller.now() // DAY_S) + 1) * DAY_S
        traveller.jump_to(midnight - 2 * HOUR_S - MARGIN_S)
        for instant in (-HOUR_S, -2 * HOUR_S, -MARGIN_S, MARGIN_S, -HOUR_S, HOUR_S):
            await traveller.across(midnight + instant)


def misplaced(data: Path, due: dict[str, int]) -> tuple[int, int]:
    """Nano-dollars that stand in another day than they should, and all of them."""
    sql = f"SELECT hex(rid), day, cost_nano FROM ledger_rows WHERE kind = {SETTLE}"
    with closing(connect(f"file:{data / 'ledger.sqlite'}?mode=ro", uri=True)) as link:
        rows = {f"req_{rid.lower()}": (day, nano) for rid, day, nano in link.execute(sql)}
    wrong = sum(rows[rid][1] for rid, day in due.items() if rows[rid][0] != day)
    return wrong, sum(nano for _, nano in rows.values())


async def left(stage: Stage) -> int:
    """What the account says is left, in nano-dollars."""
    caller = Caller(stage.gate.port, key_of(NAME))
    told = await caller.ask({"model": "no-such-model", "messages": []})
    caller.hang_up()
    return int(Decimal(told.headers["x-p402-budget-remaining-usd"]).scaleb(9))


def measure(scale: Scale) -> Verdict:
    """Travels, then reads the ledger."""
    guard = f'{WIDE}in_flight_max = 256\nbudget_usd = "1"\nbudget_period = "total"'
    text = model("claims", "steady") + tenant(NAME, guard)
    with tempfile.TemporaryDirectory(prefix="p402-fault-") as folder:
        trouble = Trouble(Path(folder))
        with Stage(text, seed=scale.seed, pause_ms=1_500, env=trouble.env) as stage:
            traveller = Traveller(stage, trouble)
            asyncio.run(journey(traveller, scale.pick(1, 5)))
            books = Books(stage.data)
            books.until_indexed(traveller.due)
            wrong, spent = misplaced(stage.data, traveller.due)
            held = BUDGET_NANO - books.spent()[NAME] - asyncio.run(left(stage))
            same = books.spent() == books.counted()
    return Verdict(
        wrong == 0 and held == 0 and same and spent > 0 and set(traveller.wrong) <= {EMPTIED},
        f"{wrong} of {spent:,} nano, {len(traveller.due):,} requests; {held} held; "
        f"{len(traveller.wrong)} refused {' '.join(sorted(set(traveller.wrong)))}".strip(),
    )
