"""Claim 26: the guard inside Redis is the core's guard, byte for byte.

Random sequences against both: replies and stored accounts must be the same bytes.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test
from tests.claims.verdict import Scale, Verdict

TITLE = "Lua twin against the core: differing bytes"
TARGET = "0"


def measure(scale: Scale) -> Verdict:
    """The test stops at the first difference."""
    events = scale.pick(50_000, 1_000_000)
    seed = {"P402_TWIN_EVENTS": str(events), "P402_TWIN_SEED": str(scale.seed)}
    cargo_test("p402-io", "redis", "twin::", **seed)
    return Verdict(held=True, result=f"0 over {events:,} events")
