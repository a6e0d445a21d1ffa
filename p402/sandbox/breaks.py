"""Decides how a reply dies or drags: silence, stalls, cuts and truncated bodies.

Does not change what is said before the break.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from p402.sandbox.faults import Fault, FaultKind
from p402.sandbox.perform import (
    Job,
    bill_prompt,
    extra_headers,
    first_wait,
    open_stream,
    regular,
)
from p402.sandbox.reply import Chunk, dumps
from p402.sandbox.script import (
    FOREVER,
    JSON_TYPE,
    LAST_CHUNK,
    SSE_TYPE,
    Cut,
    Script,
    Step,
    Wait,
    chunk,
    head,
    sized,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

AFTER = {"k": "3"}


def inserted(script: Script, after: int, extra: Step) -> Script:
    """The script with one more step behind the head and `after` events."""
    missing = after + 1
    for step in script:
        if missing == 0:
            yield extra
            missing = -1
        missing -= isinstance(step, bytes) and missing > 0
        yield step


def _hang(_: Job, __: Fault) -> Script:
    yield FOREVER


def _slow_first_byte(job: Job, fault: Fault) -> Script:
    yield Wait(fault.number("ms") / 1_000)
    yield from regular(job)


def _slow_tokens(job: Job, fault: Fault) -> Script:
    pause = Wait(fault.number("ms") / 1_000)
    for step in regular(job):
        yield step
        if isinstance(step, bytes):
            yield pause


def _before_head(how: Cut) -> FaultKind:
    def play(job: Job, _: Fault) -> Script:
        yield from first_wait(job)
        yield how

    return FaultKind(f"{how.value.upper()} instead of a reply", play)


def _after_head(job: Job, end: Cut | Wait) -> Script:
    """Head alone, then the end."""
    yield from first_wait(job)
    bill_prompt(job)
    job.record.status = 200
    if job.request.stream:
        yield head(200, SSE_TYPE, extra_headers(job), None)
    else:
        yield head(200, JSON_TYPE, extra_headers(job), len(dumps(job.completion())))
    yield end


def _mid(job: Job, fault: Fault, end: Cut | Wait) -> Script:
    """The first `k` events (or half of the body), then the end."""
    if job.request.stream:
        yield from open_stream(job, islice(job.chunks(), fault.integer("k")))
    else:
        yield from half_body(job)
    yield end


def half_body(job: Job) -> Script:
    """Head and half of the body; the length promises all of it."""
    yield from first_wait(job)
    bill_prompt(job)
    job.record.billed_completion_tokens = job.counts.completion
    job.record.status = 200
    whole = sized(200, JSON_TYPE, extra_headers(job), dumps(job.completion()))
    body = len(whole) - whole.index(b"\r\n\r\n") - 4
    yield whole[: len(whole) - body // 2]


def _mid_frame(job: Job, fault: Fault) -> Script:
    """`k` whole events, half of the next one, FIN."""
    if not job.request.stream:
        yield from half_body(job)
        yield Cut.FIN
        return
    events = job.chunks()
    yield from open_stream(job, islice(events, fault.integer("k")))
    event = next(events, None)
    if event is not None:
        frame = b"data: " + dumps(event.body)
        yield chunk(frame[: len(frame) // 2])
    yield Cut.FIN


def _stall(job: Job, fault: Fault) -> Script:
    """`k` events, a pause, the rest; forever without `ms`."""
    seconds = fault.number("ms") / 1_000
    pause = Wait(seconds) if seconds else FOREVER
    if not job.request.stream:
        yield from _mid(job, fault, pause)
        return
    yield from inserted(regular(job), fault.integer("k"), pause)


def _clean_end(job: Job, fault: Fault) -> Script:
    """`k` events and a proper end of the HTTP body: only the missing finish tells."""
    if not job.request.stream:
        yield from first_wait(job)
        bill_prompt(job)
        job.record.status = 200
        body = dumps(job.completion())
        yield sized(200, JSON_TYPE, extra_headers(job), body[: len(body) // 2])
        return
    yield from open_stream(job, islice(job.chunks(), fault.integer("k")))
    yield LAST_CHUNK


def _empty(job: Job, _: Fault) -> Script:
    yield from first_wait(job)
    job.record.status = 200
    kind = SSE_TYPE if job.request.stream else JSON_TYPE
    yield sized(200, kind, extra_headers(job), b"")


def _endless(job: Job, fault: Fault) -> Script:
    """The same content event again and again, `count` times, never a finish."""
    if not job.request.stream:
        yield from regular(job)
        return
    yield from open_stream(job, _repeated(job, fault.integer("count")))
    yield Cut.FIN


def _repeated(job: Job, count: int) -> Iterator[Chunk]:
    events = job.chunks()
    yield next(events)
    again = next(events)
    for _ in range(count):
        yield again


BREAKS: dict[str, FaultKind] = {
    "hang": FaultKind("accepts the request and never answers", _hang),
    "slow-first-byte": FaultKind("`ms` of silence, then regular", _slow_first_byte, {"ms": "2000"}),
    "slow-tokens": FaultKind("`ms` after every write", _slow_tokens, {"ms": "50"}),
    "close-before-head": _before_head(Cut.FIN),
    "reset-before-head": _before_head(Cut.RST),
    "close-after-head": FaultKind(
        "FIN between head and first event", lambda job, _: _after_head(job, Cut.FIN)
    ),
    "reset-after-head": FaultKind(
        "RST between head and first event", lambda job, _: _after_head(job, Cut.RST)
    ),
    "stall-after-head": FaultKind("a head, then silence", lambda job, _: _after_head(job, FOREVER)),
    "close-mid-stream": FaultKind(
        "FIN after `k` events, no last HTTP chunk", lambda job, f: _mid(job, f, Cut.FIN), AFTER
    ),
    "reset-mid-stream": FaultKind(
        "RST after `k` events", lambda job, f: _mid(job, f, Cut.RST), AFTER
    ),
    "cut-mid-frame": FaultKind("FIN inside the event after `k` whole ones", _mid_frame, AFTER),
    "stall-mid-stream": FaultKind(
        "silence after `k` events: `ms` long, 0 for ever", _stall, {**AFTER, "ms": "0"}
    ),
    "clean-cut": FaultKind(
        "the HTTP body ends properly after `k` events: no finish, no [DONE]", _clean_end, AFTER
    ),
    "empty-body": FaultKind("status 200 and no body at all", _empty),
    "endless": FaultKind("`count` content events, no finish, FIN", _endless, {"count": "100000"}),
}
