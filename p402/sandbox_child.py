"""Decides how the sandbox runs beside a gateway: one child process that ends with its parent.

Does not know what the sandbox answers.
"""

from __future__ import annotations

import select
import subprocess
import sys
import time

from p402.settings import bare_environment

READY = b"P402_SANDBOX ready "
START_MAX_S = 15.0
STOP_MAX_S = 3.0
LINE_BYTES_MAX = 4_096


class SandboxChild:
    """A started sandbox; `wait` gives its address. Its stdin is our life line to it."""

    def __init__(self, speed: float) -> None:
        self._child = subprocess.Popen(  # noqa: S603  (our own module, our own interpreter)
            [sys.executable, "-P", "-m", "p402.sandbox", "--port", "0", "--speed", str(speed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=bare_environment(),
            start_new_session=True,
        )

    def wait(self) -> str:
        """The base address, once the child answers there."""
        stdout = self._child.stdout
        if stdout is None:
            raise RuntimeError("the sandbox has no output")
        line = b""
        deadline = time.monotonic() + START_MAX_S
        while not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
            readable, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = stdout.read1(LINE_BYTES_MAX) if readable else b""  # type: ignore[attr-defined]
            if not piece:
                self.stop()
                raise RuntimeError("the sandbox did not start")
            line += piece
        if not line.startswith(READY):
            self.stop()
            raise RuntimeError("the sandbox said something unexpected")
        return line.removeprefix(READY).strip().decode()

    def stop(self) -> None:
        """Ends the child, by force if it lingers."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.terminate()
        try:
            self._child.wait(STOP_MAX_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(STOP_MAX_S)
        if self._child.stdout is not None:
            self._child.stdout.close()
