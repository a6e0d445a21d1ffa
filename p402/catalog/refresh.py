"""Decides how the catalogue is refreshed at the user's site: asked, compared, confirmed, renamed.
Does not run by itself: nothing but this command opens a connection for the catalogue.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from p402.settings.sources import state_dir

from . import compiled, remote
from .fetch import Bounds, FetchError, client
from .overlay import Changes, Json, Offers, changes, laid, offers, parse, sound, wild
from .schema import SCHEMA, line, sort_key

if TYPE_CHECKING:
    from collections.abc import Mapping

# In order of authority: a later one's word stands over an earlier one's.
SOURCES = {
    "openrouter": remote.openrouter,
    "genai-prices": remote.genai_prices,
    "providers": remote.providers,
}
URLS = {"openrouter": remote.OPENROUTER_URL, "genai-prices": remote.GENAI_URL}


@dataclass(frozen=True)
class Request:
    """One refresh: where from, into which folder, what is accepted beforehand."""

    state: Path
    names: tuple[str, ...]
    today: str
    env: Mapping[str, str] = field(repr=False)
    accept: frozenset[str] = frozenset()
    base: bytes = b""
    urls: dict[str, str] = field(default_factory=dict)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def file(self) -> Path:
        return self.state / "catalog.jsonl"

    def layer_file(self, name: str) -> Path:
        return self.state / "catalog.d" / f"{name}.jsonl"


@dataclass
class Result:
    """What would be written, and what the operator is told."""

    layers: dict[str, list[Json]]
    changes: Changes
    held: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


async def ask(request: Request) -> Result:
    """Asks every named source; one that fails keeps what it said last time."""
    base = parse(request.base or compiled())
    known = offers(base)
    layers = {name: _stored(request.layer_file(name)) for name in SOURCES}
    before = laid(known, layers.values())
    result = Result(layers, Changes())
    question = remote.Ask(
        base, request.today, request.env, request.bounds, {**URLS, **request.urls}
    )
    async with client() as http:
        for name in request.names:
            try:
                answer = await SOURCES[name](http, question)
            except ModuleNotFoundError as missing:
                result.failed.append(f"{name}: needs {missing.name}: pip install 'p402[catalog]'")
                continue
            except FetchError as error:
                result.failed.append(f"{name}: {error}")
                continue
            result.notes += answer.notes
            result.layers[name] = _believed(answer.records, known, request.accept, result.held)
    after = laid(known, result.layers.values())
    sound(base, after)
    result.changes = changes(before, after)
    return result


def _believed(
    records: list[Json], known: Offers, accept: frozenset[str], held: list[str]
) -> list[Json]:
    """The records without the price moves that one source's word is not enough for."""
    believed = []
    for record in records:
        name = f"{record['provider']}/{record['model']}"
        old = known.get((record["provider"], record["model"]))
        why = wild(old, record) if old is not None and "prices" in record else None
        if why is None or name in accept or "all" in accept:
            if _has_price(record):
                believed.append(record)
            else:
                held.append(f"{name}  a zero price is no price: declare it free in your config")
        else:
            held.append(f"{name}  {why}")
    return believed


def _has_price(record: Json) -> bool:
    rows = record.get("prices", ())
    return all(band["in"] and band["out"] for row in rows for band in row["bands"])


def _stored(file: Path) -> list[Json]:
    return parse(file.read_bytes()) if file.is_file() else []


def write(request: Request, result: Result) -> None:
    """Each source's layer, then their sum: every file by rename, so none is ever half there."""
    for name in request.names:
        _replace(request.layer_file(name), result.layers[name])
    merged = laid({}, result.layers.values())
    header: Json = {"t": "header", "schema": SCHEMA, "date": request.today}
    _replace(request.file, [header, *sorted(merged.values(), key=sort_key)])


def _replace(file: Path, records: list[Json]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.writelines(f"{line(record)}\n" for record in records)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main(argv: list[str]) -> int:
    """`p402 catalog refresh`."""
    options = _parser().parse_args(argv)
    names = tuple(name for name in SOURCES if name in (options.source or SOURCES))
    if options.url and len(names) != 1:
        print("p402 catalog refresh: --url needs exactly one --from", file=sys.stderr)
        return 2
    request = Request(
        state=options.state or state_dir(os.environ),
        names=names,
        today=datetime.now(UTC).date().isoformat(),
        env=os.environ,
        accept=frozenset(options.accept),
        urls={names[0]: options.url} if options.url else {},
    )
    try:
        result = asyncio.run(ask(request))
        _tell(result)
        if len(result.failed) == len(names):
            return 1
        if not options.yes and not _agreed(request, result):
            print("nothing written")
            return 3
        write(request, result)
    except (OSError, ValueError) as error:
        print(f"p402 catalog refresh: {error}", file=sys.stderr)
        return 1
    print(f"written: {request.file}")
    print("a running gateway takes it with SIGHUP or POST /admin/catalog/reload")
    return 1 if result.failed else 0


def _agreed(request: Request, result: Result) -> bool:
    count = len(result.changes.lines())
    try:
        answer = input(f"write {count} changes to {request.file}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in {"y", "yes"}


def _tell(result: Result) -> None:
    for text in result.changes.lines():
        print(text)
    for text in result.held:
        print(f"! held    {text}  (take it with --accept)")
    for text in result.notes:
        print(f"  note    {text}")
    for text in result.failed:
        print(f"p402 catalog refresh: {text}; what it said last time stays", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="p402 catalog refresh",
        description="Ask public lists and your own providers what changed since this release: "
        "prices, context, what is new or gone. Shows the changes and asks before it writes. The "
        "only command that opens a connection for the catalogue; it never runs by itself.",
        epilog="A rate that becomes zero, rises more than threefold or falls by more than half is "
        "held back until you name the offer with --accept. Exit codes: 0 written · 1 a source "
        "failed (the others stand) · 2 bad option · 3 not confirmed. "
        "A cron line: 17 4 * * 1  p402 catalog refresh --from openrouter --yes",
    )
    parser.add_argument(
        "--from",
        dest="source",
        action="append",
        choices=list(SOURCES),
        help="openrouter: its public list, no key needed; genai-prices: its published data, needs "
        "p402[catalog]; providers: GET /models of each provider whose key is in the environment. "
        "Repeatable; default: all three",
    )
    parser.add_argument("--yes", action="store_true", help="write without asking")
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="PROVIDER/MODEL",
        help="believe this offer's held price; repeatable; 'all' believes every one",
    )
    parser.add_argument("--url", help="a mirror of the one chosen source")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of catalog.jsonl (default: P402_STATE_DIR, else ~/.local/state/p402)",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
