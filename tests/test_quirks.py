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
    assert told.status == 200, told.raw
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
    ("reasoning_control=thinking_budget", HIGH, {"thinking_budget": 16_384}),
    ("reasoning_control=reasoning_object", HIGH, {"reasoning": {"effort": "high"}}),
    ("reasoning_control=reasoning_enabled", HIGH, {"reasoning": {"enabled": True}}),
    (
        "reasoning_control=chat_template_args",
        HIGH,
        {"chat_template_args": {"enable_thinking": True}},
    ),
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
            ("any_for_required", "any"),
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
    said = {"role": "assistant", "content": "c"}
    told = {"tools": [TOOL], "messages": [said, *CALLED, said, {**said, "reasoning_content": ""}]}
    got = await sent(up, ("echo_reasoning",), told)
    lost = {"reasoning_content": " "}
    also = {**said, **lost}
    assert got["messages"] == [said, CALLED[0], {**CALLED[1], **lost}, CALLED[2], also, also]


async def test_thoughts_that_a_client_kept_go_back_as_they_were(up: Upstream) -> None:
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


NAMED = {"type": "function", "function": {"name": "f"}}
UNABLE: list[tuple[str, Any, bool]] = [
    ("no_tools", "auto", False),
    ("tool_choice=full", NAMED, True),
    ("tool_choice=auto_none", "none", True),
    ("tool_choice=auto_none", "required", False),
    ("tool_choice=auto_none", NAMED, False),
    ("tool_choice=no_required", "required", False),
    ("tool_choice=no_required", NAMED, True),
]


@pytest.mark.parametrize(("flag", "choice", "able"), UNABLE)
async def test_what_a_provider_cannot_do_it_is_not_asked_for(
    up: Upstream, *, flag: str, choice: Any, able: bool
) -> None:
    async with Gateway(flagged(up, flag)) as gateway:
        told = await gateway.chat(ask(tools=[TOOL], tool_choice=choice))
        bare = await gateway.chat(ask())
    assert told.status == (200 if able else 400)
    assert able or told.error["code"] == "no_eligible_model"
    assert bare.status == 200


async def test_a_session_goes_with_the_header_that_keeps_it(up: Upstream) -> None:
    own = lone(up).replace("[provider.a]\n", '[provider.a]\nflags = ["affinity_header=x-stay"]\n')
    async with Gateway(own) as gateway:
        told = await gateway.chat(ask(p402={"session_id": "s-1"}))
    assert told.status == 200, told.raw
    assert up.last("/a/v1").header("x-stay") == "s-1"


# Flags that say what is done for everybody, and a provider that behaves so.
EVERYBODY = [
    ("model_is_deployment", ""),
    ("backend_suffix", ""),
    ("sse_comments", "noise"),
    ("error_in_stream", "error-mid-stream"),
    ("empty_choices=first", "empty-choices-first"),
    ("empty_choices=final", "usage-twice"),
]


@pytest.mark.parametrize(("flag", "fault"), EVERYBODY)
async def test_some_flags_say_what_is_done_for_everybody(
    up: Upstream, flag: str, fault: str
) -> None:
    if fault:
        up.broken(fault, "/a/v1")
    told = {}
    for flags in ((), (flag,)):
        async with Gateway(flagged(up, *flags)) as gateway:
            told[flags] = await gateway.chat(ask(stream=True))
        assert up.last("/a/v1").body["model"] == "m-a"
    up.faults.clear()
    with_flag, without = told[(flag,)], told[()]
    assert with_flag.text == without.text
    assert with_flag.done == without.done == (fault != "error-mid-stream")


# The shape, a provider that counts so, and what the sandbox's 11 + 5 tokens then cost at a dollar
# a million, of which cached ones cost a tenth to read and a quarter more to write.
SHAPES = [
    ("openai", "usage-beside", (11, 55, 66_000)),
    ("xai_excl_reasoning", "usage-beside", (11, 55, 66_000)),
    ("openai", "usage-split", (11, 5, 16_000)),
    ("deepseek_hit_miss", "usage-split", (11, 5, 11_500)),
    ("anthropic_excl_cache", "usage-beside-caches", (11, 5, 12_900)),
    ("gemini_excl_thoughts", "usage-beside-thoughts", (11, 55, 62_400)),
    ("openrouter_cost", "usage-writes", (11, 5, 12_900)),
    ("openai", "usage-writes", (11, 5, 12_400)),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("shape", "fault", "counts"), SHAPES)
async def test_usage_is_read_in_the_shape_its_provider_speaks(
    up: Upstream, *, shape: str, fault: str, counts: tuple[int, int, int], stream: bool
) -> None:
    up.broken(fault, "/a/v1")
    text = flagged(up, f"usage_shape={shape}")
    cached = 'cache_read_usd_per_mtok = "0.1"\ncache_write_usd_per_mtok = "1.25"\n'
    text = text.replace("context =", f"{cached}context =")
    async with Gateway(text) as gateway:
        row = await gateway.row(await gateway.chat(ask(stream=stream, max_tokens=100)))
    up.faults.clear()
    said = row["p402_metadata"]
    nano = said["cost_details"]["cost_nano_usd"]
    assert (said["input_tokens"], said["output_tokens"], nano) == counts


async def test_reported_costs_are_believed_where_they_may_be(up: Upstream) -> None:
    up.broken("usage-cost", "/a/v1")
    costs = {}
    for flags in ((), ("reported_cost",)):
        # A tenth of what it states is ours, 0.16 dollars: near enough to be believed.
        dear = flagged(up, *flags).replace('mtok = "1"', 'mtok = "10000"')
        async with Gateway(dear) as gateway:
            told = await gateway.chat(ask(max_tokens=20))
        costs[flags] = told.metadata["cost_usd"]
    up.faults.clear()
    assert costs == {(): 0.16, ("reported_cost",): 0.5}
