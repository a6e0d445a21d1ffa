"""Decides whether the price tag is whole, true and the same wherever it is read.

Does not test streams' framing or how a plan comes about.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from tests.gateway import USER, Gateway, ask, lone, model, pair, provider

MODES = ["cost", "quality", "speed", "balanced"]
KEYS = {
    "request_id": str,
    "tenant_id": str,
    "provider": str,
    "model": str,
    "cost_usd": (int, float),
    "direct_cost": (int, float),
    "savings": (int, float),
    "input_tokens": int,
    "output_tokens": int,
    "latency_ms": (int, float),
    "provider_latency_ms": (int, float),
    "cached": bool,
    "routing_mode": str,
}
COST_DETAILS = {
    "upstream_usd",
    "platform_fee_usd",
    "overhead_usd",
    "wasted_upstream_usd",
    "direct_basis",
    "direct_provider",
    "direct_model",
    "requested_known",
    "estimated",
    "usage_source",
    "price_source",
    "price_as_of",
    "price_confidence",
    "service_tier",
    "breakdown",
    "provider_cache_discount_usd",
    "attempts",
}
ROUTING = {
    "task",
    "confidence",
    "difficulty",
    "score",
    "why",
    "plan",
    "attempts",
    "considered",
    "rejected",
    "runner_up",
    "session",
    "weights",
    "catalog",
}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def nano(usd: object) -> int:
    """Dollars, as the reply writes them, in whole nano-dollars."""
    exact = Decimal(str(usd)) * 10**9
    assert exact == int(exact)
    return int(exact)


def test_the_thirteen_are_thirteen():
    assert len(KEYS) == 13


@BOTH
@pytest.mark.parametrize("mode", MODES)
async def test_thirteen_keys_in_order_in_every_mode(up, mode, stream):
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(stream=stream, p402={"mode": mode}))
        row = await gateway.row(told)
    metadata = told.metadata
    assert list(metadata) == list(KEYS)
    for key, kind in KEYS.items():
        assert isinstance(metadata[key], kind), key
        assert kind is bool or not isinstance(metadata[key], bool), key
    assert metadata["routing_mode"] == told.headers["x-p402-mode"] == mode
    assert metadata["cached"] is False
    assert re.fullmatch("req_[0-9a-f]{32}", metadata["request_id"])
    assert metadata["request_id"] == told.headers["x-request-id"]
    assert metadata["request_id"] == told.headers["x-p402-request-id"]
    assert 0 <= metadata["provider_latency_ms"] <= metadata["latency_ms"]
    cost, direct = nano(metadata["cost_usd"]), nano(metadata["direct_cost"])
    assert nano(metadata["savings"]) == direct - cost
    assert cost == row["p402_metadata"]["cost_details"]["cost_nano_usd"]
    assert cost == 16 * {"a": 1_000, "b": 2_000}[metadata["provider"]]


@BOTH
async def test_usage_and_metadata_agree(up, stream):
    options = {"stream_options": {"include_usage": True}} if stream else {}
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=stream, **options))
    usage = told.events[-1]["usage"] if stream else told.json["usage"]
    assert usage["prompt_tokens"] == told.metadata["input_tokens"] == 11
    assert usage["completion_tokens"] == told.metadata["output_tokens"] == 5
    assert usage["total_tokens"] == 16
    assert usage["cost"] == told.metadata["cost_usd"]
    if stream:
        with_it = [event for event in told.events if "p402_metadata" in event]
        assert [bool(event["choices"]) for event in with_it] == [True, False]
        first, second = (dict(event["p402_metadata"]) for event in with_it)
        for each in (first, second):
            del each["latency_ms"]
        assert first == second


@BOTH
async def test_cost_details_only_when_asked_and_adding_up(up, stream):
    async with Gateway(lone(up, "[pricing]\nplatform_fee_bps = 333\n")) as gateway:
        told = await gateway.chat(ask(stream=stream, p402={"cost_details": True}))
    assert list(told.metadata) == [*KEYS, "cost_details"]
    details = told.metadata["cost_details"]
    assert set(details) >= COST_DETAILS
    parts = ("upstream_usd", "platform_fee_usd", "overhead_usd")
    assert sum(nano(details[part]) for part in parts) == nano(told.metadata["cost_usd"])
    parts = details["breakdown"].values()
    assert sum(nano(part) for part in parts) == nano(details["upstream_usd"])
    assert details["direct_basis"] == "served_model"
    assert details["usage_source"] == "provider"
    assert details["attempts"] == 1


@BOTH
async def test_explain_tells_the_choice_without_secrets(up, stream):
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(stream=stream, p402={"explain": True}))
    assert list(told.metadata) == [*KEYS, "routing"]
    routing = told.metadata["routing"]
    assert set(routing) >= ROUTING
    assert routing["plan"][0].startswith("a/m-a")
    assert routing["why"]
    assert routing["attempts"][0]["outcome"] == "ok"
    assert routing["considered"] == 2
    assert "127.0.0.1" not in json.dumps(routing)
    assert "sk-" not in json.dumps(routing)


@BOTH
async def test_both_nested_objects_at_once(up, stream):
    async with Gateway(lone(up)) as gateway:
        body = ask(stream=stream, p402={"explain": True, "cost_details": True})
        told = await gateway.chat(body)
    assert set(told.metadata) == {*KEYS, "cost_details", "routing"}


@BOTH
async def test_headers_of_a_reply(up, stream):
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=stream, p402={"task": "coding"}))
    named = told.headers
    assert named["x-p402-provider"] == "a"
    assert named["x-p402-model"] == "m-a"
    assert re.fullmatch(r"coding;c=1(\.00)?", named["x-p402-task"])
    assert named["x-p402-attempts"] == "1"
    assert named["x-p402-session"] in {"none", "new", "held", "moved"}
    assert named["x-p402-cache"] in {"miss", "off"}
    assert named["x-p402-weights"]
    assert ("x-p402-cost-usd" in named) is not stream
    if stream:
        assert named["content-type"] == "text/event-stream; charset=utf-8"
        assert named["cache-control"] == "no-cache"
        assert named["x-accel-buffering"] == "no"
        assert "content-length" not in named
    else:
        assert named["content-type"] == "application/json"
        assert Decimal(named["x-p402-cost-usd"]) == Decimal(str(told.metadata["cost_usd"]))


async def test_every_key_has_a_header_twin(up):
    twins = {
        "x-p402-mode": "quality",
        "x-p402-task": "math",
        "x-p402-models": "m-b",
        "x-p402-providers": "b",
        "x-p402-max-cost-usd": "0.9",
        "x-p402-max-latency-ms": "5000",
        "x-p402-explain": "true",
        "x-p402-cost-details": "true",
        "x-p402-session-id": "s-1",
        "x-p402-cache": "false",
    }
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(), twins)
        pinned = await gateway.chat(ask(model="m-b"), {"x-p402-pin": "true"})
    assert told.status == 200, told.raw
    assert told.metadata["routing_mode"] == "quality"
    assert told.metadata["model"] == "m-b"
    assert {"routing", "cost_details"} <= set(told.metadata)
    assert told.headers["x-p402-task"].startswith("math")
    assert told.headers["x-p402-session"] != "none"
    assert pinned.metadata["model"] == "m-b"


async def test_the_body_wins_over_the_header_key_by_key(up):
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(
            ask(p402={"mode": "cost"}), {"x-p402-mode": "quality", "x-p402-explain": "true"}
        )
    assert told.metadata["routing_mode"] == "cost"
    assert "routing" in told.metadata


@BOTH
async def test_the_upstream_gets_the_clients_bytes_but_for_the_named_fields(up, stream):
    odd = (
        '{"messages" : [ {"role":"user","content":"H\\u00e9llo \\ud83d\\ude00"} ],  "model":"auto",'
    )
    odd += '"seed":12345678901234567890, "x_new": {"a":[1.50,1e3]} ,"logit_bias":{"50256":-100}'
    odd += f',"stream":{json.dumps(stream)}, "p402":{{"mode":"cost"}} }}'
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(odd.encode())
    assert told.status == 200, told.raw
    sent = up.last("/a/v1").raw_body.decode()
    for kept in (
        '"messages" : [ {"role":"user","content":"H\\u00e9llo \\ud83d\\ude00"} ]',
        '"seed":12345678901234567890',
        '"x_new": {"a":[1.50,1e3]}',
        '"logit_bias":{"50256":-100}',
    ):
        assert kept in sent
    parsed = json.loads(sent)
    assert "p402" not in parsed
    assert parsed["model"] == "m-a"
    assert parsed.get("stream_options") == ({"include_usage": True} if stream else None)


async def test_nothing_of_the_client_reaches_the_upstream_but_the_body(up):
    headers = {
        "authorization": "Bearer client-secret",
        "cookie": "c=1",
        "x-forwarded-for": "10.0.0.1",
        "openai-organization": "org-client",
        "x-stainless-lang": "python",
        "x-portkey-custom-host": "http://127.0.0.1:1",
        "user-agent": "client/1",
        "x-p402-mode": "cost",
    }
    async with Gateway(lone(up)) as gateway:
        assert (await gateway.chat(ask(), headers)).status == 200
    sent = dict(up.last("/a/v1").headers)
    allowed = {
        "host",
        "content-type",
        "content-length",
        "authorization",
        "user-agent",
        "accept",
        "accept-encoding",
    }
    assert set(sent) <= allowed
    assert sent["authorization"] == "Bearer sk-a-key"
    assert sent["user-agent"].startswith("p402/")
    assert sent["accept-encoding"] == "identity"


@BOTH
async def test_nothing_of_the_provider_reaches_the_client_but_the_body(up, stream):
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=stream))
    for name in ("set-cookie", "server", "openai-organization", "openai-processing-ms"):
        assert name not in told.headers
    assert told.headers["x-request-id"].startswith("req_0")
    known = {"content-type", "content-length", "cache-control", "x-accel-buffering"}
    own = {name for name in told.headers if name.startswith("x-p402-")}
    limits = {name for name in told.headers if name.startswith(("x-ratelimit-", "ratelimit"))}
    assert len(limits) == 5
    assert set(told.headers) <= known | own | limits | {"x-request-id"}


@BOTH
async def test_the_operators_price_is_cut_out_of_usage(up, stream):
    up.broken("usage-cost", "/a/v1")
    options = {"stream_options": {"include_usage": True}} if stream else {}
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=stream, **options))
    usage = told.events[-1]["usage"] if stream else told.json["usage"]
    assert usage["cost"] == 0.000016
    assert not {"cost_details", "is_byok"} & set(usage)


async def test_a_bare_answer_is_completed(up):
    up.broken("bare", "/a/v1")
    async with Gateway(lone(up)) as gateway:
        body = (await gateway.chat(ask())).json
    assert {"id", "object", "created", "model", "choices", "usage", "p402_metadata"} <= set(body)
    assert body["model"] == "m-a"
    (choice,) = body["choices"]
    assert set(choice) >= {"index", "message", "logprobs", "finish_reason"}
    assert set(choice["message"]) >= {"role", "content", "refusal", "annotations"}
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


async def test_the_served_model_is_named_as_its_upstream_names_it(up):
    text = lone(up).replace('id = "m-a"', 'id = "m-a"\nupstream_id = "acme-large-v2"')
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask(model="gpt-5.4"))
    assert json.loads(up.last("/a/v1").raw_body)["model"] == "acme-large-v2"
    assert told.json["model"] == "acme-large-v2"
    assert told.metadata["model"] == "m-a"


async def test_a_prompt_with_an_image_goes_where_images_are_read(up):
    blind = provider("b", up) + model("m-b", "b", usd="0.1").replace("vision = true\n", "")
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content = [{"type": "text", "text": "What is this?"}, part]
    async with Gateway(lone(up) + blind) as gateway:
        plain = await gateway.chat(ask())
        told = await gateway.chat({"model": "auto", "messages": [{**USER[0], "content": content}]})
    assert plain.metadata["model"] == "m-b"
    assert told.metadata["model"] == "m-a"
