"""Decides whether Google's SDK for Python works unchanged against any provider's models.

Does not test the SDK: every assertion is about what the gateway sent. `hello` stands at a provider
of OpenAI's wire, `gemini-x` at one of Google's own.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from checks import BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, check, finish, looked_up, raises
from google import genai
from google.genai import errors, types

ASK = "Say hello."
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


def connected(key: str, version: str | None = None) -> genai.Client:
    """A client as its documentation writes it, but for the address."""
    once = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(
        base_url=BASE_URL, api_version=version, timeout=20_000, retry_options=once
    )
    return genai.Client(api_key=key, vertexai=False, http_options=options)


client, pinned = connected(KEY), connected(PIN_KEY)
BOTH = (("translated", client, "hello"), ("pass-through", pinned, "gemini-x"))
USAGE = {"hello": (11, 5, None), "gemini-x": (2010, 5, 7)}
DECLARED = types.FunctionDeclaration(
    name="get_weather",
    description="The weather of a city.",
    parameters=types.Schema(
        type=types.Type.OBJECT,
        properties={"city": types.Schema(type=types.Type.STRING, nullable=True)},
        required=["city"],
    ),
)
TOOL = types.Tool(function_declarations=[DECLARED])
ANY = types.ToolConfig(
    function_calling_config=types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
    )
)


def said(**more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(**more)


def own(body: dict[str, Any]) -> types.GenerateContentConfig:
    """P402's own field, where the SDK lets other fields in."""
    return said(http_options=types.HttpOptions(extra_body={"p402": body}))


def headers(done: types.GenerateContentResponse) -> dict[str, str]:
    assert done.sdk_http_response is not None
    return dict(done.sdk_http_response.headers or {})


def whole(name: str, of: genai.Client, model: str) -> None:
    with check(f"{name}: non-stream"):
        done = of.models.generate_content(model=model, contents=ASK)
        assert done.text == TEXT
        [candidate] = done.candidates or []
        assert candidate.finish_reason == types.FinishReason.STOP
        assert candidate.content.role == "model"
        usage = done.usage_metadata
        prompt, answer, thoughts = USAGE[model]
        assert usage.prompt_token_count == prompt
        assert usage.candidates_token_count == answer
        assert (usage.thoughts_token_count or None) == thoughts
        assert usage.total_token_count == prompt + answer + (thoughts or 0)
        assert done.response_id
        assert done.model_version
    with check(f"{name}: system, sampling, stops, dropped fields"):
        settings = said(
            system_instruction="Be short.",
            temperature=0.5,
            top_p=0.9,
            max_output_tokens=100,
            stop_sequences=["END"],
            seed=7,
            safety_settings=[
                types.SafetySetting(
                    category=types.HarmCategory.HARM_CATEGORY_HARASSMENT,
                    threshold=types.HarmBlockThreshold.BLOCK_NONE,
                )
            ],
        )
        done = of.models.generate_content(model=model, contents=ASK, config=settings)
        assert done.text == TEXT
        assert "safetySettings" in headers(done)["x-p402-warnings"]
    with check(f"{name}: a picture"):
        picture = types.Part.from_bytes(data=PIXEL, mime_type="image/png")
        done = of.models.generate_content(model=model, contents=["What is this?", picture])
        assert done.text == ("A red square." if model == "gemini-x" else TEXT)
    with check(f"{name}: a sound"):
        sound = types.Part.from_bytes(data=b"RIFF", mime_type="audio/wav")
        done = of.models.generate_content(model=model, contents=["What is said?", sound])
        assert done.text
    with check(f"{name}: thinking"):
        thinking = types.ThinkingConfig(thinking_budget=2048, include_thoughts=True)
        config = said(thinking_config=thinking)
        done = of.models.generate_content(model=model, contents=ASK, config=config)
        assert done.text == TEXT


def streams(name: str, of: genai.Client, model: str) -> None:
    with check(f"{name}: stream"):
        chunks = list(of.models.generate_content_stream(model=model, contents=ASK))
        assert "".join(chunk.text or "" for chunk in chunks) == TEXT
        last = chunks[-1]
        assert last.candidates[0].finish_reason == types.FinishReason.STOP
        assert last.usage_metadata.prompt_token_count == USAGE[model][0]
        assert last.usage_metadata.candidates_token_count == USAGE[model][1]
        assert not any(chunk.candidates[0].finish_reason for chunk in chunks[:-1])
    with check(f"{name}: a chat of two turns"):
        chat = of.chats.create(model=model)
        assert chat.send_message("Say hello.").text == TEXT
        assert "".join(piece.text or "" for piece in chat.send_message_stream("Again.")) == TEXT
        roles = [turn.role for turn in chat.get_history(curated=True)]
        assert roles[::2] == ["user"] * len(roles[::2]), roles


def tools(name: str, of: genai.Client, model: str) -> None:
    config = said(tools=[TOOL], tool_config=ANY)
    ask = types.Content(role="user", parts=[types.Part(text="Weather in Paris?")])
    with check(f"{name}: a call"):
        done = of.models.generate_content(model=model, contents=[ask], config=config)
        [call] = done.function_calls or []
        assert call.name == "get_weather"
        assert set(call.args) == {"city"}
        signed = [part.thought_signature for part in done.candidates[0].content.parts]
        assert (b"sig" in signed) == (model == "gemini-x"), signed
    with check(f"{name}: its result"):
        result = types.Part.from_function_response(name="get_weather", response={"celsius": 18})
        turns = [ask, done.candidates[0].content, types.Content(role="user", parts=[result])]
        again = of.models.generate_content(model=model, contents=turns, config=said(tools=[TOOL]))
        assert again.text == TEXT
    with check(f"{name}: a call, stream"):
        pieces = of.models.generate_content_stream(model=model, contents=[ask], config=config)
        calls = [call for piece in pieces for call in piece.function_calls or []]
        assert [call.name for call in calls] == ["get_weather"]
        assert set(calls[0].args) == {"city"}


def functions() -> None:
    with check("a Python function"):

        def get_weather(city: str) -> dict[str, int]:
            """The weather of a city."""
            asked.append(city)
            return {"celsius": 18}

        asked: list[str] = []
        told = pinned.models.generate_content(
            model="gemini-x", contents="Weather in Paris?", config=said(tools=[get_weather])
        )
        assert len(asked) == 1
        assert told.text == TEXT


def schema() -> None:
    class Town(types._common.BaseModel):
        """What an answer must be."""

        name: str
        people: int

    with check("an answer by a schema"):
        config = said(response_mime_type="application/json", response_schema=Town)
        done = client.models.generate_content(model="hello", contents=ASK, config=config)
        assert isinstance(json.loads(done.text)["people"], int)
        assert isinstance(done.parsed, Town)


def cost() -> None:
    with check("cost in the headers"):
        done = client.models.generate_content(model="hello", contents=ASK)
        assert float(headers(done)["x-p402-cost-usd"]) == COST_USD
    with check("a mode in the body"):
        config = own({"mode": "cost"})
        done = client.models.generate_content(model="hello", contents=ASK, config=config)
        assert headers(done)["x-p402-mode"] == "cost"
        found = looked_up(headers(done)["x-p402-request-id"])
        assert found["p402_metadata"]["cost_usd"] == COST_USD
    with check("version 1 of the API"):
        first = connected(KEY, "v1")
        done = first.models.generate_content(model="hello", contents=ASK)
        assert done.text == TEXT


def listed() -> None:
    with check("models are listed"):
        names = [model.name for model in client.models.list()]
        assert {"models/hello", "models/gemini-x", "models/text-embedding-3-small"} <= set(names)
    with check("models come by the page"):
        pages = client.models.list(config={"page_size": 5})
        assert len(pages) == 5
        assert [model.name for model in pages] == names
    with check("one model"):
        found = client.models.get(model="test/hello")
        assert found.name == "models/test/hello"
        assert (found.input_token_limit, found.output_token_limit) == (128_000, 16_384)
        assert "generateContent" in found.supported_actions
    with check("no such model"), raises(errors.ClientError) as caught:
        client.models.get(model="nobody")
    assert (caught[0].code, caught[0].status) == (404, "NOT_FOUND")
    with check("models, version 1 of the API"):
        first = connected(KEY, "v1")
        assert [model.name for model in first.models.list()] == names


def measured() -> None:
    with check("a length"):
        told = client.models.count_tokens(model="hello", contents="Say hello. " * 100)
        assert 200 < told.total_tokens < 600
        assert "input_tokens=estimated" in told.sdk_http_response.headers["x-p402-warnings"]
    vectors = "text-embedding-3-small"
    with check("a vector"):
        told = pinned.models.embed_content(model=vectors, contents="Hello")
        assert [vector.values for vector in told.embeddings] == [[0.5, -0.25, 1.0]]
        assert float(told.sdk_http_response.headers["x-p402-cost-usd"]) == 0.000008
    with check("vectors, with what nobody else has words for"):
        config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=3)
        told = pinned.models.embed_content(model=vectors, contents=["a", "b"], config=config)
        assert len(told.embeddings) == 2
        assert told.sdk_http_response.headers["x-p402-warnings"] == "dropped=taskType"
    with check("no such model of vectors"), raises(errors.ClientError) as caught:
        pinned.models.embed_content(model="nobody", contents="a")
    assert (caught[0].code, caught[0].status) == (404, "NOT_FOUND")


async def at_once() -> None:
    with check("async"):
        asked = (client.aio.models.generate_content(model="hello", contents=ASK) for _ in range(4))
        assert [done.text for done in await asyncio.gather(*asked)] == [TEXT] * 4
    with check("async: models, a length, a vector"):
        names = [model.name async for model in await client.aio.models.list()]
        assert "models/hello" in names
        told = await client.aio.models.count_tokens(model="hello", contents=ASK)
        assert told.total_tokens > 0
        told = await pinned.aio.models.embed_content(model="text-embedding-3-small", contents="a")
        assert len(told.embeddings) == 1
    with check("async stream"):
        stream = await client.aio.models.generate_content_stream(model="hello", contents=ASK)
        assert "".join([piece.text or "" async for piece in stream]) == TEXT


def failures() -> None:
    wrong = connected("wrong")
    with check("a wrong key"), raises(errors.ClientError) as caught:
        wrong.models.generate_content(model="hello", contents=ASK)
    assert (caught[0].code, caught[0].status) == (401, "UNAUTHENTICATED")
    with check("an unknown model"), raises(errors.ClientError) as caught:
        pinned.models.generate_content(model="nobody", contents=ASK)
    assert (caught[0].code, caught[0].status) == (404, "NOT_FOUND")
    with check("a tool of one provider's"), raises(errors.ClientError) as caught:
        search = types.Tool(google_search=types.GoogleSearch())
        client.models.generate_content(model="hello", contents=ASK, config=said(tools=[search]))
    assert caught[0].details["error"]["details"][0]["reason"] == "unsupported_parameter"
    for fault, kind, word in (
        ("400", errors.ClientError, "INVALID_ARGUMENT"),
        ("429", errors.ClientError, "RESOURCE_EXHAUSTED"),
        ("500", errors.ServerError, "INTERNAL"),
    ):
        with check(f"upstream {fault}"), raises(kind) as caught:
            pinned.models.generate_content(model=f"fault-{fault}", contents=ASK)
        assert caught[0].status == word, caught[0]
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut"):
        with check(f"a broken stream: {fault}"), raises(errors.APIError) as caught:
            list(pinned.models.generate_content_stream(model=f"fault-{fault}", contents=ASK))
        assert caught[0].status == "INTERNAL", caught[0]


for of in BOTH:
    whole(*of)
    streams(*of)
    tools(*of)
functions()
schema()
cost()
listed()
measured()
asyncio.run(at_once())
failures()
finish()
