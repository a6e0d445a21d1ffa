"""Decides how `p402 usage` shows what was used: sums of the ledger's integers by bucket.

Does not add anything up: the core does.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from p402.cli.ledger import REFUSED, books
from p402.cli.paper import console, table

DAYS_SHOWN = 30
_FIGURES = ("requests", "cached", "input_tokens", "output_tokens")
_MONEY = ("cost_usd", "direct_cost", "savings", "wasted_usd")


def run(options: argparse.Namespace) -> int:
    """Sums; 2 where the ledger cannot be read."""
    today = datetime.now(UTC).date()
    since = options.since or str(today - timedelta(days=DAYS_SHOWN - 1))
    until = options.until or str(today)
    try:
        told = books(options).usage(options.tenant, (since, until), options.by)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"p402: {error}\n")
        return REFUSED
    if options.json:
        sys.stdout.write('{"object":"usage","data":' + told.decode() + "}\n")
    else:
        buckets = json.loads(told, parse_float=Decimal)  # money is never a float
        _show(options.by, f"{since} to {until} (UTC)", buckets)
    return 0


def _show(by: str, when: str, buckets: list[dict[str, Any]]) -> None:
    made = table(when, (by,), ("requests", "cached", "tokens in", "out", *_MONEY))
    for bucket in buckets:
        figures = (f"{bucket[name]:,}" for name in _FIGURES)
        money = (f"{Decimal(bucket[name]):f}" for name in _MONEY)
        made.add_row(bucket["bucket"] or "–", *figures, *money)
    console().print(made)
