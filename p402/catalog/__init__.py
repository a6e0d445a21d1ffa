"""Decides where the compiled catalogue is found: beside this file, inside the wheel.
Does not parse it: the core does, and the builder (build.py) is imported by the CLI alone.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["compiled"]


def compiled() -> bytes:
    """The catalogue this release was shipped with."""
    return files(__package__).joinpath("catalog.jsonl").read_bytes()
