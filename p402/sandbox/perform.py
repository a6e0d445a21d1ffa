"""Decides the script of a regular reply: head, pauses, body or events, end.

Does not misbehave; the faults reuse its parts with one of them bent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p402.sandbox import reply
from p402.sandbox.pace import Metronome, first_wait_s
from p402.sandbox.reply import Chunk, dumps
from p402.sandbox.script import (
    JSON_TYPE,
    LAST_CHUNK,
    SSE_TYPE,
    Script,
    Step,
    Wait,
    chunk,
    head,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from p402.sandbox.answer import Answer, Counts
    from p402.sandbox.journal import Record
    from p402.sandbox.request import ChatRequest

DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Job:
    """All that a script needs to know about the reply it plays."""

    request: ChatRequest
    answers: list[Answer]
    counts: Counts
    record: Record
    speed: float

    def completion(self) -> dict[str, Any]:
        """The body of a reply that is no stream."""
        return reply.completion(self.request, self.answers, self.counts)

    def chunks(self) -> Iterator[Chunk]:
        """The events of a stream."""
        return reply.chunks(self.request, self.answers, self.counts)


class Framing:
    """Server-sent events as OpenAI frames them; faults override one room of it."""

    preface = b""
    done = DONE
    content_type = SSE_TYPE

    def frame(self, event: Chunk) -> bytes:
        """One event as bytes."""
        return b"data: " + dumps(event.body) + b"\n\n"

    def split(self, frame: bytes) -> Iterator[Step]:
        """The writes that carry a frame: one."""
        yield chunk(frame)


REGULAR = Framing()


def regular(job: Job) -> Script:
    """The reply as it should be."""
    return stream(job) if job.request.stream else plain(job)


def plain(job: Job, body: dict[str, Any] | None = None, status: int = 200) -> Script:
    """A whole JSON reply; abandoned it is still billed in full, as providers do."""
    yield from first_wait(job)
    bill_prompt(job)
    job.record.billed_completion_tokens = job.counts.completion
    visible = job.counts.completion - job.counts.reasoning
    if job.speed:
        yield Wait(visible / job.request.model.tokens_per_s * job.speed)
    job.record.status = status
    yield sized(status, JSON_TYPE, extra_headers(job), dumps(body or job.completion()))


def stream(job: Job, events: Iterable[Chunk] | None = None, framing: Framing = REGULAR) -> Script:
    """A whole stream; each event is one write, billed as it leaves."""
    yield from open_stream(job, job.chunks() if events is None else events, framing)
    yield from framing.split(framing.done) if framing.done else ()
    job.record.billed_completion_tokens = job.counts.completion
    yield LAST_CHUNK


def open_stream(job: Job, events: Iterable[Chunk], framing: Framing = REGULAR) -> Script:
    """Head and events of a stream without its end."""
    yield from first_wait(job)
    bill_prompt(job)
    job.record.status = 200
    yield head(200, framing.content_type, extra_headers(job), None)
    if framing.preface:
        yield chunk(framing.preface)
    beat = Metronome(job.request.model.tokens_per_s, job.speed)
    for event in events:
        visible = event.tokens if event.kind != "role" else 0
        if job.speed and visible:
            yield from beat.tick(visible)
        job.record.events_sent += 1
        job.record.billed_completion_tokens += event.tokens
        yield from framing.split(framing.frame(event))


def first_wait(job: Job) -> Script:
    """The silence before the first byte."""
    if job.speed:
        shows = job.request.model.shows_reasoning and job.request.stream
        hidden = 0 if shows else job.counts.reasoning
        seed = job.answers[0].dice_seed
        seconds = first_wait_s(job.request.model, job.counts.prompt, hidden, seed)
        yield Wait(seconds * job.speed)


def bill_prompt(job: Job) -> None:
    """From here on the prompt has been read, so it is paid for."""
    job.record.billed_prompt_tokens = job.counts.prompt


def extra_headers(job: Job) -> dict[str, str]:
    """Headers of a real provider, among them some that no gateway may pass on."""
    return {
        "x-request-id": f"req_sandbox_{job.record.number}",
        "openai-organization": "sandbox",
        "openai-processing-ms": str(job.request.model.ttft_ms),
        "server": "p402-sandbox",
        "set-cookie": "sandbox=1; path=/; HttpOnly",
    }
