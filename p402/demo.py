"""Decides the demonstration: a gateway, a stream of varied traffic, one table that tells its cost.

Does not use any of the operator's keys and measures nothing: the sandbox's delays are made up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from p402.local import LocalModel, LocalModelError
from p402.server import claim_address
from p402.settings import bare_environment
from p402.traffic import Ask, small, varied

READY_MAX_S = 20.0
READY_PAUSE_S = 0.05
REPLY_MAX_S = 120.0
STOP_MAX_S = 10.0
AT_ONCE = 4
# A small machine answers one request after the other: waiting in line is no fault of the model.
FIRST_BYTE_MIN_MS = 60_000
ROWS_SHOWN = 18
SVG_COLUMNS = 130
MODE_STYLE = {"cost": "green", "quality": "magenta", "speed": "cyan", "balanced": "yellow"}


_FONT_FACE = re.compile(r"@font-face \{[^}]*\}\s*")


class Show(NamedTuple):
    """How the demonstration is wanted."""

    requests: int
    plain: bool
    svg: str | None
    speed: float


class Row(NamedTuple):
    """What one reply told: p402_metadata, and how it came."""

    number: int
    ask: Ask
    meta: dict[str, Any]
    task: str
    first_ms: float
    problem: str


class Totals:
    """The rows so far and their sums, in integers of nano-dollars."""

    def __init__(self, rows_max: int) -> None:
        self.rows: deque[Row] = deque(maxlen=rows_max)
        self.done = self.failed = 0
        self.cost_nano = self.direct_nano = 0
        self.first_ms: list[float] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.done += 1
        if row.problem:
            self.failed += 1
            return
        self.cost_nano += nano(row.meta["cost_usd"])
        self.direct_nano += nano(row.meta["direct_cost"])
        self.first_ms.append(row.first_ms)


def nano(dollars: float) -> int:
    """Nano-dollars of a metadata field: nine decimals at most, so rounding restores the integer."""
    return round(dollars * 1_000_000_000)


def sandbox(show: Show) -> int:
    """The demonstration against the sandbox, which costs nothing."""
    config = f"[sandbox]\nenabled = true\nspeed = {show.speed}\n"
    with gateway(config) as base_url:
        return run(show, base_url, "sandbox: made-up answers, real routing", varied(show.requests))


def real(show: Show, gguf: str | None) -> int:
    """The demonstration with a real small model in a child process; 2 where it is not installed."""
    try:
        model = LocalModel(Path(gguf) if gguf is not None else None)
    except LocalModelError as error:
        sys.stderr.write(f"p402: {error}\n")
        return 2
    with model, gateway(local_config(model)) as base_url:
        return run(show, base_url, f"{model.model_id}, on this machine", small(show.requests))


def local_config(model: LocalModel) -> str:
    """The configuration that makes a running local model the only provider."""
    records = {record["t"]: record for record in model.catalog_records()}
    offer = records["offer"]
    return f"""\
[timeouts]
first_byte_min_ms = {FIRST_BYTE_MIN_MS}
[provider.{offer["provider"]}]
base_url = "{model.base_url}"
auth = "none"
[[model]]
id = "{offer["model"]}"
provider = "{offer["provider"]}"
free = true
context = {offer["context"]}
max_output = {offer["max_output"]}
tools = true
structured = true
capability = {max(records["capability"]["scores"])}
ttft_ms = {offer["ttft_ms"]}
tokens_per_s = {offer["tokens_per_s"]}
"""


def run(show: Show, base_url: str, subtitle: str, asks: Iterator[Ask]) -> int:
    """Sends the traffic and shows it; 1 where a request failed."""
    console = Console(highlight=False)
    totals = Totals(ROWS_SHOWN)
    live = not show.plain and console.is_terminal
    screen = partial(_picture, totals, base_url, subtitle)
    asyncio.run(_watch(_traffic(asks, base_url), totals, console if live else None, screen))
    if show.svg is not None:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            paper = Console(record=True, width=SVG_COLUMNS, file=nowhere, highlight=False)
            paper.print(screen())
            drawn = paper.export_svg(title="p402 demo")
        # A picture must not fetch a font from anyone: the viewer's own monospaced face will do.
        Path(show.svg).write_text(_FONT_FACE.sub("", drawn), encoding="utf-8")
        sys.stdout.write(f"wrote {show.svg}\n")
    sys.stdout.write(_sums(totals) + "\n")
    return 1 if totals.failed else 0


async def _watch(
    rows: AsyncIterator[Row],
    totals: Totals,
    console: Console | None,
    screen: Callable[[], RenderableType],
) -> None:
    if console is None:
        async for row in rows:
            totals.add(row)
            sys.stdout.write(_line(row) + "\n")
            sys.stdout.flush()
        return
    with Live(console=console, refresh_per_second=8) as live:
        async for row in rows:
            totals.add(row)
            live.update(screen())


async def _traffic(asks: Iterator[Ask], base_url: str) -> AsyncIterator[Row]:
    """The replies in the order they end, a few at once."""
    numbered = enumerate(asks, start=1)
    async with httpx.AsyncClient(base_url=base_url, timeout=REPLY_MAX_S, trust_env=False) as client:
        pending: set[asyncio.Task[Row]] = set()
        while True:
            while len(pending) < AT_ONCE and (following := next(numbered, None)) is not None:
                pending.add(asyncio.create_task(_send(client, *following)))
            if not pending:
                return
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()


async def _send(client: httpx.AsyncClient, number: int, ask: Ask) -> Row:
    started = time.monotonic()
    first_ms = 0.0
    told: dict[str, Any] = {}
    try:
        async with client.stream("POST", "/chat/completions", json=ask.body) as reply:
            task = reply.headers.get("x-p402-task", "")
            if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                told = orjson.loads(await reply.aread())
                first_ms = (time.monotonic() - started) * 1000
            else:
                async for line in reply.aiter_lines():
                    if line.startswith("data: {"):
                        first_ms = first_ms or (time.monotonic() - started) * 1000
                        frame = orjson.loads(line.removeprefix("data: "))
                        told = frame if "p402_metadata" in frame or "error" in frame else told
    except httpx.HTTPError as error:
        return Row(number, ask, {}, "", 0.0, type(error).__name__)
    problem = str(told["error"].get("code")) if "error" in told else ""
    if not problem and "p402_metadata" not in told:
        problem = "no metadata"
    return Row(
        number, ask, told.get("p402_metadata", {}), task.partition(";")[0], first_ms, problem
    )


def _picture(totals: Totals, base_url: str, subtitle: str) -> RenderableType:
    table = Table(box=None, header_style="bold", padding=(0, 1), pad_edge=False, expand=True)
    table.add_column("request", overflow="ellipsis", no_wrap=True, ratio=1, min_width=15)
    for head in ("mode", "task", "model", "provider"):
        table.add_column(head, no_wrap=True)
    for head in ("tokens", "cost", "direct", "saved", "first ms", "total ms"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in totals.rows:
        table.add_row(*_cells(row))
    title = Text.assemble(("p402 demo", "bold"), f"  {base_url}  ", (subtitle, "dim"))
    return Group(title, Text(), table, Text(), Text(_sums(totals), style="bold"))


def _cells(row: Row) -> list[str | Text]:
    if row.problem:
        problem = Text(row.problem, style="red")
        return [row.ask.title, row.ask.mode, "", problem, *[""] * 7]
    meta = row.meta
    saved = meta["savings"]
    return [
        row.ask.title,
        Text(meta["routing_mode"], style=MODE_STYLE.get(meta["routing_mode"], "")),
        row.task,
        Text(meta["model"], style="bold"),
        meta["provider"],
        f"{meta['input_tokens']}+{meta['output_tokens']}",
        f"${meta['cost_usd']:.6f}",
        f"${meta['direct_cost']:.6f}",
        Text(f"{saved:+.6f}", style="green" if saved > 0 else "red" if saved < 0 else "dim"),
        f"{row.first_ms:,.0f}",
        f"{meta['latency_ms']:,.0f}",
    ]


def _line(row: Row) -> str:
    if row.problem:
        return f"{row.number:>4} {row.ask.mode:<8} {row.ask.title:<28} {row.problem}"
    meta = row.meta
    served = f"{meta['provider']}/{meta['model']}"
    return (
        f"{row.number:>4} {meta['routing_mode']:<8} {row.task:<13} {served}"
        f" {meta['input_tokens']}+{meta['output_tokens']} tokens cost ${meta['cost_usd']:.9f}"
        f" direct ${meta['direct_cost']:.9f} saved {meta['savings']:+.9f}"
        f" first {row.first_ms:.0f} ms total {meta['latency_ms']:.0f} ms"
    )


def _sums(totals: Totals) -> str:
    saved = totals.direct_nano - totals.cost_nano
    percent = 100 * saved // totals.direct_nano if totals.direct_nano else 0
    firsts = sorted(totals.first_ms)
    median = f"{firsts[len(firsts) // 2]:,.0f} ms" if firsts else "–"
    return (
        f"{totals.done} requests, {totals.failed} failed · cost {dollars(totals.cost_nano)} ·"
        f" direct {dollars(totals.direct_nano)} · saved {dollars(saved)} ({percent} %) ·"
        f" first byte p50 {median}"
    )


def dollars(amount_nano: int) -> str:
    """Nano-dollars as dollars, from the integer."""
    sign = "-" if amount_nano < 0 else ""
    whole, rest = divmod(abs(amount_nano), 1_000_000_000)
    return f"{sign}${whole}.{rest:09d}"


@contextlib.contextmanager
def gateway(config: str) -> Iterator[str]:
    """A gateway of its own on a free port, without any of the operator's keys."""
    host, port = claim_address("127.0.0.1", 0)
    with tempfile.TemporaryDirectory(prefix="p402-demo-") as folder:
        file = Path(folder) / "p402.toml"
        file.write_text(config, encoding="utf-8")
        with (Path(folder) / "stderr").open("wb") as noise:
            child = subprocess.Popen(  # noqa: S603  (our own module, our own interpreter)
                [
                    *(sys.executable, "-P", "-m", "p402", "serve", "--config", str(file)),
                    *("--host", host, "--port", str(port)),
                ],
                env=bare_environment(),
                stdin=subprocess.DEVNULL,
                stderr=noise,
                start_new_session=True,
            )
            try:
                _await_ready(child, f"http://{host}:{port}/readyz", Path(folder) / "stderr")
                yield f"http://{host}:{port}/api/v2"
            finally:
                _end(child)


def _await_ready(child: subprocess.Popen[bytes], url: str, noise: Path) -> None:
    deadline = time.monotonic() + READY_MAX_S
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=1.0, trust_env=False).status_code == 200:
                return
        time.sleep(READY_PAUSE_S)
    told = noise.read_text("utf-8", "replace")[-2_000:]
    raise RuntimeError(f"the gateway of the demonstration did not start:\n{told}")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_MAX_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(STOP_MAX_S)
