"""Claim 4: every fault that a Redis can have is borne: no overspend, no ghost, no stuck hold.

Each scenario is a Rust test against real servers; this counts and reads what they print.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, found, scenes
from tests.claims.verdict import Scale, Verdict

TITLE = "fault scenarios of the store passed; worst added latency"
TARGET = "all; ≤ 12 ms on a quiet machine"
WORST_MS = 12.0


def measure(scale: Scale) -> Verdict:
    """All of them, one at a time."""
    quiet = {"P402_QUIET": "1"} if scale.long else {}
    told = cargo_test("p402-io", "redis", "faults::", "--test-threads=1", **quiet)
    passed = int(found(r"test result: ok\. (\d+) passed", told)[0])
    worst = max(scene["worst"] for scene in scenes(told))
    held = passed >= 20 and (not scale.long or worst <= WORST_MS)
    loud = "" if scale.long else " (latency is held to the letter by the long form)"
    return Verdict(held, f"{passed} of {passed}; {worst:.0f} ms{loud}")
