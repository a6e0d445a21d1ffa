"""Decides whether langchain-openai works unchanged.

Does not test LangChain: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import openai
from checks import BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, check, finish, raises
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Weather(BaseModel):
    """The weather of a city."""

    city: str = Field(description="its name")
    celsius: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"mild in {city}"


def _chat(**more: Any) -> ChatOpenAI:
    made = {"model": "hello", "base_url": BASE_URL, "api_key": KEY, "max_retries": 0}
    return ChatOpenAI(**{**made, **more})


def whole() -> None:
    with check("invoke"):
        done = _chat().invoke("Say hello.")
        assert done.content == TEXT
        assert done.usage_metadata["total_tokens"] == 16
        assert done.response_metadata["token_usage"]["cost"] == COST_USD
        assert done.response_metadata["finish_reason"] == "stop"
    with check("the mode in extra_body, headers"):
        chat = _chat(extra_body={"p402": {"mode": "cost"}}, include_response_headers=True)
        headers = chat.invoke("Say hello.").response_metadata["headers"]
        assert headers["x-p402-mode"] == "cost"
        assert float(headers["x-p402-cost-usd"]) == COST_USD
        assert headers["x-request-id"].startswith("req_")
    with check("tools"):
        chat = _chat().bind_tools([get_weather])
        asked = HumanMessage("Weather in Paris?")
        done = chat.invoke([asked])
        assert done.tool_calls[0]["name"] == "get_weather"
        answer = get_weather.invoke(done.tool_calls[0])
        assert isinstance(answer, ToolMessage)
        assert chat.invoke([asked, done, answer]).content == TEXT
    with check("parallel tools"):
        done = _chat().bind_tools([get_weather]).invoke("Weather in Paris and in Rome, both")
        assert len(done.tool_calls) == 2
    for method in ("json_schema", "function_calling", "json_mode"):
        with check(f"structured: {method}"):
            kind = Weather if method != "json_mode" else None
            found = _chat().with_structured_output(kind, method=method).invoke("Weather in json")
            assert isinstance(found, Weather if kind else dict)
    with check("batch"):
        assert [done.content for done in _chat().batch(["a", "b", "c"])] == [TEXT] * 3


def streams() -> None:
    for usage in (True, False):
        with check(f"stream, usage {usage}"):
            chunks = list(_chat(stream_usage=usage).stream("Say hello."))
            whole = chunks[0]
            for chunk in chunks[1:]:
                whole += chunk
            assert whole.content == TEXT
            counted = whole.usage_metadata and whole.usage_metadata["total_tokens"]
            assert counted == (16 if usage else None)
            assert whole.response_metadata["finish_reason"] == "stop"
    with check("stream headers"):
        chunks = list(_chat(include_response_headers=True).stream("Say hello."))
        headers = [
            chunk.response_metadata["headers"]
            for chunk in chunks
            if "headers" in chunk.response_metadata
        ]
        assert headers[0]["x-request-id"].startswith("req_")
    with check("tool stream"):
        chunks = list(_chat().bind_tools([get_weather]).stream("Weather in Paris?"))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert whole.tool_calls[0]["name"] == "get_weather"
        assert set(whole.tool_calls[0]["args"]) == {"city"}
    with check("async stream"):
        assert asyncio.run(_streamed()) == TEXT


async def _streamed() -> str:
    return "".join([str(chunk.content) async for chunk in _chat().astream("Say hello.")])


def refusals() -> None:
    with check("AuthenticationError"):
        with raises(openai.AuthenticationError) as caught:
            _chat(api_key="wrong").invoke("Say hello.")
        assert caught[0].code == "invalid_api_key"
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"):
            chat = _chat(model=f"fault-{fault}", api_key=PIN_KEY)
            with raises(openai.APIError) as caught:
                list(chat.stream("Say hello."))
            assert str(caught[0].code).startswith("upstream_")


def main() -> None:
    with check("version"):
        assert version("langchain-openai") == "1.7.3"
    whole()
    streams()
    refusals()
    finish()


main()
