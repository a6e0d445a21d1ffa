"""Decides whether each API's clients find models, lengths and vectors in their own form.

Does not test the SDKs with it: the matrix of clients does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import QUICK, Gateway
from tests.passing import VECTOR, Passing

ANTHROPIC = {"anthropic-version": "2023-06-01"}
GOOGLE = {"x-goog-api-key": "any"}


@pytest.fixture
def passing() -> Iterator[Passing]:
    """An upstream of vectors, beside one that has no key."""
    with Passing() as running:
        yield running


def config(passing: Passing) -> str:
    """Three models that chat, one of vectors and one of pictures; `keyless` cannot be asked."""
    text = f'{QUICK}[provider.up]\nbase_url = "{passing.url("up")}"\napi_key = ["sk-up"]\n'
    text += '[provider.keyless]\nbase_url = "https://keyless.example/v1"\nauth = "bearer"\n'
    price = 'input_usd_per_mtok = "1"\noutput_usd_per_mtok = "2"\n'
    for name, of, more in (
        ("a", "up", f"{price}context = 1000\nmax_output = 100\n"),
        ("b", "up", price),
        ("c", "up", price),
        ("d", "keyless", price),
        ("v", "up", 'kind = "embedding"\ninput_usd_per_mtok = "1"\ncontext = 100000\n'),
        ("p", "up", 'kind = "image"\nper_unit_usd = "0.04"\n'),
    ):
        text += f'[[model]]\nid = "{name}"\nprovider = "{of}"\n{more}'
    return text


def ids(listed: Any) -> list[str]:
    return [model["id"] for model in listed["data"]]


async def test_anthropics_clients_page_through_their_own_form(passing: Passing) -> None:
    async with Gateway(config(passing)) as gateway:
        told = await gateway.get("/models", ANTHROPIC)
        all_of_them = told.json
        first = (await gateway.get("/models?limit=2", ANTHROPIC)).json
        after = f"/models?limit=2&after_id={first['last_id']}"
        second = (await gateway.get(after, ANTHROPIC)).json
        before = f"/models?limit=2&before_id={second['first_id']}"
        back = (await gateway.get(before, ANTHROPIC)).json
        one = (await gateway.get("/models/up/a", ANTHROPIC)).json
        retired = (await gateway.get("/models?lifecycle[]=retired", ANTHROPIC)).json
        wrong = await gateway.get("/models?limit=1001", ANTHROPIC)
        strange = await gateway.get("/models?after_id=nobody", ANTHROPIC)
        absent = await gateway.get("/models/nobody", ANTHROPIC)
        plain = await gateway.get("/models")
    # What has no key, and what does not chat, is not to be asked for by this door.
    assert ids(all_of_them) == ["a", "b", "c", "up/a", "up/b", "up/c"]
    assert all_of_them["has_more"] is False
    assert (ids(first), first["has_more"]) == (["a", "b"], True)
    assert (first["first_id"], first["last_id"]) == ("a", "b")
    assert (ids(second), second["has_more"]) == (["c", "up/a"], True)
    assert (ids(back), back["has_more"]) == (["a", "b"], False)
    assert (one["type"], one["id"], one["lifecycle"]) == ("model", "up/a", "active")
    assert (one["max_input_tokens"], one["max_tokens"]) == (1000, 100)
    assert retired == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    for refused in (wrong, strange):
        assert (refused.status, refused.json["type"]) == (400, "error"), refused.raw
        assert refused.error["code"] == "invalid_value"
    assert (absent.status, absent.error["type"]) == (404, "not_found_error")
    assert plain.json["object"] == "list"
    assert {"d", "v", "p"} < set(ids(plain.json))


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1/models"])
async def test_googles_clients_page_through_theirs(passing: Passing, path: str) -> None:
    headers = {} if "beta" in path else GOOGLE
    async with Gateway(config(passing)) as gateway:
        listed = (await gateway.get(path, headers)).json
        first = (await gateway.get(f"{path}?pageSize=3", headers)).json
        token = first["nextPageToken"]
        rest = (await gateway.get(f"{path}?pageToken={token}", headers)).json
        one = (await gateway.get(f"{path}/up/a", headers)).json
        absent = await gateway.get(f"{path}/nobody", headers)
        wrong = await gateway.get(f"{path}?pageSize=none", headers)
        plain = (await gateway.get("/v1/models")).json
    names = [model["name"] for model in listed["models"]]
    assert names == [
        f"models/{name}" for name in ("a", "b", "c", "v", "up/a", "up/b", "up/c", "up/v")
    ]
    assert "nextPageToken" not in listed
    assert [model["name"] for model in first["models"] + rest["models"]] == names
    assert (one["displayName"], one["inputTokenLimit"], one["outputTokenLimit"]) == (
        "up/a",
        1000,
        100,
    )
    assert "generateContent" in one["supportedGenerationMethods"]
    assert listed["models"][3]["supportedGenerationMethods"] == [
        "embedContent",
        "batchEmbedContents",
    ]
    assert (absent.status, absent.error["status"]) == (404, "NOT_FOUND")
    assert (wrong.status, wrong.error["status"]) == (400, "INVALID_ARGUMENT")
    assert plain["object"] == "list"


async def test_every_door_counts_alike(passing: Passing) -> None:
    said = "How long is a piece of string? " * 40
    turns = [{"role": "user", "content": said}]
    contents = [{"role": "user", "parts": [{"text": said}]}]
    async with Gateway(config(passing)) as gateway:
        messages = await gateway.post("/messages/count_tokens", {"model": "a", "messages": turns})
        google = await gateway.post("/models/a:countTokens", {"contents": contents})
        whole = {"model": "models/a", "contents": contents, "tools": []}
        asked = await gateway.post("/models/a:countTokens", {"generateContentRequest": whole})
        responses = await gateway.post("/responses/input_tokens", {"model": "a", "input": said})
        wrong = await gateway.post("/models/a:countTokens", {"contents": 1})
        usage = await gateway.get("/usage")
    tokens = messages.json["input_tokens"]
    assert tokens > 300
    assert google.json == asked.json == {"totalTokens": tokens}
    assert responses.json == {"object": "response.input_tokens", "input_tokens": tokens}
    for told in (google, responses):
        assert told.headers["x-p402-warnings"] == "input_tokens=estimated"
    assert (wrong.status, wrong.error["status"]) == (400, "INVALID_ARGUMENT")
    assert usage.json["data"] == []
    assert passing.seen == []


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": said}]}, **more}


async def test_vectors_are_told_as_google_has_them(passing: Passing) -> None:
    many = {"requests": [text("a", taskType="RETRIEVAL_QUERY"), text("b", title="B")]}
    async with Gateway(config(passing)) as gateway:
        one = await gateway.post("/models/v:embedContent", text("a", outputDimensionality=3))
        told = await gateway.post("/models/v:batchEmbedContents", many | {"p402": {"mode": "cost"}})
        row = await gateway.row(told)
        absent = await gateway.post("/models/nobody:embedContent", text("a"))
        chat = await gateway.post("/models/a:embedContent", text("a"))
        bare = await gateway.post("/models/v:embedContent", {})
    assert one.json["embedding"] == {"values": VECTOR}, one.raw
    assert told.json["embeddings"] == [{"values": VECTOR}] * 2
    assert told.json["usageMetadata"] == {"promptTokenCount": 8, "totalTokenCount": 8}
    assert told.json["p402_metadata"]["cost_usd"] == 0.000008
    assert told.headers["x-p402-warnings"] == "dropped=taskType,title"
    assert row["status"] == "settled"
    assert passing.seen == [
        ("/up/v1/embeddings", {"model": "v", "input": ["a"], "dimensions": 3}),
        ("/up/v1/embeddings", {"model": "v", "input": ["a", "b"]}),
    ]
    assert (absent.status, absent.error["status"]) == (404, "NOT_FOUND")
    assert chat.error["details"][0]["reason"] == "no_eligible_model"
    assert bare.error["details"][0]["reason"] == "missing_required_parameter"


async def test_the_guard_and_failover_know_googles_vectors(passing: Passing) -> None:
    down = f'[provider.down]\nbase_url = "{passing.url("down")}"\napi_key = ["sk-down"]\n'
    down += '[[model]]\nid = "v"\nprovider = "down"\nkind = "embedding"\n'
    down += 'input_usd_per_mtok = "0.5"\ncontext = 100000\n'
    capped = '[guard]\nrequest_cap_usd = "0.00005"\n'
    async with Gateway(capped + config(passing) + down) as gateway:
        told = await gateway.post("/models/v:embedContent", text("a"))
        long = await gateway.post("/models/v:embedContent", text("a word " * 1_000))
    assert told.status == 200, told.raw
    assert told.headers["x-p402-attempts"] == "2;down=500"
    reason = long.error["details"][0]["reason"]
    assert reason == "request_cost_limit_exceeded", long.raw


async def test_every_reply_has_an_id_where_its_client_looks(passing: Passing) -> None:
    ask = {"model": "a", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    async with Gateway(config(passing)) as gateway:
        told = [
            await gateway.get("/models"),
            await gateway.get("/models/a"),
            await gateway.get("/models", ANTHROPIC),
            await gateway.post("/route", ask),
            await gateway.post("/models/a:countTokens", {"contents": [{"parts": []}]}),
            await gateway.post("/messages/count_tokens", ask),
            await gateway.post("/messages", ask | {"model": "nobody", "p402": {"pin": True}}),
            await gateway.post("/messages", b"{"),
        ]
    ids = [reply.headers["x-request-id"] for reply in told]
    assert ids == [reply.headers["x-p402-request-id"] for reply in told]
    assert len(set(ids)) == len(ids)
    # Anthropic's clients read this one, and only theirs.
    own = [reply.headers.get("request-id") for reply in told]
    assert own == [None, None, ids[2], None, None, *ids[5:]]
