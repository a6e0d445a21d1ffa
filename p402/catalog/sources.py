"""Decides what the fact tables say: reads them into quotes in integer rates.
Does not read genai-prices (genai.py) and does not decide between sources that differ (merge.py).
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from .rates import Rounding, pico

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("capability.tsv", "models.tsv", "price_windows.tsv", "prices.tsv", "providers.tsv")
GENAI = "genai-prices"
# Column prefix in prices.tsv → (name in the catalogue, first day its date may mean).
QUOTED = {
    "litellm_1.109.1": ("litellm", date(2026, 11, 1)),
    "pi-ai_1.5.2": ("pi-ai", date(2026, 11, 10)),
    "models.dev_2026-08-18": ("models.dev", date(2026, 8, 18)),
}
GENAI_DATE = date(2026, 11, 1)
FRESH_DAYS = 60
Row = dict[str, str]
Band = dict[str, int]
Json = dict[str, Any]


@dataclass(frozen=True)
class Quote:
    """One source's flat price of one offer, in pico-dollars per token."""

    source: str
    dated: date
    rates: Band

    @property
    def pair(self) -> tuple[int, int]:
        return self.rates["in"], self.rates["out"]

    @property
    def dearness(self) -> tuple[int, int, int]:
        """Three input tokens to one output token, then each alone, so that the order is total."""
        return 3 * self.rates["in"] + self.rates["out"], self.rates["out"], self.rates["in"]


@dataclass
class Facts:
    """The five tables, the digests of what was read, and the odd rates met on the way."""

    providers: list[Row]
    models: list[Row]
    prices: dict[tuple[str, str], Row]
    windows: list[Row]
    capability: list[Row]
    inputs: dict[str, str]
    rounding: Rounding = field(default_factory=Rounding)


def read_table(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_facts(folder: Path) -> Facts:
    """Reads the fact tables of `folder`; a missing table is an error that names it."""
    missing = [name for name in TABLES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: missing {', '.join(missing)}")
    table = {name: read_table(folder / name) for name in TABLES}
    inputs = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in TABLES}
    inputs[GENAI] = importlib.metadata.version(GENAI)
    return Facts(
        providers=table["providers.tsv"],
        models=table["models.tsv"],
        prices={(row["provider"], row["model"]): row for row in table["prices.tsv"]},
        windows=table["price_windows.tsv"],
        capability=table["capability.tsv"],
        inputs=inputs,
    )


def quotes(facts: Facts, provider: str, model: str) -> list[Quote]:
    """The flat prices of the sources other than genai-prices, in order of authority."""
    row = facts.prices.get((provider, model), {})
    found = []
    for prefix, (source, dated) in QUOTED.items():
        cells = {
            key: row.get(f"{prefix}_{key}", "")
            for key in ("in", "out", "cache_read", "cache_write")
        }
        rates = {
            key: pico(text, f"{provider}/{model} {source} {key}", facts.rounding)
            for key, text in cells.items()
            if text
        }
        # Zero stands for "unknown" in these files as often as for "free": it is never a rate.
        rates = {key: rate for key, rate in rates.items() if rate}
        if "in" in rates and "out" in rates:
            found.append(Quote(source, dated, rates))
    return found
