"""Claim 10: the guard in process decides in a fraction of a microsecond, on a slice as well.

Percentiles of a million single decisions, two clock readings included, by the kernel `accounts`.
"""

from __future__ import annotations

from tests.claims.rust import found, kernel
from tests.claims.verdict import Scale, Verdict

TITLE = "one decision in process (1,000 tenants, 5 holds each); one draw on a slice: p50 / p99"
TARGET = "≤ 300 ns / 1 µs"
P50_NS, P99_NS = 300, 1_000
# An unoptimised build on a busy machine: beyond this something waits or grows.
SANE = 100


def measure(scale: Scale) -> Verdict:
    """Both, as released or as at hand."""
    told = kernel("accounts", release=scale.long)
    rows = {
        name: tuple(map(int, found(rf"accounts/{name}: p50 (\d+) ns, p99 (\d+) ns", told)))
        for name in ("embedded admit", "slice draw")
    }
    times = 1 if scale.long else SANE
    held = all(p50 <= times * P50_NS and p99 <= times * P99_NS for p50, p99 in rows.values())
    figures = "; ".join(f"{p50} / {p99:,} ns" for p50, p99 in rows.values())
    note = "" if scale.long else " (a debug build: judged by the long form)"
    return Verdict(held, f"{figures}{note}")
