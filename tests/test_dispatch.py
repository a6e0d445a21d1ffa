"""Decides whether every fault of an upstream is survived or told truthfully, streamed or not.

Does not look at the bytes of regular streams: test_stream.py does.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from p402.sandbox import FAULTS, Fault
from tests.gateway import Gateway, Told, ask, lone, model, pair, provider
from tests.outcomes import HELLO, SPEC, UNBELIEVED, outcome

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
EVERY = pytest.mark.parametrize("name", sorted(FAULTS))
MOVED = sorted(
    name
    for name in FAULTS
    if "moved" in {outcome(name, stream=stream).kind for stream in (False, True)}
)
ERROR_KEYS = {"message", "type", "param", "code"}


def broken(up, name, at="/a/v1"):
    return up.broken(name, at, **SPEC.get(name, {}))


def check_whole(told: Told) -> None:
    """A stream that claims to be whole is: one finish, one metadata, [DONE] at the very end."""
    assert told.done
    finishes = [
        e for e in told.events if e["choices"] and e["choices"][0]["finish_reason"] is not None
    ]
    assert len(finishes) == 1
    assert [e for e in told.events if "p402_metadata" in e] == finishes
    assert told.raw.count(b"[DONE]") == 1


def check_cut(told: Told, code: str) -> None:
    """A stream that broke says so last, and nothing in it claims to be the end."""
    assert told.status == 200
    assert b"[DONE]" not in told.raw
    *before, last = told.events
    assert all(choice["finish_reason"] is None for e in before for choice in e["choices"])
    assert set(last) == {"error", "p402_metadata"}
    assert set(last["error"]) >= ERROR_KEYS
    assert last["error"]["code"] == code
    assert last["error"]["request_id"] == told.headers["x-request-id"]


async def check_moved(gateway: Gateway, told: Told, note: str) -> None:
    assert told.status == 200, told.raw
    assert told.text == HELLO
    assert told.headers["x-p402-attempts"] == f"2;a={note}"
    assert told.metadata["provider"] == told.headers["x-p402-provider"] == "b"
    assert (told.metadata["input_tokens"], told.metadata["output_tokens"]) == (11, 5)
    # b's price alone: what a may have cost is shown apart, never charged.
    row = await gateway.row(told)
    assert row["status"] == "settled"
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] == 16 * 2_000
    assert [attempt["provider"] for attempt in row["attempts"]] == ["a", "b"]
    assert row["attempts"][0]["outcome"] != "ok"


def check_refused(told: Told, status: int, code: str | None, note: str) -> None:
    assert told.status == status, told.raw
    assert told.error["code"] == code
    assert set(told.error) >= ERROR_KEYS
    assert told.error["message"]
    assert told.headers["x-p402-attempts"] == f"1;a={note}"


async def check_served(told: Told, row: Any, name: str, *, stream: bool) -> None:
    assert told.status == 200, told.raw
    assert told.headers["x-p402-attempts"] == "1"
    assert told.text == HELLO or name == "huge-frame"
    assert told.metadata["provider"] == "a"
    assert told.metadata["output_tokens"] > 0
    details = row["p402_metadata"]["cost_details"]
    own_count = name in UNBELIEVED or (name == "sse-for-json" and not stream)
    assert details["usage_source"] == ("estimated" if own_count else "provider")
    assert details["estimated"] is own_count
    if stream:
        check_whole(told)


@BOTH
@EVERY
async def test_a_fault_beside_a_healthy_provider(up, name, stream):
    fault, expected = broken(up, name), outcome(name, stream=stream)
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(stream=stream))
        if expected.kind == "moved":
            await check_moved(gateway, told, expected.note)
            if stream:
                check_whole(told)
        else:
            assert not up.log.of("/b/v1"), "a second provider must not be asked"
        if expected.kind == "returned":
            check_refused(told, expected.status, expected.code, expected.note)
        elif expected.kind == "broken":
            check_cut(told, expected.code)
            assert told.text
        elif expected.kind == "served":
            await check_served(told, await gateway.row(told), name, stream=stream)
        assert fault.hits == len(up.log.of("/a/v1")) == 1


@BOTH
@pytest.mark.parametrize("name", MOVED)
async def test_a_fault_with_nobody_else_to_ask(up, name, stream):
    broken(up, name)
    expected = outcome(name, stream=stream)
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=stream))
        if expected.kind == "broken":
            check_cut(told, expected.code)
            return
        row = await gateway.row(told)
        if expected.kind == "served":
            await check_served(told, row, name, stream=stream)
            return
        check_refused(told, expected.status, expected.code, expected.note)
        assert row["status"] == "released"
        assert row["http_status"] == expected.status
        assert row["p402_metadata"]["cost_usd"] == 0


@pytest.mark.parametrize(("name", "note"), [("context-length", "400"), ("413", "413")])
async def test_a_prompt_that_does_not_fit_goes_where_the_window_is_larger(up, name, note):
    broken(up, name)
    wide = model("m-b", "b", usd="2").replace("100000", "200000")
    async with Gateway(lone(up) + provider("b", up) + wide) as gateway:
        await check_moved(gateway, await gateway.chat(ask()), note)


@BOTH
async def test_the_third_of_three_answers_when_two_are_down(up, stream):
    broken(up, "503")
    broken(up, "reset-before-head", "/b/v1")
    third = provider("c", up) + model("m-c", "c", usd="3")
    async with Gateway(pair(up) + third) as gateway:
        told = await gateway.chat(ask(stream=stream))
    assert told.text == HELLO
    assert told.headers["x-p402-attempts"] == "3;a=503;b=cut"


@BOTH
@pytest.mark.parametrize("name", ["500", "hang", "404", "429"])
async def test_a_pin_never_leaves_its_model(up, name, stream):
    broken(up, name)
    async with Gateway(pair(up)) as gateway:
        body = ask(stream=stream, model="m-a", p402={"pin": True})
        told = await gateway.chat(body)
    assert told.status == outcome(name, stream=stream).status
    assert not up.log.of("/b/v1")


async def test_a_pin_moves_to_another_provider_of_its_model(up):
    broken(up, "500")
    twin = provider("b", up) + model("m-a", "b", usd="2") + model("m-b", "b", usd="0.1")
    async with Gateway(lone(up) + twin) as gateway:
        told = await gateway.chat(ask(model="m-a", p402={"pin": True}))
    assert told.headers["x-p402-attempts"] == "2;a=500"
    assert (told.metadata["provider"], told.metadata["model"]) == ("b", "m-a")


@pytest.mark.parametrize("name", ["401", "402", "403", "429", "quota"])
async def test_a_refused_key_makes_room_for_the_next(up, name):
    up.faults["/a/v1"] = Fault(name, SPEC.get(name, {}), count=1)
    keys = '["sk-first", "sk-second"]'
    text = lone(up).replace('["sk-a-key"]', keys)
    async with Gateway(text) as gateway:
        first = await gateway.chat(ask())
        second = await gateway.chat(ask())
    assert first.text == second.text == HELLO
    assert first.headers["x-p402-attempts"].startswith("2;a=4")
    # The refused key rests: the next request begins with the other one.
    assert second.headers["x-p402-attempts"] == "1"
    used = [record.header("authorization") for record in up.log.of("/a/v1")]
    assert used == ["Bearer sk-first", "Bearer sk-second", "Bearer sk-second"]


async def test_a_lone_short_rate_limit_is_waited_for_once(up):
    up.faults["/a/v1"] = Fault("429", {"after": "1", "after_ms": "150"}, count=1)
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask())
    assert told.text == HELLO
    assert told.headers["x-p402-attempts"] == "2;a=429"
    assert told.metadata["latency_ms"] >= 150


async def test_a_short_rate_limit_that_does_not_end_is_not_waited_for_again(up):
    fault = up.broken("429", "/a/v1", after=1, after_ms=100)
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask())
    assert told.status == 429
    assert fault.hits == 2


async def test_the_soonest_of_all_waits_is_told(up):
    up.broken("429", "/a/v1", after=40)
    up.broken("429", "/b/v1", after=20)
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask())
    assert (told.status, told.error["code"]) == (429, "upstream_rate_limited")
    assert told.headers["retry-after"] == "20"
    assert int(told.headers["retry-after-ms"]) == 20_000
    assert told.headers["x-should-retry"] == "true"
    assert [attempt["status"] for attempt in told.error["attempts"]] == [429, 429]


async def test_a_rate_limited_endpoint_is_left_alone_until_its_time(up):
    fault = up.broken("429", "/a/v1", after=30)
    async with Gateway(pair(up)) as gateway:
        replies = [await gateway.chat(ask()) for _ in range(4)]
    assert [told.metadata["provider"] for told in replies] == ["b"] * 4
    assert fault.hits == 1


@pytest.mark.parametrize(
    ("name", "again"),
    [("401", "true"), ("429", "true"), ("hang", "false"), ("close-after-head", "false")],
)
async def test_a_client_retries_only_what_nobody_can_have_billed(up, name, again):
    broken(up, name)
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask())
    assert told.headers["x-should-retry"] == again


async def test_an_outage_is_not_amplified(up):
    broken(up, "500")
    broken(up, "500", "/b/v1")
    async with Gateway(pair(up)) as gateway:
        before = time.monotonic()
        replies = [await gateway.chat(ask()) for _ in range(60)]
        took_s = time.monotonic() - before
    assert {told.status for told in replies} == {502}
    # Ten from the floor, a fifth for each first attempt, and what the floor gives back each second.
    sent = len(up.log.of("/a/v1")) + len(up.log.of("/b/v1"))
    assert sent <= 60 + 10 + 60 / 5 + took_s + 1
    assert sent < 2 * 60


@BOTH
async def test_max_latency_ends_in_time_and_says_so(up, stream):
    up.broken("slow-first-byte", "/a/v1", ms=3_000)
    text = lone(up).replace("first_byte_min_ms = 600", "first_byte_min_ms = 600\ntotal_ms = 9000")
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask(stream=stream, p402={"max_latency_ms": 200}))
    assert (told.status, told.error["code"]) == (504, "latency_exceeded")
    assert up.log.of("/a/v1"), "it was tried"


async def test_a_client_that_stops_waiting_bounds_the_walk(up):
    up.broken("slow-first-byte", "/a/v1", ms=3_000)
    text = lone(up).replace("body_min_ms = 600", "body_min_ms = 2500")
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask(), {"x-stainless-read-timeout": "0.3"})
        row = await gateway.row(told)
    assert told.status == 504
    assert 250 <= row["p402_metadata"]["latency_ms"] < 2_000
