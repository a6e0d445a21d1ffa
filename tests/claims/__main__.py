"""Decides which claims run, and what is left of a run: a table, and results.json.

Does not measure: `python -m tests.claims [NUMBER …] [--long] [--seed N]`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import re
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from tests.claims.absent import ABSENT
from tests.claims.verdict import NotHereError, Row, Scale, Verdict, table

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def scripts() -> dict[int, str]:
    """The claims by number."""
    names = (file.stem for file in HERE.glob("c[0-9][0-9]_*.py"))
    return {int(name[1:3]): name for name in sorted(names)}


def run(number: int, scale: Scale) -> Row:
    """One claim to its verdict; a script that breaks has not held."""
    command = f"python -m tests.claims {number}" + (" --long" if scale.long else "")
    if number in ABSENT:
        claim, target, missing = ABSENT[number]
        return Row(number, claim, target, "absent", missing, command, scale.seed, 0.0)
    script: ModuleType = importlib.import_module(f"tests.claims.{scripts()[number]}")
    began = time.monotonic()
    try:
        verdict: Verdict = script.measure(scale)
        state, result = ("held" if verdict.held else "failed"), verdict.result
    except NotHereError as missing:
        state, result = "absent", str(missing)
    except Exception as error:  # noqa: BLE001  (the other claims are still to be told)
        traceback.print_exc()
        state, result = "failed", re.sub(r"\s+", " ", str(error))[:200] or repr(error)
    return Row(
        number=number,
        claim=script.TITLE,
        target=script.TARGET,
        state=state,
        result=result,
        command=command,
        seed=scale.seed,
        seconds=round(time.monotonic() - began, 1),
    )


def write(rows: list[Row], scale: Scale) -> None:
    """What was found, and where."""
    told = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": "long" if scale.long else "short",
        "host": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "processors": len(os.sched_getaffinity(0)),
        },
        "claims": [row.public() for row in rows],
    }
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


def main() -> int:
    """Runs what is asked for; the exit status counts what did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.claims", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="all where none is named")
    parser.add_argument("--long", action="store_true", help="the form of the published figures")
    parser.add_argument("--seed", type=int, default=402)
    options = parser.parse_args()
    # Failing upstreams are the point; gateways inside these scripts need not tell of each.
    logging.getLogger("p402").setLevel(logging.CRITICAL)
    scale = Scale(seed=options.seed, long=options.long)
    rows = []
    for number in options.numbers or sorted(scripts().keys() | ABSENT.keys()):
        rows.append(run(number, scale))
        last = rows[-1]
        print(f"{number:2} {last.state:6} {last.seconds:6.1f} s  {last.result}", flush=True)
    if not options.numbers:
        write(rows, scale)
    print("\n" + table(rows))
    return sum(row.failed for row in rows)


if __name__ == "__main__":
    sys.exit(main())
