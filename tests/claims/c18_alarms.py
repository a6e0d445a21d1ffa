"""Claim 18: calm tenants are not called unusual, and a spending loop is found within a minute.

The simulations are tests of the core; the claim runs them and says what they hold.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, found
from tests.claims.verdict import Scale, Verdict

TITLE = "false alarms per series (lognormal σ ≤ 1.5); a × 5 loop is flagged"
TARGET = "≤ 0.3 %; ≤ 60 s"
PASSED = r"test result: ok\. (\d+) passed"


def measure(_: Scale) -> Verdict:
    """The tests fail beyond the target."""
    told = cargo_test("p402-core", "guard_anomaly")
    return Verdict(held=True, result=f"within both, {found(PASSED, told)[0]} tests")
