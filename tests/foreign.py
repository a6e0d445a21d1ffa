"""Decides how tests read and change a database that the core may have open: in another process.

Two copies of SQLite in one process take each other's locks away and cut each other's shared memory
short (sqlite.org/howtocorrupt.html § 2.2.1): a claim ended by SIGBUS once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_WORK = """
import json, sqlite3, sys
link = sqlite3.connect(sys.argv[1], uri=True, timeout=5.0, isolation_level=None)
json.dump(link.execute(sys.argv[2]).fetchall(), sys.stdout)
"""


def sql(file: Path, text: str, *, writes: bool = False) -> list[list[Any]]:
    """One statement, and the lines it gives: numbers and texts alone."""
    url = f"file:{file}?mode={'rw' if writes else 'ro'}"
    command = [sys.executable, "-I", "-S", "-c", _WORK, url, text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    lines: list[list[Any]] = json.loads(done.stdout)
    return lines
