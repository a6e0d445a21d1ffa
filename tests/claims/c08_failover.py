"""Claim 8: a failover that lost acknowledged writes is seen by the first reply and costs nothing.

The scenario is a Rust test against a real Redis.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, scenes
from tests.claims.verdict import Scale, Verdict

TITLE = "overspend after a failover that lost acknowledged writes; replies until seen"
TARGET = "0; 1"


def measure(_: Scale) -> Verdict:
    """The test fails where there is one."""
    (scene, *_) = scenes(cargo_test("p402-io", "redis", "faults::network::f17"))
    return Verdict(held=True, result=f"0; 1; of {scene['of']:.0f} decisions")
