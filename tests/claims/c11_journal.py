"""Claim 11: a ledger row costs a microsecond or two on the path; a start reads millions of them.

Percentiles of a million appends and one recovery of a journal without index, kernel `ledger`.
"""

from __future__ import annotations

import re

from tests.claims.rust import found, kernel
from tests.claims.verdict import Scale, Verdict

TITLE = "journal append on the path, p50 / p99; recovery of 10 M rows"
TARGET = "≤ 2 / 15 µs; ≤ 30 s"
P50_US, P99_US, RECOVERY_S = 2.0, 15.0, 30.0
SANE = 50
SECONDS = {"s": 1.0, "ms": 1e-3}


def measure(scale: Scale) -> Verdict:
    """Only the percentiles and the one recovery: criterion's own loops are filtered away."""
    rows = scale.pick(100_000, 10_000_000)
    told = kernel("ledger", "no-such-loop", release=scale.long, P402_ROWS=str(rows))
    nanos = found(r"ledger/append: p50 (\d+) ns, p99 (\d+) ns", told)
    p50, p99 = (int(nano) / 1_000 for nano in nanos)
    (figure, unit) = found(rf"ledger/recover, {rows} rows once: ([\d.]+)(\w+)", told)
    recovery_s = float(figure) * SECONDS[re.sub("[^a-z]", "", unit)]
    times = 1 if scale.long else SANE
    fast = p50 <= times * P50_US and p99 <= times * P99_US and recovery_s <= RECOVERY_S
    note = "" if scale.long else " (a debug build: judged by the long form)"
    return Verdict(fast, f"{p50:.1f} / {p99:.1f} µs; {recovery_s:.1f} s for {rows:,} rows{note}")
