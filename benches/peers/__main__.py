"""Decides which peers are installed: all, or those named (make bench-peers).

Deliberately goes on after a failure: a peer that cannot be had here is a printed line, not an end.
"""

from __future__ import annotations

import subprocess
import sys

from benches.contender import INSTALLED
from benches.peers import INSTALLABLE


def main() -> int:
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


sys.exit(main())
