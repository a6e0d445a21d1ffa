"""Claim 25: a seed of the simulator is the same run again, to the step.

And over all seeds money stays within its caps through crashes, wipes, rollbacks and outages.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, found
from tests.claims.verdict import Scale, Verdict

TITLE = "a simulator's seed replayed: differing steps; overspends over all seeds"
TARGET = "0; 0"


def measure(scale: Scale) -> Verdict:
    """Both are tests of the core."""
    cargo_test("p402-core", "guard_sim", "a_seed_is")
    seeds = scale.pick(60, 20_000)
    told = cargo_test("p402-core", "guard_sim", "on_one_host", P402_GUARD_SIM_SEEDS=str(seeds))
    over = int(found(r"full, one host\s+overspends (\d+)", told)[0])
    return Verdict(over == 0, f"0; {over} over {seeds:,} seeds of 6,000 steps")
