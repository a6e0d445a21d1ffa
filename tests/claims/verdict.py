"""Decides what a claim's script takes and gives, and how claims stand in a table.

Does not measure anything.
"""

from __future__ import annotations

import re
import time
import traceback
from dataclasses import asdict, dataclass
from typing import Any, Protocol


class NotHereError(Exception):
    """What the claim is about does not exist yet; its text says what is missing."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is asked of a script: the short form of every change, or the long one."""

    seed: int = 402
    long: bool = False
    # The share of the long form that there was time for.
    part: float = 1.0

    def pick(self, short: int, long: int) -> int:
        """The number for this form; a part of the long one is still no less than the short one."""
        return max(short, round(long * self.part)) if self.long else short

    def words(self) -> str:
        """The form as it is asked for on the command line."""
        if not self.long:
            return ""
        return " --long" + (f" --part {self.part:g}" if self.part != 1 else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a script found: whether the claim held, and its headline in words."""

    held: bool
    result: str


@dataclass(frozen=True, slots=True)
class Row:
    """One claim in the table."""

    number: int
    claim: str
    target: str
    state: str
    result: str
    command: str
    seed: int
    seconds: float

    @property
    def failed(self) -> bool:
        """The claim was tried and did not hold."""
        return self.state == "failed"

    def line(self) -> str:
        """The row as it is told while others are still to come."""
        return f"{self.number:2} {self.state:6} {self.seconds:6.1f} s  {self.result}"

    def public(self) -> dict[str, Any]:
        """The row as it stands in results.json."""
        return asdict(self)


class Script(Protocol):
    """A claim's or a fault's module."""

    TITLE: str
    TARGET: str

    def measure(self, scale: Scale, /) -> Verdict:
        """Tries it."""


def judged(script: Script, number: int, command: str, scale: Scale) -> Row:
    """One script to its verdict; one that breaks has not held."""
    began = time.monotonic()
    try:
        verdict = script.measure(scale)
        state, result = ("held" if verdict.held else "failed"), verdict.result
    except NotHereError as missing:
        state, result = "absent", str(missing)
    except Exception as error:  # noqa: BLE001  (the others are still to be told)
        traceback.print_exc()
        state, result = "failed", re.sub(r"\s+", " ", str(error))[:200] or repr(error)
    seconds = round(time.monotonic() - began, 1)
    title, target = script.TITLE, script.TARGET
    return Row(number, title, target, state, result, command, scale.seed, seconds)


COLUMNS = ("#", "claim", "target", "result", "command", "seed")


def table(rows: list[Row]) -> str:
    """The rows as Markdown; what was not tried is never shown as passed."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        result = {
            "held": row.result,
            "failed": f"**FAILED** {row.result}",
            "absent": f"not here yet: {row.result}",
        }[row.state]
        cells = (str(row.number), row.claim, row.target, result, f"`{row.command}`", str(row.seed))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
