"""Decides whether the Anthropic SDK for Python works unchanged against any provider's models.

Does not test the SDK: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from checks import BASE_URL, COST_USD, HELLO, KEY, PIN_KEY, TEXT, check, finish, metadata, raises

client = Anthropic(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20)
pinned = Anthropic(base_url=BASE_URL, api_key=PIN_KEY, max_retries=0, timeout=20)
strict = Anthropic(
    base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20, _strict_response_validation=True
)
ASK: dict[str, Any] = {"model": "hello", "max_tokens": 100, "messages": HELLO}
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
}


def whole() -> None:
    with check("non-stream"):
        done = client.messages.create(**ASK)
        assert [block.type for block in done.content] == ["text"]
        assert done.content[0].text == TEXT
        assert (done.role, done.type, done.stop_reason) == ("assistant", "message", "end_turn")
        assert (done.usage.input_tokens, done.usage.output_tokens) == (11, 5)
        assert done.id.startswith("msg_")
        assert done.model == "hello"
        metadata(done.p402_metadata)
        assert done.to_dict()["p402_metadata"]["cost_usd"] == COST_USD
    with check("headers"):
        raw = client.messages.with_raw_response.create(**ASK)
        found = metadata(raw.parse().p402_metadata)
        assert raw.headers["x-request-id"] == found["request_id"]
        assert float(raw.headers["x-p402-cost-usd"]) == COST_USD
    with check("the request's id"):
        done = client.messages.create(**ASK)
        assert done._request_id == done.p402_metadata["request_id"]
        with client.messages.stream(**ASK) as stream:
            assert stream.response.headers["request-id"].startswith("req_")
            stream.until_done()
        with raises(anthropic.BadRequestError) as caught:
            client.messages.create(**ASK, extra_body={"p402": {"mode": "none"}})
        assert caught[0].request_id.startswith("req_")
    with check("strict validation"):
        metadata(strict.messages.create(**ASK).p402_metadata)
    with check("mode in the body"):
        done = client.messages.create(**ASK, extra_body={"p402": {"mode": "cost"}})
        metadata(done.p402_metadata, "cost")
    with check("mode by header"):
        done = client.messages.create(**ASK, extra_headers={"x-p402-mode": "speed"})
        metadata(done.p402_metadata, "speed")
    with check("system, sampling, stops, a user"):
        done = client.messages.create(
            **ASK,
            system=[{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
            stop_sequences=["END"],
            extra_body={"temperature": 0.5},
            metadata={"user_id": "u-1"},
        )
        assert done.content[0].text == TEXT
    with check("a picture"):
        parts = [{"type": "text", "text": "What is this?"}, PICTURE]
        turn = {"role": "user", "content": parts}
        done = client.messages.create(model="hello", max_tokens=100, messages=[turn])
        assert done.content[0].text == TEXT
    with check("counting"):
        raw = client.messages.with_raw_response.count_tokens(
            model="hello", messages=HELLO, system="Be short.", tools=[TOOL]
        )
        assert 20 < raw.parse().input_tokens < 200
        assert "input_tokens=estimated" in raw.headers["x-p402-warnings"]
    with check("what is not said is named"):
        raw = client.messages.with_raw_response.create(
            **ASK, extra_body={"context_management": {"edits": []}}
        )
        assert "context_management" in raw.headers["x-p402-warnings"]


def tools() -> None:
    ask = {**ASK, "messages": [{"role": "user", "content": "Weather in Paris?"}]}
    with check("tools"):
        done = client.messages.create(**ask, tools=[TOOL], tool_choice={"type": "any"})
        assert done.stop_reason == "tool_use"
        call = done.content[-1]
        assert (call.type, call.name) == ("tool_use", "get_weather")
        assert set(call.input) == {"city"}
    with check("tool result"):
        turns = [
            *ask["messages"],
            {"role": "assistant", "content": [block.to_dict() for block in done.content]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
                ],
            },
        ]
        again = client.messages.create(model="hello", max_tokens=100, messages=turns, tools=[TOOL])
        assert again.content[0].text == TEXT
    with (
        check("tools, stream"),
        client.messages.stream(**ask, tools=[TOOL], tool_choice={"type": "any"}) as stream,
    ):
        final = stream.get_final_message()
        assert final.stop_reason == "tool_use"
        assert set(final.content[-1].input) == {"city"}


def runner() -> None:
    """It would have the server keep the conversation, and goes on by itself where none does."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"18 degrees in {city}"

    for house in ("anthropic-x", "gemini-x"):
        ask: dict[str, Any] = {**ASK, "model": house, "tools": [get_weather]}
        with check(f"tool runner, {house}"):
            final = pinned.beta.messages.tool_runner(**ask).until_done()
            assert final.content[-1].text == TEXT
        with check(f"tool runner, {house}, stream"):
            last = None
            for stream in pinned.beta.messages.tool_runner(**ask, stream=True):
                last = stream.get_final_message()
            assert last is not None
            assert last.content[-1].text == TEXT
    with check("a thread that nobody keeps"), raises(anthropic.BadRequestError) as caught:
        client.beta.messages.create(**ASK, thread={"type": "create"})
    assert caught[0].body["error"]["param"] == "thread"


def streams() -> None:
    with check("raw events"):
        kinds, text, found = [], "", None
        for event in client.messages.create(**ASK, stream=True):
            kinds.append(event.type)
            if event.type == "content_block_delta":
                text += event.delta.text
            if event.type == "message_delta":
                found = metadata(event.p402_metadata)
                assert (event.usage.input_tokens, event.usage.output_tokens) == (11, 5)
        assert text == TEXT
        assert found is not None
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    with check(".stream()"), client.messages.stream(**ASK) as stream:
        assert "".join(stream.text_stream) == TEXT
        final = stream.get_final_message()
        assert final.stop_reason == "end_turn"
        assert (final.usage.input_tokens, final.usage.output_tokens) == (11, 5)
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error event: {fault}"), raises(anthropic.APIError) as caught:
            for _ in pinned.messages.create(**{**ASK, "model": f"fault-{fault}"}, stream=True):
                pass
        assert not caught or caught[0].body["error"]["code"].startswith("upstream")


def own_house() -> None:
    ask: dict[str, Any] = {**ASK, "model": "anthropic-x"}
    with check("Anthropic's own wire"):
        done = pinned.messages.create(**ask)
        assert done.content[0].text == TEXT
        # Its prompt is 10 fresh tokens, 2,000 read from its cache and 300 written to it.
        usage = done.usage
        assert (usage.input_tokens, usage.output_tokens) == (10, 5)
        assert usage.cache_read_input_tokens == 2000
        assert usage.cache_creation_input_tokens == 300
    with check("Anthropic's own wire, thoughts and a call"):
        done = pinned.messages.create(**ask, tools=[TOOL])
        assert [block.type for block in done.content] == ["thinking", "tool_use"]
        assert done.content[0].signature == "c2ln"
    with check("Anthropic's own wire, stream"), pinned.messages.stream(**ask) as stream:
        assert "".join(stream.text_stream) == TEXT


def listed() -> None:
    with check("models are listed"):
        page = client.models.list()
        ids = [model.id for model in page.data]
        assert {"hello", "anthropic-x", "test/hello"} <= set(ids)
        assert not page.has_more
        assert "text-embedding-3-small" not in ids
    with check("models come by the page"):
        assert [model.id for model in client.models.list(limit=7)] == ids
        last = client.models.list(limit=2, before_id=ids[-1])
        assert [model.id for model in last.data] == ids[-3:-1]
        assert last.has_more
    with check("models, strict validation"):
        assert [model.id for model in strict.models.list()] == ids
    with check("one model"):
        found = strict.models.retrieve("test/hello")
        assert (found.id, found.type, found.lifecycle) == ("test/hello", "model", "active")
        assert (found.max_input_tokens, found.max_tokens) == (128_000, 16_384)
        assert found.created_at.year >= 2026
    with check("no such model"), raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert caught[0].body["error"]["type"] == "not_found_error"


async def at_once() -> None:
    own = AsyncAnthropic(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20)
    with check("async"):
        done = await asyncio.gather(*(own.messages.create(**ASK) for _ in range(4)))
        assert [answer.content[0].text for answer in done] == [TEXT] * 4
    with check("async stream"):
        async with own.messages.stream(**ASK) as stream:
            assert (await stream.get_final_message()).content[0].text == TEXT


def errors() -> None:
    with check("a wrong key"), raises(anthropic.AuthenticationError) as caught:
        Anthropic(base_url=BASE_URL, api_key="wrong", max_retries=0).messages.create(**ASK)
    assert caught[0].body["type"] == "error", caught[0].body
    assert caught[0].body["error"]["type"] == "authentication_error"
    with check("no max_tokens"), raises(anthropic.BadRequestError) as caught:
        client.post("/v1/messages", body={"model": "x", "messages": HELLO}, cast_to=object)
    assert caught[0].body["error"]["code"] == "missing_required_parameter"
    with check("a tool of one provider's"), raises(anthropic.BadRequestError) as caught:
        own = {"type": "web_search_20250305", "name": "web_search"}
        client.messages.create(**ASK, tools=[own])
    assert caught[0].body["error"]["type"] == "invalid_request_error"
    assert caught[0].body["error"]["code"] == "unsupported_parameter"
    for fault, kind in (
        ("400", anthropic.BadRequestError),
        ("429", anthropic.RateLimitError),
        ("500", anthropic.APIStatusError),
    ):
        with check(f"upstream {fault}"), raises(kind) as caught:
            pinned.messages.create(**{**ASK, "model": f"fault-{fault}"})
        assert json.dumps(caught[0].body)
        assert caught[0].body["type"] == "error"


whole()
tools()
runner()
streams()
own_house()
listed()
asyncio.run(at_once())
errors()
finish()
