"""Claim 16: a storm leaves no descriptor and no thread behind.

Counted in the gateway's worker by the kernel, before and after, at rest.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "file descriptors and threads after storms of failures and hang-ups, at rest"
TARGET = "± 0"
NAMES = ("one", "two")
REST_S = 60.0


def processes(leader: int) -> list[int]:
    """The leader and everything below it."""
    found = [leader]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def handles(stage: Stage) -> tuple[int, int]:
    """Descriptors and threads of the gateway."""
    pids = processes(stage.gate.pid)
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return files, threads


def at_rest(stage: Stage, most: tuple[int, int]) -> tuple[int, int]:
    """What is open once there is no more than `most`, or as long as idle connections may live."""
    deadline = time.monotonic() + REST_S
    while True:
        now = handles(stage)
        if (now[0] <= most[0] and now[1] <= most[1]) or time.monotonic() > deadline:
            return now
        time.sleep(0.25)  # polls the kernel; nothing can be awaited


def storm(stage: Stage, scale: Scale, requests: int) -> int:
    """A third hang up; two of three providers fail."""
    clients = Storm(stage, NAMES, each=16, seed=scale.seed, leaving=0.33, max_tokens=(4, 64))
    asyncio.run(clients.last(requests))
    return clients.asked


def measure(scale: Scale) -> Verdict:
    """A few requests start what is started lazily; the storms must add nothing to it."""
    text = model("claims-a", "rough") + model("claims-b", "tough") + model("claims-c", "steady")
    text += "".join(tenant(name, f"{WIDE}in_flight_max = 64") for name in NAMES)
    with Stage(text, seed=scale.seed, pause_ms=20) as stage:
        asyncio.run(Storm(stage, NAMES[:1], each=1, seed=scale.seed, leaving=0).last(6))
        before = handles(stage)
        asked = storm(stage, scale, scale.pick(2_000, 100_000))
        after = at_rest(stage, before)
    more = (after[0] - before[0], after[1] - before[1])
    return Verdict(
        more[0] <= 0 and more[1] <= 0,
        f"{more[0]:+} descriptors ({before[0]}), {more[1]:+} threads ({before[1]}) "
        f"after {asked:,} requests",
    )
