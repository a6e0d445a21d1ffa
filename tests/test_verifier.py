"""Shows that the cache's verifier is the one its card tells of, learnt from our own pairs alone.

Does not train: `make verifier` does, and its bytes are compared by whoever runs it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from random import Random

from p402.verifier.perturb import breaking, keeping, pairs_of

FOLDER = Path(__file__).parent.parent / "p402" / "verifier"
INNER, LEAVES, FEATURES = 15, 16, 30


def test_the_pairs_for_the_record_are_untouched():
    files = sorted((FOLDER / "pairs" / "test").glob("*.jsonl"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    assert digest == (FOLDER / "pairs" / "test.sha256").read_text("ascii").strip()


def test_no_question_is_both_learnt_from_and_judged_by():
    def asked(part: str) -> set[tuple[str, str]]:
        lines = [
            json.loads(line)
            for path in (FOLDER / "pairs" / part).glob("*.jsonl")
            for line in path.read_text("utf-8").splitlines()
        ]
        return {(pair["a"], pair["b"]) for pair in lines}

    assert not asked("dev") & asked("test")


def test_the_trees_are_whole():
    trees = (FOLDER / "trees.bin").read_bytes()
    threshold, _ = struct.unpack_from("<ff", trees)
    assert 0 < threshold < 1
    assert f"{threshold:.4f}" in (FOLDER / "card.md").read_text("utf-8")
    size = INNER * 5 + LEAVES * 4
    assert len(trees) > 8 + size
    assert (len(trees) - 8) % size == 0
    for start in range(8, len(trees), size):
        assert all(trees[start + 5 * node] < FEATURES for node in range(INNER))


def test_the_same_seed_makes_the_same_pairs():
    once, again = (pairs_of(FOLDER / "pairs" / "dev", Random(402)) for _ in range(2))
    assert once == again
    assert all(pair.a != pair.b for pair in once if not pair.same)
    kinds = {pair.kind for pair in once}
    assert set(keeping()) | set(breaking(["word"])) <= kinds
