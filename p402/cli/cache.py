"""Decides how `p402 cache` shows, purges and exports what the semantic cache keeps.

Does not judge an entry: the core does, in a running gateway or on the file of one that rests.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from p402.cli.paper import console, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

REFUSED = 2
TIMEOUT_S = 10.0
PAIRS = "cache.pairs.jsonl"


def run(options: argparse.Namespace) -> int:
    """One step; 2 where the gateway, or the folder, refuses it."""
    steps: dict[str, Callable[[argparse.Namespace], int]] = {
        "stats": _stats,
        "purge": _purge,
        "export": _export,
    }
    try:
        return steps[options.do](options)
    except (OSError, ValueError, httpx.HTTPError) as error:
        sys.stderr.write(f"p402: {error}\n")
        return REFUSED


def _stats(options: argparse.Namespace) -> int:
    if options.data_dir is not None:
        told = _file(options.data_dir, None)
    else:
        with _client(options) as client:
            told = _answer(client.get("/cache"))
            counters = client.get("/metrics")
        # Not everybody may read the gateway's counters; one's own part everybody may.
        if counters.status_code == httpx.codes.OK:
            told["counters"] = _counters(counters.text)
    if options.json:
        sys.stdout.write(orjson.dumps(told).decode() + "\n")
        return 0
    made = table("the semantic cache", ("what",), ("number",))
    rows = {name: told[name] for name in ("entries", "bytes")}
    rows |= {f"entries of {name}": count for name, count in told.get("tenants", {}).items()}
    for name, count in (rows | told.get("counters", {})).items():
        made.add_row(name, f"{count:,}")
    console().print(made)
    if told.get("checks"):
        console().print(_checks(told["checks"]))
    return 0


def _checks(classes: list[dict[str, Any]]) -> Table:
    """What checks of hits have shown, by kind of question: mode and length."""
    made = table("hits that were checked", ("mode", "length", ""), ("checks", "wrong", "at most"))
    for line in classes:
        state = f"verifier {line['verifier']:.3f}" if line["enough"] else "not enough checks"
        counts = (str(line["checks"]), str(line["wrong"]), f"{line['at_most']:.2%}")
        made.add_row(line["mode"], line["length"], state, *counts)
    return made


def _counters(text: str) -> dict[str, int]:
    """The gateway's own words for what it counted of the cache; what is zero says nothing."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, number = line.rpartition(" ")
        if name.startswith("cache_") and "_total" in name and number != "0":
            found[name.removeprefix("cache_").replace("_total", "")] = int(number)
    return found


def _purge(options: argparse.Namespace) -> int:
    named = {"model": options.model, "older_than_s": options.older_than_s}
    named = {name: value for name, value in named.items() if value is not None}
    if not (named or options.all or options.entry or options.tenant):
        raise ValueError("say what goes: --all, --model, --older-than-s, --entry or --tenant")
    if options.data_dir is not None:
        named |= {"tenant": options.tenant, "entry": options.entry}
        gone = _file(options.data_dir, named)["purged"]
    elif options.tenant is not None:
        raise ValueError("a gateway purges the tenant of the key that asks: use that one's key")
    else:
        with _client(options) as client:
            if options.entry is not None:
                told = client.delete(f"/cache/{options.entry}")
                gone = 1 if told.status_code == httpx.codes.NO_CONTENT else _answer(told)
            else:
                gone = _answer(client.delete("/cache", params=named or {"all": "1"}))["purged"]
    sys.stdout.write(f"{gone:,} entr{'y' if gone == 1 else 'ies'} gone\n")
    return 0


def _export(options: argparse.Namespace) -> int:
    """Pairs that somebody has called wrong, where `keep_pairs` was on."""
    folder = options.data_dir
    if folder is None:
        from p402.settings import load

        folder = str(load().data_dir)
    pairs = Path(folder) / PAIRS
    if not pairs.exists():
        mend = "[cache] keep_pairs = true lets feedback keep them"
        raise ValueError(f"{folder} has no pairs: {mend}")
    if options.out is None:
        sys.stdout.write(pairs.read_text(encoding="utf-8"))
    else:
        shutil.copyfile(pairs, options.out)
    return 0


def _file(folder: str, purge: dict[str, Any] | None) -> Any:
    from p402 import _core

    named = None if purge is None else orjson.dumps(purge).decode()
    return orjson.loads(_core.cache_file(folder, named))


def _client(options: argparse.Namespace) -> httpx.Client:
    key = "any" if options.key_file is None else Path(options.key_file).read_text("utf-8").strip()
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=options.url, headers=headers, timeout=TIMEOUT_S, trust_env=False)


def _answer(told: httpx.Response) -> Any:
    if told.is_success:
        return told.json()
    try:
        why = told.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        why = f"status {told.status_code}"
    raise ValueError(f"the gateway refuses: {why}")
