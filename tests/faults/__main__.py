"""Decides which faults are played over HTTP, and tells what came of each.

Does not play those of Redis itself: `make faults` does both.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path
from typing import cast

from tests.claims.verdict import Row, Scale, Script, judged, table

HERE = Path(__file__).parent


def scripts() -> dict[int, str]:
    """The faults by their number in the list of thirty."""
    names = (file.stem for file in HERE.glob("f[0-9][0-9]_*.py"))
    return {int(name[1:3]): name for name in sorted(names)}


def run(number: int, scale: Scale) -> Row:
    """One fault to its verdict."""
    command = f"python -m tests.faults {number}{scale.words()}"
    script = cast(Script, importlib.import_module(f"tests.faults.{scripts()[number]}"))
    return judged(script, number, command, scale)


def main() -> int:
    """Plays what is asked for; the exit status counts what was not borne."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="all where none is named")
    parser.add_argument("--long", action="store_true", help="longer, and figures to the letter")
    parser.add_argument("--seed", type=int, default=402)
    options = parser.parse_args()
    logging.getLogger("p402").setLevel(logging.CRITICAL)
    scale = Scale(seed=options.seed, long=options.long)
    rows = []
    for number in options.numbers or sorted(scripts()):
        rows.append(run(number, scale))
        print(rows[-1].line(), flush=True)
    print("\n" + table(rows))
    return sum(row.failed for row in rows)


if __name__ == "__main__":
    sys.exit(main())
