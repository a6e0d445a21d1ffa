"""Decides how a gateway gets a small disk of its own: a tmpfs in a mount namespace of its own.

Does not need root where user namespaces are allowed; where they are not, it says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.claims.verdict import NotHereError


class SmallDisk:
    """A disk at `path` that only processes `inside` see; others find it below `outside`."""

    def __init__(self, path: Path, mib: int) -> None:
        path.mkdir(exist_ok=True)
        self._path = path
        root = os.geteuid() == 0
        own = ["unshare", "--mount"] + ([] if root else ["--user", "--map-root-user"])
        mount = f'mount -t tmpfs -o size={mib}m,mode=0700 tmpfs "$0" && echo there && exec cat'
        self._holder = subprocess.Popen(
            [*own, "sh", "-c", mount, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"there\n":
            raise NotHereError(f"no mount namespace: {self._holder.stderr.read().decode().strip()}")
        pid = str(self._holder.pid)
        into = [] if root else ["--user", "--preserve-credentials"]
        self.inside = ["nsenter", "--target", pid, "--mount", *into]
        self.outside = Path(f"/proc/{pid}/root{path}")
        self._hog = self.outside / "hog"
        self.ignored = shutil.ignore_patterns("hog", "*.sock")

    def size(self, mib: int) -> None:
        """It is so large from now on."""
        options = f"remount,size={mib}m"
        subprocess.run([*self.inside, "mount", "-o", options, str(self._path)], check=True)

    def fill(self) -> None:
        """Not a byte is left."""
        with self._hog.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError:
                return

    def close(self) -> None:
        """Gone with whoever held it."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.kill()
        self._holder.wait()
