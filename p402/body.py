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
    """A request that ends before it reaches the gateway: the error's code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class Disconnected(Exception):
    """The client left while its body was being read: nobody is there to answer."""


class Bounds(NamedTuple):
    """What one body, and all that are being read together, may cost in bytes and seconds."""

    body_bytes: int = 32 << 20
    together_bytes: int = 256 << 20
    silent_s: float = 15.0
    whole_s: float = 60.0


class Bodies:
    """Reads bodies within their bounds and counts what is being read at this moment."""

    __slots__ = ("_bounds", "_reading")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._reading = 0

    async def read(self, headers: Headers, receive: Receive) -> bytes:
        """The whole body. Raises `Refused` where it is too large, too slow or not JSON's kind."""
        self._check_head(headers)
        message = await _receive(receive, self._bounds.silent_s)
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > self._bounds.body_bytes:
                raise Refused("request_too_large", _TOO_BIG)
            return body
        return await self._rest(message.get("body", b""), receive)

    async def _rest(self, first: bytes, receive: Receive) -> bytes:
        """A body that comes in pieces: appended once each, never joined anew."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._bounds.whole_s
        pieces = bytearray(first)
        counted = len(pieces)
        self._reading += counted
        more = True
        try:
            while more:
                left = min(self._bounds.silent_s, deadline - clock())
                message = await _receive(receive, left)
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                pieces += piece
                counted += len(piece)
                self._reading += len(piece)
                if counted > self._bounds.body_bytes:
                    raise Refused("request_too_large", _TOO_BIG)
                if self._reading > self._bounds.together_bytes:
                    raise Refused("overloaded", "too many bodies are being read at once")
        finally:
            self._reading -= counted
        return bytes(pieces)

    def _check_head(self, headers: Headers) -> None:
        length = chunked = None
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                chunked = value
            elif name == b"content-type" and value.startswith(b"multipart/"):
                raise Refused("unsupported_media_type", "send the body as application/json")
        if length is not None:
            if chunked is not None:
                raise Refused("invalid_value", "both content-length and transfer-encoding")
            if length.isdigit() and int(length[:20]) > self._bounds.body_bytes:
                raise Refused("request_too_large", _TOO_BIG)


async def _receive(receive: Receive, seconds: float) -> Message:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            message = await receive()
    except TimeoutError:
        raise Refused("body_timeout", "the body did not come in time") from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message
