"""Claim 24: absurd sizes hold no money: they are refused, each with 400 or 413.

Whatever is asked, nothing may be held afterwards and no reply may be a server's error.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from tests.claims.books import Books
from tests.claims.crowd import Caller, Told
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict

TITLE = "hostile sizes: money held afterwards; replies other than 400 or 413"
TARGET = "0; 0"
NAME = "hostile"
BUDGET_NANO = 10_000_000_000
CHAT = '"messages":[{"role":"user","content":"hi"}],"user":"hostile/0"'
NUMBERS = (str(1 << 63), str(1 << 64), "1e400", "-1", "-0", "0.5", "NaN", '"9"', "[]", "1" * 400)


def bodies() -> list[tuple[str, bytes]]:
    """What is sent, and its name."""
    made = [
        (f"{name}={value[:24]}", f'{{"model":"claims",{CHAT},"{name}":{value}}}'.encode())
        for name in ("max_tokens", "max_completion_tokens", "n")
        for value in (*NUMBERS, str((1 << 63) - 1), "1000000000")
    ]
    text = json.dumps("x" * (10 << 20))
    ask = f'{{"model":"claims","messages":[{{"role":"user","content":{text}}}]'
    made.append(("10 MB of text", f'{ask},"max_tokens":8000}}'.encode()))
    made.append(("40 MB of body", f'{ask},"x":"{"y" * (30 << 20)}"}}'.encode()))
    made.append(("nesting", b'{"model":"claims","messages":' + b"[" * 100_000))
    many = f'{{"model":"claims",{CHAT},"n":128,"max_tokens":8000}}'
    made.append(("n × max_tokens", many.encode()))
    return made


async def send(stage: Stage) -> list[tuple[str, Told]]:
    """One connection for each."""
    told = []
    for name, body in bodies():
        caller = Caller(stage.gate.port, key_of(NAME))
        told.append((name, await caller.ask(body)))
        caller.hang_up()
    return told


def measure(scale: Scale) -> Verdict:
    """Sends everything, then looks for money that is neither there nor spent."""
    guard = f'{WIDE}budget_usd = "10"\nbudget_period = "total"\nrequest_cap_usd = "1"'
    with Stage(model("claims", "steady") + tenant(NAME, guard), seed=scale.seed) as stage:
        told = asyncio.run(send(stage))
        books = Books(stage.data)
        books.until_indexed(())
        spent = books.spent()[NAME]
        caller = Caller(stage.gate.port, key_of(NAME))
        last = asyncio.run(caller.ask({"model": "no-such-model", "messages": []}))
        left = Decimal(last.headers["x-p402-budget-remaining-usd"])
    held = BUDGET_NANO - spent - int(left.scaleb(9))
    wrong = [f"{name}: {one.status}" for name, one in told if one.status not in (400, 413)]
    return Verdict(
        held == 0 and not wrong,
        f"{held} nano; {len(wrong)} of {len(told)} {', '.join(wrong)}",
    )
