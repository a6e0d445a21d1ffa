"""Decides how `p402 route` asks the core for a decision and shows it: plan, candidates, rejections.

Does not decide, and calls nobody: it is the same function that serves requests, run dry.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console

from p402.cli.core import gateway
from p402.cli.paper import console, table
from p402.settings import SettingsError, load

if TYPE_CHECKING:
    from rich.table import Table

CANDIDATES_SHOWN_MAX = 10
EXAMPLES_SHOWN_MAX = 3
REQUEST_BYTES_MAX = 32 << 20


def run(options: argparse.Namespace) -> int:
    """Explains one request; 1 where the core refuses it."""
    body = orjson.dumps(request(options))
    settings = load(options.config)
    every = options.keys == "all" or (options.keys is None and not settings.providers)
    core = gateway(settings, every_key=every)
    tenant = options.tenant or (settings.tenants[0].id if settings.tenants else "default")
    status, _, reply = core.explain(tenant, [], body, False)  # noqa: FBT003  (the core's signature)
    told = orjson.loads(reply or b"{}")
    if options.json:
        sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    elif status != 200:
        _refused(told)
    else:
        _show(told)
    return 0 if status == 200 else 1


def request(options: argparse.Namespace) -> dict[str, Any]:
    """The chat request that the options describe; options rule over a file's own fields."""
    if (options.prompt is None) == (options.file is None):
        raise SettingsError(
            "needs either a prompt or -f FILE", key="route", mend="p402 route 'your prompt'"
        )
    if options.file is not None:
        asked = _object(_read(options.file))
    else:
        prompt = _read("-").decode() if options.prompt == "-" else options.prompt
        asked = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    if options.model is not None:
        asked["model"] = options.model
    wish = dict(asked.get("p402") or {})
    for key in ("mode", "task", "max_cost_usd", "max_latency_ms"):
        if getattr(options, key) is not None:
            wish[key] = getattr(options, key)
    if options.pin:
        wish["pin"] = True
    lists = {"allow": options.allow, "deny": options.deny}
    if any(lists.values()):
        wish["models"] = {name: words for name, words in lists.items() if words}
    if wish:
        asked["p402"] = wish
    return asked


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(REQUEST_BYTES_MAX)
    try:
        with Path(name).open("rb") as file:
            return file.read(REQUEST_BYTES_MAX)
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", file=name) from None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"is no JSON: {error.msg}", line=error.lineno, key="-f") from None
    if not isinstance(asked, dict):
        raise SettingsError(
            "is no JSON object", key="-f", mend='{"model": "auto", "messages": […]}'
        )
    return asked


def _refused(told: dict[str, Any]) -> None:
    error = told.get("error", {})
    paper = Console(highlight=False, stderr=True, soft_wrap=True)
    paper.print(f"{error.get('code')}: {error.get('message')}", markup=False, style="red")
    rows = error.get("rejected")
    if isinstance(rows, dict):
        paper.print(", ".join(f"{reason}: {count}" for reason, count in rows.items()))


def _show(told: dict[str, Any]) -> None:
    paper = console()
    task, guess = told.get("task", {}), told.get("estimate", {})
    paper.print(
        f"mode [bold]{told.get('mode')}[/]   task [bold]{task.get('type')}[/]"
        f" ({_number(task.get('confidence'))}, from {task.get('source')})"
        f"   difficulty {_number(told.get('difficulty'))}"
        f"   about {guess.get('input_tokens')} tokens in, {guess.get('output_tokens')} out"
    )
    paper.print()
    paper.print(_plan(told.get("plan", [])))
    for row in told.get("plan", []):
        paper.print(f" {row.get('attempt')}: {row.get('why', '')}", style="italic", markup=False)
    paper.print()
    paper.print(_candidates(told.get("candidates", [])))
    rejected = told.get("rejected", [])
    if rejected:
        paper.print()
        paper.print(_rejected(rejected))


def _plan(rows: list[dict[str, Any]]) -> Table:
    made = table(
        "plan",
        ("", "provider", "model", "effort"),
        ("expected", "at most", "first token", "whole"),
    )
    for row in rows:
        made.add_row(
            str(row.get("attempt", "")),
            *_arm(row),
            _usd(row.get("expected_usd")),
            _usd(row.get("claim_usd")),
            _ms(row.get("expected_ttft_ms")),
            _ms(row.get("expected_ms")),
        )
    return made


def _candidates(rows: list[dict[str, Any]]) -> Table:
    made = table(
        "candidates",
        ("", "provider", "model", "effort"),
        ("score", "capability", "$ / 1k tokens", "first token", "tokens/s"),
    )
    for row in rows[:CANDIDATES_SHOWN_MAX]:
        parts = row.get("parts", {})
        made.add_row(
            str(row.get("rank", "")),
            *_arm(row),
            _number(row.get("score")),
            _number(parts.get("lower")),
            _usd(parts.get("usd_per_1k")),
            _ms(parts.get("ttft_ms")),
            _whole(parts.get("tokens_per_s")),
        )
    return made


def _arm(row: dict[str, Any]) -> tuple[str, str, str]:
    return str(row.get("provider")), str(row.get("model")), row.get("effort") or ""


def _rejected(rows: list[dict[str, Any]]) -> Table:
    made = table("rejected", ("reason",), ("count",), "for example")
    for reason, count in Counter(str(row.get("reason")) for row in rows).most_common():
        named = [f"{row['provider']}/{row['model']}" for row in rows if row.get("reason") == reason]
        more = ", …" if count > EXAMPLES_SHOWN_MAX else ""
        made.add_row(reason, str(count), ", ".join(named[:EXAMPLES_SHOWN_MAX]) + more)
    return made


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value or "")


def _whole(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else ""


def _usd(value: object) -> str:
    return f"${float(value):.6f}" if isinstance(value, int | float | str) and value != "" else ""


def _ms(value: object) -> str:
    return f"{value:,.0f} ms" if isinstance(value, int | float) else ""
