"""Claim 5: a Redis that hangs is not waited for: requests are as fast as beside a healthy one.

Requests come at a steady rate, each timed from when it was due, before and during the outage.
"""

from __future__ import annotations

import asyncio

from tests.claims.pace import Stretch, load
from tests.claims.servers import Redis
from tests.claims.stage import WIDE, Stage, model, tenant
from tests.claims.verdict import Scale, Verdict

TITLE = "Redis hung under load: p99 and max of all requests beside healthy; slow ones"
TARGET = "≤ + 1 ms; ≤ + 12 ms; ≤ 3 + those on the wire"
NAME = "hung"
# What is on the wire when it hangs waits for one deadline; the breaker opens on the third.
SLOW_MAX = 3 + 3
MORE_P99_S, MORE_MAX_S = 0.001, 0.012
# The short form has a busy machine: its deadline is long, and so is the sleep that it finds.
DEADLINE_MS = 50
# So long until a slice is leased; it bears all that is asked for.
LEASED_S = 8.0


async def outage(stage: Stage, lasting_s: int) -> tuple[Stretch, Stretch]:
    """The same load beside a healthy Redis and beside one that hangs."""
    (redis,) = (server for server in stage.servers if isinstance(server, Redis))
    # Warm, and long enough that a slice is leased.
    await load(stage, NAME, LEASED_S)
    healthy = await load(stage, NAME, lasting_s)
    redis.pause()
    hung = await load(stage, NAME, lasting_s)
    redis.resume()
    return healthy, hung


def measure(scale: Scale) -> Verdict:
    """Hangs Redis and compares."""
    # Longer than a gateway takes to look after its slices.
    lasting_s = scale.pick(7, 60)
    deadline_ms = 10 if scale.long else DEADLINE_MS
    guard = f'{WIDE}in_flight_max = 256\nbudget_usd = "1000"'
    text = model("claims", "steady") + tenant(NAME, guard)
    with Stage(text, seed=scale.seed, pause_ms=2, shared=1, deadline_ms=deadline_ms) as stage:
        healthy, hung = asyncio.run(outage(stage, lasting_s))
    slow = hung.slow(healthy, deadline_ms / 1_000)
    more_p99, more_max = hung.p99 - healthy.p99, max(hung.took) - max(healthy.took)
    served = hung.codes["200"]
    if scale.long:
        fast = more_p99 <= MORE_P99_S and more_max <= MORE_MAX_S and slow <= SLOW_MAX
    else:
        # Each of them would wait for a deadline if the breaker did not open.
        fast = hung.p50 - healthy.p50 < deadline_ms / 2_000
    codes = ", ".join(f"{count} × {code}" for code, count in sorted(hung.codes.items()))
    note = "" if scale.long else " (judged by the long form; here: no wait in every request)"
    return Verdict(
        fast and served == len(hung.took),
        f"p50 {1e3 * (hung.p50 - healthy.p50):+.1f} ms, p99 {1e3 * more_p99:+.1f} ms on "
        f"{1e3 * healthy.p99:.1f}, max {1e3 * more_max:+.1f} ms on {1e3 * max(healthy.took):.1f}; "
        f"{slow} slow; {codes} in {lasting_s} s{note}",
    )
