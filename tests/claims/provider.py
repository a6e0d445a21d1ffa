"""Decides what a provider of the claims answers and bills; every bill is on disk before a reply.

Shares no code with the gateway: its bill file is the oracle. Runs as a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY = "PROVIDER ready"
# Whole nano-dollars, so that no rounding can hide a difference.
INPUT_NANO = 1_000
OUTPUT_NANO = 2_000
INPUT_USD_PER_MTOK = "1"
OUTPUT_USD_PER_MTOK = "2"
WORD = " token"
STREAM_STEP = 16
# Shares of the replies on /rough: refused unbilled, cut once the prompt was read, cut mid-stream.
ROUGH = (("refuse", 0.08), ("limit", 0.04), ("cut", 0.06), ("break", 0.06))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the bill; `user` is what the request called itself: `TENANT/NUMBER`."""

    user: str
    input_tokens: int
    output_tokens: int
    end: str

    @property
    def tenant(self) -> str:
        """Whose request it was."""
        return self.user.partition("/")[0]

    @property
    def nano(self) -> int:
        """What it costs."""
        return self.input_tokens * INPUT_NANO + self.output_tokens * OUTPUT_NANO


def read_bill(path: Path) -> list[Entry]:
    """All that was billed."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Entry(*json.loads(line)) for line in lines]


def totals(entries: list[Entry]) -> Counter[str]:
    """Nano-dollars by tenant."""
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[entry.tenant] += entry.nano
    return sums


def by_request(entries: list[Entry]) -> dict[str, list[Entry]]:
    """What was billed for each request: several lines where attempts failed."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.user, []).append(entry)
    return found


class Bill:
    """The bill file: many lines share one sync, and none is acknowledged before it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._due = asyncio.Event()

    async def enter(self, entry: Entry) -> None:
        """Returns once the line is on disk."""
        parts = [entry.user, entry.input_tokens, entry.output_tokens, entry.end]
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((json.dumps(parts).encode() + b"\n", written))
        self._due.set()
        await asyncio.shield(written)

    async def keep(self) -> None:
        """Writes and syncs for as long as the provider lives."""
        while True:
            await self._due.wait()
            self._due.clear()
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._sync, b"".join(line for line, _ in batch))
            for _, written in batch:
                written.set_result(None)

    def _sync(self, lines: bytes) -> None:
        os.write(self._file, lines)
        os.fdatasync(self._file)


@dataclass(slots=True)
class Ask:
    """A chat request as the provider reads it, and what it makes of it."""

    user: str
    stream: bool
    input_tokens: int
    output_tokens: int
    mishap: str | None
    pause_s: float

    def entry(self, output_tokens: int, end: str) -> Entry:
        """A line of the bill for it."""
        return Entry(self.user, self.input_tokens, output_tokens, end)

    def usage(self) -> dict[str, int]:
        """The usage object of its reply."""
        prompt, completion = self.input_tokens, self.output_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }


class Provider:
    """Answers chat requests below any base path; `/rough/…` has mishaps."""

    def __init__(self, bill: Bill, seed: int, pause_ms: int) -> None:
        self._bill = bill
        self._dice = random.Random(seed)
        self._pause_s = pause_ms / 1_000

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until it ends."""
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(
            int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")
        )
        ask = self._read(json.loads(await reader.readexactly(length)), "/rough/" in head)
        if ask.mishap in ("refuse", "limit"):
            status = 500 if ask.mishap == "refuse" else 429
            await _send(writer, status, {"error": {"message": "not now", "type": ask.mishap}})
            return True
        if ask.mishap == "cut":
            await self._bill.enter(ask.entry(0, "cut"))
            writer.transport.abort()
            return False
        if ask.stream:
            return await self._stream(ask, writer)
        await asyncio.sleep(ask.pause_s)
        # Whoever has left by now pays for it all the same.
        await self._bill.enter(ask.entry(ask.output_tokens, "whole"))
        await _send(writer, 200, _completion(ask))
        return True

    def _read(self, body: dict[str, Any], rough: bool) -> Ask:
        text = "".join(str(message["content"]) for message in body["messages"])
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 256
        roll, mishap = self._dice.random(), None
        for name, share in ROUGH if rough else ():
            if roll < share:
                mishap = name
                break
            roll -= share
        return Ask(
            user=str(body.get("user", "")),
            stream=bool(body.get("stream")),
            input_tokens=len(text) // 4 + 8,
            output_tokens=self._dice.randint(1, most),
            mishap=mishap,
            pause_s=self._dice.uniform(0, self._pause_s),
        )

    async def _stream(self, ask: Ask, writer: asyncio.StreamWriter) -> bool:
        """Bills what it has sent, however the stream ends."""
        stop = ask.output_tokens // 2 if ask.mishap == "break" else ask.output_tokens
        sent = 0
        end = "broken"
        try:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
            gap_s = ask.pause_s * STREAM_STEP / max(1, ask.output_tokens)
            while sent < stop and not writer.transport.is_closing():
                step = min(STREAM_STEP, stop - sent)
                sent += step
                _chunk(writer, _event(delta={"content": WORD * step}))
                await writer.drain()
                await asyncio.sleep(gap_s)
            if sent == ask.output_tokens and not writer.transport.is_closing():
                end = "streamed"
        finally:
            await self._bill.enter(ask.entry(sent, end))
        if end == "broken":
            writer.close()
            return False
        _chunk(writer, _event(delta={}, finish="stop"))
        _chunk(writer, {"usage": ask.usage(), "choices": [], **SHELL})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        return True


SHELL = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "claims"}


def _event(*, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {**SHELL, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _completion(ask: Ask) -> dict[str, Any]:
    message = {"role": "assistant", "content": WORD * ask.output_tokens}
    return {
        **SHELL,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": ask.usage(),
    }


def _chunk(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    frame = b"data: " + json.dumps(event).encode() + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))


async def _send(writer: asyncio.StreamWriter, status: int, body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    writer.write(
        b"HTTP/1.1 %d Told\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
        % (status, len(text), text)
    )
    await writer.drain()


async def _run(options: argparse.Namespace) -> None:
    bill = Bill(options.bill)
    provider = Provider(bill, options.seed, options.pause_ms)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1_024)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{READY} http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await bill.keep()


def main() -> None:
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bill", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=402)
    parser.add_argument("--pause-ms", type=int, default=80, help="longest reply")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
