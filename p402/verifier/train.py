"""Decides the trees of the cache's verifier, from pairs that we wrote and what is made of them.

Does not compute a feature: the gateway's own functions do, by way of the evaluation's binary.
Never sees a public set or the test pairs. `make verifier` runs it; the same bytes every time.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from p402.verifier.perturb import Made, pairs_of

HERE = Path(__file__).parent
SEED = 402
DEPTH = 4
TREES = 80
FOLDS = 5
RATE = 0.1
LEAF_MIN = 20
FALSE_HITS_MAX = 0.01
# Where the vetoes alone keep that promise, the trees refuse what costs no more than this share.
LOST_MAX = 0.03
# A pair that we wrote counts as much as so many made ones.
WRITTEN = 5.0
THRESHOLD = 0.92
# The trees learn from pairs that are near at all; nearer ones alone are ever judged by them.
NEAR = 0.8


class Seen(NamedTuple):
    """The pairs as the trees see them."""

    features: NDArray[np.float64]
    same: NDArray[np.bool_]
    passed: NDArray[np.bool_]
    weights: NDArray[np.float64]

    def cut(self, chosen: NDArray[np.bool_]) -> Seen:
        """Only the chosen ones."""
        return Seen(*(part[chosen] for part in self))


def seen(pairs: list[Made], binary: str) -> Seen:
    """The features of each pair, from the gateway's own functions."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for pair in pairs:
            told = {"a": pair.a, "b": pair.b, "should_hit": pair.same, "kind": pair.kind}
            file.write(json.dumps(told) + "\n")
        file.flush()
        command = [binary, "--features", file.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    rows = np.array([[float(word) for word in line.split()] for line in done.stdout.splitlines()])
    same = rows[:, 0] > 0
    written = np.array([WRITTEN if pair.written else 1.0 for pair in pairs])
    # What is to be served and what is not weigh the same in all.
    weights = written / np.where(same, written[same].sum(), written[~same].sum()) * len(pairs)
    return Seen(rows[:, 2:], same, rows[:, 1] > 0, weights)


def grown(own: Seen) -> GradientBoostingClassifier:
    """A forest from these pairs."""
    forest = GradientBoostingClassifier(
        n_estimators=TREES,
        max_depth=DEPTH,
        learning_rate=RATE,
        min_samples_leaf=LEAF_MIN,
        subsample=0.7,
        random_state=SEED,
    )
    return forest.fit(own.features.astype(np.float32), own.same, sample_weight=own.weights)


def left_out(pairs: list[Made], own: Seen) -> NDArray[np.float64]:
    """Each pair's score from a forest that saw neither its topic nor its kind of trap."""
    scores = np.zeros(len(pairs))
    topics = np.array([pair.topic % FOLDS for pair in pairs])
    kinds = np.array([pair.kind for pair in pairs])
    traps = sorted({pair.kind for pair in pairs if not pair.same})
    for fold in range(FOLDS):
        hidden = {kind for at, kind in enumerate(traps) if at % FOLDS == fold}
        apart = (topics == fold) | np.isin(kinds, sorted(hidden))
        forest = grown(own.cut(~apart))
        told = forest.predict_proba(own.features.astype(np.float32))[:, 1]
        judged = (topics == fold) & own.same | np.isin(kinds, sorted(hidden))
        scores[judged] = told[judged]
    return scores


def threshold(pairs: list[Made], scores: NDArray[np.float64], own: Seen) -> float:
    """The higher of two: few of all traps pass, and few that we wrote to be served are lost."""
    judged = own.passed & (own.features[:, 0] >= THRESHOLD)
    allowed = math.floor(FALSE_HITS_MAX * np.sum(~own.same))
    traps = np.sort(scores[judged & ~own.same])[::-1]
    safe = traps[allowed] if len(traps) > allowed else 0.0
    written = np.array([pair.written for pair in pairs])
    hits = np.sort(scores[judged & own.same & written])
    spare = hits[math.floor(LOST_MAX * len(hits))]
    return float(np.float32(max(safe + 1e-6, spare)))


def written(forest: GradientBoostingClassifier, least: float) -> bytes:
    """Threshold, score of an empty forest, then complete trees of one depth."""
    prior = float(forest.init_.class_prior_[1])
    parts = [np.array([least, math.log(prior / (1 - prior))], "<f4").tobytes()]
    for (grown_tree,) in forest.estimators_:
        tree = grown_tree.tree_
        level = [0]
        for _ in range(DEPTH):
            below = []
            for node in level:
                leaf = tree.children_left[node] < 0
                bound = math.inf if leaf else tree.threshold[node]
                parts.append(bytes([0 if leaf else tree.feature[node]]))
                parts.append(np.array([bound], "<f4").tobytes())
                below += (
                    [node, node] if leaf else [tree.children_left[node], tree.children_right[node]]
                )
            level = below
        leaves = [RATE * tree.value[node][0][0] for node in level]
        parts.append(np.array(leaves, "<f4").tobytes())
    return b"".join(parts)


def table(pairs: list[Made], own: Seen, scores: NDArray[np.float64], least: float) -> str:
    """The card's lines: each kind, how many are near, pass the vetoes, pass the trees too."""
    near = own.features[:, 0] >= THRESHOLD
    lines = ["| kind | pairs | near | past the vetoes | and the trees |", "|---|---|---|---|---|"]
    for same in (True, False):
        kinds = sorted({pair.kind for pair in pairs if pair.same == same})
        for kind in [*kinds, "all"]:
            of_kind = [pair.same == same and kind in (pair.kind, "all") for pair in pairs]
            mine = np.array(of_kind)
            passed = mine & near & own.passed
            counts = (mine, mine & near, passed, passed & (scores >= least))
            name = f"{kind}, {'to be served' if same else 'look-alikes'}"
            lines.append(f"| {name} | " + " | ".join(str(int(one.sum())) for one in counts) + " |")
    return "\n".join(lines)


def main(binary: str) -> None:
    """Make pairs, grow trees, write them and print the card's table."""
    pairs = pairs_of(HERE / "pairs" / "dev", Random(SEED))  # noqa: S311
    own = seen(pairs, binary)
    kept = own.features[:, 0] >= NEAR
    pairs = [pair for pair, near in zip(pairs, kept, strict=True) if near]
    own = own.cut(kept)
    scores = left_out(pairs, own)
    least = threshold(pairs, scores, own)
    (HERE / "trees.bin").write_bytes(written(grown(own), least))
    sys.stdout.write(table(pairs, own, scores, least) + f"\n\nthreshold {least:.4f}\n")


if __name__ == "__main__":
    main(sys.argv[1])
