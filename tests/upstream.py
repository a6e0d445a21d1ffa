"""Decides how a test gets an upstream: one sandbox, without delays, in a thread of its own.

Does not know pytest; `with Upstream() as upstream` works in any script.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from p402.sandbox import Fault, Manners, Record, Sandbox
from p402.sandbox.faults import Faults
from p402.sandbox.journal import Journal

START_S = 10.0
CALL_S = 10.0
T = TypeVar("T")


class Upstream:
    """A running sandbox; `faults` and `log` are its own, `/v1` and `/b/v1` two of its providers.

    Model `hello`, and any id the sandbox does not know, says Hello, world! and counts 11 + 5
    tokens. Any other path `/NAME/v1` is one more provider.
    """

    def __init__(self, manners: Manners | None = None, **options: Any) -> None:
        self.sandbox = Sandbox(manners=manners or Manners(any_model=True), **options)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """The first provider, `/v1` included."""
        return self.sandbox.base_url

    @property
    def faults(self) -> Faults:
        """Set `faults["/v1"] = Fault(...)` to break a provider; `clear()` mends all."""
        return self.sandbox.faults

    @property
    def log(self) -> Journal:
        """What arrived."""
        return self.sandbox.log

    def provider_url(self, name: str = "") -> str:
        """The base URL of the provider called NAME (`/NAME/v1`)."""
        return self.sandbox.provider_url(f"/{name}/v1" if name else "/v1")

    def broken(self, name: str, base: str = "/v1", **params: object) -> Fault:
        """Break a provider with a fault of the table; returns it, so that hits can be counted."""
        fault = Fault(name, {key: str(value) for key, value in params.items()})
        self.faults[base] = fault
        return fault

    def wait_for(self, check: Callable[[], T], timeout_s: float = CALL_S) -> T:
        """Run `check` on the server's loop whenever a request arrives or ends, until it is true."""
        return self.call(self._until(check), timeout_s)

    def last(self, base: str = "/v1") -> Record:
        """The newest request of a provider."""
        return self.log.of(base)[-1]

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float = CALL_S) -> T:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def start(self) -> Self:
        """Start the thread; returns when the port is open."""
        self._thread.start()
        if not self._ready.wait(START_S):
            raise TimeoutError("the upstream did not start")
        return self

    def stop(self) -> None:
        """Close every socket and end the thread."""
        self.call(self.sandbox.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.sandbox.start())
        self._ready.set()
        self._loop.run_forever()

    async def _until(self, check: Callable[[], T]) -> T:
        while not (found := check()):
            self.sandbox.changed.clear()
            await self.sandbox.changed.wait()
        return found
