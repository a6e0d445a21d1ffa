"""Decides what a claim's script takes and gives, and how claims stand in a table.

Does not measure anything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


class NotHereError(Exception):
    """What the claim is about does not exist yet; its text says what is missing."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is asked of a script: the short form of every change, or the long one."""

    seed: int = 402
    long: bool = False

    def pick(self, short: int, long: int) -> int:
        """The number for this form."""
        return long if self.long else short


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

    def public(self) -> dict[str, Any]:
        """The row as it stands in results.json."""
        return asdict(self)


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
