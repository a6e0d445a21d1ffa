"""Decides where a Python or Node peer lives: a folder of its own, pinned, out of the repository.

Deliberately never floats a version: a figure of an unknown release is worth nothing.
"""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path


def python(folder: Path, requirement: str) -> None:
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, requirement], check=True)
