"""Claim 4: every fault of the list is borne: no overspend, no ghost, no stuck hold, no lost row.

Those of Redis are Rust tests against real servers; those around it are played over HTTP.
"""

from __future__ import annotations

import re

from tests.claims.rust import cargo_test, found, scenes
from tests.claims.stage import ROOT
from tests.claims.verdict import Scale, Verdict
from tests.faults import __main__ as over_http

TITLE = "fault scenarios passed; worst added latency of those of Redis"
TARGET = "30; ≤ 12 ms on a quiet machine"
FAULTS = 30
WORST_MS = 12.0
REDIS = ROOT / "rust_core" / "p402-io" / "tests" / "redis"


def of_redis(scale: Scale) -> tuple[set[int], float]:
    """The numbers of those that passed (all, or this raises), and the longest wait in any."""
    quiet = {"P402_QUIET": "1"} if scale.long else {}
    told = cargo_test("p402-io", "redis", "faults::", "f19", "--test-threads=1", **quiet)
    text = "".join(file.read_text() for file in REDIS.rglob("*.rs"))
    names: list[str] = re.findall(r"fn (f\d\d_\w+)\(", text)
    passed = int(found(r"test result: ok\. (\d+) passed", told)[0])
    if passed != len(names):
        raise ValueError(f"{passed} passed of {names}")
    numbers = {int(number) for name in names for number in re.findall(r"f(\d\d)_", name)}
    return numbers, max(scene["worst"] for scene in scenes(told))


def measure(scale: Scale) -> Verdict:
    """All of them, one at a time."""
    borne, worst = of_redis(scale)
    rows = [over_http.run(number, scale) for number in over_http.scripts()]
    borne |= {row.number for row in rows if row.state == "held"}
    missing = [f"{row.number} {row.state}: {row.result}" for row in rows if row.state != "held"]
    held = len(borne) == FAULTS and (not scale.long or worst <= WORST_MS)
    loud = "" if scale.long else " (latency is held to the letter by the long form)"
    return Verdict(held, "; ".join([f"{len(borne)} of {FAULTS}; {worst:.0f} ms{loud}", *missing]))
