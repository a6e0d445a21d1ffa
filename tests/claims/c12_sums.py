"""Claim 12: the ledger's rows, its counters, the accounts and the export say one and the same.

Over streams, hang-ups, refusals, retries and failovers; the differences are taken in nano-dollars.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal

from tests.claims.books import Books
from tests.claims.crowd import Caller
from tests.claims.provider import read_bill
from tests.claims.stage import ROOT, WIDE, Stage, key_of, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "ledger − counters − accounts (− export) over mixed requests"
TARGET = "0 nano-dollars"
NAMES = ("acme", "globex", "initech", "umbrella")
CAP_NANO = 1_000_000_000_000


async def load(stage: Stage, scale: Scale) -> Storm:
    """Everything at once."""
    storm = Storm(stage, NAMES, each=10, seed=scale.seed, leaving=0.15)
    await storm.last(scale.pick(3_000, 10_000_000))
    return storm


async def accounts(stage: Stage) -> dict[str, int]:
    """What each account has spent, from a request that costs nothing: a refused one."""
    found = {}
    for name in NAMES:
        caller = Caller(stage.gate.port, key_of(name))
        told = await caller.ask({"model": "no-such-model", "messages": []})
        caller.hang_up()
        left = Decimal(told.headers["x-p402-daily-remaining-usd"])
        found[name] = CAP_NANO - int(left.scaleb(9))
    return found


def verified(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    """`p402 ledger` on the data directory."""
    command = [sys.executable, "-m", "p402", "ledger", *words, "--data-dir", str(stage.data)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def measure(scale: Scale) -> Verdict:
    """Adds everything up in four ways."""
    guard = f'{WIDE}in_flight_max = 64\ndaily_cap_usd = "1000"'
    text = model("claims-a", "rough") + model("claims-b", "tough")
    text += "".join(tenant(name, guard) for name in NAMES)
    with Stage(text, seed=scale.seed) as stage:
        storm = asyncio.run(load(stage, scale))
        books = Books(stage.data)
        books.until_indexed(storm.acknowledged)
        told = asyncio.run(accounts(stage))
        spent, counted = books.spent(), books.counted()
        verdict = verified(stage, "verify")
        mishaps = sum(line.end in ("cut", "broken") for line in read_bill(stage.provider.bill))
    apart = {name: {spent[name] - counted[name], spent[name] - told[name]} for name in NAMES}
    most = max(abs(each) for both in apart.values() for each in both)
    held = most == 0 and verdict.returncode == 0 and min(spent.values()) > 0
    verify = "clean" if verdict.returncode == 0 else verdict.stdout + verdict.stderr
    return Verdict(
        held,
        f"{most} nano over {storm.asked:,} requests ({storm.codes['0']:,} left half-way, "
        f"{mishaps:,} attempts billed in vain), "
        f"${sum(spent.values()) / 1e9:.6f} in all; `p402 ledger verify`: {verify}",
    )
