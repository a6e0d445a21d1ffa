"""Decides how a test runs `p402 serve`: a real process, a free port, its stderr kept.

Does not know pytest.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import httpx

from p402.settings import bare_environment

READY_S = 20.0
END_S = 15.0
# What the parent says of a worker that it had to kill, and that left its clients without a word.
UNWILLING = "killing a worker"


# Below the ports that the kernel deals out (from 32,768): nobody's connection sits on one of them
# while its server is away, and no connection to it comes out at its own port. Processes of tests
# begin 127 ports apart.
PORTS = range(10_000, 32_000)
_next = itertools.count(os.getpid() * 127)


def free_port() -> int:
    """A loopback port that nobody listens on, and that no other test of this process is told."""
    while True:
        port = PORTS[next(_next) % len(PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Served:
    """A gateway process; leave the block and it is told to stop."""

    def __init__(
        self,
        config: Path | None = None,
        env: dict[str, str] | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.config = config
        self.folder = tempfile.TemporaryDirectory(prefix="p402-data-")
        own = {"P402_DATA_DIR": str(data_dir or self.folder.name)}
        self.env = {**bare_environment(), **own, **(env or {})}
        self.root = f"http://127.0.0.1:{self.port}"
        self.base_url = f"{self.root}/api/v2"
        self.ready_s = 0.0
        noise, self._noise_name = tempfile.mkstemp(prefix="p402-stderr-")
        self._noise = os.fdopen(noise, "wb")
        self.child: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.start()
        self.until_ready()
        return self

    def until_ready(self) -> None:
        """Waits for the process that was begun last."""
        started = time.monotonic()
        while time.monotonic() - started < READY_S and self.child.poll() is None:
            try:
                if (
                    httpx.get(f"{self.root}/readyz", trust_env=False, timeout=1.0).status_code
                    == 200
                ):
                    self.ready_s = time.monotonic() - started
                    return
            except httpx.TransportError:
                time.sleep(0.01)  # polls a foreign process; nothing in it can be awaited
        self.stop()
        raise RuntimeError(f"the gateway did not start:\n{self.stderr()}")

    def __exit__(self, *_: object) -> None:
        self.stop()
        said = self.stderr()
        self._noise.close()
        Path(self._noise_name).unlink()
        self.folder.cleanup()
        assert UNWILLING not in said, said

    def start(self) -> None:
        """Begins the process; it is not ready yet."""
        command = [sys.executable, "-m", "p402", "serve", "--port", str(self.port)]
        if self.config is not None:
            command += ["--config", str(self.config)]
        self.child = subprocess.Popen(
            command,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=self._noise,
            stderr=self._noise,
            start_new_session=True,
        )

    def stop(self) -> int:
        """Asks it to end; returns its exit status."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(END_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait(END_S)

    def kill(self) -> None:
        """Ends it and its workers without a word, as a power cut would."""
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(END_S)

    def stderr(self) -> str:
        """All that it has said."""
        return Path(self._noise_name).read_text("utf-8", "replace")
