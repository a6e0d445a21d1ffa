"""Decides whether a client sees of the cache what it was promised: hits, misses, control, words.

Does not judge pairs of questions and does not look inside: HTTP and the files of a process alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from p402 import opening
from p402.settings import SettingsError
from tests.conftest import run_cli
from tests.gateway import Gateway, Told, lone, model, pair, settings
from tests.serving import Served
from tests.upstream import Upstream

CACHE = "[cache]\n"
WAIT_S = 10.0
LONG = "How do I sort a long list of names in Python by their second letter"
SYSTEM = {"role": "system", "content": "Be brief."}


def body(text: str = "What is Rust?", **more: Any) -> dict[str, Any]:
    p402 = {"cache": True, "explain": True, **more.pop("p402", {})}
    return {
        "model": "auto",
        "messages": [{"role": "user", "content": text}],
        "p402": p402,
        **more,
    }


async def kept(gateway: Gateway, entries: int = 1, key: dict[str, str] | None = None) -> None:
    """Returns once so many answers are kept, with what they are found by."""
    async with asyncio.timeout(WAIT_S):
        counters = ""
        while f"cache_entries {entries}" not in counters or "cache_keeping 0" not in counters:
            await asyncio.sleep(0.005)
            counters = (await gateway.get("/metrics", key)).raw.decode()


async def stored(gateway: Gateway, asked: dict[str, Any], entries: int = 1) -> Told:
    told = await gateway.chat(asked)
    assert told.status == 200, told.raw
    assert told.headers["x-p402-cache"] == "miss"
    await kept(gateway, entries)
    return told


def word(told: Told) -> str:
    assert told.status == 200, told.raw
    return str(told.headers["x-p402-cache"])


async def test_a_hit_says_what_it_is_and_costs_nothing(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        first = await stored(gateway, body(p402={"cost_details": True}))
        hit = await gateway.chat(body(p402={"cost_details": True}))
        assert word(hit) == "exact"
        assert hit.headers["x-p402-cost-usd"] == "0"
        assert hit.text == first.text
        assert hit.json["id"] != first.json["id"]
        was, is_now = first.metadata, hit.metadata
        assert list(is_now)[:13] == list(was)[:13]
        assert is_now["cached"] is True
        assert (is_now["cost_usd"], hit.json["usage"]["cost"]) == (0, 0)
        assert is_now["savings"] == is_now["direct_cost"] == was["direct_cost"]
        assert is_now["provider_latency_ms"] == 0
        details = is_now["cost_details"]
        assert (details["platform_fee_usd"], details["cost_nano_usd"]) == (0, 0)
        told = is_now["cache"]
        assert told["tier"] == "exact"
        assert told["ttl_s"] in range(86_390, 86_401)
        row = await gateway.row(hit)
        assert row["p402_metadata"]["cached"] is True
        assert len(upstream.log.of("/a/v1")) == 1


async def test_a_miss_says_why(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        first = await stored(gateway, body(LONG + "?"))
        assert first.metadata["cache"] == {"tier": None, "reason": "empty"}
        far = await gateway.chat(body("Who was Ada Lovelace?", p402={"cache": {"no_store": True}}))
        assert far.metadata["cache"]["reason"] == "similarity"
        near = await gateway.chat(body(LONG.replace("sort", "not sort") + "?"))
        assert near.metadata["cache"]["reason"] == "veto:negation"
        assert near.metadata["cache"]["similarity"] >= 0.92
        off = await gateway.chat(body(p402={"cache": False}))
        assert word(off) == "off"
        assert "cache" not in off.metadata


async def test_a_paraphrase_hits_under_every_setting(upstream: Upstream):
    settings_of = [
        {},
        {"messages": [SYSTEM, {"role": "user", "content": LONG}]},
        {"temperature": 0.2, "max_tokens": 50},
        {"response_format": {"type": "text"}},
        {"user": "u-1", "p402": {"cache": {"share": "user"}}},
        {"p402": {"cache": {"share": "session"}, "session_id": "s-1"}},
        {"model": "a/m-a"},
    ]
    async with Gateway(lone(upstream, CACHE)) as gateway:
        for count, more in enumerate(settings_of, start=1):
            await stored(gateway, body(LONG, **json.loads(json.dumps(more))), count)
            changed = json.loads(json.dumps(more))
            if "messages" in changed:
                changed["messages"][-1]["content"] = LONG + ", please"
            again = await gateway.chat(body(LONG + ", please", **changed))
            assert word(again) == "semantic", (more, again.metadata["cache"])


async def test_without_the_encoders_weights_the_same_question_is_still_a_hit(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    absent = tmp_path / "absent.bin"
    async with Gateway(lone(upstream, CACHE), embedder=absent) as gateway:
        await stored(gateway, body(LONG))
        assert word(await gateway.chat(body(LONG))) == "exact"
        told = await gateway.chat(body(LONG + ", please"))
        assert word(told) == "miss"
        assert told.metadata["cache"]["reason"] == "empty"
    monkeypatch.setattr(opening, "_ENCODER", absent)
    said: list[str] = []
    chosen = settings(lone(upstream, f'{CACHE}[store]\ndata_dir = "{tmp_path / "data"}"\n'))
    opening.open_gateway(chosen, said.append).stop(0)
    assert said == [opening.NO_ENCODER]


async def test_only_the_last_message_may_differ_in_its_words(upstream: Upstream):
    turns = [
        {"role": "user", "content": "Tell me of Georgia, the country."},
        {"role": "assistant", "content": "It lies in the Caucasus."},
        {"role": "user", "content": "What is its capital?"},
    ]
    async with Gateway(lone(upstream, CACHE)) as gateway:
        await stored(gateway, body(messages=turns))
        other = json.loads(json.dumps(turns))
        other[0]["content"] = "Tell me of Georgia, the state."
        assert word(
            await gateway.chat(body(messages=other, p402={"cache": {"no_store": True}}))
        ) == ("miss")
        assert word(await gateway.chat(body(messages=turns))) == "exact"


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"max_tokens": 10},
        {"response_format": {"type": "json_object"}},
        {"seed": 7},
        {"a_field_of_tomorrow": True},
        {"p402": {"models": ["m-a"]}},
        {"p402": {"mode": "speed"}},
        {"model": "a/m-a"},
    ],
)
async def test_whatever_may_change_the_answer_keeps_apart(
    upstream: Upstream, change: dict[str, Any]
):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        await stored(gateway, body())
        assert word(await gateway.chat(body(**change))) == "miss"


async def test_what_cannot_change_the_answer_does_not(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        await stored(gateway, body())
        for same in [{"user": "u"}, {"metadata": {"a": "b"}}, {"store": False}, {"stream": False}]:
            assert word(await gateway.chat(body(**same))) == "exact", same


async def test_a_link_is_never_cached_and_a_picture_by_its_bytes_alone(upstream: Upstream):
    def shown(url: str) -> dict[str, Any]:
        parts = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ]
        return body(messages=[{"role": "user", "content": parts}])

    pixel = "data:image/png;base64,iVBORw0KGgo="
    async with Gateway(lone(upstream, CACHE)) as gateway:
        told = await gateway.chat(shown("https://example.test/a.png"))
        assert word(told) == "off"
        assert told.metadata["cache"]["reason"] == "policy"
        await stored(gateway, shown(pixel))
        assert word(await gateway.chat(shown(pixel))) == "exact"
        assert word(await gateway.chat(shown(pixel.replace("Ggo", "Ggp")))) == "miss"


async def test_header_and_body_ask_alike_and_the_body_wins(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        plain = body()
        del plain["p402"]
        plain["p402"] = {"mode": "quality"}
        assert word(await gateway.chat(plain)) == "off"
        twin = {"x-p402-cache": "true"}
        assert word(await gateway.chat(plain, twin)) == "miss"
        await kept(gateway)
        assert word(await gateway.chat(plain, twin)) == "exact"
        assert word(await gateway.chat(plain, {"x-p402-cache": "refresh, no-store"})) == "miss"
        plain["p402"]["cache"] = False
        assert word(await gateway.chat(plain, twin)) == "off"
        refused = await gateway.chat(body(p402={"cache": {"distance": 0.1}}))
        assert (refused.status, refused.error["code"]) == (400, "p402_field_unknown")
        lower = await gateway.chat(body(p402={"cache": {"threshold": 0.9}}))
        assert (lower.status, lower.error["param"]) == (400, "p402.cache.threshold")
        twisted = await gateway.chat(plain | {"p402": {}}, {"x-p402-cache": "max-age"})
        assert (twisted.status, twisted.error["param"]) == (400, "x-p402-cache")


async def test_cost_mode_asks_by_itself_and_other_modes_do_not(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        silent = {"model": "auto", "messages": [{"role": "user", "content": "What is Rust?"}]}
        assert word(await gateway.chat(silent)) == "miss"
        await kept(gateway)
        assert word(await gateway.chat(silent)) == "exact"
        assert word(await gateway.chat(silent | {"p402": {"mode": "quality"}})) == "off"
        assert word(await gateway.chat(silent | {"p402": {"cache": False}})) == "off"


@pytest.mark.parametrize("usage", [False, True])
async def test_a_stream_replays_as_a_regular_stream(upstream: Upstream, usage: bool):
    text = "Tell me a tale. " * 3
    streamed = body(text, stream=True, stream_options={"include_usage": usage})
    async with Gateway(lone(upstream, CACHE)) as gateway:
        first = await stored(gateway, streamed)
        hit = await gateway.chat(streamed)
        assert word(hit) == "exact"
        assert (hit.text, hit.done) == (first.text, True)
        assert hit.headers["content-type"].startswith("text/event-stream")
        kinds = [
            "usage" if not event["choices"] else event["choices"][0]["finish_reason"] or "text"
            for event in hit.events
        ]
        assert kinds[-1 - usage] == "stop"
        assert ("usage" in kinds) is usage
        assert hit.metadata["cached"] is True
        whole = await gateway.chat(body(text))
        assert (word(whole), whole.text) == ("exact", first.text)


async def test_broken_and_refused_answers_are_never_told_again(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        for name in ("h400", "h429", "h500"):
            upstream.broken(name, "/a/v1")
            assert (await gateway.chat(body())).status >= 400
            upstream.faults.clear()
        for name in ("cut", "midcut", "reset_mid"):
            try:
                upstream.broken(name, "/a/v1")
            except ValueError:
                continue
            await gateway.chat(body(stream=True))
            upstream.faults.clear()
        await gateway.idle()
        assert (await gateway.get("/cache")).json["entries"] == 0


TENANTS = "".join(
    f'[[tenant]]\nid = "{name}"\nkey_sha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n'
    for name in ("acme", "other")
)
ACME, OTHER, BOSS = ({"authorization": f"Bearer {name}"} for name in ("acme", "other", "boss"))
OPERATOR = f'[operator]\nkey_sha256 = "{hashlib.sha256(b"boss").hexdigest()}"\n'


async def test_a_tenants_cache_is_its_own(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE) + TENANTS + OPERATOR) as gateway:
        assert word(await gateway.chat(body(), ACME)) == "miss"
        await kept(gateway, 1, BOSS)
        assert (await gateway.get("/cache", OTHER)).json["entries"] == 0
        hit = await gateway.chat(body(), ACME)
        assert word(hit) == "exact"
        assert word(await gateway.chat(body(p402={"cache": {"no_store": True}}), OTHER)) == "miss"
        entry = hit.metadata["cache"]["entry"]
        delete = gateway.http.delete
        foreign = await delete(f"/cache/{entry}", headers=OTHER)
        absent = await delete("/cache/ce_0000000000000000", headers=ACME)
        shapeless = await delete("/cache/nothing", headers=ACME)
        for told in (foreign, absent, shapeless):
            assert (told.status_code, told.json()["error"]["code"]) == (
                404,
                "cache_entry_not_found",
            )
        assert (await delete(f"/cache/{entry}", headers=ACME)).status_code == 204
        assert word(await gateway.chat(body(), ACME)) == "miss"


async def test_a_purge_is_asked_for_in_words(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        await stored(gateway, body("One"))
        await stored(gateway, body("Two"), 2)
        delete = gateway.http.delete
        assert (await delete("/cache")).status_code == 400
        assert (await delete("/cache?models=m-a")).status_code == 400
        assert (await delete("/cache?model=m-b")).json() == {"purged": 0}
        assert (await delete("/cache?older_than_s=3600")).json() == {"purged": 0}
        assert (await delete("/cache?model=m-a")).json() == {"purged": 2}
        assert (await gateway.get("/cache")).json["entries"] == 0
        assert (await gateway.post("/cache", {})).status == 405


async def test_feedback_takes_a_bad_hit_away_and_says_what_it_did(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        first = await stored(gateway, body())
        hit = await gateway.chat(body())
        rid = hit.headers["x-p402-request-id"]

        async def feedback(**said: Any) -> Told:
            return await gateway.post("/feedback", said)

        told = await feedback(request_id=first.headers["x-p402-request-id"], score=-1)
        assert (told.status, told.json["effect"]) == (202, "ignored")
        told = await feedback(request_id=rid, score=1)
        assert (told.status, told.json["effect"]) == (202, "ignored")
        assert word(await gateway.chat(body())) == "exact"
        told = await feedback(request_id=rid, score=-0.5, comment="wrong")
        assert (told.status, told.json["effect"]) == (202, "cache")
        assert word(await gateway.chat(body(p402={"cache": {"no_store": True}}))) == "miss"
        told = await feedback(request_id=rid, score=-0.5)
        assert told.json["effect"] == "ignored"
        assert (await feedback(request_id="req_" + "0" * 32, score=-1)).status == 404
        for wrong in (
            {"request_id": rid},
            {"request_id": rid, "score": 2},
            {"request_id": rid, "score": -1, "stars": 5},
            {"request_id": rid, "score": -1, "task": "poetry"},
            {"request_id": rid, "score": -1, "comment": "x" * 1_001},
        ):
            assert (await feedback(**wrong)).status == 400, wrong
        assert (await gateway.post("/feedback", b"{")).error["code"] == "invalid_json"


async def test_equal_requests_pay_once(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        told = await asyncio.gather(*(gateway.chat(body()) for _ in range(8)))
        assert len(upstream.log.of("/a/v1")) == 1
        paid = [one for one in told if one.metadata["cost_usd"] > 0]
        assert len(paid) == 1
        tiers = {one.metadata["cache"]["tier"] for one in told}
        assert tiers <= {None, "coalesced", "exact"}


async def test_the_counters_tell_of_the_cache(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE)) as gateway:
        await stored(gateway, body())
        await gateway.chat(body())
        lines = (await gateway.get("/metrics")).raw.decode().splitlines()
        for line in (
            'cache_hits_total{tier="exact"} 1',
            'cache_misses_total{reason="empty"} 1',
            "cache_entries 1",
            "cache_stored_total 1",
        ):
            assert line in lines
        dry = await gateway.post("/route", body())
        assert dry.json["cache"] == {"would_look_up": True}


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("[cache]\nthreshold = 0.95\n", "cache.threshold", "encoder"),
        ("[cache]\ndelta = 0.5\n", "cache.delta", "0.005"),
        ('[cache]\nshadow_daily_usd = "much"\n', "cache.shadow_daily_usd", "dollars"),
        ('[cache]\nshare = "all"\n', "cache.share", "tenant, user, session"),
        ("[cache]\nttl_s = 100000\n", "cache.ttl_s", "ttl_max_s"),
        ("[cache]\nbytes_max = 10\n", "cache.bytes_max", "1 MiB"),
        ("[cache]\ndistance = 0.2\n", "cache.distance", "P402 knows"),
        (TENANTS + "[tenant.cache]\nbytes_max = 9000000\n", "tenant[1].cache.bytes_max", "[cache]"),
    ],
)
def test_a_wrong_rule_names_file_line_key_and_mend(text: str, key: str, says: str):
    with pytest.raises(SettingsError) as caught:
        settings(text)
    told = caught.value.block()
    assert key in told
    assert says in told
    assert "line" in told or ":" in told


async def test_a_tenant_may_rule_for_itself(upstream: Upstream):
    text = lone(upstream, CACHE) + TENANTS + "[tenant.cache]\ndefault = true\nshare = 'user'\n"
    async with Gateway(text) as gateway:
        quality = body(p402={"mode": "quality"})
        del quality["p402"]["cache"]
        assert word(await gateway.chat(quality, ACME)) == "off"
        told = await gateway.chat(quality, OTHER)
        assert (word(told), told.metadata["cache"]["reason"]) == ("off", "policy")
        assert word(await gateway.chat(quality | {"user": "u"}, OTHER)) == "miss"


async def test_an_answer_is_told_to_nobody_whose_lists_forbid_its_giver(upstream: Upstream):
    text = pair(upstream, CACHE) + model("m-c", "b", usd="3")
    async with Gateway(text) as gateway:
        await stored(gateway, body())
        told = await gateway.chat(body(p402={"models": {"deny": ["m-a"]}}))
        assert word(told) == "miss"
        assert told.metadata["model"] == "m-b"


@pytest.fixture
def config(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("cached")
    file = folder / "p402.toml"
    file.write_text(
        f'[sandbox]\nenabled = true\nspeed = 0.0\n[store]\ndata_dir = "{folder / "data"}"\n'
    )
    return file


def test_real_clients_get_hits_and_a_restart_keeps_them(config):
    def client(served: Served) -> openai.OpenAI:
        return openai.OpenAI(base_url=served.base_url, api_key="any", max_retries=0)

    asked: dict[str, Any] = {
        "model": "auto",
        "messages": [{"role": "user", "content": "Name three rivers."}],
        "extra_body": {"p402": {"cache": True}},
    }
    with Served(config) as served:
        sdk = client(served)
        first = sdk.chat.completions.create(**asked)
        until = time.monotonic() + WAIT_S
        while not (again := sdk.chat.completions.create(**asked)).p402_metadata["cached"]:
            assert time.monotonic() < until
        assert again.choices[0].message.content == first.choices[0].message.content
        stream = sdk.chat.completions.create(**asked, stream=True)
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == first.choices[0].message.content
        assert chunks[-1].p402_metadata["cached"] is True
        raw = sdk.chat.completions.with_raw_response.create(**asked)
        assert raw.headers["x-p402-cache"] == "exact"
    asked["extra_body"]["p402"]["cache"] = {"no_store": True}
    with Served(config) as served:
        until = time.monotonic() + WAIT_S
        while not (again := client(served).chat.completions.create(**asked)).p402_metadata[
            "cached"
        ]:
            assert time.monotonic() < until
        assert again.choices[0].message.content == first.choices[0].message.content
        told = run_cli("cache", "stats", "--url", served.base_url, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["entries"] >= 1
        told = run_cli("cache", "stats", "--url", served.base_url)
        assert told.returncode == 0, told.stderr
        assert 'hits{tier="exact"}' in told.stdout
        data = str(config.parent / "data")
        held = run_cli("cache", "purge", "--all", "--data-dir", data)
        assert held.returncode == 2
    told = run_cli("cache", "stats", "--data-dir", data, "--json")
    assert json.loads(told.stdout)["tenants"] == {"default": 1}
    told = run_cli("cache", "purge", "--tenant", "nobody", "--data-dir", data)
    assert told.stdout == "0 entries gone\n"
    told = run_cli("cache", "purge", "--tenant", "default", "--data-dir", data)
    assert told.stdout == "1 entry gone\n"
    with Served(config) as served:
        told = run_cli("cache", "purge", "--all", "--url", served.base_url)
        assert told.stdout == "0 entries gone\n"
        told = run_cli("cache", "purge", "--url", served.base_url)
        assert told.returncode == 2


async def test_pairs_that_were_wrong_are_kept_where_somebody_wants_them(upstream: Upstream):
    async with Gateway(lone(upstream, CACHE + "keep_pairs = true\n")) as gateway:
        await stored(gateway, body(LONG))
        hit = await gateway.chat(body(LONG + ", please"))
        assert word(hit) == "semantic"
        rid = hit.headers["x-p402-request-id"]
        told = await gateway.post("/feedback", {"request_id": rid, "score": -1})
        assert told.json["effect"] == "cache"
        told = run_cli("cache", "export", "--data-dir", gateway.folder.name)
        assert json.loads(told.stdout) == {
            "a": LONG + ", please",
            "b": LONG,
            "should_hit": False,
            "kind": "feedback",
        }


async def test_a_refusal_says_what_the_cache_said(up: Upstream) -> None:
    capped = f'[guard]\nrequest_cap_usd = "0.000001"\n{CACHE}'
    async with Gateway(lone(up, capped)) as gateway:
        told = {
            "miss": await gateway.chat(body()),
            "off": await gateway.chat(body(p402={"cache": False})),
        }
        unrouted = await gateway.chat(body(model="nobody", p402={"pin": True}))
        unread = await gateway.chat(b"{")
    for wanted, refused in told.items():
        assert refused.error["code"] == "request_cost_limit_exceeded", refused.raw
        assert refused.headers["x-p402-cache"] == wanted
    for refused, code in ((unrouted, "model_not_found"), (unread, "invalid_json")):
        assert (refused.error["code"], refused.headers["x-p402-cache"]) == (code, "off")
