"""Claim 11: a journal row costs microseconds on the path, and a start reads them back fast.

Measured by the Rust kernel `ledger`; a shared machine measures nothing, so only in the long form.
"""

from __future__ import annotations

from tests.claims.rust import cargo_bench, found
from tests.claims.verdict import NotHereError, Scale, Verdict

TITLE = "journal append on the path; recovery of 10 M rows"
TARGET = "p50 ≤ 2 µs, p99 ≤ 15 µs; ≤ 30 s"
P50_NS, P99_NS, RECOVERY_S = 2_000, 15_000, 30.0
ROWS = 10_000_000


def measure(scale: Scale) -> Verdict:
    """Calls the bench."""
    if not scale.long:
        raise NotHereError("measured by the long form alone, on a quiet machine")
    told = cargo_bench("ledger", "ledger/(append|recover)")
    p50, p99 = (int(each) for each in found(r"p50 (\d+) ns, p99 (\d+) ns", told))
    thousands = float(found(r"recover/.*?thrpt:\s+\[[\d.]+ \S+ ([\d.]+) Kelem/s", told)[0])
    seconds = ROWS / (thousands * 1_000)
    return Verdict(
        p50 <= P50_NS and p99 <= P99_NS and seconds <= RECOVERY_S,
        f"p50 {p50 / 1e3:.1f} µs, p99 {p99 / 1e3:.1f} µs; {seconds:.1f} s",
    )
