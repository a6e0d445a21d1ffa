"""Decides how the frames of a stream deviate: line ends, noise, cuts, foreign or broken JSON.

Does not change the JSON of a chunk where the framing alone is at fault.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from p402.sandbox.breaks import inserted
from p402.sandbox.faults import Fault, FaultKind, Play
from p402.sandbox.perform import (
    DONE,
    Framing,
    Job,
    bill_prompt,
    extra_headers,
    first_wait,
    open_stream,
    plain,
    regular,
    stream,
)
from p402.sandbox.reply import dumps
from p402.sandbox.script import (
    JSON_TYPE,
    LAST_CHUNK,
    SSE_TYPE,
    Script,
    Step,
    Wait,
    chunk,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p402.sandbox.reply import Chunk

BREAK = b"\n\n"
BREATH = Wait(0.0)


class Crlf(Framing):
    """CRLF line ends."""

    done = b"data: [DONE]\r\n\r\n"

    def frame(self, event: Chunk) -> bytes:
        """The regular frame with CRLF."""
        return super().frame(event).replace(b"\n", b"\r\n")


class BareCr(Framing):
    """CR line ends."""

    done = b"data: [DONE]\r\r"

    def frame(self, event: Chunk) -> bytes:
        """The regular frame with CR."""
        return super().frame(event).replace(b"\n", b"\r")


class NoBlank(Framing):
    """`data:` without a blank after it."""

    done = b"data:[DONE]\n\n"

    def frame(self, event: Chunk) -> bytes:
        """No blank."""
        return b"data:" + dumps(event.body) + BREAK


class ManyLines(Framing):
    """The JSON spread over several data lines."""

    def frame(self, event: Chunk) -> bytes:
        """Indented JSON, a data line per line."""
        lines = json.dumps(event.body, indent=1).encode().split(b"\n")
        return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


class Bom(Framing):
    """A byte order mark first."""

    preface = b"\xef\xbb\xbf"


class Noise(Framing):
    """Comments, `id`, `retry`, a named event, empty data, blanks around [DONE]."""

    preface = b": OPENROUTER PROCESSING\n\nretry: 3000\n\n"
    done = b"data:\n\n: done soon\n\ndata:  [DONE] \n\n"

    def frame(self, event: Chunk) -> bytes:
        """The frame amid everything that is to be ignored."""
        return b": ping\n\nid: 7\nevent: message\n" + super().frame(event) + b"data: \n\n"


class ByteByByte(Framing):
    """One byte per HTTP chunk and write."""

    def split(self, frame: bytes) -> Iterator[Step]:
        """Single bytes with the loop in between."""
        for at in range(len(frame)):
            yield chunk(frame[at : at + 1])
            yield BREATH


class NoDone(Framing):
    """No [DONE]."""

    done = b""


class AfterDone(Framing):
    """Blank lines and a comment after [DONE]."""

    done = DONE + b"\n\n: bye\n\n"


def _framed(framing: Framing) -> Play:
    def play(job: Job, _: Fault) -> Script:
        return stream(job, framing=framing) if job.request.stream else plain(job)

    return play


def _one_blob(job: Job, _: Fault) -> Script:
    """All events in one write."""
    if not job.request.stream:
        yield from regular(job)
        return
    yield b"".join(step for step in stream(job) if isinstance(step, bytes))


def _malformed_json(job: Job, fault: Fault) -> Script:
    """Broken JSON: the body, or the event after `k`."""
    return _with_odd_frame(job, fault, b'data: {"id":"chatcmpl-1","choices":[{"ind\n\n', '{"id":')


def _malformed_sse(job: Job, fault: Fault) -> Script:
    """Lines that are no server-sent events after `k`; the body likewise."""
    return _with_odd_frame(job, fault, b"\x00\xff<<<garbage>>> no colon here\ndata\n\n", "\x00")


def _error_event(job: Job, fault: Fault) -> Script:
    """An error object as an event after `k`, in one of four wordings, then the end."""
    message = "The server had an error processing your request."
    frame = {
        "object": b"data: " + dumps({"error": {"message": message, "type": "server_error"}}),
        "string": b"data: " + dumps({"error": message}),
        "named": b"event: error\ndata: " + dumps({"error": {"message": message, "code": 500}}),
        "chunk": b"data: "
        + dumps(
            {
                "id": "gen-1",
                "object": "chat.completion.chunk",
                "error": {"code": 502, "message": message},
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            }
        ),
    }.get(fault.params["form"], b"event: error\ndata: null")
    if not job.request.stream:
        yield from plain(job, {"error": {"message": message, "code": 502}})
        return
    yield from open_stream(job, islice(job.chunks(), fault.integer("k")))
    yield chunk(frame + BREAK)
    if fault.params["done"] == "1":
        yield chunk(DONE)
    yield LAST_CHUNK


def _with_odd_frame(job: Job, fault: Fault, odd: bytes, prefix: str) -> Script:
    """Regular events with one odd frame after `k`."""
    if not job.request.stream:
        yield from first_wait(job)
        bill_prompt(job)
        job.record.status = 200
        yield sized(200, JSON_TYPE, extra_headers(job), prefix.encode() + dumps(job.completion()))
        return
    yield from inserted(stream(job), fault.integer("k"), chunk(odd))


def _json_for_stream(job: Job, _: Fault) -> Script:
    return plain(job)


def _sse_for_json(job: Job, _: Fault) -> Script:
    return stream(job)


def _huge_frame(job: Job, fault: Fault) -> Script:
    """One content event of `kib` KiB."""
    text = "x" * (fault.integer("kib") * 1_024)
    if not job.request.stream:
        body = job.completion()
        body["choices"][0]["message"]["content"] = text
        yield from plain(job, body)
        return
    yield from stream(job, _swollen(job, text))


def _swollen(job: Job, text: str) -> Iterator[Chunk]:
    swollen = False
    for event in job.chunks():
        if event.kind == "content" and not swollen:
            delta: dict[str, Any] = event.body["choices"][0]["delta"]
            delta["content"] = text
            swollen = True
        yield event


def _wrong_type(job: Job, _: Fault) -> Script:
    """The right bytes under the wrong content type."""
    yield from first_wait(job)
    bill_prompt(job)
    job.record.status = 200
    if not job.request.stream:
        yield sized(200, "text/plain", extra_headers(job), dumps(job.completion()))
        return
    frames = [b"data: " + dumps(event.body) + BREAK for event in job.chunks()]
    yield sized(200, JSON_TYPE, extra_headers(job), b"".join(frames) + DONE)


def _sized_sse(job: Job, _: Fault) -> Script:
    """A stream with a content length."""
    if not job.request.stream:
        yield from plain(job)
        return
    yield from first_wait(job)
    bill_prompt(job)
    job.record.status = 200
    frames = [b"data: " + dumps(event.body) + BREAK for event in job.chunks()]
    yield sized(200, SSE_TYPE, extra_headers(job), b"".join(frames) + DONE)


K = {"k": "3"}
FRAMINGS: dict[str, FaultKind] = {
    "crlf": FaultKind("CRLF line ends", _framed(Crlf())),
    "bare-cr": FaultKind("CR line ends", _framed(BareCr())),
    "no-blank": FaultKind("`data:` without a blank", _framed(NoBlank())),
    "many-data-lines": FaultKind("one JSON over several data lines", _framed(ManyLines())),
    "bom": FaultKind("a byte order mark first", _framed(Bom())),
    "noise": FaultKind("comments, id, retry, event: message, empty data", _framed(Noise())),
    "byte-by-byte": FaultKind("one byte per HTTP chunk", _framed(ByteByByte())),
    "one-blob": FaultKind("all events in one write", _one_blob),
    "no-done": FaultKind("finish and usage, but no [DONE]", _framed(NoDone())),
    "after-done": FaultKind("blank lines and a comment after [DONE]", _framed(AfterDone())),
    "malformed-json": FaultKind("broken JSON: body, or the event after `k`", _malformed_json, K),
    "malformed-sse": FaultKind("garbage lines after `k` events", _malformed_sse, K),
    "error-mid-stream": FaultKind(
        "an error event after `k`; form=object|string|named|chunk; done=1 adds [DONE]",
        _error_event,
        {**K, "form": "object", "done": "0"},
    ),
    "error-first-event": FaultKind(
        "status 200 and an error as the first event (forms as above)",
        _error_event,
        {"k": "0", "form": "object", "done": "0"},
    ),
    "json-for-stream": FaultKind("a JSON body although a stream was asked", _json_for_stream),
    "sse-for-json": FaultKind("a stream although none was asked", _sse_for_json),
    "huge-frame": FaultKind("one content event of `kib` KiB", _huge_frame, {"kib": "2048"}),
    "wrong-content-type": FaultKind("text/plain for JSON, JSON for a stream", _wrong_type),
    "sized-sse": FaultKind("a stream with a content length", _sized_sse),
}
