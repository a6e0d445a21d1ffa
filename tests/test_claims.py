"""Decides whether the claims of the billing guard hold in their short form (tests/claims).

Those that only call a test of the Rust crates are left out here: it has just run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.claims.__main__ import scripts
from tests.claims.absent import ABSENT
from tests.claims.verdict import Row, table

ROOT = Path(__file__).parents[1]
# Measured by tests that `make test` runs anyway, or, as 31, by tests/test_spending.py.
ELSEWHERE = {4, 6, 7, 8, 18, 20, 25, 26, 27, 31}
# Bounded buffers of 100,000 entries must be full before growth means anything: the long form.
LONG = {15}


@pytest.mark.claims
@pytest.mark.timeout(280)
@pytest.mark.parametrize("number", sorted(scripts().keys() - ELSEWHERE - LONG))
def test_a_claim_holds(number):
    # A process of its own, as `make claims` runs it: its gateways and loops end with it.
    command = [sys.executable, "-m", "tests.claims", str(number)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=270, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    assert done.stdout.split()[:2] == [str(number), "held"], done.stdout


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
