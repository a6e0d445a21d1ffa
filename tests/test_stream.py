"""Decides whether a stream is true: regular bytes pass, silence is kept company, an end is an end.

Does not go through the faults one by one: test_dispatch.py does.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p402.sandbox import Fault
from tests.gateway import QUICK, Gateway, Told, ask, lone, model, pair
from tests.outcomes import HELLO
from tests.upstream import Upstream

TICK = "[stream]\nusage_wait_ms = 60\nkeepalive_first_ms = 80\nkeepalive_ms = 80\n"
COMMENT = b": p402\n\n"
PLACES = [
    {
        "type": "function",
        "function": {
            "name": "greet",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


class Writes:
    """An upstream that answers with these writes, each in one HTTP chunk of its own."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
            for piece in self.pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")


class Stage:
    """A gateway over `Writes`, on a loop that many examples share."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.writes = Writes()
        self.gateway: Gateway

    async def open(self) -> None:
        self.server = await asyncio.start_server(self.writes.answer, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        text = (
            f'{QUICK}\n[provider.a]\nbase_url = "http://127.0.0.1:{port}/v1"\n'
            f'api_key = "k"\n{model("m-a", "a")}'
        )
        self.gateway = await Gateway(text).__aenter__()

    async def close(self) -> None:
        await self.gateway.__aexit__()
        self.server.close()

    def told(self, pieces: list[bytes], **more: object) -> Told:
        self.writes.pieces = pieces
        return self.runner.run(self.gateway.chat(ask(stream=True, **more)))


@pytest.fixture(scope="module")
def stage():
    with asyncio.Runner() as runner:
        made = Stage(runner)
        runner.run(made.open())
        yield made
        runner.run(made.close())


def chunk_of(delta: object, finish: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return frame_of({"choices": [choice]})


def frame_of(more: dict[str, object]) -> bytes:
    event = {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 1_795_305_600,
        "model": "up-1",
        "system_fingerprint": "fp_ü",
        **more,
    }
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    return b"data: " + text.encode("utf-8", "surrogatepass") + b"\n\n"


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@st.composite
def regular_streams(draw):
    """Frames as OpenAI would send them: (frames before the finish, finish, usage)."""
    n = draw(st.integers(1, 2))
    frames = [chunk_of({"role": "assistant", "content": ""}, index=at) for at in range(n)]
    texts = draw(st.lists(st.tuples(TEXT, st.integers(0, n - 1)), min_size=1, max_size=6))
    frames += [chunk_of({"content": text}, index=at) for text, at in texts]
    frames += [chunk_of({}, "stop", at) for at in range(n - 1)]
    finish = chunk_of({}, draw(st.sampled_from(["stop", "length"])), n - 1)
    counts = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return n, frames, finish, frame_of({"choices": [], "usage": counts})


@st.composite
def cut(draw, raw: bytes):
    """The same bytes in other writes."""
    places = draw(st.lists(st.integers(1, len(raw) - 1), max_size=12))
    places = sorted({0, len(raw), *places})
    return [raw[start:end] for start, end in pairwise(places)]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), stream=regular_streams(), asked=st.booleans())
def test_a_regular_stream_keeps_its_bytes(stage, data, stream, asked):
    n, frames, finish, usage = stream
    raw = b"".join([*frames, finish, usage, b"data: [DONE]\n\n"])
    more = {"stream_options": {"include_usage": True}} if asked else {}
    told = stage.told(data.draw(cut(raw)), n=n, **more)
    assert told.status == 200, told.raw
    before = b"".join(frames)
    assert told.raw[: len(before)] == before
    rest = told.raw[len(before) :].removesuffix(b"data: [DONE]\n\n").split(b"\n\n")[:-1]
    assert told.done
    assert len(rest) == 1 + asked
    # The finish chunk is the upstream's, with one key more at its end.
    own, _, added = rest[0].partition(b',"p402_metadata":')
    assert own + b"}\n\n" == finish
    metadata = json.loads(added[:-1])
    assert (metadata["input_tokens"], metadata["output_tokens"]) == (9, 5)
    if asked:
        last = json.loads(rest[1][6:])
        assert last.pop("p402_metadata").keys() == metadata.keys()
        assert last["usage"].pop("cost") == metadata["cost_usd"]
        wanted = json.loads(usage[6:])
        assert {**last, "usage": None} == {**wanted, "usage": None}
        assert wanted["usage"].items() <= last["usage"].items()


@settings(max_examples=30, deadline=None)
@given(data=st.data(), stream=regular_streams())
def test_a_stream_cut_anywhere_never_ends_cleanly(stage, data, stream):
    n, frames, finish, _ = stream
    raw = b"".join([*frames, finish])
    end = data.draw(st.integers(1, len(raw) - 3))
    told = stage.told(data.draw(cut(raw[:end])) if end > 1 else [raw[:1]], n=n)
    assert b"[DONE]" not in told.raw
    if told.status == 200:
        assert told.events[-1]["error"]["code"] == "upstream_stream_cut"
    else:
        assert (told.status, told.error["code"]) == (502, "all_attempts_failed")


async def test_silence_before_the_first_content_gets_comments_and_an_early_head(up):
    up.broken("slow-first-byte", "/a/v1", ms=350)
    async with Gateway(lone(up, TICK)) as gateway:
        told = await gateway.chat(ask(stream=True))
    assert told.text == HELLO
    assert told.raw.startswith(COMMENT * 2)
    assert "x-p402-provider" not in told.headers
    assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert told.metadata["provider"] == "a"


async def test_silence_between_contents_gets_comments(up):
    up.broken("stall-mid-stream", "/a/v1", k=3, ms=350)
    async with Gateway(lone(up, TICK)) as gateway:
        told = await gateway.chat(ask(stream=True))
    assert told.text == HELLO
    assert told.headers["x-p402-provider"] == "a"
    before, comment, after = told.raw.partition(COMMENT)
    assert comment
    assert b'"content":","' in before
    assert b'"content":" world"' in after


async def test_from_the_finish_chunk_on_there_is_no_comment(up):
    # Role, four pieces of text and the finish have come; the usage keeps everybody waiting.
    up.broken("stall-mid-stream", "/a/v1", k=6, ms=400)
    text = lone(up, TICK.replace("usage_wait_ms = 60", "usage_wait_ms = 900"))
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask(stream=True))
    assert b": p402" not in told.raw
    assert (told.metadata["input_tokens"], told.metadata["output_tokens"]) == (11, 5)


async def test_usage_that_does_not_come_is_counted_here_and_said_to_be(up):
    up.broken("stall-mid-stream", "/a/v1", k=6)
    async with Gateway(lone(up, TICK)) as gateway:
        body = ask(stream=True, p402={"cost_details": True})
        told = await gateway.chat(body)
    assert told.done
    assert told.text == HELLO
    assert told.metadata["cost_details"]["usage_source"] == "estimated"
    assert told.metadata["output_tokens"] > 0


async def test_after_an_early_head_the_next_provider_still_answers(up):
    up.faults["/a/v1"] = [Fault("slow-first-byte", {"ms": "2500"})]
    async with Gateway(pair(up, TICK)) as gateway:
        told = await gateway.chat(ask(stream=True))
    assert told.raw.startswith(COMMENT)
    assert told.text == HELLO
    assert told.metadata["provider"] == "b"


async def test_after_an_early_head_failure_is_an_error_frame(up):
    up.broken("hang", "/a/v1")
    async with Gateway(lone(up, TICK)) as gateway:
        told = await gateway.chat(ask(stream=True))
        row = await gateway.row(told)
    assert told.status == 200
    assert told.raw.startswith(COMMENT)
    assert told.events[-1]["error"]["code"] == "upstream_timeout"
    assert b"[DONE]" not in told.raw
    assert row["status"] == "released"


@pytest.mark.parametrize("done", [0, 1])
@pytest.mark.parametrize("form", ["object", "string", "named", "chunk"])
async def test_an_error_in_any_wording_ends_the_stream_as_one_error(up, form, done):
    up.broken("error-mid-stream", "/a/v1", form=form, done=done)
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=True))
    assert b"[DONE]" not in told.raw
    errors = [event["error"] for event in told.events if "error" in event]
    assert [error["code"] for error in errors] == ["upstream_error"]
    assert "The server had an error" in errors[0]["message"]
    assert told.events[-1]["p402_metadata"]["cost_usd"] == 0


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
async def test_only_content_commits(up, k):
    up.broken("reset-mid-stream", "/a/v1", k=k)
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(stream=True))
    if k == 1:  # the role alone
        assert told.done
        assert told.headers["x-p402-attempts"] == "2;a=cut"
        return
    assert told.text == "".join(["Hello", ",", " world", "!"][: k - 1])
    assert told.events[-1]["error"]["code"] == "upstream_stream_cut"
    assert not up.log.of("/b/v1")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "tool-no-arguments",
        "tool-no-index",
        "tool-one-index",
        "tool-whole",
        "finish-stop-after-tools",
        "no-role",
        "bare",
        "crlf",
    ],
)
async def test_tool_calls_arrive_as_openai_sends_them(up, name, stream):
    up.broken(name, "/a/v1")
    messages = [{"role": "user", "content": "Greet both Paris and Oslo"}]
    body = ask(stream=stream, tools=PLACES, tool_choice="required")
    text = lone(up).replace('id = "m-a"', 'id = "m-a"\nupstream_id = "sandbox-pro"')
    async with Gateway(text) as gateway:
        told = await gateway.chat({**body, "messages": messages})
    calls, finish = (streamed_calls if stream else whole_calls)(told)
    assert calls, told.raw
    assert finish == "tool_calls"
    for call in calls:
        assert call["id"]
        assert call["name"] == "greet"
        assert isinstance(json.loads(call["arguments"]), dict)
    assert len({call["id"] for call in calls}) == len(calls)


def whole_calls(told: Told):
    choice = told.json["choices"][0]
    calls = [{"id": c["id"], **c["function"]} for c in choice["message"]["tool_calls"]]
    return calls, choice["finish_reason"]


def streamed_calls(told: Told):
    """What an SDK's accumulator makes of it; it needs an index on every fragment."""
    calls: dict[int, dict[str, str]] = {}
    finish = None
    for event in told.events:
        for choice in event["choices"]:
            finish = choice["finish_reason"] or finish
            for part in choice["delta"].get("tool_calls") or ():
                call = calls.setdefault(part["index"], {"id": "", "name": "", "arguments": ""})
                if "id" in part:
                    assert not call["id"], "id only on the first fragment"
                    call["id"] = part["id"]
                call["name"] += part["function"].get("name") or ""
                call["arguments"] += part["function"].get("arguments") or ""
    return list(calls.values()), finish


@asynccontextmanager
async def left(gateway: Gateway, up: Upstream, needle: bytes | None):
    """A streamed request whose client leaves: at once, or once it has read `needle`."""
    async with gateway.call(ask(stream=True)) as call:
        await asyncio.to_thread(up.wait_for, lambda: up.log.of("/a/v1"))
        if needle is not None:
            await call.until(needle)
        call.leave()
        yield asyncio.get_running_loop().time()


async def ended(up: Upstream):
    """The upstream's record of the request, once it is over there."""

    def over():
        return next((r for r in up.log.of("/a/v1") if r.aborted or r.finished), None)

    return await asyncio.to_thread(up.wait_for, over)


# It is heard out to its usage for as long as `drain_ms`, if one more may be (guard.md § 4).
@pytest.mark.parametrize("bound", ["drain_max = 0", "drain_ms = 300"])
@pytest.mark.parametrize("fault", ["hang", "stall-after-head"])
async def test_a_client_that_leaves_before_the_answer_frees_the_upstream(up, fault, bound):
    up.broken(fault, "/a/v1")
    more = f"[stream]\n{bound}\n"
    text = lone(up, more).replace("first_byte_min_ms = 600", "first_byte_min_ms = 20000")
    async with Gateway(text.replace("first_byte_max_ms = 800", "")) as gateway:
        async with left(gateway, up, None) as since:
            record = await ended(up)
            took_s = asyncio.get_running_loop().time() - since
        assert record.aborted
        assert took_s < 1.5
        await gateway.idle()


async def test_a_stream_that_may_not_be_drained_is_cut_at_once(up):
    up.broken("stall-mid-stream", "/a/v1")
    text = lone(up, "[stream]\ndrain_max = 0\n").replace("idle_ms = 500", "idle_ms = 20000")
    async with (
        Gateway(text) as gateway,
        left(gateway, up, b'"Hello"') as since,
    ):
        record = await ended(up)
        took_s = asyncio.get_running_loop().time() - since
    assert record.aborted
    assert took_s < 1.0


async def test_a_reader_who_takes_nothing_stops_the_reading_and_then_counts_as_gone(up):
    up.broken("endless", "/a/v1", count=200_000)
    stream = "[stream]\ndrain_max = 0\nslow_reader_ms = 300\n"
    async with (
        Gateway(lone(up, stream)) as gateway,
        gateway.call(ask(stream=True), unread_max=1) as call,
    ):
        record = await ended(up)
        assert record.aborted
        assert record.events_sent < 100_000
        call.leave()
