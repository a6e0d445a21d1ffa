"""Decides whether pydantic-ai works unchanged.

Does not test pydantic-ai: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from checks import BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, check, finish, looked_up, raises
from openai import APIError, AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


def _model(name: str = "hello", key: str = KEY) -> OpenAIChatModel:
    client = AsyncOpenAI(base_url=BASE_URL, api_key=key, max_retries=0)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


async def runs() -> None:
    with check("run"):
        done = await Agent(_model()).run("Say hello.")
        assert done.output == TEXT
        assert (done.usage.input_tokens, done.usage.output_tokens) == (11, 5)
    with check("the mode in extra_body"):
        settings: Any = {"extra_body": {"p402": {"mode": "cost"}}}
        done = await Agent(_model(), model_settings=settings).run("Say hello.")
        assert done.output == TEXT
    with check("stream, usage not doubled"):
        async with Agent(_model()).run_stream("Say hello.") as stream:
            pieces = [piece async for piece in stream.stream_text(delta=True)]
            assert "".join(pieces) == TEXT
            assert stream.usage.total_tokens == 16
    with check("the look-up, by the header that an httpx hook sees"):
        seen: list[str] = []

        async def keep(response: Any) -> None:
            seen.append(response.headers["x-request-id"])

        model = _model()
        model.client._client.event_hooks = {"response": [keep], "request": []}
        await Agent(model).run("Say hello.")
        assert looked_up(seen[0])["p402_metadata"]["cost_usd"] == COST_USD
    with check("tools"):
        agent = Agent(_model())

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """The weather of a city."""
            asked.append(city)
            return "mild"

        asked: list[str] = []
        done = await agent.run("Weather in Paris?")
        assert done.output == TEXT
        assert len(asked) == 1
    with check("structured, by a tool"):
        done = await Agent(_model(), output_type=Weather).run("Weather in Paris?")
        assert isinstance(done.output, Weather)
    with check("structured, by the model's own format"):
        done = await Agent(_model(), output_type=NativeOutput(Weather)).run("Weather in Paris?")
        assert isinstance(done.output, Weather)


async def refusals() -> None:
    with check("a refusal"):
        with raises(ModelHTTPError) as caught:
            await Agent(_model(key="wrong")).run("Say hello.")
        assert caught[0].status_code == 401
        assert caught[0].body["code"] == "invalid_api_key"
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises((APIError, ModelHTTPError, RuntimeError)):
            model = _model(f"fault-{fault}", PIN_KEY)
            async with Agent(model).run_stream("Say hello.") as stream:
                async for _ in stream.stream_text():
                    pass


async def main() -> None:
    with check("version"):
        assert version("pydantic-ai-slim") == "2.68.0"
    await runs()
    await refusals()
    finish()


asyncio.run(main())
