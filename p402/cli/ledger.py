"""Decides how `p402 ledger` shows, verifies, exports and mends the ledger of a data directory.

Does not read a row itself: the core does, whether or not a gateway runs beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from p402.cli.paper import console, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from p402 import _core

DIFFERENCES_SHOWN_MAX = 20
OPEN_SHOWN_MAX = 20
REFUSED = 2


def run(options: argparse.Namespace) -> int:
    """One step; 1 where something is wrong with the ledger, 2 where it cannot be read."""
    steps: dict[str, Callable[[argparse.Namespace], int]] = {
        "show": _show,
        "verify": _verify,
        "export": _export,
        "settle": _settle,
    }
    try:
        return steps[options.do](options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"p402: {error}\n")
        return REFUSED


def books(options: argparse.Namespace) -> _core.Books:
    """The ledger that the options name."""
    from p402 import _core

    return _core.Books(*place(options))


def place(options: argparse.Namespace) -> tuple[str, str | None]:
    """Its folder and its index: as the options say, else as the configuration of `serve` does."""
    index = index_of(options.index)
    if options.data_dir is not None:
        return options.data_dir, index
    from p402.settings import load

    settings = load()
    return str(settings.data_dir), index or settings.store.ledger


def index_of(text: str | None) -> str | None:
    """The index's address: as it stands, or from a file, since it may hold a password."""
    if text is None or not text.startswith("@"):
        return text
    return Path(text[1:]).read_text(encoding="utf-8").strip()


def dollars(nano: int) -> str:
    """Nano-dollars as an exact decimal."""
    sign, (whole, rest) = "-" if nano < 0 else "", divmod(abs(nano), 1_000_000_000)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


def _json(told: Any) -> None:
    sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")


def _show(options: argparse.Namespace) -> int:
    read = books(options)
    if options.request is not None:
        rows = orjson.loads(read.request(options.request))
        if options.json:
            _json(rows)
        elif rows:
            _show_rows(rows)
        else:
            sys.stderr.write("p402: the ledger knows no request with this id\n")
        return 0 if rows else 1
    balances = read.balances(options.since)
    opened = orjson.loads(read.open_requests())
    if options.json:
        _json(
            {
                "object": "ledger",
                "id": read.ledger_id(),
                "balances": [
                    {"tenant": tenant, "day": day, "spent_nano": nano}
                    for tenant, day, nano in balances
                ],
                "open": opened,
            }
        )
    else:
        _show_balances(balances, opened)
    return 0


def _show_rows(rows: list[dict[str, Any]]) -> None:
    made = table("", ("kind", "provider", "model"), ("status", "held $", "cost $", "wasted $"), "")
    for row in rows:
        money = (dollars(row[f"{name}_nano"]) for name in ("held", "cost", "wasted"))
        flags = " ".join(row["flags"])
        made.add_row(row["kind"], row["provider"], row["model"], str(row["status"]), *money, flags)
    console().print(made)


def _show_balances(balances: list[tuple[str, str, int]], opened: list[dict[str, Any]]) -> None:
    paper = console()
    made = table("spent, by UTC day of admission", ("day", "tenant"), ("spent $",))
    for tenant, day, nano in sorted(balances, key=lambda each: (each[1], each[0])):
        made.add_row(day, tenant, dollars(nano))
    paper.print(made)
    if not opened:
        return
    made = table(f"{len(opened)} open", ("request", "tenant", "state"), ("held $",))
    for each in opened[:OPEN_SHOWN_MAX]:
        state = "suspended" if each["suspended"] else "sent" if each["sent"] else "not sent"
        made.add_row(each["request_id"], each["tenant"], state, dollars(each["held_nano"]))
    paper.print(made)


def _verify(options: argparse.Namespace) -> int:
    from p402.cli import parquet

    read = books(options)
    told = orjson.loads(read.audit())
    if options.parquet is not None:
        told["parquet"] = parquet.differences(read, Path(options.parquet))
        told["clean"] = told["clean"] and not told["parquet"]
    if options.json:
        _json(told)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _verdict(told)))
    return 0 if told["clean"] else 1


def _verdict(told: dict[str, Any]) -> list[str]:
    counts = (told[name] for name in ("rows", "balances", "open", "waiting"))
    lines = ["{:,} rows, {:,} balances, {:,} open, {:,} still to be indexed".format(*counts)]
    lines += [
        f"{each['day']} {each['tenant']}: rows say {dollars(each['rows_nano'])}, "
        f"the counter says {dollars(each['counter_nano'])}"
        for each in told["mismatches"][:DIFFERENCES_SHOWN_MAX]
    ]
    if told["open_wrong"]:
        lines.append(f"{told['open_wrong']:,} requests are open in one place and ended in another")
    if told["damaged_segments"]:
        lines.append(f"{told['damaged_segments']:,} segments hold rows that do not read")
    lines += told.get("parquet", [])[:DIFFERENCES_SHOWN_MAX]
    lines.append("every nano-dollar is in its place" if told["clean"] else "the ledger is wrong")
    return lines


def _export(options: argparse.Namespace) -> int:
    from p402.cli import parquet

    days = None if options.since is None else (options.since, options.until or options.since)
    count = parquet.export(books(options), Path(options.out), options.format, days)
    sys.stdout.write(f"{count:,} rows in {options.out}\n")
    return 0


def _settle(options: argparse.Namespace) -> int:
    from p402 import _core

    folder, index = place(options)
    row = _core.settle_by_hand(folder, options.request, options.cost_usd, index)
    told = orjson.loads(row)
    if options.json:
        _json(told)
    else:
        counts = dollars(told["cost_nano"] + told["wasted_nano"])
        sys.stdout.write(f"{told['request_id']}: {told['kind']}, {counts} USD counted\n")
    return 0
