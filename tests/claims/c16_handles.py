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


def at_rest(stage: Stage, most: tuple[int, int] | None = None) -> tuple[int, int]:
    """What is open once idle connections to the upstream have timed out, or it stays so."""
    deadline = time.monotonic() + REST_S
    before = handles(stage)
    still = time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(0.25)  # polls the kernel; nothing can be awaited
        now = handles(stage)
        if now != before:
            before, still = now, time.monotonic()
        if most is not None and now <= most:
            return now
        if most is None and time.monotonic() - still > 35:
            return now
    return before


def storm(stage: Stage, scale: Scale, requests: int) -> int:
    """A third hang up; two of three providers fail."""
    clients = Storm(stage, NAMES, each=16, seed=scale.seed, leaving=0.33, max_tokens=(4, 64))
    asyncio.run(clients.last(requests))
    return clients.asked


def measure(scale: Scale) -> Verdict:
    """A small storm starts what is started lazily; the big ones must add nothing to it."""
    text = model("claims-a", "rough") + model("claims-b", "tough") + model("claims-c", "steady")
    text += "".join(tenant(name, f"{WIDE}in_flight_max = 64") for name in NAMES)
    with Stage(text, seed=scale.seed, pause_ms=20) as stage:
        storm(stage, scale, 200)
        before = at_rest(stage)
        asked = sum(storm(stage, scale, scale.pick(1_500, 50_000)) for _ in range(2))
        after = at_rest(stage, before)
    more = (after[0] - before[0], after[1] - before[1])
    return Verdict(
        more[0] <= 0 and more[1] <= 0,
        f"{more[0]:+} descriptors ({before[0]}), {more[1]:+} threads ({before[1]}) "
        f"after {asked:,} requests",
    )
