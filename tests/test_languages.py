"""Decides whether OpenAI clients reach providers of other languages through the gateway unawares.

Does not test the codecs case by case: the Rust tests hold that matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.bedrock import ID
from tests.gateway import QUICK, Gateway, Told, ask, model
from tests.languages import Foreign
from tests.serving import Served

PRICES = """cache_read_usd_per_mtok = "0.1"
cache_write_usd_per_mtok = "1.25"
reasoning = true
files = true
"""
RED = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/"
    "pLvAAAAAElFTkSuQmCC"
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
# 10 fresh at $1, 2,000 read at $0.10, 300 written at $1.25, 5 out at $1 per million; and Gemini's
# 10 fresh, 2,000 read, 12 out: thoughts are billed.
COST = {"anthropic": 0.00059, "gemini": 0.000222, "bedrock": 0.00059}
INPUT = {"anthropic": 2310, "gemini": 2010, "bedrock": 2310}
OUTPUT = {"anthropic": 5, "gemini": 12, "bedrock": 5}
LANGUAGES = ["anthropic", "gemini", "bedrock"]
MODES = [False, True]


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    """An upstream of both languages."""
    with Foreign() as running:
        yield running


def config(foreign: Foreign, language: str) -> str:
    """One provider of this language, with one model."""
    return (
        f'[routing]\nmode = "cost"\n{QUICK}\n[provider.{language}]\ndialect = "{language}"\n'
        f'base_url = "{foreign.url(language)}"\nauth = "{AUTH[language]}"\n'
        f'api_key = ["{KEY.get(language, "")}sk-{language}"]\nflags = []\n'
        f"{model('m-x', language, more=PRICES)}"
    )


AUTH = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "bedrock": "sigv4"}
# Who signs; the secret follows.
KEY = {"bedrock": f"{ID}:"}


def calls_of(told: Told) -> list[Any]:
    """The tool calls of a reply, streamed or not."""
    if told.raw.startswith(b"{"):
        return list(told.json["choices"][0]["message"]["tool_calls"])
    calls: list[Any] = []
    for event in told.events:
        for choice in event["choices"]:
            for fragment in choice["delta"].get("tool_calls", []):
                if fragment["index"] == len(calls):
                    calls.append(fragment)
                else:
                    arguments = fragment["function"]["arguments"]
                    calls[fragment["index"]]["function"]["arguments"] += arguments
    return calls


@pytest.mark.parametrize("stream", MODES)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_text_costs_what_its_caches_cost(
    foreign: Foreign, language: str, *, stream: bool
) -> None:
    async with Gateway(config(foreign, language)) as gateway:
        told = await gateway.chat(ask(stream=stream))
    assert told.status == 200, told.raw
    assert told.text == "Hello, world!"
    assert told.metadata["cost_usd"] == COST[language]
    assert told.metadata["input_tokens"] == INPUT[language]
    assert told.metadata["output_tokens"] == OUTPUT[language]
    assert told.metadata["provider"] == language
    if stream:
        assert told.done


@pytest.mark.parametrize("stream", MODES)
@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_tool_loop_keeps_its_thoughts(
    foreign: Foreign, language: str, *, stream: bool, echo: bool
) -> None:
    """Whether the client sends the signatures back or not."""
    body = ask(stream=stream, tools=[WEATHER])
    async with Gateway(config(foreign, language)) as gateway:
        told = await gateway.chat(body)
        assert told.status == 200, told.raw
        call = calls_of(told)[0]
        assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
        if not stream:
            assert told.json["choices"][0]["message"]["reasoning_content"] == "I must look."
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        if echo and not stream:
            message = told.json["choices"][0]["message"]
        elif not echo:
            call.pop("extra_content", None)
        result = {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"}
        again = await gateway.chat({**body, "messages": [*body["messages"], message, result]})
    assert again.status == 200, again.raw
    assert again.text == "Hello, world!"
    sent = foreign.seen[-1][2]
    if language == "anthropic":
        kinds = [block["type"] for block in sent["messages"][1]["content"]]
        assert kinds == ["thinking", "tool_use"]
        assert sent["messages"][1]["content"][0]["signature"] == "c2ln"
    elif language == "bedrock":
        thought, call = sent["messages"][1]["content"]
        assert thought["reasoningContent"]["reasoningText"]["signature"] == "c2ln"
        assert call["toolUse"]["input"] == {"city": "Paris"}
    else:
        assert sent["contents"][1]["parts"][0]["thoughtSignature"] == "c2ln"
        response = sent["contents"][2]["parts"][0]["functionResponse"]
        assert response == {"name": "get_weather", "response": {"result": "18 degrees"}}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_picture_is_seen(foreign: Foreign, language: str) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": RED}},
    ]
    body = ask() | {"messages": [{"role": "user", "content": parts}]}
    async with Gateway(config(foreign, language)) as gateway:
        told = await gateway.chat(body)
    assert told.status == 200, told.raw
    assert told.text == "A red square."


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_is_not_said_is_named(foreign: Foreign, language: str) -> None:
    async with Gateway(config(foreign, language)) as gateway:
        told = await gateway.chat(ask(logit_bias={"1": 1}, verbosity="low"))
        two = await gateway.chat(ask(model=f"{language}/m-x", n=2))
    assert told.headers["x-p402-warnings"] == "dropped=logit_bias,verbosity"
    assert two.status == 400
    assert len(foreign.seen) == 1


async def test_a_link_goes_only_where_links_are_read(foreign: Foreign) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = ask() | {"messages": [{"role": "user", "content": [part]}]}
    async with Gateway(config(foreign, "gemini")) as gateway:
        told = await gateway.chat(body)
    assert told.status == 400
    assert "link" in told.raw.decode()
    async with Gateway(config(foreign, "anthropic")) as gateway:
        told = await gateway.chat(body)
    assert told.status == 200
    source = foreign.seen[-1][2]["messages"][0]["content"][0]["source"]
    assert source == {"type": "url", "url": "https://example.com/a.png"}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_refused_key_is_not_the_clients(foreign: Foreign, language: str) -> None:
    text = config(foreign, language).replace(f"sk-{language}", "sk-wrong")
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask())
    assert told.status == 502
    assert told.error["code"] == "all_attempts_failed"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_openai_sdk_cannot_tell(foreign: Foreign, language: str, tmp_path: Path) -> None:
    """A real process and the real client: text, stream with usage, tools, a picture."""
    file = tmp_path / "p402.toml"
    file.write_text(config(foreign, language))
    user: Any = [{"role": "user", "content": "Say hello"}]
    seen: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": RED}},
            ],
        }
    ]
    tools: Any = [WEATHER]
    with Served(file) as gateway:
        client = OpenAI(base_url=gateway.base_url, api_key="none", max_retries=0)
        whole = client.chat.completions.create(model="m-x", messages=user)
        assert whole.choices[0].message.content == "Hello, world!"
        assert whole.usage is not None
        assert whole.usage.prompt_tokens_details is not None
        assert whole.usage.prompt_tokens_details.cached_tokens == 2000
        picture = client.chat.completions.create(model="m-x", messages=seen)
        assert picture.choices[0].message.content == "A red square."
        with client.chat.completions.stream(
            model="m-x", messages=user, stream_options={"include_usage": True}
        ) as stream:
            final = stream.get_final_completion()
        assert final.choices[0].message.content == "Hello, world!"
        assert final.usage is not None
        assert final.usage.completion_tokens == OUTPUT[language]
        with client.chat.completions.stream(model="m-x", messages=user, tools=tools) as stream:
            called = stream.get_final_completion().choices[0]
        assert called.finish_reason == "tool_calls"
        assert called.message.tool_calls is not None
        assert called.message.tool_calls[0].function.arguments == '{"city": "Paris"}'
