"""Decides what the operator reads when the gateway is ready: where, with whom, for whom.

Does not hold a key and does not check anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from p402 import __version__, _core

if TYPE_CHECKING:
    from p402.settings import Settings

PROVIDERS_SHOWN_MAX = 12


def banner(settings: Settings, port: int, seconds: float) -> None:
    """Prints the address and the facts worth knowing at the start, to stderr."""
    console = Console(stderr=True, highlight=False)
    host = settings.server.host
    shown = f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{port}/api/v2"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("base_url", Text(base, style="bold"))
    grid.add_row("SDK", f'OpenAI(base_url="{base}", api_key="{_key(settings)}")')
    grid.add_row("providers", providers(settings))
    if settings.sandbox.enabled:
        grid.add_row("sandbox", Text(_sandbox(settings), style="yellow"))
    grid.add_row("tenants", _tenants(settings))
    if _core.DEBUG_BUILD:
        grid.add_row("warning", Text("a debug build of the core: slow, never measure it", "yellow"))
    for warning in settings.warnings:
        grid.add_row("warning", Text(warning, style="yellow"))
    grid.add_row("next", "p402 models · p402 route 'your prompt' --mode cost · p402 demo")
    console.print(f"\n[bold]P402 {__version__}[/] is ready after {seconds:.2f} s\n")
    console.print(grid)
    console.print()


def providers(settings: Settings) -> str:
    """The live providers in one line: how many keys, and where they come from."""
    live = [
        f"{each.id}{f' × {len(each.keys)} keys' if len(each.keys) > 1 else ''} ({each.source})"
        for each in settings.providers
    ]
    more = len(live) - PROVIDERS_SHOWN_MAX
    told = ", ".join(live[:PROVIDERS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
    return told or "none: set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, … and restart"


def _sandbox(settings: Settings) -> str:
    why = "no provider has a key" if not settings.providers else "[sandbox] enabled = true"
    return f"on ({why}): its models are called sandbox-…, its answers are made up"


def _tenants(settings: Settings) -> Text:
    if not settings.open:
        return Text(", ".join(tenant.id for tenant in settings.tenants))
    where = "ANY CALLER" if settings.server.allow_open else "this machine only"
    return Text(f"OPEN: no key is asked, every caller is `default` ({where})", style="bold yellow")


def _key(settings: Settings) -> str:
    return "any" if settings.open else "your tenant's key"
