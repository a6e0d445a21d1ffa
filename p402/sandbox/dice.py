"""Decides where variety comes from: seeded dice, the same for the same seed.

Does not protect anything; nothing secret may be drawn from it.
"""

from __future__ import annotations

import random


def roll(seed: int) -> random.Random:
    """Dice that fall the same way whenever the seed is the same."""
    return random.Random(seed)  # noqa: S311 - reproducible on purpose
