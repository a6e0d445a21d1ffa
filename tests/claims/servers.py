"""Decides how a claim gets a Redis and a PostgreSQL of its own, in a folder of its own.

Where a server is not installed the claim is not here: it says so and is not passed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from tests.claims.verdict import NotHereError
from tests.serving import free_port

LISTENS_S = 20.0
# PostgreSQL refuses root; any other user will do.
NOBODY = 65_534


def until(check: Callable[[], bool], what: str) -> None:
    """Polls a foreign process, in which nothing can be awaited."""
    deadline = time.monotonic() + LISTENS_S
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


class Redis:
    """A Redis without a disk; `url` is for `[store]`."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise NotHereError("redis-server is not installed")
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}"
        command = [program, "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(folder), "--maxmemory-policy", "noeviction"]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(self._listens, "redis-server does not listen")

    def pause(self) -> None:
        """It hangs: connections stay, nothing is answered."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on where it stopped."""
        self._child.send_signal(signal.SIGCONT)

    def say(self, *words: str) -> None:
        """One command, as an administrator."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as line:
            line.sendall((" ".join(words) + "\r\n").encode())
            line.recv(4_096)

    def stop(self) -> None:
        """Ends it."""
        self._child.kill()
        self._child.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


class Postgres:
    """A PostgreSQL behind a socket in its folder; `url` is for `[store] ledger`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "postgres"
        self._folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(self._folder, NOBODY, NOBODY)
            folder.chmod(0o711)
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            raise NotHereError("PostgreSQL is not installed")
        self._programs = found[-1].parent
        self.url = f"postgresql://p402@{quote(str(self._folder), safe='')}/postgres"
        self._run("initdb", "--auth=trust", "--username=p402", "--no-sync", "-D", "db").wait()
        sockets = f"unix_socket_directories={self._folder}"
        settings = ("-c", sockets, "-c", "listen_addresses=", "-c", "fsync=off")
        self._child = self._run("postgres", "-D", "db", *settings)
        until(self._listens, "postgres does not listen")

    def stop(self) -> None:
        """Ends it and its connections."""
        self._child.send_signal(signal.SIGINT)
        self._child.wait()

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._folder / ".s.PGSQL.5432")) == 0

    def _run(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._programs / program, *words],
            cwd=self._folder,
            env={"LC_ALL": "C"},
            user=NOBODY if os.geteuid() == 0 else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
