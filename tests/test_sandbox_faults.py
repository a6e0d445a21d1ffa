"""Decides whether every fault of the sandbox does what its line in the table says.

Does not judge how a gateway survives them.
"""

from __future__ import annotations

import json
import socket
import struct

import httpx
import openai
import pytest

from p402.sandbox import FAULTS, Fault
from p402.sandbox.breaks import BREAKS
from p402.sandbox.denials import DENIALS
from p402.sandbox.framings import FRAMINGS
from p402.sandbox.shapes import SHAPES
from tests.upstream import Upstream

USER = [{"role": "user", "content": "Say hello to Paris and Oslo"}]
TOOLS = [
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
SILENT = {"hang", "stall-after-head", "stall-mid-stream"}
DONE = b"data: [DONE]\n\n"
FINISH = b'"finish_reason":"stop"'


class Running(Upstream):
    """The upstream with one HTTP client: each new one reads the certificates again."""

    http: httpx.Client


@pytest.fixture(scope="module")
def upstream():
    with Running() as running, httpx.Client() as running.http:
        yield running


class Wire:
    """A raw reply: all bytes until the end, and how the end came."""

    def __init__(self, base_url, fault, *, stream=True, quiet_s=0.3, **more):
        body = {"model": f"sandbox-fault:{fault}", "messages": USER, "stream": stream, **more}
        if stream:
            body["stream_options"] = {"include_usage": True}
        payload = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            f"content-length: {len(payload)}\r\n\r\n"
        )
        host, port = base_url.split("/")[2].split(":")
        self.raw = b""
        self.end = "fin"
        self.reads = 0
        with socket.create_connection((host, int(port)), timeout=quiet_s) as sock:
            sock.sendall(head.encode() + payload)
            try:
                while part := sock.recv(65_536):
                    self.raw += part
                    self.reads += 1
            except ConnectionResetError:
                self.end = "rst"
            except TimeoutError:
                self.end = "silence"
        self.head, _, self.payload = self.raw.partition(b"\r\n\r\n")
        self.chunked = b"transfer-encoding: chunked" in self.head
        self.body, self.whole = self._unchunk() if self.chunked else (self.payload, True)

    @property
    def status(self):
        return int(self.head.split(b" ", 2)[1]) if self.head else None

    @property
    def events(self):
        frames = self.body.removeprefix(b"\xef\xbb\xbf").split(b"\n\n")
        return [
            json.loads(frame[6:])
            for frame in frames
            if frame.startswith(b"data: {") and frame.endswith(b"}")
        ]

    def _unchunk(self):
        body, rest = b"", self.payload
        while rest:
            size, found, rest = rest.partition(b"\r\n")
            if not found or len(rest) < int(size, 16) + 2:
                return body + rest, False
            if int(size, 16) == 0:
                return body, True
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return body, False


@pytest.fixture
def wire(upstream):
    return lambda fault, **more: Wire(upstream.base_url, fault, **more)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_plays_in_both_kinds_and_spares_the_server(upstream, wire, name, stream):
    spec = {"slow-first-byte": ",ms=20", "slow-tokens": ",ms=1", "endless": ",count=50"}
    bent = wire(f"{name}{spec.get(name, '')}", stream=stream, tools=None)
    assert upstream.last().fault == name
    assert (bent.end == "silence") == (name in SILENT)
    after = upstream.http.post(
        f"{upstream.base_url}/chat/completions", json={"model": "hello", "messages": USER}
    )
    assert after.json()["choices"][0]["message"]["content"] == "Hello, world!"


@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"one-blob"}))
def test_every_fault_differs_from_the_regular_reply(wire, name):
    spec = {"slow-first-byte": ",ms=600", "slow-tokens": ",ms=600", "endless": ",count=50"}
    kinds = ({"tools": TOOLS}, {}, {"stream": False})
    bent = [fresh(wire(f"{name}{spec.get(name, '')}", **kind)) for kind in kinds]
    assert bent != [fresh(wire("crlf,p=0", **kind)) for kind in kinds]


def test_one_blob_is_one_write_of_the_regular_stream(wire):
    assert wire("one-blob").reads == 1
    assert fresh(wire("one-blob")) == fresh(wire("crlf,p=0"))


def fresh(wire):
    """What two regular replies share: everything but ids, times and call ids."""
    frames = []
    for frame in wire.body.split(b"\n\n"):
        try:
            event = json.loads(frame.removeprefix(b"data: "))
        except ValueError:
            frames.append(frame)
            continue
        if isinstance(event, dict) and str(event.get("id")).startswith("chatcmpl-"):
            same_id = len(event["id"]) == 33
            event = {**event, "id": same_id, "created": event.get("created", 0) > 10**9}
            for choice in event.get("choices", ()):
                for call in (choice.get("delta") or {}).get("tool_calls", ()):
                    call.pop("id", None)
        if isinstance(event, dict) and str(event.get("model")).startswith("sandbox-fault"):
            event["model"] = "x"
        frames.append(event)
    content_type = wire.head.partition(b"content-type: ")[2].partition(b"\r\n")[0]
    writes = wire.payload.count(b"\r\n")
    return wire.status, wire.end, wire.whole, wire.chunked, content_type, writes, frames


def test_the_table_is_four_disjoint_families():
    families = (DENIALS, BREAKS, FRAMINGS, SHAPES)
    assert sum(len(family) for family in families) == len(FAULTS)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("401", openai.AuthenticationError),
        ("403", openai.PermissionDeniedError),
        ("404", openai.NotFoundError),
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("503", openai.InternalServerError),
        ("529", openai.InternalServerError),
        ("content-filter", openai.BadRequestError),
        ("close-before-head", openai.APIConnectionError),
        ("reset-before-head", openai.APIConnectionError),
    ],
)
def test_the_sdk_raises_its_own_class(upstream, name, error):
    with (
        openai.OpenAI(base_url=upstream.base_url, api_key="k", max_retries=0) as sdk,
        pytest.raises(error),
    ):
        sdk.chat.completions.create(model=f"sandbox-fault:{name}", messages=USER)


def test_retry_after_is_the_parameter(wire):
    head = wire("429,after=7,after_ms=6500").head.lower()
    assert b"retry-after: 7" in head
    assert b"retry-after-ms: 6500" in head
    assert b"retry-after" not in wire("503").head.lower()


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize(
    ("name", "end", "whole"),
    [
        ("close-mid-stream", "fin", False),
        ("reset-mid-stream", "rst", False),
        ("clean-cut", "fin", True),
        ("stall-mid-stream", "silence", False),
    ],
)
def test_cuts_come_after_k_events(wire, name, end, whole, k):
    bent = wire(f"{name},k={k}")
    assert (bent.end, bent.whole, len(bent.events)) == (end, whole, k)
    assert DONE not in bent.body


def test_cut_mid_frame_leaves_half_an_event(wire):
    bent = wire("cut-mid-frame,k=2")
    assert len(bent.events) == 2
    assert bent.body.rpartition(b"\n\n")[2].startswith(b'data: {"id"')
    assert not bent.whole


def test_a_truncated_body_breaks_its_promised_length(wire):
    bent = wire("close-mid-stream", stream=False)
    promised = int(bent.head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert 0 < len(bent.payload) < promised


def test_after_head_cuts_show_a_head_and_nothing_else(wire):
    for name, end in (("close-after-head", "fin"), ("reset-after-head", "rst")):
        bent = wire(name)
        assert (bent.status, bent.body, bent.end) == (200, b"", end)


def test_a_stall_with_a_length_ends(wire):
    bent = wire("stall-mid-stream,k=2,ms=50")
    assert bent.whole
    assert bent.body.endswith(DONE)


def test_framings_keep_the_json(wire):
    sound = wire("crlf,p=0")
    for name in ("bom", "byte-by-byte", "one-blob", "no-done", "after-done", "sized-sse"):
        assert len(wire(name).events) == len(sound.events), name
    assert wire("no-done").events[-1]["usage"] == sound.events[-1]["usage"]
    assert DONE not in wire("no-done").body
    crlf = wire("crlf").body
    assert crlf.count(b"\r\n\r\n") == len(sound.events) + 1
    assert b"\n" not in wire("bare-cr").body
    assert wire("bom").body.startswith(b"\xef\xbb\xbfdata: ")


@pytest.mark.parametrize("form", ["object", "string", "named", "chunk"])
def test_error_events_come_after_k_and_end_without_finish(wire, form):
    bent = wire(f"error-mid-stream,k=2,form={form}")
    assert bent.whole
    assert b'"error"' in bent.body
    assert FINISH not in bent.body
    assert DONE not in bent.body
    assert wire(f"error-mid-stream,form={form},done=1").body.endswith(DONE)


USAGE = {
    "usage-negative": lambda u: u["completion_tokens"] < 0,
    "usage-fractional": lambda u: u["prompt_tokens"] % 1,
    "usage-huge": lambda u: u["completion_tokens"] >= 2**63,
    "usage-text": lambda u: isinstance(u["prompt_tokens"], str),
    "usage-cached-above-prompt": lambda u: (
        u["prompt_tokens_details"]["cached_tokens"] > u["prompt_tokens"]
    ),
    "usage-reasoning-above-output": lambda u: (
        u["completion_tokens_details"]["reasoning_tokens"] > u["completion_tokens"]
    ),
    "usage-partial": lambda u: "completion_tokens" not in u,
    "usage-bad-total": lambda u: u["total_tokens"] != u["prompt_tokens"] + u["completion_tokens"],
    "usage-zero": lambda u: u["total_tokens"] == 0,
    "usage-cost": lambda u: u["cost"] == 0.5,
    "usage-beside": lambda u: (
        u["total_tokens"]
        == u["prompt_tokens"]
        + u["completion_tokens"]
        + u["completion_tokens_details"]["reasoning_tokens"]
    ),
    "usage-beside-caches": lambda u: (
        {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"} < u.keys()
    ),
    "usage-beside-thoughts": lambda u: u["thoughtsTokenCount"] > u["candidatesTokenCount"],
    "usage-writes": lambda u: u["prompt_tokens_details"]["cache_write_tokens"] > 0,
    "usage-split": lambda u: (
        u["prompt_cache_hit_tokens"] + u["prompt_cache_miss_tokens"] == u["prompt_tokens"]
    ),
}


@pytest.mark.parametrize("name", sorted(USAGE))
def test_wrong_usage_is_wrong_whole_and_streamed(wire, name):
    assert USAGE[name](wire(name).events[-1]["usage"])
    assert USAGE[name](json.loads(wire(name, stream=False).body)["usage"])


def test_where_usage_stands(wire):
    def places(name):
        return [bool(event.get("usage")) for event in wire(name).events]

    assert places("usage-missing") == [False] * 6
    assert places("usage-on-finish") == [False] * 5 + [True]
    assert all(places("usage-on-every-chunk"))
    assert places("usage-twice") == [False] * 6 + [True, True]
    assert "usage" not in json.loads(wire("usage-missing", stream=False).body)
    counts = [e["usage"]["completion_tokens"] for e in wire("usage-on-every-chunk").events]
    assert counts == sorted(counts)
    assert counts[-1] == 5


def calls_of(wire):
    return [
        call
        for event in wire.events
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]


def test_tool_faults(wire):
    assert {c["index"] for c in calls_of(wire("crlf,p=0", tools=TOOLS))} == {0, 1}
    assert not any("index" in call for call in calls_of(wire("tool-no-index", tools=TOOLS)))
    assert {c["index"] for c in calls_of(wire("tool-one-index", tools=TOOLS))} == {0}
    bare = calls_of(wire("tool-no-arguments", tools=TOOLS))
    assert len(bare) == 2
    assert not any("arguments" in call["function"] for call in bare)
    whole = wire("tool-whole", tools=TOOLS)
    assert [json.loads(c["function"]["arguments"]) for c in calls_of(whole)]
    assert FINISH in whole.body
    assert FINISH in wire("finish-stop-after-tools", tools=TOOLS).body


def test_finish_and_role_faults(wire):
    assert b'"end_turn"' in wire("finish-foreign").body
    assert b'"eos"' in wire("finish-foreign,reason=eos", stream=False).body
    assert FINISH not in wire("no-finish").body
    assert DONE in wire("no-finish").body
    assert b'"role"' not in wire("no-role").body
    assert len({event["id"] for event in wire("changing-ids").events}) > 5
    assert wire("empty-choices-first").events[0]["choices"] == []
    assert "choices" not in wire("chunk-without-choices").events[1]


def test_the_other_kind_than_asked(wire):
    assert json.loads(wire("json-for-stream").body)["object"] == "chat.completion"
    assert DONE in wire("sse-for-json", stream=False).body


def test_a_header_asks_for_a_fault_and_wins(upstream):
    reply = upstream.http.post(
        f"{upstream.base_url}/chat/completions",
        json={"model": "sandbox-pro", "messages": USER},
        headers={"x-sandbox-fault": "429;after=3"},
    )
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("spec", ["nonsense", "429,colour=red", "429,p=often", "clean-cut,k=x"])
def test_unknown_faults_and_parameters_are_refused(upstream, spec):
    reply = upstream.http.post(
        f"{upstream.base_url}/chat/completions",
        json={"model": f"sandbox-fault:{spec}", "messages": USER, "stream": True},
    )
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unknown_fault")


def post(upstream, name="", model="hello"):
    return upstream.http.post(
        f"{upstream.provider_url(name)}/chat/completions", json={"model": model, "messages": USER}
    ).status_code


def test_one_provider_breaks_and_the_other_stands(upstream):
    fault = upstream.broken("503", "/v1")
    assert [post(upstream), post(upstream, "b")] == [503, 200]
    assert fault.hits == 1
    upstream.faults.clear()
    assert post(upstream) == 200


def test_a_count_is_spent_and_the_next_fault_follows(upstream):
    upstream.faults["/c/v1"] = [Fault("500", count=2), Fault("429", count=1)]
    assert [post(upstream, "c") for _ in range(4)] == [500, 500, 429, 200]


def test_a_model_breaks_and_its_neighbour_stands(upstream):
    upstream.faults["/d/v1"] = Fault("404", model="sandbox-pro")
    assert [post(upstream, "d", m) for m in ("sandbox-pro", "sandbox-mini")] == [404, 200]


def test_a_probability_strikes_its_share_and_repeats(upstream):
    upstream.faults["/e/v1"] = fault = Fault("500", probability=0.3)
    statuses = [post(upstream, "e") for _ in range(200)]
    assert statuses.count(500) == fault.hits
    assert 35 <= fault.hits <= 85


def test_a_slow_reader_holds_the_script(upstream):
    body = {"model": "sandbox-fault:endless,count=200000", "messages": USER, "stream": True}
    payload = json.dumps(body).encode()
    host, port = upstream.base_url.split("/")[2].split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.connect((host, int(port)))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n"
    sock.sendall(head.encode() + b"\r\n" + payload)
    assert sock.recv(1_024).startswith(b"HTTP/1.1 200")
    assert post(upstream) == 200  # others are served meanwhile
    row = next(r for r in upstream.log.of("/v1") if r.model == body["model"])
    assert row.events_sent < 150_000
    sock.close()
    upstream.wait_for(lambda: row.aborted)
