"""Decides when what the core has to tell the operator becomes lines of the log.

Does not word the lines and never sees a prompt, a key or an upstream's text: the core holds none.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from p402.alerts import Webhook

if TYPE_CHECKING:
    import asyncio

    from p402 import _core
    from p402.settings import Alerts

EVERY_S = 1.0
LOGGER = logging.getLogger("p402")


class EventLog:
    """Fetches the core's events once a second, on the loop that serves."""

    __slots__ = ("_gateway", "_timer", "_webhook")

    def __init__(self, gateway: _core.Gateway, alerts: Alerts) -> None:
        self._gateway = gateway
        self._webhook = Webhook(alerts)
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Writes from now on, every second, on this loop and no other."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(EVERY_S, self._again, loop)

    def alert(self, alerts: Alerts) -> None:
        """Tells another address from now on."""
        self._webhook = Webhook(alerts)

    def stop(self) -> None:
        """Writes what is left, and no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._webhook.stop()
        self.write()

    def write(self) -> None:
        """Writes what has happened since the last time, one line an event."""
        lines, dropped = self._gateway.events()
        if dropped:
            LOGGER.warning("%d events dropped: they came faster than they are written", dropped)
        for line in lines:
            LOGGER.warning("%s", line)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self.write()
        self._webhook.send(self._gateway.alarms())
        self._timer = loop.call_later(EVERY_S, self._again, loop)


def to_stderr() -> None:
    """For a process that is a server: the log goes to stderr, and there only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s p402 %(levelname)s %(message)s"))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(logging.WARNING)
    LOGGER.propagate = False
