"""Decides how `p402 models` shows the catalogue: filtered, as a table or as JSON.

Does not know prices: the core lists them.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import orjson
from rich.text import Text

from p402.cli.core import gateway
from p402.cli.paper import console, table
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
    paper = console()
    figures = ("$ in / Mtok", "$ out / Mtok", "context")
    made = table("", ("model",), figures, "providers (bold: with a key)")
    for row in rows:
        facts = row.get("p402", {})
        price = facts.get("price") or {}
        alias = facts.get("alias_of")
        made.add_row(
            Text(row["id"], "bold"),
            _dollars(price.get("input")),
            _dollars(price.get("output")),
            _thousands(facts.get("context")),
            Text(f"→ {alias}") if alias else _offered(_names(row), live),
        )
    paper.print(made)
    paper.print(f"{len(rows)} names")


def _offered(names: list[str], live: set[str]) -> Text:
    return Text(", ").join(Text(name, "bold green" if name in live else "") for name in names)


def _dollars(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _thousands(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
