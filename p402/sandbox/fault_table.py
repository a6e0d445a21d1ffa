"""Decides which faults exist: every name with the line that explains it.

Does not perform them: each row points to the script that does.
"""

from __future__ import annotations

from p402.sandbox.faults import FaultKind

FAULTS: dict[str, FaultKind] = {}


def listing() -> str:
    """The table as text, one fault a line."""
    lines = []
    for name in sorted(FAULTS):
        kind = FAULTS[name]
        params = ",".join(f"{key}={value}" for key, value in kind.defaults.items())
        lines.append(f"{name:<24} {kind.doc}{f' [{params}]' if params else ''}")
    return "\n".join(lines)
