"""Decides how metrics are told on an address of their own: one request, one reply, one connection.

Does not decide what is told or to whom: the application's answer does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import h11

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes | None]
# Connections at once; a scraper needs one.
CONNECTIONS_MAX = 8
# From the connection to its end.
TIMEOUT_S = 10.0
HEAD_BYTES_MAX = 16 * 1024
_READ_BYTES = 4_096


class Listener:
    """A second address. Without one it does nothing."""

    __slots__ = ("_address", "_answer", "_open", "_server")

    def __init__(
        self,
        address: tuple[str, int] | None,
        answer: Callable[[str, str, Headers], Awaitable[Answer]],
    ) -> None:
        self._address = address
        self._answer = answer
        self._open = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens from now on. OSError where it cannot."""
        if self._address is not None:
            host, port = self._address
            self._server = await asyncio.start_server(self._serve, host, port)

    async def stop(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                # What is no HTTP, too slow or gone already gets no words.
                with contextlib.suppress(h11.RemoteProtocolError, OSError, TimeoutError):
                    async with asyncio.timeout(TIMEOUT_S):
                        await self._exchange(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        while (event := wire.next_event()) is h11.NEED_DATA:
            wire.receive_data(await reader.read(_READ_BYTES))
        if not isinstance(event, h11.Request):
            return
        method, path = event.method.decode(), event.target.decode("latin-1")
        status, headers, body = await self._answer(method, path, list(event.headers))
        headers = [*headers, (b"connection", b"close")]
        writer.write(wire.send(h11.Response(status_code=status, headers=headers)) or b"")
        if method != "HEAD":
            writer.write(wire.send(h11.Data(data=body or b"")) or b"")
        await writer.drain()
