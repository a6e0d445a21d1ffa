"""Claim 6: the breaker opens and closes fast, and what was torn apart is soon whole again.

Read from the fault scenarios in which a server is stopped, paused, asleep or replaced.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, scenes
from tests.claims.verdict import Scale, Verdict

TITLE = "breaker opens / closes after heal / state converged, worst of scenarios 1-5"
TARGET = "≤ 50 / 300 / 1,000 ms"
BOUNDS = {"opened": 50.0, "closed": 300.0, "converged": 1_000.0}


def measure(scale: Scale) -> Verdict:
    """Scenarios 1 to 5; judged where the machine is quiet."""
    words = [f"faults::servers::f0{number}" for number in range(1, 6)]
    found = [scene for word in words for scene in scenes(cargo_test("p402-io", "redis", word))]
    worst = {name: max(scene[name] for scene in found) for name in BOUNDS}
    held = not scale.long or all(worst[name] <= bound for name, bound in BOUNDS.items())
    figures = " / ".join(f"{worst[name]:.0f}" for name in BOUNDS)
    note = "" if scale.long else " (judged by the long form)"
    return Verdict(held and len(found) >= 5, f"{figures} ms{note}")
