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
from p402.settings import Settings, catalogued_offers, limits, load


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
        "disabled": sorted(settings.disabled),
        "open": settings.open,
        "metrics": _metrics(settings),
        "data_dir": str(settings.data_dir),
        "store": "redis" if settings.store.url else "memory",
        "ledger": "postgresql" if settings.store.ledger else "sqlite",
        "guard": {"*": limits(settings.guard)}
        | {tenant.id: limits(settings.guard, tenant.guard) for tenant in settings.tenants},
        "models": len(models),
        "offers": offers,
        "refresh_file": settings.refresh_file,
        "warnings": list(settings.warnings),
    }


def _metrics(settings: Settings) -> str:
    """Whom metrics are told, and where."""
    operator = settings.operator
    host, port = operator.listen or ("", 0)
    own = f", and on {host}:{port}" if operator.listen else ""
    if operator.keyed:
        return f"/metrics{own}, to the operator's key"
    if settings.metrics_open:
        return f"/metrics{own}, to anyone on this machine"
    return f"on {host}:{port} alone" if own else "to nobody: set [operator] key_env"


def _guard(found: dict[str, dict[str, Any]]) -> Table:
    """What each tenant may spend; one line for all where no tenant has limits of its own."""
    everybody = found["*"]
    made = table("guard", ("tenant",), ("requests", "in flight", "a request", "a day", "budget"))
    for name, limits_ in found.items():
        if name != "*" and limits_ == everybody:
            continue
        rate = limits_["rate"]
        budget = limits_["budget_usd"]
        made.add_row(
            "everybody" if name == "*" else name,
            f"{rate['limit']} in {rate['per_s']} s",
            str(limits_["in_flight_max"]),
            f"${limits_['request_cap_usd']}",
            f"${limits_['daily_cap_usd']}",
            "none" if budget == "none" else f"${budget} a {limits_['budget_period']}",
        )
    return made


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
    if facts["disabled"]:
        told += f" (disabled: {', '.join(facts['disabled'])})"
    grid.add_row("tenants", told)
    grid.add_row("metrics", facts["metrics"])
    grid.add_row("ledger", f"{facts['data_dir']} ({facts['ledger']}), accounts in {facts['store']}")
    paper.print(grid)
    paper.print()
    paper.print(_guard(facts["guard"]))
    if facts["providers"]:
        made = table("providers", ("id", "from"), ("keys", "models"))
        for each in facts["providers"]:
            made.add_row(each["id"], each["source"], str(each["keys"]), str(each["models"]))
        paper.print()
        paper.print(made)
    for warning in settings.warnings:
        paper.print(Text(f"warning: {warning}", style="yellow"))
    paper.print(Text("the configuration is right", style="green"))
