"""Decides how bytes come in and go out: requests are read by h11, scripts are played as written.

Does not know chat, models or faults; it asks its owner for a script per request.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import h11

from p402.sandbox.script import JSON_TYPE, Cut, Script, Wait, sized

BODY_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES_MAX = 64 * 1024
PIPELINE_BYTES_MAX = 1024 * 1024
STEPS_PER_TURN = 64
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LINGER_OFF = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Arrival:
    """One request, whole."""

    connection: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class OnEnd(Protocol):
    """Is told once whether the reply was played to its end."""

    def __call__(self, *, whole: bool) -> None: ...


@dataclass(slots=True)
class Exchange:
    """The script that answers a request, and who wants to know how it ended."""

    script: Script
    on_end: OnEnd


Answerer = Callable[[Arrival], Exchange]


class Connection(asyncio.Protocol):
    """One socket: reads a request, plays its script, goes on with the next."""

    def __init__(self, number: int, answer: Answerer, open_set: set[Connection]) -> None:
        self._number = number
        self._answer = answer
        self._open = open_set
        self._transport: asyncio.Transport | None = None
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._told_to_continue = False
        self._keep_alive = True
        self._exchange: Exchange | None = None
        self._timer: asyncio.Handle | None = None
        self._waiting_bytes = 0
        self._blocked = False
        self._hung = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the socket and switch Nagle's delay off."""
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was being played; the client went first."""
        self._open.discard(self)
        self._transport = None
        self._end_exchange(whole=False)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; answer when it has a whole request."""
        if self._exchange is not None:
            self._waiting_bytes += len(data)
            if self._waiting_bytes > PIPELINE_BYTES_MAX:
                self.close()
                return
        self._parser.receive_data(data)
        if self._exchange is None:
            self._read()

    def pause_writing(self) -> None:
        """The client reads slowly: hold the script."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The client reads again."""
        self._blocked = False
        if self._exchange is not None and self._timer is None and not self._hung:
            self._play()

    def close(self) -> None:
        """Close from this side, whatever is open."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the socket at once, unsent bytes and all."""
        if self._transport is not None:
            self._transport.abort()

    def _read(self) -> None:
        while self._transport is not None and self._exchange is None:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint or 400, "The request is no HTTP/1.1.")
                return
            if isinstance(event, h11.Request):
                self._request = event
            elif isinstance(event, h11.Data):
                self._body.append(bytes(event.data))
                self._body_bytes += len(event.data)
                if self._body_bytes > BODY_BYTES_MAX:
                    self._refuse(413, "The request body is too large.")
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                self._begin(self._request)
            else:
                self._ask_for_body()
                return

    def _ask_for_body(self) -> None:
        if self._parser.they_are_waiting_for_100_continue and not self._told_to_continue:
            self._told_to_continue = True
            self._write(CONTINUE)

    def _begin(self, request: h11.Request) -> None:
        headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers]
        tokens = next((value.lower() for name, value in headers if name == "connection"), "")
        self._keep_alive = request.http_version == b"1.1" and "close" not in tokens
        self._exchange = self._answer(
            Arrival(
                self._number,
                request.method.decode(),
                request.target.decode("latin-1"),
                headers,
                b"".join(self._body),
            )
        )
        self._play()

    def _play(self) -> None:
        """Advance the script until it waits, ends, or the socket is full."""
        self._timer = None
        for _ in range(STEPS_PER_TURN):
            exchange = self._exchange
            if exchange is None or self._blocked or self._transport is None:
                return
            step = next(exchange.script, None)
            if step is None:
                self._finish()
                return
            if isinstance(step, bytes):
                self._write(step)
            elif isinstance(step, Cut):
                self._cut(step)
                return
            else:
                self._pause(step)
                return
        self._timer = self._loop.call_soon(self._play)

    def _pause(self, wait: Wait) -> None:
        if math.isinf(wait.seconds):
            self._hung = True
        else:
            self._timer = self._loop.call_later(wait.seconds, self._play)

    def _finish(self) -> None:
        self._end_exchange(whole=True)
        if not self._keep_alive:
            self.close()
            return
        rest, _ = self._parser.trailing_data
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._request = None
        self._body = []
        self._body_bytes = 0
        self._waiting_bytes = 0
        self._told_to_continue = False
        if rest:
            self._parser.receive_data(rest)
            self._loop.call_soon(self._read)

    def _cut(self, how: Cut) -> None:
        self._end_exchange(whole=True)
        if self._transport is None:
            return
        if how is Cut.RST:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
            self._transport.abort()
        else:
            self._transport.close()

    def _end_exchange(self, *, whole: bool) -> None:
        exchange, self._exchange = self._exchange, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if exchange is not None:
            exchange.on_end(whole=whole)

    def _refuse(self, status: int, message: str) -> None:
        body = b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":null}}'
        self._write(sized(status, JSON_TYPE, {"connection": "close"}, body % message.encode()))
        self.close()

    def _write(self, payload: bytes) -> None:
        if self._transport is not None:
            self._transport.write(payload)
