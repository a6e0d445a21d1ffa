"""Decides when somebody listens for the leave of a client whose reply is waited for.

Does not write a reply out, and starts no task for one that is there at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from p402 import _core

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# How often replies that are waited for are looked at. A client that leaves is listened for from the
# second look on, within the 100 ms bound; a request answered sooner needs no listener at all.
WATCH_EVERY_S = 0.03


class Watched:
    """Replies that are waited for. One timer looks after all of them, and only while there are."""

    __slots__ = ("_since", "_timer")

    def __init__(self) -> None:
        self._since: dict[Watch, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        """Looks after one more."""
        self._since[watch] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(WATCH_EVERY_S, self._sweep, loop)

    def remove(self, watch: Watch) -> None:
        """It is not waited for any more."""
        self._since.pop(watch, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - WATCH_EVERY_S
        for watch in [each for each, since in self._since.items() if since <= before]:
            del self._since[watch]
            watch.begin()
        waiting = bool(self._since)
        self._timer = loop.call_later(WATCH_EVERY_S, self._sweep, loop) if waiting else None


class Watch:
    """Takes a reply part by part, and notices that its client has left (compat.md § 4.5)."""

    __slots__ = ("_future", "_left", "_receive", "_reply", "_seen", "_task", "_watched")

    def __init__(self, receive: Receive, reply: _core.Reply, watched: Watched) -> None:
        self._receive = receive
        self._reply = reply
        self._watched = watched
        self._future: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._seen = False
        self._left = False

    async def next(self) -> Any | None:
        """The reply's next part; None once the client has left."""
        if self._left:
            return None
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        part = self._reply.next(future)
        if part is not None:
            return part
        if not self._seen:
            self._seen = True
            self._watched.add(self, loop)
        self._future = future
        return await future

    def begin(self) -> None:
        """Listens for the client's leave from now on."""
        self._task = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._reply.close()
        # What nobody reads may never come; whoever waits for it must not wait for ever.
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def stop(self) -> None:
        """Nobody waits any more, whether or not the reply came."""
        self._watched.remove(self)
        if self._task is not None:
            self._task.cancel()
