"""Claim 15: memory does not grow with requests, errors, hang-ups or tenants' histories.

Resident bytes of the gateway, at rest after a first storm and after the last one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.claims.c16_handles import processes
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.storm import Storm
from tests.claims.verdict import Scale, Verdict

TITLE = "resident memory over many requests with failures and hang-ups"
TARGET = "≤ + 5 % and ≤ + 20 MB, beside idempotency keys that are not all remembered yet"
NAMES = tuple(f"tenant-{n}" for n in range(40))
GROWTH_MAX, BYTES_MAX = 1.05, 20 << 20
# Of the short form's 8,000 requests 400 bytes each: one row that is never forgotten has more.
SHORT_BYTES_MAX = 3 << 20
# Every request of the storm brings a key, and the last 100,000 are remembered (rids.rs): 81 bytes
# each in two tables that double as they fill.
KEYS_MAX, KEY_BYTES = 100_000, 2 * 81
REST_S = 3.0


def resident(stage: Stage) -> int:
    """Bytes of all of the gateway's processes."""
    pages = 0
    for pid in processes(stage.gate.pid):
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4_096


def after(stage: Stage, scale: Scale, requests: int) -> int:
    """Resident bytes once a storm has passed."""
    clients = Storm(stage, NAMES, each=1, seed=scale.seed, leaving=0.1, max_tokens=(4, 16))
    asyncio.run(clients.last(requests))
    time.sleep(REST_S)  # what the storm left is given back by timers
    return resident(stage)


def measure(scale: Scale) -> Verdict:
    """One storm to fill every bounded buffer, then many more requests."""
    text = model("claims-a", "rough") + model("claims-b", "tough") + model("claims-c", "steady")
    text += "[limits]\nrequests_kept = 500\n"
    text += "".join(tenant(name, f"{WIDE}in_flight_max = 64") for name in NAMES)
    first, then = scale.pick(6_000, 200_000), scale.pick(8_000, 10_000_000)
    with Stage(text, seed=scale.seed, pause_ms=2) as stage:
        before = after(stage, scale, first)
        later = after(stage, scale, then)
    more = later - before
    keys = (min(first + then, KEYS_MAX) - min(first, KEYS_MAX)) * KEY_BYTES
    most = BYTES_MAX if scale.long else SHORT_BYTES_MAX
    return Verdict(
        more <= min(before * (GROWTH_MAX - 1), most) + keys,
        f"{more / (1 << 20):+.1f} MB ({more / before:+.1%} of {before / (1 << 20):.0f} MB) over "
        f"{then:,} requests after the first {first:,}",
    )
