"""Fault 24: the gateway is killed (-9) in the middle of streams; its next start ends them all.

Each client has its first words; none of the streams has ended.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from decimal import Decimal

from tests.claims.books import Books
from tests.claims.crowd import PATH, Caller
from tests.claims.provider import read_bill
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.storm import unbooked
from tests.claims.verdict import Scale, Verdict

TITLE = "gateway killed (-9) mid-stream: requests unsettled 2 s after its restart"
TARGET = "0"
NAME = "cut"
STREAMS = 12
RID = re.compile(rb"x-p402-request-id: (\S+)", re.IGNORECASE)
RESTART_S = 2.0
# A busy machine is late with everything.
PATIENCE_S = 20.0
BUDGET_NANO = 10_000_000_000


async def begun(stage: Stage, user: str) -> tuple[str, asyncio.StreamWriter]:
    """A stream whose first words have come, and its request's id."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.gate.port)
    chat = [{"role": "user", "content": "a long story"}]
    body = {"model": "claims", "messages": chat, "max_tokens": 4_000, "stream": True, "user": user}
    raw = json.dumps(body).encode()
    lines = [f"POST {PATH} HTTP/1.1", "host: gateway", f"content-length: {len(raw)}"]
    lines += [f"authorization: Bearer {key_of(NAME)}", f"idempotency-key: {user}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
    told = await asyncio.wait_for(reader.readuntil(b"token"), 30)
    return RID.findall(told)[0].decode(), writer


async def killed(stage: Stage, life: int) -> list[str]:
    """All streams together, then the end; the requests' ids."""
    users = [f"{NAME}/{life}-{number}" for number in range(STREAMS)]
    streams = await asyncio.gather(*(begun(stage, user) for user in users))
    stage.gate.kill()
    for _, writer in streams:
        writer.transport.abort()
    return [rid for rid, _ in streams]


def settled(stage: Stage, rids: list[str]) -> tuple[int, float]:
    """How many of them have not ended after all patience, and how long the others took."""
    books, began = Books(stage.data), time.monotonic()
    while True:
        ends, waited = books.ends(), time.monotonic() - began
        missing = len(set(rids) - ends.keys())
        if missing + books.open() == 0 or waited > PATIENCE_S:
            return missing, waited
        time.sleep(0.02)  # polls a foreign process's file


async def left(stage: Stage) -> int:
    """What the account says is left, in nano-dollars."""
    caller = Caller(stage.gate.port, key_of(NAME))
    told = await caller.ask({"model": "no-such-model", "messages": []})
    caller.hang_up()
    return int(Decimal(told.headers["x-p402-budget-remaining-usd"]).scaleb(9))


def measure(scale: Scale) -> Verdict:
    """Kills, starts, looks."""
    guard = f'{WIDE}in_flight_max = 64\nbudget_usd = "10"\nbudget_period = "total"'
    lives, missing, slowest_s, rids = scale.pick(2, 20), 0, 0.0, []
    with Stage(model("claims", "steady") + tenant(NAME, guard), pause_ms=60_000) as stage:
        for life in range(lives):
            under_way = asyncio.run(killed(stage, life))
            rids += under_way
            stage.gate.start()
            late, waited_s = settled(stage, under_way)
            missing, slowest_s = missing + late, max(slowest_s, waited_s)
        books = Books(stage.data)
        held = BUDGET_NANO - books.spent()[NAME] - asyncio.run(left(stage))
        ends = books.ends()
        stage.provider.stop()
        unpaid = unbooked(read_bill(stage.provider.bill), ends)
    most_s = RESTART_S if scale.long else PATIENCE_S
    return Verdict(
        missing == 0 and held == 0 and not unpaid and slowest_s <= most_s,
        f"{missing} of {len(rids)} streams, all after {slowest_s:.1f} s; {held} nano held; "
        f"{len(unpaid)} billed and not booked",
    )
