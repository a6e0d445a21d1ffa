"""Decides which claims have no script here, and where they are or will be measured instead.

A claim listed here is never shown as passed.
"""

from __future__ import annotations

# Number: claim, target, what is missing here.
ABSENT: dict[int, tuple[str, str, str]] = {}
