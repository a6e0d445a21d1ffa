"""Decides how `p402 usage` shows what was used: sums of the ledger's integers by bucket.

Does not add anything up: the core does.
"""

from __future__ import annotations

import argparse
import json
import sys
from decimal import Decimal
from typing import Any

from p402.cli.ledger import REFUSED, books
from p402.cli.paper import console, table

# What narrows the question, as the HTTP path calls it, too.
FILTERS = ("tenant", "model", "provider", "mode", "session_id", "session", "key", "limit")
_FIGURES = ("requests", "cached", "input_tokens", "output_tokens")
_MONEY = ("cost_usd", "direct_cost", "savings", "wasted_usd")


def run(options: argparse.Namespace) -> int:
    """Sums; 2 where the ledger cannot be read."""
    asked = {"group_by": options.by, "from": options.since, "to": options.until}
    asked |= {name: getattr(options, name) for name in FILTERS}
    try:
        told = books(options).usage([(name, text) for name, text in asked.items() if text])
    except (OSError, ValueError) as error:
        sys.stderr.write(f"p402: {error}\n")
        return REFUSED
    if options.json:
        sys.stdout.write(told.decode() + "\n")
    else:
        _show(json.loads(told, parse_float=Decimal))  # money is never a float
    return 0


def _show(told: dict[str, Any]) -> None:
    when = f"{told['from']} to {told['to']} (UTC)"
    made = table(when, (told["group_by"],), ("requests", "cached", "tokens in", "out", *_MONEY))
    for bucket in told["data"]:
        made.add_row(bucket["bucket"] or "–", *_figures(bucket))
    made.add_section()
    made.add_row("total", *_figures(told["total"]))
    paper = console()
    paper.print(made)
    if told["has_more"]:
        paper.print(f"the {len(told['data'])} dearest are shown; the total is over all")


def _figures(sums: dict[str, Any]) -> list[str]:
    money = (f"{Decimal(sums[name]):f}" for name in _MONEY)
    return [*(f"{sums[name]:,}" for name in _FIGURES), *money]
