"""Decides how `p402 models` shows the catalogue: filtered, as a table or as JSON.

Does not know prices: the core lists them.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from p402.cli.core import gateway
from p402.settings import load


def run(options: argparse.Namespace) -> int:
    """Lists; 1 where nothing matches."""
    settings = load(options.config)
    listing = orjson.loads(gateway(settings).models())
    live = {each.id for each in settings.providers}
    if settings.sandbox.enabled:
        live |= {name for row in listing["data"] for name in _names(row) if "sandbox" in name}
    rows = [row for row in listing["data"] if _wanted(row, options, live)]
    if options.json:
        listing["data"] = rows
        sys.stdout.write(orjson.dumps(listing, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _show(rows, live)
    return 0 if rows else 1


def _wanted(row: dict[str, Any], options: argparse.Namespace, live: set[str]) -> bool:
    names = _names(row)
    if options.search and options.search.lower() not in row["id"].lower():
        return False
    if options.provider and options.provider not in names:
        return False
    return not options.live or any(name in live for name in names)


def _names(row: dict[str, Any]) -> list[str]:
    found = row.get("p402", {}).get("providers", [])
    return [each["id"] if isinstance(each, dict) else str(each) for each in found]


def _show(rows: list[dict[str, Any]], live: set[str]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, header_style="bold", padding=(0, 2), pad_edge=False)
    table.add_column("model", overflow="fold", style="bold")
    table.add_column("$ in / Mtok", justify="right")
    table.add_column("$ out / Mtok", justify="right")
    table.add_column("context", justify="right")
    table.add_column("providers (bold: with a key)", overflow="fold")
    for row in rows:
        facts = row.get("p402", {})
        price = facts.get("price") or {}
        named = ", ".join(
            f"[bold green]{name}[/]" if name in live else name for name in _names(row)
        )
        alias = facts.get("alias_of")
        table.add_row(
            row["id"],
            _dollars(price.get("input", price.get("in"))),
            _dollars(price.get("output", price.get("out"))),
            _thousands(facts.get("context")),
            f"→ {alias}" if alias else named,
        )
    console.print(table)
    console.print(f"{len(rows)} names")


def _dollars(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _thousands(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
