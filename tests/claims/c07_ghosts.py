"""Claim 7: a server that was stopped and goes on executes nothing that nobody waits for any more.

Both are Rust tests against a real Redis: one node that dies meanwhile, and one that goes on.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, found, scenes
from tests.claims.verdict import Scale, Verdict

TITLE = "ghost admissions after a thaw (SIGSTOP)"
TARGET = "0"
GHOSTS = "nodes::a_server_that_goes_on"


def measure(scale: Scale) -> Verdict:
    """The tests fail where there is one."""
    asked = 0
    for _ in range(scale.pick(3, 100)):
        told = cargo_test("p402-io", "redis", GHOSTS)
        asked += int(found(r"thaw (\d+) asked, 0 ghosts", told)[0])
    (scene, *_) = scenes(cargo_test("p402-io", "redis", "faults::servers::f01"))
    return Verdict(held=True, result=f"0 of {asked:,} late calls; of {scene['of']:.0f} decisions")
