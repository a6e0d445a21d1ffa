"""Decides what is believed of a model's quality: measured rows, and guesses that say they are.
Does not rank models and does not learn from traffic.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sources import Json, Row

TASKS = (
    "reasoning",
    "coding",
    "agentic",
    "math",
    "extraction",
    "summarisation",
    "creative",
    "chat",
    "instruction",
)
FAMILY_STEP, FAMILY_CONF = Decimal(5), 0.2
BAND_STEP, BAND_CONF = Decimal(10), 0.1
BANDS = 10

_DATED = re.compile(r"^(\d{4}|\d{6}|\d{8})$")
_VERSION = re.compile(r"^([a-z]*?)(\d+(?:[.p]\d+)*)$")
_STAGE = frozenset({"preview", "latest", "exp", "experimental", "beta", "instruct", "chat"})

Family = tuple[tuple[str, ...], tuple[int, ...]]


def measured(rows: list[Row]) -> list[Json]:
    """Every row of capability.tsv, efforts included."""
    return [
        {
            "t": "capability",
            "model": row["model"],
            "effort": row["effort"],
            "scores": [float(score) for score in _scores(row).values()],
            "conf": [float(Decimal(row[f"conf_{task}"] or 0)) for task in TASKS],
            "basis": row["basis"],
        }
        for row in rows
    ]


def _scores(row: Row) -> dict[str, Decimal]:
    """An unmeasured task stands at the mean of the measured ones (one general factor explains most
    of the variance); its confidence stays 0, so that nobody takes it for evidence."""
    known = [Decimal(row[task]) for task in TASKS if row[task]]
    mean = round(sum(known, Decimal(0)) / len(known), 1)
    return {task: Decimal(row[task]) if row[task] else mean for task in TASKS}


def family(name: str) -> Family:
    """`gpt-5.4-mini` → ((gpt, #, mini), (5, 4)): names that differ in version alone share a key."""
    key: list[str] = []
    version: list[int] = []
    for token in name.lower().split("-"):
        if _DATED.match(token) or token in _STAGE:
            continue
        found = _VERSION.match(token)
        if found and not (version and key[-1] != "#"):
            if found[1]:
                key.append(found[1])
            if not version:
                key.append("#")
            version += [int(part) for part in re.split(r"[.p]", found[2])]
        else:
            key.append(token)
    return tuple(key), tuple(version)


class Guesses:
    """Families and price bands over the measured models."""

    def __init__(self, rows: list[Row], dearness: dict[str, int]) -> None:
        self._best = {row["model"]: _scores(row) for row in rows if row["effort"] == "best"}
        self._families: dict[tuple[str, ...], list[tuple[tuple[int, ...], str]]] = {}
        for model in sorted(self._best):
            key, version = family(model)
            if version:
                self._families.setdefault(key, []).append((version, model))
        ranked = sorted((dearness[model], model) for model in self._best if model in dearness)
        self._edges, self._bands = self._deciles(ranked)

    def predecessor(self, canonical: str) -> str | None:
        """The nearest measured model of the same family, no newer than this one."""
        key, version = family(canonical)
        older = [found for found in self._families.get(key, []) if found[0] <= version]
        return max(older)[1] if older else None

    def by_family(self, canonical: str, predecessor: str) -> Json:
        scores = {task: score - FAMILY_STEP for task, score in self._best[predecessor].items()}
        return _guess(f"~family:{canonical}", scores, FAMILY_CONF, f"family {predecessor}")

    def by_band(self, dearness: int) -> Json:
        """All models of one price band share one row."""
        band = bisect_left(self._edges, dearness)
        scores = {task: score - BAND_STEP for task, score in self._bands[band].items()}
        return _guess(f"~band:{band + 1}", scores, BAND_CONF, f"price band {band + 1} of {BANDS}")

    def _deciles(self, ranked: list[tuple[int, str]]) -> tuple[list[int], list[dict[str, Decimal]]]:
        """Upper price edge of all deciles but the last, and the median scores inside each."""
        edges: list[int] = []
        bands: list[dict[str, Decimal]] = []
        for band in range(BANDS):
            part = ranked[len(ranked) * band // BANDS : len(ranked) * (band + 1) // BANDS]
            rows = [self._best[model] for _, model in part]
            bands.append({task: median(row[task] for row in rows) for task in TASKS})
            edges.append(part[-1][0])
        return edges[:-1], bands


def _guess(name: str, scores: dict[str, Decimal], conf: float, basis: str) -> Json:
    bounded = [min(max(scores[task], Decimal(0)), Decimal(100)) for task in TASKS]
    return {
        "t": "capability",
        "model": name,
        "effort": "best",
        "scores": [float(round(score, 1)) for score in bounded],
        "conf": [conf] * len(TASKS),
        "basis": basis,
    }
