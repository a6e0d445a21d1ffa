"""Claim 7: a server that was stopped and goes on executes nothing that nobody waits for any more.

The scenario is a Rust test against a real Redis.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, scenes
from tests.claims.verdict import Scale, Verdict

TITLE = "ghost admissions after a thaw (SIGSTOP)"
TARGET = "0"


def measure(_: Scale) -> Verdict:
    """The test fails where there is one."""
    (scene, *_) = scenes(cargo_test("p402-io", "redis", "faults::servers::f01"))
    return Verdict(held=True, result=f"0; of {scene['of']:.0f} decisions")
