"""Decides whether the faults around the store are borne by a whole gateway, in their short form.

Those of Redis itself are tests of the Rust crates.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import scripts

ROOT = Path(__file__).parents[1]


@pytest.mark.claims
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", sorted(scripts()))
def test_a_fault_is_borne(number):
    command = [sys.executable, "-m", "tests.faults", str(number)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=590, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    state = done.stdout.split()[:2]
    # A host without mount namespaces cannot have a small disk: its scenario says so.
    assert state in ([str(number), "held"], ["26", "absent"]), done.stdout
