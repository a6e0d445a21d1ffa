"""Decides whether every admitted request ends as exactly one row, and whether its money is right.

Does not price by a second function: expectations are whole numbers times the configured rates.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from p402 import _core
from tests.claims.books import Books
from tests.gateway import WIDE, Gateway, ask, lone, pair
from tests.outcomes import HELLO

STREAM = "[stream]\nusage_wait_ms = 60\n"


async def last_row(gateway: Gateway, request_id: str):
    """The row of a request that nobody reads any more, once it has ended."""
    await gateway.idle()
    found = await gateway.get(f"/requests/{request_id}")
    assert found.status == 200
    return found.json


async def id_of(call) -> str:
    head = await call.part()
    return dict(head["headers"])[b"x-p402-request-id"].decode()


@pytest.mark.parametrize("stream", [False, True])
async def test_one_answer_is_one_row_and_the_reply_says_the_same(up, stream):
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=stream))
        row = await gateway.row(told)
    assert row["object"] == "request"
    assert row["id"] == told.metadata["request_id"]
    assert (row["status"], row["http_status"], row["stream"]) == ("settled", 200, stream)
    details = row["p402_metadata"].pop("cost_details")
    assert row["p402_metadata"] == told.metadata
    assert details["cost_nano_usd"] == (11 + 5) * 1_000
    assert row["attempts"][0]["provider_request_id"].startswith("req_sandbox_")
    assert row["retry_count"] == 0
    assert row["flags"] == []


async def test_a_client_that_leaves_mid_stream_still_pays_what_was_used(up):
    up.broken("slow-tokens", "/a/v1", ms=40)
    async with Gateway(lone(up, STREAM)) as gateway:
        async with gateway.call(ask(stream=True)) as call:
            request_id = await id_of(call)
            await call.until(b'"Hello"')
            call.leave()
        row = await last_row(gateway, request_id)
        record = up.last("/a/v1")
        await asyncio.to_thread(up.wait_for, lambda: record.finished)
    assert (row["status"], row["flags"]) == ("settled", ["disconnected"])
    assert row["p402_metadata"]["cost_details"]["usage_source"] == "provider"
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] == (11 + 5) * 1_000


async def test_a_drain_has_an_end_and_what_was_delivered_is_counted(up):
    up.broken("endless", "/a/v1", count=1_000_000)
    stream = "[stream]\ndrain_ms = 150\nusage_wait_ms = 50\n"
    async with Gateway(lone(up, stream)) as gateway:
        async with gateway.call(ask(stream=True)) as call:
            request_id = await id_of(call)
            await call.until(b'"Hello"')
            call.leave()
        row = await last_row(gateway, request_id)
    assert row["status"] == "settled"
    details = row["p402_metadata"]["cost_details"]
    assert (details["usage_source"], details["estimated"]) == ("estimated", True)
    assert details["cost_nano_usd"] > 0


async def test_no_drain_left_means_metered_and_estimated(up):
    up.broken("stall-mid-stream", "/a/v1")
    async with Gateway(lone(up, "[stream]\ndrain_max = 0\n")) as gateway:
        async with gateway.call(ask(stream=True)) as call:
            request_id = await id_of(call)
            await call.until(b'"Hello"')
            call.leave()
        row = await last_row(gateway, request_id)
    assert row["status"] == "settled"
    details = row["p402_metadata"]["cost_details"]
    assert details["usage_source"] == "estimated"
    assert row["p402_metadata"]["output_tokens"] > 0


async def test_a_client_that_leaves_before_anything_came_is_not_called_free(up):
    """The upstream may bill what it was sent: its input is counted, and said to be estimated."""
    up.broken("hang", "/a/v1")
    text = lone(up, "[stream]\nkeepalive_first_ms = 50\ndrain_ms = 100\n")
    text = text.replace("_ms = 600", "_ms = 20000").replace("_ms = 800", "_ms = 20000")
    async with Gateway(text) as gateway:
        async with gateway.call(ask(stream=True)) as call:
            request_id = await id_of(call)
            call.leave()
        gone = up.last("/a/v1")
        await asyncio.to_thread(up.wait_for, lambda: gone.aborted)
        row = await last_row(gateway, request_id)
    assert (row["status"], row["http_status"]) == ("settled", 499)
    assert row["flags"] == ["estimated", "disconnected"]
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["client_gone"]
    details = row["p402_metadata"]["cost_details"]
    assert (details["usage_source"], details["estimated"]) == ("estimated", True)
    assert details["cost_nano_usd"] == row["p402_metadata"]["input_tokens"] * 1_000 > 0
    assert row["p402_metadata"]["output_tokens"] == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_answer_pays_what_it_came_to(up, stream):
    """The upstream bills what it was asked for: it is heard out, and no other is asked."""
    up.broken("slow-first-byte", "/a/v1", ms=200)
    text = pair(up, WIDE).replace("_ms = 600", "_ms = 20000").replace("_ms = 800", "_ms = 20000")
    async with Gateway(text) as gateway:
        async with gateway.call(ask(stream=stream)) as call:
            await asyncio.to_thread(up.wait_for, lambda: up.log.of("/a/v1"))
            call.leave()
        await gateway.idle()
        (rid,) = Books(Path(gateway.folder.name)).rids()
        row = await last_row(gateway, rid)
    assert row["status"] == "settled"
    assert "disconnected" in row["flags"]
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] == (11 + 5) * 1_000
    assert not up.log.of("/b/v1")


async def test_whoever_is_not_heard_out_pays_what_was_held(up):
    """Nobody will ever know what the whole answer came to."""
    up.broken("hang", "/a/v1")
    text = lone(up, f"[stream]\ndrain_max = 0\n{WIDE}").replace("_ms = 600", "_ms = 20000")
    async with Gateway(text) as gateway:
        async with gateway.call(ask(max_tokens=100)) as call:
            await asyncio.to_thread(up.wait_for, lambda: up.log.of("/a/v1"))
            call.leave()
        gone = up.last("/a/v1")
        await asyncio.to_thread(up.wait_for, lambda: gone.aborted)
        await gateway.idle()
        (rid,) = Books(Path(gateway.folder.name)).rids()
        row = await last_row(gateway, rid)
    assert (row["status"], row["http_status"]) == ("settled", 499)
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] >= 100_000


async def test_a_stream_that_broke_costs_nothing_and_shows_what_was_wasted(up):
    up.broken("reset-mid-stream", "/a/v1")
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=True, p402={"cost_details": True}))
        row = await gateway.row(told)
    assert row["status"] == "released"
    assert told.metadata["cost_usd"] == row["p402_metadata"]["cost_usd"] == 0
    assert row["p402_metadata"]["cost_details"]["wasted_upstream_usd"] > 0
    assert row["attempts"]


async def test_a_stream_that_broke_after_its_usage_is_paid_for(up):
    up.broken("no-finish", "/a/v1")
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(stream=True))
        row = await gateway.row(told)
    assert told.events[-1]["error"]["code"] == "upstream_stream_cut"
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] == (11 + 5) * 1_000


@pytest.mark.parametrize(
    ("fault", "wasted"), [("429", False), ("500", False), ("401", False), ("empty-body", True)]
)
async def test_only_what_may_have_been_billed_counts_as_wasted(up, fault, wasted):
    up.broken(fault, "/a/v1")
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(p402={"cost_details": True}))
    details = told.metadata["cost_details"]
    assert told.text == HELLO
    assert details["attempts"] == 2
    assert (details["wasted_upstream_usd"] > 0) is wasted
    assert told.metadata["cost_usd"] == 0.000032


async def test_the_fee_is_charged_on_top_and_shown(up):
    text = lone(up, "[pricing]\nplatform_fee_bps = 250\n")
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask(p402={"cost_details": True}))
        row = await gateway.row(told)
    details = row["p402_metadata"]["cost_details"]
    # 2.5 % of 16,000 nano-dollars.
    assert details["cost_nano_usd"] == 16_000 + 400
    assert told.metadata["cost_usd"] == 0.0000164
    assert told.metadata["direct_cost"] == 0.000016
    assert told.metadata["savings"] == -0.0000004
    assert told.metadata["cost_details"]["platform_fee_usd"] == 0.0000004


async def test_the_named_model_is_the_baseline(up):
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask(model="m-b", p402={"cost_details": True}))
    assert told.metadata["model"] == "m-a"
    assert told.metadata["cost_usd"] == 0.000016
    assert told.metadata["direct_cost"] == 0.000032
    assert told.metadata["savings"] == 0.000016
    assert told.metadata["cost_details"]["direct_basis"] == "requested_model"
    assert told.metadata["cost_details"]["direct_model"] == "m-b"


async def test_a_row_belongs_to_its_tenant_and_unknown_ids_look_the_same(up):
    tenants = '[[tenant]]\nid = "one"\nkey_env = "ONE"\n[[tenant]]\nid = "two"\nkey_env = "TWO"\n'
    env = {"ONE": "key-one", "TWO": "key-two"}
    async with Gateway(lone(up, tenants), env=env) as gateway:
        told = await gateway.chat(ask(), {"authorization": "Bearer key-one"})
        path = f"/requests/{told.headers['x-request-id']}"
        mine = await gateway.get(path, {"authorization": "Bearer key-one"})
        foreign = await gateway.get(path, {"authorization": "Bearer key-two"})
        unknown = await gateway.get("/requests/req_0", {"authorization": "Bearer key-two"})
    assert told.metadata["tenant_id"] == "one"
    assert mine.status == 200
    assert foreign.status == unknown.status == 404
    assert foreign.error["code"] == unknown.error["code"] == "request_not_found"


async def test_what_memory_forgets_the_ledger_tells(up):
    async with Gateway(lone(up, "[limits]\nrequests_kept = 3\n")) as gateway:
        replies = [await gateway.chat(ask()) for _ in range(5)]
        found = [
            (await gateway.get(f"/requests/{told.headers['x-request-id']}")).status
            for told in replies
        ]
    assert found == [200] * 5


async def test_a_hundred_at_once_settle_once_each(up):
    async with Gateway(lone(up, WIDE)) as gateway:
        kinds = [ask(stream=bool(at % 2)) for at in range(100)]
        replies = await asyncio.gather(*(gateway.chat(body) for body in kinds))
        rows = [await gateway.row(told) for told in replies]
        await gateway.idle()
    assert len({row["id"] for row in rows}) == 100
    assert {row["status"] for row in rows} == {"settled"}
    assert {told.metadata["cost_usd"] for told in replies} == {0.000016}
    assert len(up.log.of("/a/v1")) == 100


async def test_a_clients_own_retry_is_noted(up):
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask(), {"x-stainless-retry-count": "2"})
        assert (await gateway.row(told))["retry_count"] == 2


async def test_a_correction_by_hand_reaches_the_gateway_that_runs(up):
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask())
        rid = told.headers["x-p402-request-id"]
        say = partial(_core.settle_by_hand, gateway.folder.name, rid)
        row = json.loads(await asyncio.to_thread(say, "5"))
        assert (row["kind"], row["request_id"]) == ("adjust", rid)
        last = await gateway.chat(ask())
        left = Decimal(last.headers["x-p402-daily-remaining-usd"])
        # It stands at five dollars now, the second request beside it.
        assert left == Decimal(1000 - 5) - Decimal(str(last.metadata["cost_usd"]))
        with pytest.raises(OSError, match="stands at this cost already"):
            await asyncio.to_thread(say, "5")
