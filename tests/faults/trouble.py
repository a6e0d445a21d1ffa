"""Decides how a gateway gets a clock that jumps and a disk that fails: libc's calls, replaced.

Does not need root or a package: trouble.c is built by the C compiler that Rust links with.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from tests.claims.verdict import NotHereError

SOURCE = Path(__file__).with_name("trouble.c")


class Trouble:
    """What is wrong with a process's kernel now; `env` is how it is started."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NotHereError("no C compiler is installed")
        library, self._file = folder / "trouble.so", folder / "trouble"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        self.clock_s = 0.0
        self._sync = (0, 0)
        self._tell()
        self.env = {"LD_PRELOAD": str(library), "P402_TROUBLE": str(self._file)}

    def clock(self, ahead_s: float) -> None:
        """Its wall clock is so far ahead of ours (or behind)."""
        self.clock_s = ahead_s
        self._tell()

    def sync(self, *, ms: int = 0, errno: int = 0) -> None:
        """Syncs take so long, then fail like this."""
        self._sync = (ms, errno)
        self._tell()

    def _tell(self) -> None:
        told = struct.pack("qqq", round(self.clock_s * 1e6), *self._sync)
        # The same file, in place: it is mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(told)
