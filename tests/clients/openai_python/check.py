"""Decides whether the openai SDK for Python works unchanged; two versions of it share this file.

Does not test the SDK: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
from checks import (
    BASE_URL,
    COST_USD,
    HELLO,
    KEY,
    PIN_KEY,
    TEXT,
    WEATHER,
    check,
    finish,
    looked_up,
    metadata,
    raises,
)
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20)
pinned = OpenAI(base_url=BASE_URL, api_key=PIN_KEY, max_retries=0, timeout=20)
strict = OpenAI(
    base_url=BASE_URL,
    api_key=KEY,
    max_retries=0,
    timeout=20,
    _strict_response_validation=True,
)
ASK: dict[str, Any] = {"model": "hello", "messages": HELLO}
PATCH: dict[str, Any] = {"type": "custom", "custom": {"name": "patch"}}
CHOSEN: dict[str, Any] = {"type": "custom", "custom": {"name": "patch"}}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Weather(BaseModel):
    """What `.parse()` is asked for."""

    city: str
    celsius: int


def whole() -> None:
    with check("non-stream"):
        done = client.chat.completions.create(**ASK)
        assert done.choices[0].message.content == TEXT
        assert done.choices[0].finish_reason == "stop"
        assert done.usage is not None
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (11, 5)
        assert done.usage.cost == COST_USD
        assert done.model == "hello"
        metadata(done.p402_metadata)
        assert done._request_id == done.p402_metadata["request_id"]
    with check("headers"):
        raw = client.chat.completions.with_raw_response.create(**ASK)
        found = metadata(raw.parse().p402_metadata)
        assert raw.headers["x-request-id"] == found["request_id"]
        assert raw.headers["x-p402-request-id"] == found["request_id"]
        assert float(raw.headers["x-p402-cost-usd"]) == COST_USD
        assert raw.headers["content-type"] == "application/json"
        assert raw.headers["x-p402-provider"] == "test"
    with check("strict validation"):
        metadata(strict.chat.completions.create(**ASK).p402_metadata)
    for mode in ("cost", "quality", "speed", "balanced"):
        with check(f"mode {mode} in the body"):
            done = client.chat.completions.create(**ASK, extra_body={"p402": {"mode": mode}})
            metadata(done.p402_metadata, mode)
    with check("mode by header"):
        done = client.chat.completions.create(**ASK, extra_headers={"x-p402-mode": "speed"})
        metadata(done.p402_metadata, "speed")
    with check("cost_details and explain"):
        wish = {"cost_details": True, "explain": True}
        done = client.chat.completions.create(**ASK, extra_body={"p402": wish})
        assert done.p402_metadata["cost_details"]["cost_nano_usd"] == round(COST_USD * 10**9)
        assert done.p402_metadata["routing"]["why"]
    with check("an unknown model name is routed"):
        done = client.chat.completions.create(model="gpt-99-ultra", messages=HELLO)
        assert done.model == "hello"
    with check("unknown fields pass"):
        client.chat.completions.create(**ASK, extra_body={"somebody_elses_key": {"a": [1]}})


def shapes() -> None:
    with check("n"):
        done = client.chat.completions.create(**ASK, n=3)
        assert [choice.index for choice in done.choices] == [0, 1, 2]
        assert done.p402_metadata["output_tokens"] == done.usage.completion_tokens == 15
    with check("n, stream"):
        texts, found = ["", ""], []
        for chunk in client.chat.completions.create(**ASK, n=2, stream=True):
            choice = chunk.choices[0]
            texts[choice.index] += choice.delta.content or ""
            found += [chunk.p402_metadata] if hasattr(chunk, "p402_metadata") else []
        assert texts == [TEXT, TEXT]
        assert len(found) == 1, found
    with check("logprobs"):
        done = client.chat.completions.create(**ASK, logprobs=True, top_logprobs=2)
        content = done.choices[0].logprobs.content
        assert "".join(piece.token for piece in content) == TEXT
        assert len(content[0].top_logprobs) == 2
    with check("vision parts"):
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        ]
        done = client.chat.completions.create(
            model="hello", messages=[{"role": "user", "content": parts}]
        )
        assert done.choices[0].message.content == TEXT
    with check("tools"):
        done = client.chat.completions.create(
            **_ask("Weather in Paris?"), tools=[WEATHER], tool_choice="required"
        )
        call = done.choices[0].message.tool_calls[0]
        assert done.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "get_weather"
        assert set(json.loads(call.function.arguments)) == {"city"}
    with check("tool result and parallel calls"):
        _tool_loop()
    with check("json_schema"):
        form = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True}}
        form["json_schema"]["schema"] = {
            **Weather.model_json_schema(),
            "additionalProperties": False,
        }
        done = client.chat.completions.create(**ASK, response_format=form)
        Weather.model_validate_json(done.choices[0].message.content)
    with check("json_object"):
        done = client.chat.completions.create(**ASK, response_format={"type": "json_object"})
        assert isinstance(json.loads(done.choices[0].message.content), dict)
    with check(".parse()"):
        done = client.chat.completions.parse(**ASK, response_format=Weather)
        assert isinstance(done.choices[0].message.parsed, Weather)
        metadata(done.p402_metadata)
    with check(".parse(), a tool"):
        tool = openai.pydantic_function_tool(Weather)
        done = client.chat.completions.parse(**ASK, tools=[tool], tool_choice="required")
        arguments = done.choices[0].message.tool_calls[0].function.parsed_arguments
        assert isinstance(arguments, Weather)


def customs() -> None:
    with check("a custom tool"):
        done = client.chat.completions.create(**ASK, tools=[PATCH], tool_choice=CHOSEN)
        call = done.choices[0].message.tool_calls[0]
        assert (call.type, call.custom.name) == ("custom", "patch")
        assert call.custom.input
        assert not call.custom.input.startswith("{")
    with check("some tools"):
        some: Any = {"type": "allowed_tools", "allowed_tools": {"mode": "required"}}
        some["allowed_tools"]["tools"] = [{"type": "function", "function": {"name": "get_weather"}}]
        done = client.chat.completions.create(**ASK, tools=[PATCH, WEATHER], tool_choice=some)
        assert done.choices[0].message.tool_calls[0].function.name == "get_weather"


def _ask(text: str) -> dict[str, Any]:
    return {"model": "hello", "messages": [{"role": "user", "content": text}]}


def _tool_loop() -> None:
    ask = _ask("The weather in Paris and in Rome, both in parallel")
    done = client.chat.completions.create(**ask, tools=[WEATHER])
    calls = done.choices[0].message.tool_calls
    assert len(calls) == 2, calls
    assert len({call.id for call in calls}) == 2
    messages = [*ask["messages"], done.choices[0].message.model_dump(exclude_none=True)]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "mild"} for call in calls]
    done = client.chat.completions.create(model="hello", messages=messages, tools=[WEATHER])
    assert done.choices[0].message.content == TEXT


def streams() -> None:
    with check("unguarded loop"):
        text, found = "", None
        for chunk in client.chat.completions.create(**ASK, stream=True):
            text += chunk.choices[0].delta.content or ""
            found = getattr(chunk, "p402_metadata", found)
        assert text == TEXT
        metadata(found)
    with check("the README's loop"):
        for chunk in client.chat.completions.create(**ASK, stream=True):
            if chunk.choices and chunk.choices[0].finish_reason:
                metadata(chunk.p402_metadata)
    with check("include_usage"):
        options = {"include_usage": True}
        chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options=options))
        assert chunks[-1].choices == []
        assert chunks[-1].usage.total_tokens == 16
        assert chunks[-1].usage.cost == COST_USD
        metadata(chunks[-1].p402_metadata)
        metadata(chunks[-2].p402_metadata)
        assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    with check("strict validation, stream"):
        chunks = list(strict.chat.completions.create(**ASK, stream=True))
        metadata(chunks[-1].p402_metadata)
    with check("stream headers and look-up"):
        raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
        assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
        list(raw.parse())
        kept = looked_up(raw.headers["x-request-id"])
        assert kept["status"] == "settled"
        assert kept["p402_metadata"]["cost_usd"] == COST_USD
    with check("tool stream"):
        _tool_stream()


def _tool_stream() -> None:
    name, arguments, finish_reason = "", "", None
    ask = _ask("Weather in Paris?")
    for chunk in client.chat.completions.create(
        **ask, tools=[WEATHER], tool_choice="required", stream=True
    ):
        choice = chunk.choices[0]
        finish_reason = choice.finish_reason or finish_reason
        for call in choice.delta.tool_calls or ():
            assert call.index == 0
            name += call.function.name or ""
            arguments += call.function.arguments or ""
    assert (name, finish_reason) == ("get_weather", "tool_calls")
    assert set(json.loads(arguments)) == {"city"}


def accumulated() -> None:
    with check(".stream()"):
        with client.chat.completions.stream(**ASK) as stream:
            found = None
            for event in stream:
                if event.type == "chunk":
                    found = getattr(event.chunk, "p402_metadata", found)
            done = stream.get_final_completion()
        assert done.choices[0].message.content == TEXT
        metadata(found)
    with check(".stream(), usage"):
        with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as run:
            found = [
                event.chunk.p402_metadata
                for event in run
                if event.type == "chunk" and hasattr(event.chunk, "p402_metadata")
            ]
            done = run.get_final_completion()
        assert done.usage.total_tokens == 16
        assert len(found) == 2
        metadata(found[-1])
    with check(".stream(), parsed"):
        with client.chat.completions.stream(**ASK, response_format=Weather) as stream:
            done = stream.get_final_completion()
        assert isinstance(done.choices[0].message.parsed, Weather)
    with check(".stream(), tools"):
        tool = openai.pydantic_function_tool(Weather)
        with client.chat.completions.stream(**ASK, tools=[tool], tool_choice="required") as stream:
            done = stream.get_final_completion()
        call = done.choices[0].message.tool_calls[0]
        assert isinstance(call.function.parsed_arguments, Weather)


async def asynchronous() -> None:
    async with AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=20) as quick:
        with check("async"):
            metadata((await quick.chat.completions.create(**ASK)).p402_metadata)
        with check("async stream"):
            text, found = "", None
            async for chunk in await quick.chat.completions.create(**ASK, stream=True):
                text += chunk.choices[0].delta.content or ""
                found = getattr(chunk, "p402_metadata", found)
            assert text == TEXT
            metadata(found)
        with check("async .stream()"):
            async with quick.chat.completions.stream(**ASK) as stream:
                done = await stream.get_final_completion()
            assert done.choices[0].message.content == TEXT
        with check("20 at once"):
            done = await asyncio.gather(*(quick.chat.completions.create(**ASK) for _ in range(20)))
            assert len({each.p402_metadata["request_id"] for each in done}) == 20
        with check("leaving a stream early"):
            stream = await quick.chat.completions.create(**ASK, stream=True)
            async for _ in stream:
                break
            await stream.close()
            metadata((await quick.chat.completions.create(**ASK)).p402_metadata)


def listings() -> None:
    with check("models list"):
        listed = {model.id: model for model in client.models.list()}
        assert "hello" in listed
        assert len(listed) > 300
        assert listed["hello"].object == "model"
    with check("models retrieve"):
        assert client.models.retrieve("hello").id == "hello"
    with check("models retrieve with /"):
        assert "hello" in client.models.retrieve("test/hello").id
    with check("models list, strict"):
        assert len(list(strict.models.list())) > 300
    with check("unknown model: NotFoundError"), raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody/knows")
    with check("unknown model: its code"):
        assert caught[0].code == "model_not_found"
        assert caught[0].type == "invalid_request_error"


def _says(name: str, kind: type[openai.APIError], code: str | None, **ask: Any) -> None:
    """The error of one call: class, code, message, request id."""
    with check(name):
        with raises(kind) as caught:
            pinned.chat.completions.create(**{**ASK, **ask})
        error = caught[0]
        assert type(error) is kind, type(error)
        assert code is None or error.code == code, error.code
        assert isinstance(error.body, dict), error.body
        assert error.message
        assert error.request_id.startswith("req_")


def refusals() -> None:
    with check("AuthenticationError"):
        with raises(openai.AuthenticationError) as caught:
            client.with_options(api_key="wrong").chat.completions.create(**ASK)
        assert caught[0].code == "invalid_api_key"
        assert caught[0].response.headers["www-authenticate"] == "Bearer"
    bad = openai.BadRequestError
    _says("BadRequestError: n", bad, "invalid_value", n=99)
    _says("BadRequestError: no messages", bad, "missing_required_parameter", messages=[])
    _says("BadRequestError: type", bad, "invalid_type", extra_body={"temperature": "hot"})
    wrong = {"p402": {"mood": "cost"}}
    _says("BadRequestError: p402 key", bad, "p402_field_unknown", extra_body=wrong)
    wrong = {"p402": {"mode": "cheap"}}
    _says("BadRequestError: p402 value", bad, "p402_field_invalid", extra_body=wrong)
    _says("NotFoundError: pinned", openai.NotFoundError, "model_not_found", model="nobody")
    _says("BadRequestError: upstream 400", bad, None, model="fault-400")
    _says("BadRequestError: filter", bad, "content_filter", model="fault-content-filter")
    unprocessable = openai.UnprocessableEntityError
    _says("UnprocessableEntityError", unprocessable, None, model="fault-422")
    rate = openai.RateLimitError
    _says("RateLimitError", rate, "upstream_rate_limited", model="fault-429")
    server = openai.InternalServerError
    faults = ["500", "503", "string-error", "int-code", "html-200", "error-200"]
    # A provider's 401 suspends its key for whoever comes next: once per gateway.
    faults += ["401"] if openai.__version__.startswith("3.") else []
    for fault in faults:
        _says(
            f"InternalServerError: {fault}", server, "all_attempts_failed", model=f"fault-{fault}"
        )
    with check("APIStatusError 404: unknown URL"):
        with raises(openai.NotFoundError) as caught:
            client.files.list()
        assert caught[0].code == "unknown_url"
    hasty = pinned.with_options(timeout=0.3)
    with check("APITimeoutError"), raises(openai.APITimeoutError):
        hasty.chat.completions.create(
            model="fault-hang", messages=HELLO, extra_headers={"x-stainless-read-timeout": "60"}
        )
    # The SDK tells its read timeout; whoever is first ends the call, and both are an error.
    with check("the client's own deadline"):
        with raises((openai.APITimeoutError, openai.InternalServerError)) as caught:
            hasty.chat.completions.create(model="fault-hang", messages=HELLO)
        assert getattr(caught[0], "status_code", 504) == 504
    with check("APIConnectionError"), raises(openai.APIConnectionError):
        client.with_options(base_url="http://127.0.0.1:9/v1").chat.completions.create(**ASK)


def broken_streams() -> None:
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut", "malformed-json"):
        with check(f"error frame: {fault}"):
            text = ""
            with raises(openai.APIError) as caught:
                for chunk in pinned.chat.completions.create(
                    model=f"fault-{fault}", messages=HELLO, stream=True
                ):
                    text += chunk.choices[0].delta.content or ""
            assert text, "the error came before the text"
            assert text != TEXT
            assert isinstance(caught[0].code, str), caught[0]
            assert caught[0].code.startswith("upstream_"), caught[0].code
    with check("error before the first token"), raises(openai.InternalServerError):
        pinned.chat.completions.create(model="fault-error-first-event", messages=HELLO, stream=True)


def mended() -> None:
    """Upstreams that deviate, as the gateway mends them."""
    usage = {"include_usage": True}
    for fault in (
        *("bare", "no-role", "empty-choices-first", "usage-on-finish", "usage-on-every-chunk"),
        *("usage-cost", "usage-twice", "noise", "no-done", "changing-ids", "content-on-finish"),
        *("crlf", "byte-by-byte", "json-for-stream", "no-blank", "bom"),
    ):
        with check(f"mended stream: {fault}"):
            chunks = list(
                pinned.chat.completions.create(
                    model=f"fault-{fault}", messages=HELLO, stream=True, stream_options=usage
                )
            )
            said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            assert said[0].role == "assistant"
            assert "".join(delta.content or "" for delta in said) == TEXT
            assert chunks[-2].choices[0].finish_reason == "stop"
            assert chunks[-1].usage.total_tokens == 16
            metadata(chunks[-1].p402_metadata)
    for fault in ("tool-no-index", "tool-whole", "finish-stop-after-tools"):
        with (
            check(f"mended tool stream: {fault}"),
            pinned.chat.completions.stream(
                model=f"fault-{fault}", messages=HELLO, tools=[WEATHER], tool_choice="required"
            ) as stream,
        ):
            choice = stream.get_final_completion().choices[0]
            assert choice.finish_reason == "tool_calls"
            assert set(json.loads(choice.message.tool_calls[0].function.arguments)) == {"city"}
    for fault in ("bare", "usage-cost"):
        with check(f"mended: {fault}"):
            done = pinned.chat.completions.create(model=f"fault-{fault}", messages=HELLO)
            assert done.choices[0].message.content == TEXT
            assert done.usage.cost == COST_USD
            metadata(done.p402_metadata)
    with check("mended: sse-for-json"):  # says no usage: the gateway counts by itself
        done = pinned.chat.completions.create(model="fault-sse-for-json", messages=HELLO)
        assert done.choices[0].message.content == TEXT
        assert done.usage.cost == done.p402_metadata["cost_usd"] > 0
        assert done.usage.completion_tokens == done.p402_metadata["output_tokens"] > 0


def main() -> None:
    with check("the SDK's version"):
        assert openai.__version__ in ("3.54.0", "2.54.0"), openai.__version__
    whole()
    shapes()
    customs()
    streams()
    accumulated()
    asyncio.run(asynchronous())
    listings()
    refusals()
    broken_streams()
    mended()
    finish()


main()
