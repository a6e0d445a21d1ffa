"""Decides whether the sandbox speaks the OpenAI format: the real SDK must take it for OpenAI.

Does not cover its faults (test_sandbox_faults.py).
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
from decimal import Decimal
from typing import Literal

import httpx
import jsonschema
import openai
import pytest
from pydantic import BaseModel, Field

from p402.sandbox import FAULTS, MODELS, Manners, Sandbox, catalog_records, serve
from p402.sandbox.__main__ import main
from tests.upstream import Upstream

USER = [{"role": "user", "content": "What is the weather in Paris and Oslo?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


class Running(Upstream):
    """The upstream with one HTTP client: each new one reads the certificates again."""

    http: httpx.Client


@pytest.fixture(scope="module")
def upstream():
    with Running(Manners()) as running, httpx.Client() as running.http:
        yield running


@pytest.fixture
def client(upstream):
    with openai.OpenAI(base_url=upstream.base_url, api_key="sk-test", max_retries=0) as sdk:
        yield sdk


def ask(client, model="sandbox-pro", messages=USER, **more):
    return client.chat.completions.create(model=model, messages=messages, **more)


def test_hello_is_the_matrix_answer(client):
    reply = ask(client, "hello")
    assert reply.choices[0].message.content == "Hello, world!"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 5)
    assert reply.usage.total_tokens == 16
    assert reply.choices[0].finish_reason == "stop"


def test_strict_validation_accepts_both_kinds(upstream):
    sdk = openai.OpenAI(base_url=upstream.base_url, api_key="k", _strict_response_validation=True)
    with sdk:
        assert ask(sdk).choices[0].message.role == "assistant"
        chunks = list(ask(sdk, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("model", [*sorted(MODELS), "hello"])
def test_a_stream_says_what_the_body_says(client, model):
    whole = ask(client, model)
    chunks = list(ask(client, model, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({c.id for c in chunks}) == 1
    if model != "hello":
        assert text.startswith(f"[sandbox:{model}] ")
        assert "No provider key is configured" in text


def test_usage_comes_only_when_asked(client):
    chunks = list(ask(client, stream=True))
    assert all(c.usage is None and c.choices for c in chunks)


def test_the_same_prompt_gets_the_same_text_and_another_one_another(client):
    text = ask(client).choices[0].message.content
    assert ask(client).choices[0].message.content == text
    other = ask(client, messages=[{"role": "user", "content": "Write a poem about rain"}])
    assert other.choices[0].message.content != text
    assert ask(client, seed=7).choices[0].message.content != text or (
        ask(client, seed=8).choices[0].message.content != text
    )


def test_n_choices_whole_and_streamed(client):
    reply = ask(client, n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    texts = {0: "", 1: "", 2: ""}
    for chunk in ask(client, n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert [texts[i] for i in range(3)] == [c.message.content for c in reply.choices]


def test_parallel_tool_calls_and_their_answer(client):
    reply = ask(client, tools=[WEATHER])
    calls = reply.choices[0].message.tool_calls
    assert reply.choices[0].finish_reason == "tool_calls"
    assert len(calls) == 2
    for call in calls:
        arguments = json.loads(call.function.arguments)
        jsonschema.validate(arguments, WEATHER["function"]["parameters"])
    assert {json.loads(call.function.arguments)["city"] for call in calls} == {"Paris", "Oslo"}
    history = [
        *USER,
        reply.choices[0].message.model_dump(exclude_none=True),
        *({"role": "tool", "tool_call_id": call.id, "content": "12"} for call in calls),
    ]
    final = ask(client, messages=history, tools=[WEATHER])
    assert final.choices[0].finish_reason == "stop"
    assert final.choices[0].message.content


def test_tool_fragments_join_to_the_whole(client):
    whole = ask(client, tools=[WEATHER])
    with client.chat.completions.stream(
        model="sandbox-pro", messages=USER, tools=[WEATHER]
    ) as stream:
        fragments = sum(
            1 for event in stream if event.type == "tool_calls.function.arguments.delta"
        )
        final = stream.get_final_completion()
    assert fragments > 4
    assert [c.function.arguments for c in final.choices[0].message.tool_calls] == [
        c.function.arguments for c in whole.choices[0].message.tool_calls
    ]


@pytest.mark.parametrize(
    ("choice", "more", "calls"),
    [
        ("none", {}, 0),
        ("required", {}, 1),
        ("auto", {"parallel_tool_calls": False}, 1),
        ({"type": "function", "function": {"name": "get_weather"}}, {}, 1),
    ],
)
def test_tool_choice(client, choice, more, calls):
    message = ask(client, tools=[WEATHER], tool_choice=choice, **more).choices[0].message
    assert len(message.tool_calls or ()) == calls


def test_custom_tool_and_legacy_function(client):
    custom = ask(client, tools=[{"type": "custom", "custom": {"name": "shell"}}])
    assert custom.choices[0].message.tool_calls[0].custom.name == "shell"
    legacy = ask(client, functions=[WEATHER["function"]])
    assert legacy.choices[0].finish_reason == "function_call"
    assert legacy.choices[0].message.function_call.name == "get_weather"


class Step(BaseModel):
    explanation: str
    output: str


class Person(BaseModel):
    name: str = Field(min_length=2, max_length=40)
    age: int = Field(ge=0, le=130)
    role: Literal["admin", "guest"]
    height_m: float = Field(gt=0.4, lt=2.6)
    steps: list[Step]
    boss: Person | None = None


def test_parse_whole_and_streamed(client):
    reply = client.chat.completions.parse(
        model="sandbox-pro", messages=USER, response_format=Person
    )
    assert isinstance(reply.choices[0].message.parsed, Person)
    with client.chat.completions.stream(
        model="sandbox-pro", messages=USER, response_format=Person
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == reply.choices[0].message.parsed


def test_json_object(client):
    reply = ask(client, response_format={"type": "json_object"})
    assert isinstance(json.loads(reply.choices[0].message.content), dict)


def test_json_object_has_the_keys_that_the_prompt_quotes(client):
    messages = [{"role": "user", "content": "JSON with 'setup' and 'punchline', please"}]
    reply = ask(client, messages=messages, response_format={"type": "json_object"})
    assert set(json.loads(reply.choices[0].message.content)) == {"setup", "punchline"}


def test_quoted_words_become_arguments_unescaped(client):
    messages = [{"role": "user", "content": "Create a customer named '你好啊集团' (Hello Group)"}]
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    tool = {"type": "function", "function": {"name": "create", "parameters": schema}}
    reply = ask(client, messages=messages, tools=[tool], tool_choice="required")
    arguments = reply.choices[0].message.tool_calls[0].function.arguments
    assert "你好啊集团" in arguments


def test_logprobs_whole_and_streamed(client):
    reply = ask(client, logprobs=True, top_logprobs=3)
    rows = reply.choices[0].logprobs.content
    assert "".join(row.token for row in rows) == reply.choices[0].message.content
    assert all(len(row.top_logprobs) == 3 and row.logprob <= 0 for row in rows)
    streamed = [
        row
        for chunk in ask(client, logprobs=True, top_logprobs=3, stream=True)
        if chunk.choices[0].logprobs
        for row in chunk.choices[0].logprobs.content
    ]
    assert streamed == rows


def test_stop_and_length(client):
    text = ask(client).choices[0].message.content
    stopped = ask(client, stop=["key"]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (text[: text.index("key")], "stop")
    short = ask(client, max_tokens=4)
    assert short.choices[0].finish_reason == "length"
    assert short.usage.completion_tokens == 4


def test_reasoning_counts_inside_output_and_grows_with_effort(client):
    counts = {}
    for effort in ("low", "high"):
        usage = ask(client, "sandbox-reasoner", reasoning_effort=effort).usage
        counts[effort] = usage.completion_tokens_details.reasoning_tokens
        assert usage.completion_tokens > counts[effort]
    assert 0 < counts["low"] < counts["high"]
    starved = ask(client, "sandbox-reasoner", max_completion_tokens=10).choices[0]
    assert (starved.finish_reason, starved.message.content) == ("length", "")


def test_a_thinker_shows_its_reasoning(client):
    message = ask(client, "sandbox-thinker").choices[0].message
    assert message.model_extra["reasoning_content"].startswith("Let me think")


def test_vision_parts_are_counted(client):
    pixel = base64.b64encode(b"\x89PNG").decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}}
    seen = [{"role": "user", "content": [{"type": "text", "text": "Describe"}, image]}]
    blind = [{"role": "user", "content": [{"type": "text", "text": "Describe"}]}]
    more = ask(client, "sandbox-vision", seen).usage.prompt_tokens
    assert more > 200 + ask(client, "sandbox-vision", blind).usage.prompt_tokens
    with pytest.raises(openai.BadRequestError):
        ask(client, "sandbox-fast", seen)


def test_a_long_prompt_seen_before_is_cached(client):
    system = {"role": "system", "content": "Rules. " * 1_000}
    ask(client, messages=[system, {"role": "user", "content": "one"}])
    usage = ask(client, messages=[system, {"role": "user", "content": "two"}]).usage
    assert 1_024 <= usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens
    assert usage.prompt_tokens_details.cached_tokens % 128 == 0


def test_models_list_and_retrieve(client):
    assert "sandbox-pro" in [model.id for model in client.models.list()]
    assert client.models.retrieve("sandbox-pro").id == "sandbox-pro"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/nothing")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"messages": None}, 400, "missing_required_parameter", "messages"),
        ({"messages": []}, 400, "empty_array", "messages"),
        ({"messages": "hi"}, 400, "invalid_type", "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value", None),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, 400, None, None),
        ({"model": "gpt-none"}, 404, "model_not_found", None),
        ({"model": None}, 400, None, None),
        ({"p402": {"mode": "cost"}}, 400, None, None),
        ({"n": 0}, 400, "integer_below_minimum_value", "n"),
        ({"n": "2"}, 400, "invalid_type", "n"),
        ({"temperature": 3}, 400, "invalid_value", "temperature"),
        ({"top_logprobs": 3}, 400, None, "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, 400, None, "stream_options"),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400, "array_above_max_length", "stop"),
        ({"tool_choice": "auto"}, 400, None, "tool_choice"),
        ({"reasoning_effort": "high"}, 400, "unsupported_parameter", "reasoning_effort"),
        ({"max_tokens": 0}, 400, "integer_below_minimum_value", "max_tokens"),
        ({"max_tokens": 10**9}, 400, "invalid_value", "max_tokens"),
    ],
)
def test_bad_requests_get_openais_error_object(upstream, change, status, code, param):
    body = {"model": "sandbox-pro", "messages": USER, **change}
    reply = upstream.http.post(f"{upstream.base_url}/chat/completions", json=body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert param is None or error["param"] == param


def test_not_json_wrong_path_wrong_method(upstream):
    url = f"{upstream.base_url}/chat/completions"
    assert upstream.http.post(url, content=b'{"model": NaN}').status_code == 400
    assert upstream.http.post(url, content=b"[" * 100_000).status_code == 400
    assert upstream.http.get(url).status_code == 405
    assert upstream.http.post(f"{upstream.base_url}/completions", json={}).status_code == 404


def test_unknown_keys_pass_unless_strict():
    body = {"model": "hello", "messages": USER, "some_new_knob": 1}
    for strict, status in ((False, 200), (True, 400)):
        with Running(Manners(strict=strict)) as upstream, httpx.Client() as upstream.http:
            reply = upstream.http.post(f"{upstream.base_url}/chat/completions", json=body)
            assert reply.status_code == status


def test_any_model_answers_as_hello_where_that_is_wished():
    body = {"model": "acme-large-v2", "messages": USER}
    with Running() as upstream, httpx.Client() as upstream.http:
        reply = upstream.http.post(f"{upstream.base_url}/chat/completions", json=body).json()
    assert (reply["model"], reply["usage"]["total_tokens"]) == ("acme-large-v2", 16)


def test_the_plain_model_takes_every_parameter_at_once(upstream):
    body = {
        "model": "hello",
        "messages": [{"role": "developer", "content": "string", "name": "name"}],
        "audio": {"format": "wav", "voice": "string"},
        "frequency_penalty": -2,
        "function_call": "none",
        "functions": [{"name": "name", "parameters": {"foo": "bar"}}],
        "logit_bias": {"foo": 0},
        "logprobs": True,
        "max_completion_tokens": 0,
        "max_tokens": 0,
        "metadata": {"foo": "string"},
        "modalities": ["text"],
        "n": 1,
        "parallel_tool_calls": True,
        "prediction": {"content": "string", "type": "content"},
        "presence_penalty": -2,
        "reasoning_effort": "none",
        "response_format": {"type": "text"},
        "seed": -9007199254740991,
        "service_tier": "auto",
        "stop": "\n",
        "store": True,
        "stream": False,
        "stream_options": {"include_obfuscation": True, "include_usage": True},
        "temperature": 1,
        "tool_choice": "none",
        "tools": [{"type": "function", "function": {"name": "n", "parameters": {"foo": "bar"}}}],
        "top_logprobs": 0,
        "top_p": 1,
        "user": "user-1234",
        "verbosity": "low",
        "web_search_options": {"search_context_size": "low"},
    }
    for stream in (False, True):
        reply = upstream.http.post(
            f"{upstream.base_url}/chat/completions", json={**body, "stream": stream}
        )
        assert reply.status_code == 200, reply.text
        assert "world" in reply.text


def test_a_prompt_beyond_the_context_is_refused(client):
    huge = [{"role": "user", "content": "word " * 40_000}]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "sandbox-nano", huge)
    assert caught.value.code == "context_length_exceeded"


def test_the_log_tells_providers_and_connections_apart(upstream):
    upstream.log.clear()
    body = {"model": "hello", "messages": USER}
    with httpx.Client(headers={"authorization": "Bearer sk-secret"}) as http:
        for name in ("", "", "b"):
            http.post(f"{upstream.provider_url(name)}/chat/completions", json=body)
        page = http.get(f"{upstream.provider_url()[:-3]}/_sandbox/log")
    first, second = upstream.log.of("/v1")
    (other,) = upstream.log.of("/b/v1")
    assert first.connection == second.connection == other.connection
    assert first.body == body
    assert first.header("authorization") == "Bearer sk-secret"
    assert (first.billed_prompt_tokens, first.billed_completion_tokens) == (11, 5)
    assert len(page.json()["data"]) == 3
    assert "sk-secret" not in page.text
    upstream.http.delete(f"{upstream.provider_url()[:-3]}/_sandbox/log")
    assert upstream.log.all() == []


def test_the_log_is_bounded():
    with Upstream(log_limit=3) as upstream, httpx.Client() as http:
        for _ in range(5):
            http.post(
                f"{upstream.base_url}/chat/completions", json={"model": "hello", "messages": USER}
            )
        assert [row.number for row in upstream.log.all()] == [3, 4, 5]


def test_a_client_that_leaves_is_noticed_and_billed_for_what_was_made(upstream):
    upstream.log.clear()
    url = f"{upstream.base_url}/chat/completions"
    body = {"model": "sandbox-fault:stall-mid-stream", "messages": USER, "stream": True}
    with upstream.http.stream("POST", url, json=body) as reply:
        next(reply.iter_bytes())
    row = upstream.last()
    upstream.wait_for(lambda: row.aborted)
    assert row.billed_prompt_tokens == 11
    assert 0 < row.billed_completion_tokens < 5


def exchange(url: str, payload: bytes) -> bytes:
    """Raw bytes out, raw bytes in until the server closes."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(payload)
        got = b""
        while part := sock.recv(65_536):
            got += part
    return got


def raw_request(body: bytes, *headers: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


BODY = json.dumps({"model": "hello", "messages": USER}).encode()


def test_chunked_body_expectation_and_pipelining(upstream):
    sized = raw_request(BODY, f"content-length: {len(BODY)}")
    cut = len(BODY) // 2
    chunks = (
        b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (BODY[:cut], BODY[cut:])) + b"0\r\n\r\n"
    )
    chunked = raw_request(chunks, "transfer-encoding: chunked", "connection: close")
    got = exchange(upstream.base_url, sized + sized + chunked)
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert got.count(b"Hello, world!") == 3


def test_expect_100_continue_is_answered_before_the_body(upstream):
    host, port = upstream.base_url.removeprefix("http://").split("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(raw_request(b"", f"content-length: {len(BODY)}", "expect: 100-continue"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(BODY)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200 OK")


def test_what_is_no_http_is_refused_and_closed(upstream):
    assert exchange(upstream.base_url, b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_each_event_is_one_write(upstream):
    body = json.dumps({"model": "hello", "messages": USER, "stream": True}).encode()
    headers = (f"content-length: {len(body)}", "connection: close")
    got = exchange(upstream.base_url, raw_request(body, *headers))
    payload = got.partition(b"\r\n\r\n")[2]
    frames = 0
    while not payload.startswith(b"0\r\n"):
        size, _, rest = payload.partition(b"\r\n")
        frame, payload = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        assert frame.startswith(b"data: ")
        assert frame.endswith(b"\n\n")
        assert frame.count(b"\n\n") == 1
        frames += 1
    assert frames == 1 + 4 + 1 + 1  # role, pieces, finish, [DONE]


def test_catalogue_records_are_exact_and_complete():
    records = catalog_records("http://127.0.0.1:9/v1")
    order = ("provider", "capability", "offer")
    kinds = [order.index(record["t"]) for record in records]
    assert kinds == sorted(kinds)
    providers = {r["id"]: r for r in records if r["t"] == "provider"}
    every = [r for r in records if r["t"] == "offer"]
    offers = [r for r in every if "kind" not in r]
    assert [r["model"] for r in every if r.get("kind") == "embedding"] == ["sandbox-embed"]
    assert providers["sandbox"]["base_url"] == "http://127.0.0.1:9/v1"
    assert providers["sandbox-b"]["base_url"] == "http://127.0.0.1:9/b/v1"
    assert "lpu" in {provider.get("hardware") for provider in providers.values()}
    assert {offer["model"] for offer in offers} == set(MODELS)
    assert {offer["provider"] for offer in offers} == set(providers)
    scored = {r["model"] for r in records if r["t"] == "capability"}
    for record in records:
        assert None not in record.values()
    for offer in offers:
        model = MODELS[offer["model"]]
        band = offer["prices"][0]["bands"][0]
        assert offer["capability"]["model"] in scored
        assert all(type(rate) is int for rate in band.values())
        if offer.get("home"):
            assert Decimal(band["in"]) / 10**6 == Decimal(model.input_usd_per_mtok)
            assert Decimal(band["out"]) / 10**6 == Decimal(model.output_usd_per_mtok)
    homes = [offer["model"] for offer in offers if offer.get("home")]
    assert sorted(homes) == sorted(MODELS)


async def test_speed_makes_it_wait_as_the_table_says():
    sandbox = Sandbox(speed=0.2)
    url = await sandbox.start()
    loop = asyncio.get_running_loop()
    body = {"model": "sandbox-fast", "messages": USER, "max_tokens": 30}
    async with httpx.AsyncClient() as http:
        start = loop.time()
        reply = await http.post(f"{url}/chat/completions", json=body)
        took_s = loop.time() - start
    await sandbox.stop()
    model = MODELS["sandbox-fast"]
    least_s = 0.2 * (0.75 * model.ttft_ms / 1_000 + 30 / model.tokens_per_s)
    assert reply.status_code == 200
    assert took_s >= least_s


async def test_serve_is_an_asyncio_server():
    server = await serve()
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient() as http:
        reply = await http.get(f"http://127.0.0.1:{port}/v1/models")
        assert (await http.get(f"http://127.0.0.1:{port}/_sandbox/log")).status_code == 404
    server.close()
    await server.wait_closed()
    assert reply.json()["object"] == "list"


def test_the_child_process_lives_as_long_as_its_stdin():
    command = [sys.executable, "-m", "p402.sandbox", "--port", "0", "--speed", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        line = child.stdout.readline().split()
        assert line[:2] == ["P402_SANDBOX", "ready"]
        assert httpx.get(f"{line[2]}/models").status_code == 200
        child.stdin.close()
        assert child.wait(10) == 0


def test_the_list_of_faults_explains_each(capsys):
    assert main(["--list-faults"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == sorted(FAULTS)
    assert all(len(line.split()) > 2 for line in listed)
