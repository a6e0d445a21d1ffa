"""Decides whether a decision can be asked for without being carried out, and bad input is told.

Does not test how a plan is made: the core's own tests do.
"""

from __future__ import annotations

import json

import pytest

from tests.gateway import USER, Gateway, Told, ask, lone, model, pair, provider
from tests.upstream import Upstream

MODES = ["cost", "quality", "speed", "balanced"]
PLAN = {
    "attempt",
    "provider",
    "model",
    "expected_usd",
    "claim_usd",
    "expected_ttft_ms",
    "expected_ms",
    "deadline_ms",
    "why",
}


@pytest.fixture(scope="module")
def up():
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def three(up):
    """Three offers that each mode ranks differently."""
    better = model("m-b", "b", usd="2").replace("capability = 70", "capability = 90")
    quick = model("m-c", "c", usd="3").replace("ttft_ms = 10", "ttft_ms = 1")
    return lone(up) + provider("b", up) + better + provider("c", up) + quick


@pytest.fixture
async def gateway(up):
    async with Gateway(pair(up)) as made:
        yield made


@pytest.mark.parametrize("mode", MODES)
async def test_a_dry_run_is_the_next_decision(up, three, mode):
    body = ask(p402={"mode": mode, "task": "coding", "explain": True})
    async with Gateway(three) as gateway:
        before = len(up.log.all())
        told = await gateway.post("/route", body)
        assert len(up.log.all()) == before, "nobody is called"
        live = await gateway.chat(body)
    plan = told.json["plan"]
    assert told.status == 200
    assert told.json["object"] == "route"
    assert told.json["mode"] == mode
    assert told.json["task"]["type"] == "coding"
    assert len(told.json["task"]["probabilities"]) == 9
    assert all(set(step) >= PLAN for step in plan)
    assert [step["attempt"] for step in plan] == list(range(1, len(plan) + 1))
    assert live.metadata["model"] == plan[0]["model"]
    shown = [step.split("@")[0] for step in live.metadata["routing"]["plan"]]
    assert shown == [f"{step['provider']}/{step['model']}" for step in plan]


async def test_the_modes_differ_where_they_should(three):
    async with Gateway(three) as gateway:
        first = {
            mode: (await gateway.post("/route", ask(p402={"mode": mode}))).json["plan"][0]["model"]
            for mode in MODES
        }
    assert first["cost"] == "m-a"
    assert first["quality"] == "m-b"


async def test_a_dry_run_leaves_no_trace(gateway):
    told = await gateway.post("/route", ask())
    assert gateway.core.in_flight == 0
    assert "x-p402-attempts" not in told.headers


async def test_all_candidates_and_rejections_on_demand(up):
    async with Gateway(pair(up), whole=True) as gateway:
        short = await gateway.post("/route", ask())
        every = await gateway.post("/route?all=1", ask())
    assert len(short.json["candidates"]) <= 20
    assert len(every.json["rejected"]) > 300
    assert {row["reason"] for row in every.json["rejected"]} >= {"no_key"}
    assert {row["model"] for row in every.json["candidates"]} == {"m-a", "m-b"}


async def test_models_are_listed_by_the_hundred_with_price_and_aliases(up):
    async with Gateway(lone(up), whole=True) as gateway:
        told = await gateway.get("/models")
        entries = told.json["data"]
        assert told.json["object"] == "list"
        assert told.json["has_more"] is False
        assert len(entries) >= 300
        ids = [entry["id"] for entry in entries]
        assert len(set(ids)) == len(ids)
        assert all(entry["object"] == "model" for entry in entries)
        assert all(entry["owned_by"] for entry in entries)
        assert "m-a" in ids
        slashed = next(name for name in ids if "/" in name)
        plain = await gateway.get(f"/models/{slashed}")
        encoded = await gateway.get(f"/models/{slashed.replace('/', '%2F')}")
        slash = await gateway.get("/models/m-a/")
    assert plain.status == encoded.status == slash.status == 200
    assert plain.json == encoded.json
    assert plain.json["id"] == slashed
    assert slash.json["id"] == "m-a"


async def test_an_unknown_model_of_the_list_is_404_with_near_names(up):
    async with Gateway(lone(up), whole=True) as gateway:
        told = await gateway.get("/models/claude-haiku-4-66")
    assert (told.status, told.error["code"]) == (404, "model_not_found")
    assert "haiku" in told.error["message"]


async def test_an_unknown_name_is_routed_and_said(gateway):
    told = await gateway.chat(ask(model="no-such-model-9"))
    assert told.status == 200
    assert "unknown" in told.headers["x-p402-warnings"]
    assert told.headers["x-p402-warnings"].isascii()


@pytest.mark.parametrize("name", ["", "auto"])
async def test_a_free_name_is_no_warning(gateway, name):
    told = await gateway.chat(ask(model=name))
    assert told.status == 200
    assert "x-p402-warnings" not in told.headers


@pytest.mark.parametrize("name", ["openai/../../admin", "a#b", "a?b", "a\\b", "x" * 200])
async def test_a_hostile_name_is_only_an_unknown_one(gateway, up, name):
    told = await gateway.chat(ask(model=name))
    assert told.status in {200, 400}, told.raw
    assert {record.path for record in up.log.all()} <= {
        "/a/v1/chat/completions",
        "/b/v1/chat/completions",
        "/c/v1/chat/completions",
    }


def body(**more) -> bytes:
    return json.dumps({"model": "auto", "messages": USER, **more}).encode()


P402 = "p402"
BAD = {
    "no JSON": (b"{", "invalid_json", None),
    "empty": (b"", "invalid_json", None),
    "a list": (b"[]", None, None),
    "trailing": (body() + b"x", "invalid_json", None),
    "bom": (b"\xef\xbb\xbf" + body(), "invalid_json", None),
    "not UTF-8": (body().replace(b"Say", b"S\xff"), "invalid_json", None),
    "lone surrogate": (body().replace(b"Say", b"S\\ud800"), "invalid_json", None),
    "NaN": (body().replace(b'"auto"', b'"auto","seed":NaN'), "invalid_json", None),
    "too deep": (b'{"x":' + b"[" * 100_000, "invalid_json", None),
    "twice": (body().replace(b"{", b'{"model":"a",', 1), "duplicate_field", "model"),
    "twice, escaped": (
        body().replace(b"{", b'{"mod\\u0065l":"a",', 1),
        "duplicate_field",
        "model",
    ),
    "no model": (b'{"messages":[]}', "missing_required_parameter", None),
    "no messages": (b'{"model":"auto"}', "missing_required_parameter", "messages"),
    "empty messages": (body(messages=[]), None, "messages"),
    "messages no list": (body(messages="hi"), "invalid_type", "messages"),
    "model no text": (body(model=7), "invalid_type", "model"),
    "stream no bool": (body(stream="yes"), "invalid_type", "stream"),
    "n huge": (body(n=10**9), "invalid_value", "n"),
    "n zero": (body(n=0), "invalid_value", "n"),
    "stop of five": (body(stop=list("abcde")), "invalid_value", "stop"),
    "top_logprobs": (body(logprobs=True, top_logprobs=21), "invalid_value", "top_logprobs"),
    "tools of 129": (
        body(tools=[{"type": "function", "function": {"name": f"f{at}"}} for at in range(129)]),
        "invalid_value",
        "tools",
    ),
    "p402 no object": (body(p402=1), "p402_field_invalid", "p402"),
    "p402 unknown key": (body(p402={"mdoe": "cost"}), "p402_field_unknown", "p402.mdoe"),
    "p402 mode": (body(p402={"mode": "cheap"}), "p402_field_invalid", "p402.mode"),
    "p402 task": (body(p402={"task": "poetry"}), "p402_field_invalid", "p402.task"),
    "p402 pin": (body(p402={"pin": "yes"}), "p402_field_invalid", "p402.pin"),
    "p402 cost": (body(p402={"max_cost_usd": -1}), "p402_field_invalid", "p402.max_cost_usd"),
    "p402 latency": (
        body(p402={"max_latency_ms": 10}),
        "p402_field_invalid",
        "p402.max_latency_ms",
    ),
    "p402 session": (
        body(p402={"session_id": "x" * 129}),
        "p402_field_invalid",
        "p402.session_id",
    ),
    "p402 twice": (
        body(p402={"mode": "cost"}).replace(b'{"mode"', b'{"mode":"speed","mode"'),
        "duplicate_field",
        None,
    ),
    "p402 pin of nothing": (body(p402={"pin": True}), None, None),
}


def check_error(told: Told, code: str | None, param: str | None) -> None:
    """OpenAI's error object, a stable code, and something to do about it."""
    assert 400 <= told.status < 500, told.raw
    assert set(told.error) >= {"message", "type", "param", "code"}
    assert isinstance(told.error["code"], str)
    assert code is None or told.error["code"] == code, told.error
    assert param is None or told.error["param"] == param, told.error
    assert len(told.error["message"]) > 10
    assert told.headers["x-request-id"] == told.headers["x-p402-request-id"]
    assert told.headers["x-should-retry"] == "false"
    assert told.headers["content-type"] == "application/json"
    assert b".rs" not in told.raw
    assert b"panicked" not in told.raw


@pytest.mark.parametrize("path", ["/chat/completions", "/route"])
@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_told(gateway, up, path, name):
    sent, code, param = BAD[name]
    before = len(up.log.all())
    check_error(await gateway.post(path, sent), code, param)
    assert len(up.log.all()) == before


async def test_the_keys_that_would_do_are_named(gateway):
    told = await gateway.chat(ask(p402={"mdoe": "cost"}))
    assert "mode" in told.error["message"]
    told = await gateway.chat(ask(p402={"mode": "cheap"}))
    assert all(mode in told.error["message"] for mode in MODES)


async def test_a_bad_header_twin_is_told_like_its_key(gateway):
    check_error(await gateway.chat(ask(), {"x-p402-mode": "cheap"}), "p402_field_invalid", None)


async def test_a_pinned_name_that_nobody_has_is_404_with_near_names(up):
    async with Gateway(lone(up), whole=True) as gateway:
        told = await gateway.chat(ask(model="claude-haiku-4-66", p402={"pin": True}))
    check_error(told, "model_not_found", "model")
    assert told.status == 404
    assert "haiku" in told.error["message"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"p402": {"max_cost_usd": "0.000000001"}}, "over_max_cost"),
        ({"p402": {"providers": {"deny": ["a", "b"]}}}, "denied"),
        ({"max_tokens": 9_000}, "max_output"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [{"role": "user", "content": "word " * 400_000}]}, "context"),
    ],
)
async def test_an_impossible_wish_names_what_removed_the_last_candidate(up, more, reason):
    blind = pair(up).replace("tools = true", 'tools = true\nflags = ["drop=logprobs"]')
    async with Gateway(blind) as gateway:
        told = await gateway.chat({**ask(), **more})
    check_error(told, "no_eligible_model", None)
    assert told.status == 400
    assert reason in json.dumps(told.error)


async def test_a_name_in_a_list_that_matches_nothing_is_told(gateway):
    for key in ("models", "providers"):
        told = await gateway.chat(ask(p402={key: ["no-such-thing"]}))
        check_error(told, "p402_field_invalid", None)
        assert "no-such-thing" in told.error["message"]


async def test_contradictory_lists_leave_nobody(gateway):
    told = await gateway.chat(ask(p402={"models": {"allow": ["m-a"], "deny": ["m-*"]}}))
    check_error(told, "no_eligible_model", None)
    told = await gateway.chat(ask(model="m-a", p402={"pin": True, "models": ["m-b"]}))
    check_error(told, None, None)


async def test_a_body_over_the_limit_is_413(up):
    async with Gateway(lone(up, "[limits]\nbody_bytes = 2048\n")) as gateway:
        fits = await gateway.chat(ask(user="x" * 1_000))
        told = await gateway.chat(ask(user="x" * 3_000))
    assert fits.status == 200
    assert told.status == 413
    check_error(told, "request_too_large", None)
