"""Decides which faults exist: every name with the line that explains it.

Does not perform them: each row points to the script that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from p402.sandbox.breaks import BREAKS
from p402.sandbox.denials import DENIALS
from p402.sandbox.framings import FRAMINGS
from p402.sandbox.shapes import SHAPES

if TYPE_CHECKING:
    from p402.sandbox.faults import FaultKind

FAULTS: dict[str, FaultKind] = {**DENIALS, **BREAKS, **FRAMINGS, **SHAPES}


def listing() -> str:
    """The table as text, one fault a line."""
    lines = []
    for name in sorted(FAULTS):
        kind = FAULTS[name]
        params = ",".join(f"{key}={value}" for key, value in kind.defaults.items())
        lines.append(f"{name:<28} {kind.doc}{f' [{params}]' if params else ''}")
    return "\n".join(lines)
