"""Decides where a Python or Node peer lives: a folder of its own, pinned, out of the repository.

Deliberately never floats a version: a figure of an unknown release is worth nothing.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path


def python(folder: Path, requirement: str) -> None:
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, requirement], check=True)


def main() -> int:
    """make bench-peers: installs all, or those named."""
    from benches.contender import INSTALLED  # noqa: PLC0415  a cycle: peers import this module
    from benches.peers import INSTALLABLE  # noqa: PLC0415

    wanted, failed = set(sys.argv[1:]), 0
    for kind in INSTALLABLE:
        if kind.install is None or (wanted and kind.name not in wanted):
            continue
        print(f"installing {kind.name} {kind.pin}", flush=True)
        try:
            INSTALLED.mkdir(parents=True, exist_ok=True)
            kind.install(INSTALLED / kind.name)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"  not installed: {error}")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
