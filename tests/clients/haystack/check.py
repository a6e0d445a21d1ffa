"""Decides whether Haystack works unchanged.

Does not test Haystack: every assertion is about what the gateway sent.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import openai
from checks import BASE_URL, KEY, PIN_KEY, TEXT, WEATHER, check, finish, raises
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools import Tool
from haystack.utils import Secret

SAY = [ChatMessage.from_user("Say hello.")]


def _chat(model: str = "hello", key: str = KEY, **more: Any) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(
        model=model,
        api_base_url=BASE_URL,
        api_key=Secret.from_token(key),
        max_retries=0,
        **more,
    )


def main() -> None:
    with check("version"):
        assert version("haystack-ai") == "3.4.0"
    with check("run"):
        done = _chat().run(SAY)["replies"][0]
        assert done.text == TEXT
        assert done.meta["finish_reason"] == "stop"
        assert done.meta["usage"]["total_tokens"] == 16
    with check("the mode in extra_body"):
        wish = {"extra_body": {"p402": {"mode": "cost"}}}
        assert _chat(generation_kwargs=wish).run(SAY)["replies"][0].text == TEXT
    for usage in (True, False):
        with check(f"stream, usage {usage}"):
            heard: list[StreamingChunk] = []
            more = {"stream_options": {"include_usage": True}} if usage else {}
            chat = _chat(streaming_callback=heard.append, generation_kwargs=more)
            done = chat.run(SAY)["replies"][0]
            assert "".join(chunk.content for chunk in heard) == done.text == TEXT
            assert done.meta["finish_reason"] == "stop"
            assert not usage or done.meta["usage"]["total_tokens"] == 16
    with check("tools"):
        function = WEATHER["function"]
        tool = Tool(
            name=function["name"],
            description=function["description"],
            parameters=function["parameters"],
            function=lambda city: f"mild in {city}",
        )
        done = _chat(tools=[tool]).run([ChatMessage.from_user("Weather in Paris?")])["replies"][0]
        assert done.tool_calls[0].tool_name == "get_weather"
        assert set(done.tool_calls[0].arguments) == {"city"}
    with check("a refusal"), raises(openai.AuthenticationError):
        _chat(key="wrong").run(SAY)
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises(openai.APIError):
            _chat(f"fault-{fault}", PIN_KEY, streaming_callback=lambda _: None).run(SAY)
    finish()


main()
