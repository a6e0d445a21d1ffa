"""Claim 27: PostgreSQL may go away: no row is lost, and the index catches up.

The test starts a cluster of its own, stops it under load and brings it back.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, found
from tests.claims.verdict import Scale, Verdict

TITLE = "PostgreSQL away under load: rows lost"
TARGET = "0"
PASSED = r"test result: ok\. (\d+) passed"


def measure(_: Scale) -> Verdict:
    """The tests fail where one is."""
    told = cargo_test("p402-io", "ledger_postgres", "goes_away")
    return Verdict(held=True, result=f"0 ({found(PASSED, told)[0]} outage under load)")
