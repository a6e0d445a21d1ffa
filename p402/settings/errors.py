"""Decides how an operator's mistake is told: file, line, key, what is wrong, how to mend it.

Does not find mistakes. Never holds a value of the file: a value may be a secret.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SettingsError(ValueError):
    """A mistake in the configuration file or the environment."""

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        key: str | None = None,
        mend: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line
        self.key = key
        self.mend = mend

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        named = f"{self.key}: {self.message}" if self.key else self.message
        told = f"{place}: {named}" if place else named
        return f"{told} ({self.mend})" if self.mend else told

    def block(self) -> str:
        """The mistake as a person reads it in a terminal: one line a fact."""
        rows = [("problem", self.message)]
        if self.file is not None:
            rows.append(("file", f"{self.file}:{self.line}" if self.line else self.file))
        if self.key is not None:
            rows.append(("key", self.key))
        if self.mend is not None:
            rows.append(("mend", self.mend))
        return "\n".join(f"  {name:<8}{text}" for name, text in rows)


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The valid word that was probably meant."""
    close = get_close_matches(word, list(valid), n=1, cutoff=0.5)
    return close[0] if close else None
