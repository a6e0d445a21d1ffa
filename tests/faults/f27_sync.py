"""Fault 27: the disk takes five seconds to sync, or says EIO: in `process` nobody waits for it.

Requests come at a steady rate, each timed from when it was due.
"""

from __future__ import annotations

import asyncio
import errno
import tempfile
from pathlib import Path

from tests.claims.books import Books
from tests.claims.pace import Stretch, load
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.verdict import Scale, Verdict
from tests.faults.trouble import Trouble

TITLE = "`fdatasync` 5 s slow, then EIO: p99 added in `process`; acknowledged rows lost"
TARGET = "≤ 1 ms; 0"
NAME = "slow-disk"
SLOW_MS = 5_000
MORE_P99_S = 0.001
# The short form has a busy machine; a request that waited for a sync would wait for seconds.
MOST_S = SLOW_MS / 2_000


def stretches(stage: Stage, trouble: Trouble, lasting_s: int) -> list[Stretch]:
    """The same load on a good disk, a slow one and a bad one."""
    asyncio.run(load(stage, NAME, 1))
    found = [asyncio.run(load(stage, NAME, lasting_s))]
    trouble.sync(ms=SLOW_MS)
    found.append(asyncio.run(load(stage, NAME, lasting_s)))
    trouble.sync(errno=errno.EIO)
    found.append(asyncio.run(load(stage, NAME, lasting_s)))
    trouble.sync()
    return found


def measure(scale: Scale) -> Verdict:
    """Loads, then looks whether every row came through."""
    guard = f'{WIDE}in_flight_max = 256\nbudget_usd = "1000"'
    text = model("claims", "steady") + tenant(NAME, guard)
    with tempfile.TemporaryDirectory(prefix="p402-fault-") as folder:
        trouble = Trouble(Path(folder))
        with Stage(text, seed=scale.seed, pause_ms=2, env=trouble.env) as stage:
            good, slow, bad = stretches(stage, trouble, scale.pick(7, 60))
            books = Books(stage.data)
            told = [rid for each in (good, slow, bad) for rid in each.rids]
            books.until_indexed(told)
            lost = len(set(told) - books.ends().keys())
            whole = books.spent() == books.counted()
    more = max(each.p99 - good.p99 for each in (slow, bad))
    most = max(max(each.took) for each in (slow, bad))
    wrong = sum(sum(each.codes.values()) - each.codes["200"] for each in (good, slow, bad))
    fast = more <= MORE_P99_S if scale.long else most <= MOST_S
    note = "" if scale.long else " (judged by the long form; here: nobody waits for a sync)"
    return Verdict(
        fast and lost == 0 and wrong == 0 and whole,
        f"{1e3 * more:+.1f} ms on {1e3 * good.p99:.1f}, max {1e3 * most:.0f} ms; {lost} of "
        f"{len(told):,}; {wrong} not answered{note}",
    )
