"""Decides how wide and how plain the command's tables are: a pipe gets a fixed width, no colour.

Does not know what stands in them.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

PIPE_COLUMNS = 132


def console() -> Console:
    """Standard output, wide enough for a table where nobody's window sets the width."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=PIPE_COLUMNS)


def table(
    title: str, left: tuple[str, ...], right: tuple[str, ...], rest: str | None = None
) -> Table:
    """Names to the left, figures after them, then the rest, which takes what room is left.

    A name or a rest that is too long is cut, a figure never.
    """
    made = Table(box=None, title=title, title_justify="left", title_style="bold cyan")
    for head in left:
        made.add_column(head, overflow="ellipsis", no_wrap=True)
    for head in right:
        made.add_column(head, justify="right", no_wrap=True, min_width=max(len(head), 7))
    if rest is not None:
        made.expand = True
        made.add_column(rest, overflow="ellipsis", no_wrap=True, ratio=1)
    return made
