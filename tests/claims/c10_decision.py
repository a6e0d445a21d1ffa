"""Claim 10: a decision of the embedded guard takes less than a microsecond.

Measured by the Rust kernel `guard`; a shared machine measures nothing, so only in the long form.
"""

from __future__ import annotations

import re

from tests.claims.rust import cargo_bench
from tests.claims.verdict import NotHereError, Scale, Verdict

TITLE = "embedded decision (admit), one account among 64"
TARGET = "p50 ≤ 300 ns, p99 ≤ 1 µs"
P50_NS, P99_NS = 300, 1_000


def measure(scale: Scale) -> Verdict:
    """Calls the bench."""
    if not scale.long:
        raise NotHereError("measured by the long form alone, on a quiet machine")
    told = cargo_bench("guard")
    found = re.search(r"admit.*?p50[ =]+(\d+).*?p99[ =]+(\d+)", told, re.DOTALL)
    if found is None:
        raise ValueError(f"no percentiles in: {told[-400:]}")
    p50, p99 = int(found[1]), int(found[2])
    return Verdict(p50 <= P50_NS and p99 <= P99_NS, f"p50 {p50} ns, p99 {p99} ns")
