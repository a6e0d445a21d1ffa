"""Decides whether the OpenAI Agents SDK works unchanged, over chat completions.

Does not test the SDK: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from checks import BASE_URL, KEY, PIN_KEY, TEXT, check, finish, raises
from openai import APIError, AsyncOpenAI, AuthenticationError
from pydantic import BaseModel


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


def _agent(model: str = "hello", key: str = KEY, **more: Any) -> Agent:
    client = AsyncOpenAI(base_url=BASE_URL, api_key=key, max_retries=0)
    chat = OpenAIChatCompletionsModel(model=model, openai_client=client)
    return Agent(name="tester", instructions="Answer.", model=chat, **more)


async def main() -> None:
    set_tracing_disabled(disabled=True)
    with check("version"):
        assert version("openai-agents") == "0.24.0"
    with check("run"):
        done = await Runner.run(_agent(), "Say hello.")
        assert done.final_output == TEXT
        assert done.context_wrapper.usage.total_tokens == 16
    with check("the mode in extra_body"):
        settings = ModelSettings(extra_body={"p402": {"mode": "cost"}})
        done = await Runner.run(_agent(model_settings=settings), "Say hello.")
        assert done.final_output == TEXT
    with check("stream"):
        settings = ModelSettings(include_usage=True)
        run = Runner.run_streamed(_agent(model_settings=settings), "Say hello.")
        text = ""
        async for event in run.stream_events():
            kind = getattr(event.data, "type", "") if event.type == "raw_response_event" else ""
            if kind == "response.output_text.delta":
                text += event.data.delta
        assert text == run.final_output == TEXT
        assert run.context_wrapper.usage.total_tokens == 16
    with check("tools"):
        asked: list[str] = []

        @function_tool
        def get_weather(city: str) -> str:
            """The weather of a city."""
            asked.append(city)
            return "mild"

        done = await Runner.run(_agent(tools=[get_weather]), "Weather in Paris?")
        assert done.final_output == TEXT
        assert len(asked) == 1
    with check("structured"):
        done = await Runner.run(_agent(output_type=Weather), "Weather in Paris?")
        assert isinstance(done.final_output, Weather)
    with check("a refusal"), raises(AuthenticationError):
        await Runner.run(_agent(key="wrong"), "Say hello.")
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises(APIError):
            run = Runner.run_streamed(_agent(f"fault-{fault}", PIN_KEY), "Say hello.")
            async for _ in run.stream_events():
                pass
    finish()


asyncio.run(main())
