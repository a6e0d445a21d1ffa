"""Decides whether tools that OpenAI alone has words for reach every provider, and come back.

Does not test how a call's pieces are cut: the Rust tests cut them everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import QUICK, Gateway, ask, lone, model
from tests.gateway import provider as reached
from tests.languages import Foreign
from tests.upstream import Upstream

EDIT = {"type": "custom", "custom": {"name": "edit", "description": "Edits a file."}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]+"}}
SUM = {"type": "custom", "custom": {"name": "sum", "format": GRAMMAR}}
TOLD = {
    "name": "edit",
    "description": "Edits a file.",
    "parameters": {
        "type": "object",
        "properties": {
            "input": {"type": "string", "description": "The whole input of the tool, as free text."}
        },
        "required": ["input"],
        "additionalProperties": False,
    },
}
KNOWS = 'flags = ["custom_tools"]\n'


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    """A provider that knows every kind of tool, whatever its flags say."""
    with Upstream() as running:
        yield running


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    """Providers of other languages."""
    with Foreign() as running:
        yield running


def flagged(up: Upstream, more: str) -> str:
    """One provider with one model, told of its tools by a flag or not."""
    return lone(up).replace("tools = true\n", f"tools = true\n{more}")


def only(json_calls: list[Any]) -> Any:
    assert len(json_calls) == 1, json_calls
    return json_calls[0]


def streamed(events: list[Any]) -> tuple[Any, str]:
    """The call as its first piece names it, and the whole of its input."""
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    pieces = [only(delta["tool_calls"]) for delta in deltas if delta.get("tool_calls")]
    return pieces[0], "".join(piece["custom"]["input"] for piece in pieces)


@pytest.mark.parametrize("flags", ["", KNOWS])
async def test_a_custom_tool_is_called_with_text(up: Upstream, flags: str) -> None:
    body = {"tools": [EDIT], "tool_choice": {"type": "custom", "custom": {"name": "edit"}}}
    async with Gateway(flagged(up, flags)) as gateway:
        told = await gateway.chat(ask(**body))
        whole = up.last("/a/v1").body
        stream = await gateway.chat(ask(stream=True, **body))
    call = only(told.json["choices"][0]["message"]["tool_calls"])
    assert (call["type"], call["custom"]["name"]) == ("custom", "edit"), told.raw
    assert "function" not in call
    first, text = streamed(stream.events)
    assert (first["type"], first["custom"]["name"]) == ("custom", "edit")
    assert first["id"].startswith("call_")
    for said in (call["custom"]["input"], text):
        assert said
        assert not said.startswith("{")
    assert stream.events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert stream.done
    if flags:
        assert whole["tools"] == [EDIT]
        assert whole["tool_choice"] == body["tool_choice"]
    else:
        assert whole["tools"] == [{"type": "function", "function": TOLD}]
        named = {"type": "function", "function": {"name": "edit"}}
        assert whole["tool_choice"] == named


@pytest.mark.parametrize("flags", ["", KNOWS])
async def test_a_call_of_the_past_goes_back(up: Upstream, flags: str) -> None:
    text = 'say "hi"\n'
    call = {"id": "call_1", "type": "custom", "custom": {"name": "edit", "input": text}}
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "b"},
    ]
    async with Gateway(flagged(up, flags)) as gateway:
        told = await gateway.chat({"model": "auto", "messages": turns, "tools": [EDIT]})
    assert told.status == 200, told.raw
    sent = only(up.last("/a/v1").body["messages"][1]["tool_calls"])
    if flags:
        assert sent == call
    else:
        assert (sent["id"], sent["type"], sent["function"]["name"]) == (
            "call_1",
            "function",
            "edit",
        )
        assert json.loads(sent["function"]["arguments"]) == {"input": text}
        assert "custom" not in sent


@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize("flags", ["", KNOWS])
async def test_a_choice_among_some_tools(up: Upstream, flags: str, mode: str) -> None:
    named = {"type": "function", "function": {"name": "look"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named]}}
    async with Gateway(flagged(up, flags)) as gateway:
        told = await gateway.chat(ask(tools=[EDIT, LOOK], tool_choice=choice))
    assert told.status == 200, told.raw
    sent = up.last("/a/v1").body
    if flags:
        assert (sent["tools"], sent["tool_choice"]) == ([EDIT, LOOK], choice)
    else:
        assert (sent["tools"], sent["tool_choice"]) == ([LOOK], mode)


async def test_a_choice_of_nothing_is_refused(up: Upstream) -> None:
    named = {"type": "function", "function": {"name": "nobody"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
    async with Gateway(flagged(up, "")) as gateway:
        told = await gateway.chat(ask(tools=[LOOK], tool_choice=choice))
    assert (told.status, told.error["code"]) == (400, "unsupported_parameter"), told.raw


async def test_a_grammar_goes_to_whoever_keeps_to_one(up: Upstream) -> None:
    other = reached("b", up) + model("m-b", "b", usd="2", more=KNOWS)
    async with Gateway(flagged(up, "") + other) as gateway:
        told = await gateway.chat(ask(tools=[SUM]))
    assert told.status == 200, told.raw
    assert told.metadata["provider"] == "b"
    assert up.last("/b/v1").body["tools"] == [SUM]
    async with Gateway(flagged(up, "")) as gateway:
        told = await gateway.chat(ask(tools=[SUM]))
    assert (told.status, told.error["code"]) == (400, "no_eligible_model"), told.raw
    assert told.error["rejected"]["grammar"] == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("house", "auth"), [("anthropic", "x-api-key"), ("gemini", "x-goog-api-key")]
)
async def test_houses_of_other_languages_hear_of_a_function(
    foreign: Foreign, house: str, auth: str, stream: bool
) -> None:
    config = (
        f'{QUICK}[provider.{house}]\ndialect = "{house}"\nauth = "{auth}"\n'
        f'base_url = "{foreign.url(house)}"\napi_key = ["sk-{house}"]\n{model("m-x", house)}'
    )
    async with Gateway(config) as gateway:
        told = await gateway.chat(ask(stream=stream, model="m-x", tools=[EDIT]))
    assert told.status == 200, told.raw
    if stream:
        call, text = streamed(told.events)
    else:
        call = only(told.json["choices"][0]["message"]["tool_calls"])
        text = call["custom"]["input"]
    assert (call["type"], call["custom"]["name"]) == ("custom", "edit")
    assert text == "Paris"
    assert "edit" in json.dumps(foreign.seen[-1][2]["tools"])


@pytest.mark.parametrize("flags", ["", KNOWS])
async def test_the_responses_door_tells_custom_calls_as_its_own(up: Upstream, flags: str) -> None:
    tools = [{"type": "custom", "name": "edit", "description": "Edits a file."}]
    body: dict[str, Any] = {"model": "auto", "input": "Mend it.", "tools": tools}
    body["tool_choice"] = {"type": "custom", "name": "edit"}
    async with Gateway(flagged(up, flags)) as gateway:
        whole = await gateway.post("/responses", body)
        stream = await gateway.post("/responses", body | {"stream": True})
    item = only(whole.json["output"])
    assert (item["type"], item["name"]) == ("custom_tool_call", "edit"), whole.raw
    assert item["input"]
    assert not item["input"].startswith("{")
    events = [json.loads(frame.split(b"data: ", 1)[1]) for frame in stream.frames]
    kinds = [event["type"] for event in events]
    assert "response.function_call_arguments.delta" not in kinds
    pieces = [event for event in events if event["type"].endswith("custom_tool_call_input.delta")]
    [done] = [event for event in events if event["type"].endswith("custom_tool_call_input.done")]
    assert "".join(piece["delta"] for piece in pieces) == done["input"] == item["input"]
    assert len(pieces) > 1
    last = only(events[-1]["response"]["output"])
    assert (last["type"], last["input"]) == ("custom_tool_call", done["input"])
