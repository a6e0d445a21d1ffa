"""Decides whether AutoGen works unchanged.

Does not test AutoGen: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import openai
from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import CreateResult, UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient
from checks import BASE_URL, KEY, PIN_KEY, TEXT, check, finish, raises

SAY = [UserMessage(content="Say hello.", source="user")]
INFO: Any = {
    "vision": True,
    "function_calling": True,
    "json_output": True,
    "structured_output": True,
    "family": "unknown",
}


async def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"mild in {city}"


def _client(model: str = "hello", key: str = KEY, **more: Any) -> OpenAIChatCompletionClient:
    return OpenAIChatCompletionClient(
        model=model, base_url=BASE_URL, api_key=key, model_info=INFO, max_retries=0, **more
    )


async def main() -> None:
    with check("version"):
        assert version("autogen-ext") == "0.7.5"
    with check("create"):
        done = await _client().create(SAY)
        assert done.content == TEXT
        assert done.finish_reason == "stop"
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (11, 5)
    with check("the mode by header"):
        done = await _client(default_headers={"x-p402-mode": "cost"}).create(SAY)
        assert done.content == TEXT
    for usage in (True, False):
        with check(f"create_stream, usage {usage}"):
            options = {"include_usage": usage} if usage else {}
            parts = [
                part
                async for part in _client().create_stream(SAY, extra_create_args=_with(options))
            ]
            assert isinstance(parts[-1], CreateResult)
            assert parts[-1].content == TEXT
            assert not usage or parts[-1].usage.completion_tokens == 5
    with check("an agent with a tool"):
        agent = AssistantAgent("tester", _client(), tools=[get_weather])
        done = await agent.run(task="Weather in Paris?")
        assert "mild in" in done.messages[-1].content
    with check("a refusal"), raises(openai.AuthenticationError):
        await _client(key="wrong").create(SAY)
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises(openai.APIError):
            async for _ in _client(f"fault-{fault}", PIN_KEY).create_stream(SAY):
                pass
    finish()


def _with(options: dict[str, Any]) -> dict[str, Any]:
    return {"stream_options": options} if options else {}


asyncio.run(main())
