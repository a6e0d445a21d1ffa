"""Decides which claims have no script here, and where they are or will be measured instead.

A claim listed here is never shown as passed.
"""

from __future__ import annotations

# Number: claim, target, what is missing here.
ABSENT = {
    5: ("Redis hung 60 s: p99 of all requests", "≤ + 1 ms", "a script over HTTP"),
    9: ("Redis CPU per request; trips per admit", "≤ 15 µs; 1", "a quiet machine"),
    10: ("embedded decision", "p50 ≤ 300 ns, p99 ≤ 1 µs", "percentiles of the kernel `guard`"),
    11: ("journal append; recovery of 10 M rows", "p99 ≤ 15 µs; ≤ 30 s", "a quiet machine"),
    21: ("rolling upgrade, two function versions: overspend", "0", "a second release"),
}
