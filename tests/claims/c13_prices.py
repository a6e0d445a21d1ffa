"""Claim 13: prices are exact and round once, up, by less than a nano-dollar a request.

The shipped prices are read as decimals here and every amount is computed anew in integers.
"""

from __future__ import annotations

import json
import random
from fractions import Fraction
from typing import Any

from p402 import _core
from p402.catalog.rates import pico
from tests.claims.stage import ROOT
from tests.claims.verdict import Scale, Verdict

TITLE = "list prices that are not exact in picos; amounts rounded wrong, random usage"
TARGET = "0; 0 (each < 1 nano, up)"
CATALOG = ROOT / "p402" / "catalog" / "catalog.jsonl"
FACTS = ROOT / "p402" / "catalog" / "facts" / "prices.tsv"
AT_US = 20_785 * 86_400_000_000
PICO_PER_NANO = 1_000
CLASSES = ("in", "cache_read", "cache_write", "cache_write_1h", "out")
TOKENS_MAX = (100, 10_000, 1_000_000)


def facts() -> tuple[int, int, int]:
    """Of the facts' decimal prices in $/Mtok: how many became another number of picos than they
    are, of how many; and how many are finer than a pico, which are rounded up once."""
    lines = FACTS.read_text().splitlines()
    columns = lines[0].split("\t")
    priced = [n for n, name in enumerate(columns) if name.rsplit("_", 1)[-1] in ("in", "out")]
    found = [cell for line in lines[1:] for n, cell in enumerate(line.split("\t")) if n in priced]
    exact = {cell: Fraction(cell) * 1_000_000 for cell in found if cell}
    finer = sum(exact[cell].denominator > 1 for cell in found if cell)
    wrong = sum(pico(cell) != -(-exact[cell] // 1) for cell in found if cell)
    return wrong, len([cell for cell in found if cell]), finer


def flat_offers() -> list[tuple[str, dict[str, int]]]:
    """Offers whose price has one band and no hours, with that band."""
    found = []
    for line in CATALOG.read_text().splitlines():
        record: dict[str, Any] = json.loads(line)
        prices = record.get("prices", [])
        plain = len(prices) == 1 and set(prices[0]) == {"bands"} and len(prices[0]["bands"]) == 1
        if record["t"] == "offer" and plain and set(prices[0]["bands"][0]) <= {"above", *CLASSES}:
            found.append((f"{record['provider']}/{record['model']}", prices[0]["bands"][0]))
    return found


def due(band: dict[str, int], usage: tuple[int, ...]) -> int | None:
    """The amount in nano-dollars; None where a class has no price of its own."""
    terms = zip(CLASSES, usage, strict=True)
    if any(tokens and name not in band for name, tokens in terms):
        return None
    pico = sum(band.get(name, 0) * tokens for name, tokens in zip(CLASSES, usage, strict=True))
    return -(-pico // PICO_PER_NANO)


def measure(scale: Scale) -> Verdict:
    """Random usage over random offers, small and huge."""
    core = _core.Gateway(b"{}", catalog=[CATALOG.read_bytes()])
    offers, dice = flat_offers(), random.Random(scale.seed)
    cases, wrong = 0, 0
    for _ in range(scale.pick(200_000, 5_000_000)):
        name, band = dice.choice(offers)
        most = dice.choice(TOKENS_MAX)
        priced = [kind if kind in band else "" for kind in CLASSES]
        usage = tuple(dice.randint(0, most) if kind else 0 for kind in priced)
        nano = due(band, usage)
        told = core.price(name, (usage[0], usage[1], usage[2], usage[3], usage[4]), AT_US)
        if nano is None or told is None:
            continue
        cases += 1
        wrong += told != nano
    inexact, listed, finer = facts()
    return Verdict(
        inexact == 0 and wrong == 0 and cases > 100_000,
        f"{inexact} of {listed:,} ({finer} are finer than a pico and rounded up once); "
        f"{wrong} of {cases:,} amounts over {len(offers):,} offers",
    )
