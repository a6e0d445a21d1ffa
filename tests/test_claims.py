"""Decides whether the claims of the billing guard hold in their short form (tests/claims).

Those that only call a test of the Rust crates are left out here: it has just run.
"""

from __future__ import annotations

import pytest

from tests.claims.__main__ import run, scripts
from tests.claims.absent import ABSENT
from tests.claims.verdict import Row, Scale, table

# Measured by tests that `make test` runs anyway, or, as 31, by tests/test_spending.py.
ELSEWHERE = {4, 6, 7, 8, 18, 20, 25, 26, 27, 31}


@pytest.mark.claims
@pytest.mark.timeout(280)
@pytest.mark.parametrize("number", sorted(scripts().keys() - ELSEWHERE))
def test_a_claim_holds(number):
    row = run(number, Scale())
    assert row.state == "held", row.result


def test_a_claim_has_a_script_or_is_said_to_be_missing():
    assert not scripts().keys() & ABSENT.keys()
    assert scripts().keys() | ABSENT.keys() == set(range(1, 32))


def test_what_was_not_tried_is_never_shown_as_passed():
    told = [
        Row(number, "a claim", "0", state, "a | b", "make", 1, 0.0)
        for number, state in enumerate(("held", "failed", "absent"))
    ]
    held, failed, absent = table(told).splitlines()[2:]
    assert "a \\| b" in held
    assert "**FAILED**" in failed
    assert "not here yet" in absent
