"""Claim 20: no `unsafe` in guard and ledger, and mutated bytes never end in a crash.

Counted in the sources; blobs, rows, events and prices are mutated by the crates' property tests.
"""

from __future__ import annotations

import re

from tests.claims.rust import cargo_test
from tests.claims.stage import ROOT
from tests.claims.verdict import Scale, Verdict

TITLE = "`unsafe` in guard, store and ledger; crashes over mutated blobs, rows, events, prices"
TARGET = "0; 0"
PLACES = ("p402-core/src", "p402-io/src")
MUTATED = (
    ("p402-core", "guard_properties"),
    ("p402-core", "ledger"),
    ("p402-core", "sse"),
    ("p402-core", "money"),
    ("p402-io", "ledger"),
)


def unsafes() -> int:
    """Blocks, functions and impls; a lint that names the word is none."""
    word = re.compile(r"\bunsafe\s*(\{|fn|impl|trait)")
    files = [file for place in PLACES for file in (ROOT / "rust_core" / place).rglob("*.rs")]
    return sum(len(word.findall(file.read_text())) for file in files)


def measure(scale: Scale) -> Verdict:
    """Counts, then mutates."""
    found = unsafes()
    cases = scale.pick(256, 200_000)
    for crate, target in MUTATED:
        cargo_test(crate, target, PROPTEST_CASES=str(cases))
    return Verdict(found == 0, f"{found}; 0 ({cases:,} cases for each property)")
