"""Decides how much of a request's body is read, and how long it may take.

Does not look into the body and does not know routes or tenants.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Headers = list[tuple[bytes, bytes]]

_TOO_BIG = "the body is larger than this gateway accepts"


class Refused(Exception):
    """A request that ends before it reaches the gateway: the error's code and its message.

    `closes`: what is left of the request cannot be told from the next one on this connection.
    """

    def __init__(self, code: str, message: str, *, closes: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.closes = closes


class Bounds(NamedTuple):
    """What one body, and all that are being read together, may cost in bytes and seconds."""

    body_bytes: int = 32 << 20
    together_bytes: int = 256 << 20
    silent_s: float = 15.0
    whole_s: float = 60.0


class Bodies:
    """Reads bodies within their bounds and counts what is being read at this moment.

    One timer looks after all of them: a timer for each would cost more than reading most bodies.
    """

    __slots__ = ("_bounds", "_due", "_late", "_timer", "reading_bytes")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.reading_bytes = 0
        # Who waits for a piece, and until when.
        self._due: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, headers: Headers, receive: Receive, *, form: bool = False) -> bytes:
        """The whole body. Raises `Refused` where it is too large, too slow or of another kind than
        JSON, or than a form where one is due."""
        length = self._check_head(headers, form=form)
        message = await self._receive(receive, self._bounds.silent_s)
        body: bytes = message.get("body", b"")
        # A host that promises more after the last announced byte has only its end to tell: asking
        # for it costs a whole turn between threads.
        if len(body) != length and message.get("more_body"):
            return await self._rest(body, receive)
        if len(body) > self._bounds.body_bytes:
            raise Refused("request_too_large", _TOO_BIG, closes=True)
        return body

    async def skip(self, receive: Receive) -> None:
        """Reads on to the end of a body that nobody wants, within the same bounds, keeping nothing;
        beyond them the connection goes."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._bounds.whole_s
        left, more = self._bounds.body_bytes, True
        while more and left >= 0:
            message = await self._receive(receive, min(self._bounds.silent_s, deadline - clock()))
            more = message.get("more_body", False)
            left -= len(message.get("body", b""))

    async def _rest(self, first: bytes, receive: Receive) -> bytes:
        """A body that comes in pieces: appended once each, never joined anew."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._bounds.whole_s
        pieces = bytearray(first)
        counted = len(pieces)
        self.reading_bytes += counted
        more = True
        try:
            while more:
                left = min(self._bounds.silent_s, deadline - clock())
                message = await self._receive(receive, left)
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                pieces += piece
                counted += len(piece)
                self.reading_bytes += len(piece)
                if counted > self._bounds.body_bytes:
                    raise Refused("request_too_large", _TOO_BIG, closes=True)
                if self.reading_bytes > self._bounds.together_bytes:
                    text = "too many bodies are being read at once"
                    raise Refused("overloaded", text, closes=True)
        finally:
            self.reading_bytes -= counted
        return bytes(pieces)

    def _check_head(self, headers: Headers, *, form: bool) -> int | None:
        """The announced length, None where there is none."""
        length = chunked = None
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                chunked = value
            elif name == b"content-type" and value.startswith(b"multipart/") != form:
                text = f"send the body as {'multipart/form-data' if form else 'application/json'}"
                raise Refused("unsupported_media_type", text, closes=True)
        if length is None:
            return None
        if chunked is not None:
            text = "both content-length and transfer-encoding"
            raise Refused("invalid_value", text, closes=True)
        announced = int(length[:20]) if length.isdigit() else None
        if announced is not None and announced > self._bounds.body_bytes:
            raise Refused("request_too_large", _TOO_BIG, closes=True)
        return announced

    async def _receive(self, receive: Receive, seconds: float) -> Message:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a body is read by a task")
        self._due[task] = loop.time() + max(seconds, 0.0)
        if self._timer is None:
            self._timer = loop.call_later(self._every(), self._sweep, loop)
        try:
            message = await receive()
            if task in self._late:
                # It came in the very turn of the loop that gave it up: be cancelled here.
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            text = "the body did not come in time"
            raise Refused("body_timeout", text, closes=True) from None
        finally:
            del self._due[task]
            self._late.discard(task)
        if message["type"] == "http.disconnect":
            # The client left, or its chunks made no sense; an answer harms in neither case.
            raise Refused("invalid_value", "the body ended before it was whole", closes=True)
        return message

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, due in self._due.items():
            if due <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = loop.call_later(self._every(), self._sweep, loop) if self._due else None

    def _every(self) -> float:
        """Seconds between two looks: a tenth of what is allowed, so that late is noticed soon."""
        return min(1.0, self._bounds.silent_s / 10)
