"""Decides that `p402 catalog build` and `refresh` are the builder's own commands.

Does not know their options: they parse them.
"""

from __future__ import annotations

import argparse
from importlib import import_module


def run(options: argparse.Namespace) -> int:
    """Hands the rest of the command line on."""
    status: int = import_module(f"p402.catalog.{options.step}").main(options.rest)
    return status
