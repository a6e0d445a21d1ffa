"""Claim 21: two releases share the accounts in one Redis while one replaces the other.

The next release is this one under its next version's names; the test is one of the Rust crates.
"""

from __future__ import annotations

from tests.claims.rust import cargo_test, found
from tests.claims.verdict import Scale, Verdict

TITLE = "rolling upgrade under load, two function versions live: errors; overspend"
TARGET = "0; 0"


def measure(scale: Scale) -> Verdict:
    """Upgrades three nodes, one by one."""
    times = scale.pick(1, 20)
    total = 0
    for _ in range(times):
        told = cargo_test("p402-io", "redis", "rolling::")
        requests, errors, over = map(
            int, found(r"rolling (\d+) requests, (\d+) errors, (\d+)", told)
        )
        total += requests
        if errors or over:
            return Verdict(held=False, result=f"{errors}; {over}")
    return Verdict(held=True, result=f"0; 0 over {total:,} requests, {times} × 3 nodes replaced")
