"""Decides how an alarm reaches the operator's webhook: signed, retried a few times, off the path.

Does not decide what is an alarm: the core does, and its rings bound how many may wait.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p402.settings import Alerts

TRIES_MAX = 4
FIRST_WAIT_S = 1.0
TIMEOUT_S = 5.0
# Deliveries on their way; an alarm beyond them is in the log alone.
SENDING_MAX = 16
LOGGER = logging.getLogger("p402")


class Webhook:
    """Sends alarms to one address."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, bodies: list[bytes]) -> None:
        """Starts the deliveries and returns."""
        if self._alerts.url is None:
            return
        for body in bodies:
            if len(self._sending) >= SENDING_MAX:
                LOGGER.warning("alarm not sent: %d are on their way", SENDING_MAX)
                return
            task = asyncio.ensure_future(self._deliver(self._alerts.url, body))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def stop(self) -> None:
        """Ends what is on its way."""
        for task in self._sending:
            task.cancel()

    async def _deliver(self, url: str, body: bytes) -> None:
        import httpx

        wait_s = FIRST_WAIT_S
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            for number in range(1, TRIES_MAX + 1):
                try:
                    reply = await client.post(url, content=body, headers=self._headers(body))
                    if reply.is_success:
                        return
                    told = str(reply.status_code)
                except httpx.HTTPError as error:
                    told = type(error).__name__
                if number < TRIES_MAX:
                    await asyncio.sleep(wait_s)
                    wait_s *= 2
        LOGGER.warning("alarm not delivered after %d tries: %s", TRIES_MAX, told)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self._alerts.secret is not None:
            now = str(int(time.time()))
            key = self._alerts.secret.reveal().encode()
            digest = hmac.new(key, now.encode() + b"." + body, "sha256").hexdigest()
            headers |= {"x-p402-timestamp": now, "x-p402-signature": f"sha256={digest}"}
        return headers
