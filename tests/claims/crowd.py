"""Decides how a client of the claims asks: one keep-alive connection, and it may leave any time.

Does not retry and knows no SDK; what the gateway said is returned as it was.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

PATH = "/api/v2/chat/completions"
REPLY_S = 60.0


@dataclass(slots=True)
class Told:
    """A reply; `status` is 0 where none came whole: the client left or the line broke."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""

    @property
    def error(self) -> dict[str, Any]:
        """The error object of a refusal."""
        return dict(json.loads(self.raw)["error"])

    @property
    def code(self) -> str:
        """The stable code of a refusal, empty for an answer."""
        return str(self.error["code"]) if self.status >= 400 else ""

    @property
    def acknowledged(self) -> bool:
        """The answer's last byte came: from here on its money is known to be spent."""
        if self.status != 200:
            return False
        streamed = self.headers.get("content-type", "").startswith("text/event-stream")
        return not streamed or b"data: [DONE]" in self.raw

    @property
    def rid(self) -> str:
        """The request's id."""
        return self.headers.get("x-p402-request-id", "")


class Caller:
    """One client of one tenant."""

    def __init__(self, port: int, key: str = "") -> None:
        self.port = port
        self._key = key
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, body: dict[str, Any] | bytes, *, leave_s: float | None = None, **headers: str
    ) -> Told:
        """One request; with `leave_s` the client hangs up after so long."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            async with asyncio.timeout(REPLY_S if leave_s is None else leave_s):
                return await self._ask(raw, headers)
        except TimeoutError:
            if leave_s is None:
                raise
        except (OSError, asyncio.IncompleteReadError):
            pass
        self.hang_up()
        return Told()

    def hang_up(self) -> None:
        """Ends the connection."""
        if self._line is not None:
            self._line[1].transport.abort()
            self._line = None

    async def _ask(self, raw: bytes, headers: dict[str, str]) -> Told:
        if self._line is None:
            self._line = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        reader, writer = self._line
        lines = [f"POST {PATH} HTTP/1.1", "host: gateway", f"content-length: {len(raw)}"]
        lines += [f"authorization: Bearer {self._key}"] if self._key else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
        # The reply may come before the body has left: a refusal of its size.
        sending = asyncio.ensure_future(writer.drain())
        try:
            return await self._reply(reader)
        finally:
            sending.cancel()

    async def _reply(self, reader: asyncio.StreamReader) -> Told:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = dict(line.lower().split(": ", 1) for line in lines if line)
        told = Told(int(first.split()[1]), found)
        if "content-length" in found:
            told.raw = await reader.readexactly(int(found["content-length"]))
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                told.raw += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        if found.get("connection") == "close":
            self.hang_up()
        return told
