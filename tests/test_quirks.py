"""Decides whether each quirk flag changes what its provider gets, on the wire.

Does not test which provider has which flag: the catalogue's tests do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import Gateway, ask, lone
from tests.upstream import Upstream

CALL = {"id": "call_123", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_123", "content": "b"},
]
TWICE = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "a"},
    {"role": "user", "content": [{"type": "text", "text": "b"}]},
    {"role": "user", "content": "c"},
]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
PART = [{"type": "text", "text": text} for text in "abc"]
EFFORTS = 'reasoning = true\nefforts = ["none", "low", "high"]\n'
HIGH = {"reasoning_effort": "high"}


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    """One provider; its model is flagged."""
    with Upstream() as running:
        yield running


def flagged(up: Upstream, *flags: str, more: str = "") -> str:
    """One offer with these flags."""
    own = f"tools = true\nflags = {json.dumps(flags)}\n{EFFORTS}"
    return lone(up, more).replace("tools = true\n", own)


async def sent(up: Upstream, flags: tuple[str, ...], body: dict[str, Any], more: str = "") -> Any:
    """What the provider got."""
    async with Gateway(flagged(up, *flags, more=more)) as gateway:
        told = await gateway.chat(ask(model="m-a", **body))
    assert told.status in (200, 400), told.raw
    return up.last("/a/v1").body


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("max_tokens_field=max_completion_tokens", {"max_tokens": 9}, {"max_completion_tokens": 9}),
    ("max_tokens_field=max_tokens", {"max_completion_tokens": 9}, {"max_tokens": 9}),
    ("drop=seed", {"seed": 4, "user": "u"}, {"seed": None, "user": "u"}),
    ("seed_field=random_seed", {"seed": 4}, {"random_seed": 4, "seed": None}),
    ("temperature_max=1", {"temperature": 1.5}, {"temperature": 1}),
    ("stream_usage=always", {"stream": True}, {"stream_options": None}),
    ("stream_usage=never", {"stream": True}, {"stream_options": None}),
    ("stream_usage=opt_in", {"stream": True}, {"stream_options": {"include_usage": True}}),
    ("reasoning_control=effort", HIGH, HIGH),
    ("reasoning_control=adaptive_only", HIGH, HIGH),
    ("reasoning_control=thinking_type", HIGH, {"thinking": {"type": "enabled"}}),
    ("reasoning_control=enable_thinking", HIGH, {"enable_thinking": True}),
    ("reasoning_control=thinking_budget", HIGH, {"reasoning_effort": None}),
    ("reasoning_control=reasoning_object", HIGH, {"reasoning": {"effort": "high"}}),
    ("reasoning_control=reasoning_enabled", HIGH, {"reasoning": {"enabled": True}}),
    ("reasoning_control=chat_template_args", HIGH, {"reasoning_effort": None}),
    ("echo_reasoning=false", {"messages": CALLED, "tools": [TOOL]}, {"messages": CALLED}),
    ("roles_alternate=false", {"messages": TWICE}, {"messages": TWICE}),
    (
        "roles_alternate",
        {"messages": TWICE},
        {"messages": [TWICE[0], {"role": "user", "content": PART}]},
    ),
    (
        "roles_alternate",
        {"messages": [TWICE[1], TWICE[3]]},
        {"messages": [{"role": "user", "content": "a\n\nc"}]},
    ),
    ("roles_alternate", {"messages": CALLED, "tools": [TOOL]}, {"messages": CALLED}),
    (
        "system_role=system",
        {"messages": [{"role": "developer", "content": "s"}, TWICE[1]]},
        {"messages": [TWICE[0], TWICE[1]]},
    ),
    *[
        (f"tool_choice={word}", {"tools": [TOOL], "tool_choice": "required"}, {"tool_choice": got})
        for word, got in (
            ("full", "required"),
            ("auto_none", None),
            ("any_for_required", "any"),
            ("no_required", "auto"),
        )
    ],
]


@pytest.mark.parametrize(("flag", "body", "wanted"), CASES)
async def test_a_flag_changes_what_is_sent(
    up: Upstream, flag: str, body: dict[str, Any], wanted: dict[str, Any]
) -> None:
    got = await sent(up, (flag,), body)
    assert {name: got.get(name) for name in wanted} == wanted


async def test_calls_go_back_with_thoughts_though_they_be_lost(up: Upstream) -> None:
    got = await sent(up, ("echo_reasoning",), {"messages": CALLED, "tools": [TOOL]})
    assert got["messages"] == [CALLED[0], {"reasoning_content": "", **CALLED[1]}, CALLED[2]]
    kept = [CALLED[0], {**CALLED[1], "reasoning_content": "I must look."}, CALLED[2]]
    got = await sent(up, ("echo_reasoning",), {"messages": kept, "tools": [TOOL]})
    assert got["messages"] == kept


async def test_call_ids_are_nine_letters_where_nothing_else_is_taken(up: Upstream) -> None:
    got = await sent(up, ("tool_id=alnum9",), {"messages": CALLED, "tools": [TOOL]})
    short = got["messages"][1]["tool_calls"][0]["id"]
    assert short == got["messages"][2]["tool_call_id"]
    assert len(short) == 9
    assert short.isalnum()


async def test_a_bound_is_sent_where_one_must_be(up: Upstream) -> None:
    assert "max_tokens" in await sent(up, ("max_tokens_required",), {})
    bound = await sent(up, ("max_tokens_required",), {"max_tokens": 7})
    assert bound["max_tokens"] == 7


async def test_no_tools_is_no_offer_for_a_request_with_tools(up: Upstream) -> None:
    async with Gateway(flagged(up, "no_tools")) as gateway:
        told = await gateway.chat(ask(tools=[TOOL]))
        bare = await gateway.chat(ask())
    assert told.error["code"] == "no_eligible_model"
    assert bare.status == 200


async def test_a_session_goes_with_the_header_that_keeps_it(up: Upstream) -> None:
    own = lone(up).replace("[provider.a]\n", '[provider.a]\nflags = ["affinity_header=x-stay"]\n')
    async with Gateway(own) as gateway:
        told = await gateway.chat(ask(p402={"session_id": "s-1"}))
    assert told.status == 200, told.raw
    assert up.last("/a/v1").header("x-stay") == "s-1"


@pytest.mark.parametrize(
    "flag",
    [
        "model_is_deployment",
        "backend_suffix",
        "sse_comments",
        "error_in_stream",
        "empty_choices=first",
    ],
)
async def test_some_flags_say_what_is_done_for_everybody(up: Upstream, flag: str) -> None:
    async with Gateway(flagged(up, flag)) as gateway:
        told = await gateway.chat(ask(stream=True))
    assert told.status == 200
    assert up.last("/a/v1").body["model"] == "m-a"


async def test_reported_costs_are_believed_where_they_may_be(up: Upstream) -> None:
    up.broken("usage-cost", "/a/v1")
    costs = {}
    for flags in ((), ("reported_cost", "usage_shape=openrouter_cost")):
        async with Gateway(flagged(up, *flags)) as gateway:
            told = await gateway.chat(ask(p402={"cost_details": True}))
        costs[flags] = told.metadata["cost_details"]
    up.faults.clear()
    assert costs[()] != costs["reported_cost", "usage_shape=openrouter_cost"]
