"""Decides whether a tenant can ask what it spent, and the operator what everybody did, over HTTP.

Does not check sums against rows: the core's own tests add them up again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from decimal import Decimal
from importlib.resources import files

import jsonschema
import pytest

from p402.cli import main
from tests.gateway import Gateway, Told, ask, lone, model
from tests.upstream import Upstream

DOCUMENT = json.loads(files("p402").joinpath("openapi.json").read_bytes())
OPERATOR = {"authorization": "Bearer the-operator"}
ENV = {"OPERATOR_KEY": "the-operator", "ACME_KEY": "sk-acme", "GLOBEX_KEY": "sk-globex"}
PEOPLE = """
[operator]
key_env = "OPERATOR_KEY"
[[tenant]]
id = "acme"
key_env = "ACME_KEY"
[tenant.guard]
budget_usd = "2"
daily_cap_usd = "1"
in_flight_max = 7
[[tenant]]
id = "globex"
key_env = "GLOBEX_KEY"
"""


@pytest.fixture(scope="module")
def up():
    with Upstream() as running:
        yield running


def key(tenant: str) -> dict[str, str]:
    return {"authorization": f"Bearer sk-{tenant}"}


def report(told: Told) -> dict:
    """A usage report as documented, its money exact."""
    assert told.status == 200, told.raw
    schema = {"$ref": "#/components/schemas/UsageReport", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(told.json)
    return json.loads(told.raw, parse_float=Decimal)


async def spend(gateway: Gateway, tenant: str, **more) -> Told:
    told = await gateway.chat(ask(**more), key(tenant))
    assert told.status == 200, told.raw
    return told


async def test_a_conversation_tells_what_it_cost_and_saved(up):
    dear = model("m-dear", "a", usd="5")
    async with Gateway(lone(up, PEOPLE) + dear, env=ENV) as gateway:
        session = {"p402": {"session_id": "sess_xyz"}}
        mine = [await spend(gateway, "acme", model="m-dear", **session) for _ in range(3)]
        await spend(gateway, "acme")
        await spend(gateway, "globex", **session)
        told = report(await gateway.get("/usage?session_id=sess_xyz", key("acme")))
        by = report(await gateway.get("/usage?group_by=session", key("acme")))
        again = by["data"][1]["bucket"]
        same = report(await gateway.get(f"/usage?session={again}", key("acme")))
    total = told["total"]
    metadata = [json.loads(each.raw, parse_float=Decimal)["p402_metadata"] for each in mine]
    assert total["requests"] == 3
    for name, figure in (("cost_usd", "cost_usd"), ("direct_cost", "direct_cost")):
        assert total[name] == sum(each[figure] for each in metadata), name
    assert total["savings"] == sum(each["savings"] for each in metadata) > 0
    assert total["output_tokens"] == sum(each["output_tokens"] for each in metadata)
    assert same["total"] == total
    assert by["data"][0]["bucket"] == "", "the request without a session"
    assert (told["tenant_id"], told["group_by"]) == ("acme", "day")


async def test_the_last_answer_is_in_the_sums_at_once(up):
    async with Gateway(lone(up, PEOPLE), env=ENV) as gateway:
        for count in range(1, 6):
            await spend(gateway, "acme", stream=count % 2 == 0)
            told = report(await gateway.get("/usage", key("acme")))
            assert told["total"]["requests"] == count
    assert told["total"]["flags"]["stream"] == 2
    assert [len(told["data"]), told["has_more"]] == [1, False]


async def test_what_is_left_stands_beside_what_was_spent(up):
    async with Gateway(lone(up, PEOPLE), env=ENV) as gateway:
        await spend(gateway, "acme")
        told = report(await gateway.get("/usage", key("acme")))
    left, spent = told["limits"], told["total"]["cost_usd"]
    assert (left["rate"]["limit"], left["rate"]["remaining"]) == (1_000, 999)
    assert left["daily"]["spent_usd"] == left["budget"]["spent_usd"] == spent > 0
    assert left["daily"]["remaining_usd"] == 1 - spent
    assert left["budget"]["remaining_usd"] == 2 - spent
    assert left["concurrency"] == {"limit": 7, "in_flight": 0, "remaining": 7}
    assert left["budget"]["resets_at"].endswith("-01T00:00:00Z")


async def test_a_tenant_sees_itself_and_the_operator_everybody(up):
    async with Gateway(lone(up, PEOPLE), env=ENV) as gateway:
        await spend(gateway, "acme")
        await spend(gateway, "globex")
        await spend(gateway, "globex")
        own = report(await gateway.get("/usage", key("globex")))
        nosy = await gateway.get("/usage?tenant=acme", key("globex"))
        by = report(await gateway.get("/usage?group_by=tenant", OPERATOR))
        one = report(await gateway.get("/usage?tenant=acme&group_by=model", OPERATOR))
        stranger = await gateway.get("/usage", {"authorization": "Bearer wrong"})
        chat = await gateway.chat(ask(), OPERATOR)
        digest = hashlib.sha256(b"the-operator").hexdigest()
        hashed = await gateway.get("/usage", {"authorization": f"Bearer {digest}"})
    assert own["total"]["requests"] == 2
    assert (nosy.status, nosy.error["code"]) == (400, "unsupported_parameter")
    assert {row["bucket"]: row["requests"] for row in by["data"]} == {"acme": 1, "globex": 2}
    assert (by["tenant_id"], by["limits"]) == (None, None)
    assert [row["bucket"] for row in one["data"]] == ["m-a"]
    assert one["limits"]["concurrency"]["limit"] == 7
    assert (stranger.status, chat.status, hashed.status) == (401, 401, 401)


async def test_keys_of_one_tenant_are_told_apart(up):
    text = PEOPLE.replace('key_env = "ACME_KEY"', 'key_env = ["ACME_KEY", "ACME_CI_KEY"]')
    async with Gateway(lone(up, text), env={**ENV, "ACME_CI_KEY": "sk-ci"}) as gateway:
        await spend(gateway, "acme")
        for header in ({"x-api-key": "sk-ci"}, {"api-key": "sk-ci"}, key("ci")):
            assert (await gateway.chat(ask(), header)).status == 200
        by = report(await gateway.get("/usage?group_by=key", key("acme")))
        wanted = hashlib.sha256(b"sk-ci").hexdigest()[:16]
        one = report(await gateway.get(f"/usage?key={wanted}", key("acme")))
    assert {row["bucket"]: row["requests"] for row in by["data"]} == {
        wanted: 3,
        hashlib.sha256(b"sk-acme").hexdigest()[:16]: 1,
    }
    assert one["total"]["requests"] == 3


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("days=3", "unsupported_parameter", "days"),
        ("from=2026-13-01", "invalid_value", "from"),
        ("from=2020-01-01", "invalid_value", "from"),
        ("from=2026-11-02&to=2026-11-01", "invalid_value", "from"),
        ("mode=cheap", "invalid_value", "mode"),
        ("group_by=", "invalid_value", "group_by"),
        ("model=a&model=b", "duplicate_field", "model"),
        ("limit=%zz", "invalid_value", "limit"),
        ("&".join(f"a{n}=1" for n in range(40)), "invalid_value", None),
    ],
)
async def test_what_is_no_question_is_refused_with_its_parameter(up, query, code, param):
    async with Gateway(lone(up)) as gateway:
        told = await gateway.get(f"/usage?{query}")
        problem = await gateway.get(f"/usage?{query}", {"accept": "application/problem+json"})
        head = await gateway.http.head("/usage")
        posted = await gateway.post("/usage", {})
    assert (told.status, told.error["code"], told.error["param"]) == (400, code, param)
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json["code"] == code
    assert (head.status_code, head.content) == (200, b"")
    assert (posted.status, posted.error["code"]) == (405, "method_not_allowed")


async def test_a_crowd_of_questions_is_bounded_and_harms_no_request(up):
    async with Gateway(lone(up, PEOPLE), env=ENV) as gateway:
        await spend(gateway, "acme")
        asked = [gateway.get("/usage?group_by=session", key("acme")) for _ in range(60)]
        crowd = asyncio.gather(*asked)
        during = await spend(gateway, "acme")
        told = await crowd
        after = report(await gateway.get("/usage", key("acme")))
    answered = [each for each in told if each.status == 200]
    refused = [each for each in told if each.status != 200]
    assert answered
    assert during.status == 200
    assert {(each.status, each.error["code"]) for each in refused} <= {(503, "overloaded")}
    assert all(each.headers["x-should-retry"] == "true" for each in refused)
    assert after["total"]["requests"] == 2


async def test_the_command_says_the_same(up, capsys):
    gateway = Gateway(lone(up, PEOPLE), env=ENV)
    async with gateway:
        await spend(gateway, "acme", p402={"session_id": "sess_xyz"})
        await spend(gateway, "acme")
        path = "/usage?tenant=acme&session_id=sess_xyz&group_by=mode"
        http = report(await gateway.get(path, OPERATOR))
        command = ["usage", "--data-dir", gateway.folder.name, "--by", "mode", "--json"]
        command += ["--session-id", "sess_xyz", "--tenant", "acme"]
        assert await asyncio.to_thread(main, command) == 0
    told = json.loads(capsys.readouterr().out, parse_float=Decimal)
    assert told == {**http, "limits": None}
    assert told["total"]["requests"] == 1


async def test_every_reply_to_a_tenant_says_what_is_left(up):
    async with Gateway(lone(up, PEOPLE), env=ENV) as gateway:
        mine = key("acme")
        replies = {
            "models": await gateway.get("/models", mine),
            "model": await gateway.get("/models/a/m-a", mine),
            "no model": await gateway.get("/models/none", mine),
            "usage": await gateway.get("/usage", mine),
            "no request": await gateway.get("/requests/req_" + "0" * 32, mine),
            "route": await gateway.post("/route", ask(), mine),
            "no url": await gateway.get("/nothing", mine),
            "not json": await gateway.chat(b"{", mine),
            "multipart": await gateway.chat(b"", {**mine, "content-type": "multipart/form-data"}),
            "answer": await gateway.chat(ask(), mine),
            "stream": await gateway.chat(ask(stream=True), mine),
        }
        gateway.core.refuse_new()
        replies["leaving"] = await gateway.chat(ask(), mine)
    for name, told in replies.items():
        assert told.headers["ratelimit-policy"] == '"hour";q=1000;w=3600', name
        assert told.headers["x-ratelimit-limit-requests"] == "1000", name
        assert len(told.headers.get_list("ratelimit")) == 1, name
        assert "x-p402-budget-remaining-usd" in told.headers, name


async def test_dry_runs_have_a_bucket_of_their_own(up):
    async with Gateway(lone(up, PEOPLE), env=ENV) as gateway:
        told = [await gateway.post("/route", ask(), key("acme")) for _ in range(12)]
        other = await gateway.post("/route", ask(), key("globex"))
        left = report(await gateway.get("/usage", key("acme")))["limits"]
        limited = [each for each in told if each.status != 200]
        await asyncio.sleep(int(limited[-1].headers["retry-after-ms"]) / 1_000)
        again = await gateway.post("/route", ask(), key("acme"))
    assert [each.status for each in told[:10]] == [200] * 10
    assert limited, "twelve within a tenth of a second"
    assert {(each.status, each.error["code"]) for each in limited} == {(429, "rate_limit_exceeded")}
    assert (limited[0].error["limit"], limited[0].error["window_s"]) == (10, 1)
    assert 0 < int(limited[0].headers["retry-after-ms"]) <= 100
    assert limited[0].headers["x-should-retry"] == "true"
    assert (other.status, again.status) == (200, 200)
    assert left["rate"]["remaining"] == 1_000, "no token of requests"
