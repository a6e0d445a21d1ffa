"""Decides what `p402 check` shows: providers with keys, tenants, offers, warnings.

Does not call a provider: a key that is wrong shows only when it is used.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import orjson
from rich.table import Table
from rich.text import Text

from p402.cli.core import gateway
from p402.cli.paper import console, table
from p402.settings import Settings, catalogued_offers, load


def run(options: argparse.Namespace) -> int:
    """Validates; 0 where the gateway could serve."""
    settings = load(options.config)
    models = orjson.loads(gateway(settings).models())["data"]
    facts = _facts(settings, models)
    if options.json:
        sys.stdout.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _show(settings, facts)
    return 0


def _facts(settings: Settings, models: list[dict[str, Any]]) -> dict[str, Any]:
    own = {(each["provider"], each["model"]) for each in settings.records if each["t"] == "offer"}
    offers = len(catalogued_offers() | own)
    counts = {
        each.id: sum(each.id in _providers(model) for model in models)
        for each in settings.providers
    }
    return {
        "object": "check",
        "file": settings.file,
        "listen": f"{settings.server.host}:{settings.server.port}",
        "providers": [
            {
                "id": each.id,
                "keys": len(each.keys),
                "source": each.source,
                "models": counts[each.id],
            }
            for each in settings.providers
        ],
        "sandbox": settings.sandbox.enabled,
        "tenants": [tenant.id for tenant in settings.tenants] or ["default"],
        "open": settings.open,
        "models": len(models),
        "offers": offers,
        "refresh_file": settings.refresh_file,
        "warnings": list(settings.warnings),
    }


def _providers(model: dict[str, Any]) -> list[str]:
    found = model.get("p402", {}).get("providers", [])
    return [each["id"] if isinstance(each, dict) else str(each) for each in found]


def _show(settings: Settings, facts: dict[str, Any]) -> None:
    paper = console()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("file", facts["file"] or "none (environment and defaults)")
    grid.add_row("listen", facts["listen"])
    grid.add_row("catalogue", f"{facts['models']} names, {facts['offers']} offers")
    grid.add_row("sandbox", "on" if settings.sandbox.enabled else "off")
    told = "open: every caller is `default`" if settings.open else ", ".join(facts["tenants"])
    grid.add_row("tenants", told)
    paper.print(grid)
    if facts["providers"]:
        made = table("providers", ("id", "from"), ("keys", "models"))
        for each in facts["providers"]:
            made.add_row(each["id"], each["source"], str(each["keys"]), str(each["models"]))
        paper.print()
        paper.print(made)
    for warning in settings.warnings:
        paper.print(Text(f"warning: {warning}", style="yellow"))
    paper.print(Text("the configuration is right", style="green"))
