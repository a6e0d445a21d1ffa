"""Decides whether OpenAI's Responses API works as its own clients use it: the SDK, and its agents.

Does not test the clients: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
from agents import (
    Agent,
    CustomTool,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from checks import BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, check, finish, metadata, raises
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20)
pinned = OpenAI(base_url=BASE_URL, api_key=PIN_KEY, max_retries=0, timeout=20)
strict = OpenAI(
    base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20, _strict_response_validation=True
)
ASK: dict[str, Any] = {"model": "hello", "input": "Say hello."}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


# A provider that is told of functions alone, one that knows custom tools, and one of Anthropic's.
HOUSES = (
    ("as a function", client, "hello"),
    ("as it is", pinned, "custom-x"),
    ("in another language", pinned, "anthropic-x"),
)


class Weather(BaseModel):
    """What `.parse()` is asked for."""

    city: str
    celsius: int


def whole() -> None:
    with check("text"):
        done = client.responses.create(**ASK)
        assert done.output_text == TEXT
        assert (done.status, done.object, done.model) == ("completed", "response", "hello")
        assert (done.usage.input_tokens, done.usage.output_tokens) == (11, 5)
        assert done.id.startswith("resp_")
        assert metadata(done.p402_metadata)["cost_usd"] == COST_USD
        assert done._request_id == done.p402_metadata["request_id"]
    with check("strict validation"):
        metadata(strict.responses.create(**ASK).p402_metadata)
    with check("mode in the body"):
        done = client.responses.create(**ASK, extra_body={"p402": {"mode": "cost"}})
        metadata(done.p402_metadata, "cost")
    with check("instructions, items, bounds"):
        items: Any = [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "input_text", "text": "Say hello."}]},
        ]
        done = client.responses.create(
            model="hello", input=items, instructions="Be kind.", max_output_tokens=50
        )
        assert done.output_text == TEXT
        assert (done.instructions, done.max_output_tokens) == ("Be kind.", 50)
    with check(".parse()"):
        done = client.responses.parse(**ASK, text_format=Weather)
        assert isinstance(done.output_parsed, Weather)
    with check("tool loop"):
        ask: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]
        done = client.responses.create(
            model="hello", input=ask, tools=[WEATHER], tool_choice="required"
        )
        call = done.output[-1]
        assert (call.type, call.name) == ("function_call", "get_weather")
        assert set(json.loads(call.arguments)) == {"city"}
        ask += [item.to_dict() for item in done.output]
        ask.append({"type": "function_call_output", "call_id": call.call_id, "output": "mild"})
        done = client.responses.create(model="hello", input=ask, tools=[WEATHER])
        assert done.output_text == TEXT


def likely() -> None:
    with check("how likely it is"):
        done = strict.responses.create(**ASK, top_logprobs=2)
        [part] = done.output[-1].content
        assert "".join(token.token for token in part.logprobs) == TEXT
        assert len(part.logprobs[0].top_logprobs) == 2
    with check("how likely it is, stream"):
        events = list(client.responses.create(**ASK, top_logprobs=2, stream=True))
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        said = [token.token for event in deltas for token in event.logprobs]
        assert "".join(said) == TEXT
        [part] = events[-1].response.output[-1].content
        assert [token.token for token in part.logprobs] == said


PATCH: dict[str, Any] = {"type": "custom", "name": "patch", "description": "Changes a file."}
CHOSEN: dict[str, Any] = {"type": "custom", "name": "patch"}


def customs() -> None:
    ask: list[Any] = [{"role": "user", "content": "Mend it."}]
    for name, of, model in HOUSES:
        text = None
        with check(f"custom tool, {name}"):
            done = of.responses.create(
                model=model, input=ask, tools=[PATCH, WEATHER], tool_choice=CHOSEN
            )
            call = done.output[-1]
            assert (call.type, call.name) == ("custom_tool_call", "patch")
            assert call.input
            assert not call.input.startswith("{")
            text = call.input
        with check(f"custom tool, {name}, its result"):
            turns = [*ask, *(item.to_dict() for item in done.output)]
            turns.append(
                {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "done"}
            )
            again = of.responses.create(model=model, input=turns, tools=[PATCH])
            assert again.output_text == TEXT
        with (
            check(f"custom tool, {name}, stream"),
            of.responses.stream(
                model=model, input=ask, tools=[PATCH, WEATHER], tool_choice=CHOSEN
            ) as stream,
        ):
            told = "".join(
                event.delta
                for event in stream
                if event.type == "response.custom_tool_call_input.delta"
            )
            final = stream.get_final_response().output[-1]
            assert (final.type, final.input) == ("custom_tool_call", told)
            assert told == text
        with check(f"some tools, {name}"):
            some: Any = {"type": "allowed_tools", "mode": "required"}
            some["tools"] = [{"type": "function", "name": "get_weather"}]
            done = of.responses.create(
                model=model, input=ask, tools=[PATCH, WEATHER], tool_choice=some
            )
            assert (done.output[-1].type, done.output[-1].name) == ("function_call", "get_weather")
    with check("a length"):
        counted = client.responses.input_tokens.count(model="hello", input="Say hello. " * 100)
        assert 200 < counted.input_tokens < 600


def streams() -> None:
    with check("raw events"):
        events = list(client.responses.create(**ASK, stream=True))
        kinds = [event.type for event in events]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds[-1] == "response.completed"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        said = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(said) == TEXT
        last = events[-1].response
        assert last.output_text == TEXT
        assert last.usage.total_tokens == 16
        metadata(last.p402_metadata)
    with check(".stream()"), client.responses.stream(**ASK) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == TEXT
    with (
        check(".stream(), tools"),
        client.responses.stream(
            model="hello", input="Weather in Paris?", tools=[WEATHER], tool_choice="required"
        ) as stream,
    ):
        final = stream.get_final_response()
        assert set(json.loads(final.output[-1].arguments)) == {"city"}
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"error event: {fault}"):
            with raises(openai.APIError) as caught:
                list(pinned.responses.create(model=f"fault-{fault}", input="Hi", stream=True))
            assert str(caught[0].code).startswith("upstream_")


def errors() -> None:
    with check("a wrong key"), raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").responses.create(**ASK)
    for name, value in (("previous_response_id", "resp_1"), ("background", True)):
        with check(f"kept responses: {name}"):
            with raises(openai.BadRequestError) as caught:
                client.responses.create(**ASK, **{name: value})
            assert (caught[0].code, caught[0].param) == ("unsupported_parameter", name)
    with check("a tool of one provider's"), raises(openai.BadRequestError):
        client.responses.create(**ASK, tools=[{"type": "web_search"}])
    with check("upstream 429"), raises(openai.RateLimitError):
        pinned.responses.create(model="fault-429", input="Hi")


async def agents() -> None:
    set_tracing_disabled(disabled=True)
    own = AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)

    def agent(**more: Any) -> Agent:
        spoken = OpenAIResponsesModel(model="hello", openai_client=own)
        return Agent(name="tester", instructions="Answer.", model=spoken, **more)

    with check("agents: run"):
        done = await Runner.run(agent(), "Say hello.")
        assert done.final_output == TEXT
        assert done.context_wrapper.usage.total_tokens == 16
    with check("agents: stream"):
        run = Runner.run_streamed(agent(), "Say hello.")
        async for _ in run.stream_events():
            pass
        assert run.final_output == TEXT
    with check("agents: tools"):
        asked: list[str] = []

        @function_tool
        def get_weather(city: str) -> str:
            """The weather of a city."""
            asked.append(city)
            return "mild"

        done = await Runner.run(agent(tools=[get_weather]), "Weather in Paris?")
        assert done.final_output == TEXT
        assert len(asked) == 1
    with check("agents: a custom tool"):
        patches: list[str] = []

        async def patched(_: Any, text: str) -> str:
            patches.append(text)
            return "done"

        tool = CustomTool(name="patch", description="Changes a file.", on_invoke_tool=patched)
        done = await Runner.run(agent(tools=[tool]), "Use patch.")
        assert done.final_output == TEXT
        assert len(patches) == 1
        assert not patches[0].startswith("{")
    with check("agents: structured"):
        done = await Runner.run(agent(output_type=Weather), "Weather in Paris?")
        assert isinstance(done.final_output, Weather)


whole()
likely()
customs()
streams()
errors()
asyncio.run(agents())
finish()
