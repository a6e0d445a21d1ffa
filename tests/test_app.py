"""Decides whether the front keeps its table: paths, keys, methods, bounds.

Does not look at answers of models, nor at hostile sockets: test_probes.py does.
"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from p402.body import Bodies, Bounds, Refused
from tests.gateway import ROOT, USER, Gateway, ask, lone
from tests.upstream import Upstream

TENANTS = """
[[tenant]]
id = "one"
key_env = "ONE"
[[tenant]]
id = "two"
key_env = ["TWO", "TWO_B"]
"""
KEYS = {"ONE": "p402_one", "TWO": "p402_two", "TWO_B": "p402_two_b"}
ONE = {"authorization": "Bearer p402_one"}
BODY = json.dumps({"model": "auto", "messages": USER}).encode()


@pytest.fixture(scope="module")
def up():
    with Upstream() as running:
        yield running


@pytest.fixture
async def gateway(up):
    async with Gateway(lone(up, TENANTS), env=KEYS) as made:
        yield made


@pytest.mark.parametrize("path", ["/chat/completions", "/route"])
async def test_every_base_answers(gateway, path):
    for base in ("/api/v2", "/api/v2/v1", "/v1"):
        for slash in ("", "/"):
            url = f"{ROOT}{base}{path}{slash}"
            got = await gateway.http.post(url, content=BODY, headers=ONE)
            assert got.status_code == 200, url


async def test_an_unknown_url_is_an_openai_error(gateway):
    told = await gateway.get("/files", ONE)
    assert (told.status, told.error["code"]) == (404, "unknown_url")
    assert set(told.error) >= {"message", "type", "param", "code"}
    assert told.headers["x-request-id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer p402_one"}, 200),
        ({"authorization": "bearer p402_one"}, 200),
        ({"x-api-key": "p402_one"}, 200),
        ({"api-key": "p402_one"}, 200),
        ({"authorization": "Bearer p402_one", "x-api-key": "p402_one"}, 200),
        ({"authorization": "Bearer p402_one", "x-api-key": "p402_two"}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "p402_one"}, 401),
        ({"authorization": "Basic p402_one"}, 401),
        ({"authorization": "Bearer ' OR 1=1--"}, 401),
        ({"authorization": "Bearer " + "a" * 60_000}, 401),
        ({"authorization": "Bearer p402_one\x00"}, 401),
        ({"cookie": "api-key=p402_one"}, 401),
    ],
)
async def test_who_may_call(gateway, headers, status):
    told = await gateway.chat(json.loads(BODY), headers)
    assert told.status == status
    if status == 401:
        assert told.error["code"] == "invalid_api_key"
        assert told.headers["www-authenticate"] == "Bearer"
        assert "p402_" not in told.error["message"]


async def test_a_disabled_key_is_known_and_refused_wherever_it_comes(up):
    tenants = TENANTS.replace('id = "two"\n', 'id = "two"\nenabled = false\n')
    async with Gateway(lone(up, tenants), env=KEYS) as gateway:
        sent = up.log.received
        for key in ("p402_two", "p402_two_b"):
            told = await gateway.chat(ask(), {"x-api-key": key})
            assert (told.status, told.error["code"]) == (403, "key_disabled")
            assert told.error["type"] == "permission_error"
            assert told.headers["x-should-retry"] == "false"
            for path in ("/models", "/usage", "/cache"):
                told = await gateway.get(path, {"x-api-key": key})
                assert (told.status, told.error["code"]) == (403, "key_disabled"), path
        assert up.log.received == sent
        assert (await gateway.chat(ask(), {"x-api-key": "p402_one"})).status == 200


async def test_a_stored_digest_is_no_key(gateway):
    digests = {digest.hex() for tenant in gateway.app.settings.tenants for digest in tenant.digests}
    assert len(digests) == 3
    for digest in digests:
        told = await gateway.chat(ask(), {"authorization": f"Bearer {digest}"})
        assert told.status == 401


async def test_tenants_are_told_apart(gateway):
    for key, tenant in (("p402_one", "one"), ("p402_two", "two"), ("p402_two_b", "two")):
        told = await gateway.chat(ask(), {"x-api-key": key})
        assert told.metadata["tenant_id"] == tenant


async def test_a_key_in_the_query_is_no_key(gateway):
    assert (await gateway.get("/models?api_key=p402_one&key=p402_one")).status == 401


async def test_the_key_is_asked_for_before_the_body_and_the_url(gateway):
    assert (await gateway.post("/chat/completions", b"{")).status == 401
    assert (await gateway.get("/no/such/url")).status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/chat/completions", 405),
        ("PUT", "/chat/completions", 405),
        ("DELETE", "/models", 405),
        ("POST", "/models", 405),
        ("GET", "/route", 405),
        ("HEAD", "/models", 200),
        ("HEAD", "/healthz", 200),
        ("OPTIONS", "/chat/completions", 405),
    ],
)
async def test_methods(gateway, method, path, status):
    got = await gateway.http.request(method, path, headers=ONE)
    assert got.status_code == status
    if method == "HEAD":
        assert got.content == b""
    if status == 405:
        assert got.json()["error"]["code"] == "method_not_allowed"
    assert not [name for name in got.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v2/healthz", "/v1/readyz"])
async def test_health_needs_no_key_and_tells_nothing(gateway, path):
    got = await gateway.http.get(ROOT + path)
    assert (got.status_code, got.content) == (200, b'{"status":"ok"}')


async def test_the_document_needs_no_key(gateway):
    got = await gateway.http.get("/openapi.json")
    assert got.status_code == 200
    assert got.json()["openapi"].startswith("3.1")


REFUSED = [
    ("POST", "/chat/completions", b"{}", 400, "missing_required_parameter"),
    ("POST", "/route", b"{", 400, "invalid_json"),
    ("GET", "/models/none-such", b"", 404, "model_not_found"),
    ("GET", "/requests/none-such", b"", 404, "request_not_found"),
    ("GET", "/usage?group_by=weather", b"", 400, "invalid_value"),
    ("DELETE", "/cache/none-such", b"", 404, "cache_entry_not_found"),
    ("DELETE", "/cache", b"", 400, "invalid_value"),
    ("POST", "/feedback", b"{}", 400, "invalid_value"),
    ("PUT", "/cache", b"", 405, "method_not_allowed"),
    ("GET", "/no/such/url", b"", 404, "unknown_url"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
async def test_every_error_is_told_as_a_problem_to_who_accepts_one(
    gateway, method, path, body, status, code
):
    for accept in ("*/*", "application/json, application/problem+json;q=0.9"):
        headers = ONE | {"accept": accept}
        got = await gateway.http.request(method, path, content=body, headers=headers)
        assert got.status_code == status, got.text
        if accept == "*/*":
            assert got.headers["content-type"] == "application/json"
            assert got.json()["error"]["code"] == code
        else:
            assert got.headers["content-type"] == "application/problem+json"
            assert (got.json()["code"], got.json()["status"]) == (code, status)


async def test_listed_origins_may_call_from_a_page_and_no_others(up):
    cors = '[cors]\norigins = ["https://app.test"]\n'
    async with Gateway(lone(up, cors)) as gateway:
        url, asked = "/chat/completions", {"access-control-request-headers": "x-stainless-lang"}
        good = await gateway.http.options(url, headers={"origin": "https://app.test", **asked})
        bad = await gateway.http.options(url, headers={"origin": "https://evil.test", **asked})
        told = await gateway.chat(ask(), {"origin": "https://app.test"})
    assert good.headers["access-control-allow-origin"] == "https://app.test"
    assert "x-stainless-lang" in good.headers["access-control-allow-headers"]
    assert good.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert "access-control-allow-origin" not in bad.headers
    assert told.headers["access-control-allow-origin"] == "https://app.test"
    # A page may read what it is to obey and to pay: the headers of cost and of waiting.
    assert told.headers["access-control-expose-headers"] == "*"
    assert "access-control-allow-credentials" not in told.headers


@pytest.mark.parametrize(
    "bounds", [Bounds(silent_s=0.1), Bounds(silent_s=5.0, whole_s=0.2)], ids=["silent", "whole"]
)
async def test_a_slow_body_ends(up, bounds):
    async def drip():
        while True:
            yield b" "
            await asyncio.sleep(0.03 if bounds.whole_s < 1 else 30)

    sent = drip()

    async def receive():
        return {"type": "http.request", "body": await anext(sent), "more_body": True}

    out = []

    async def send(message):
        out.append(message)

    async with Gateway(lone(up), bounds=bounds) as gateway:
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
        await asyncio.wait_for(gateway.app(scope, receive, send), 5)
    assert out[0]["status"] == 408
    assert (b"connection", b"close") in out[0]["headers"]
    assert json.loads(out[1]["body"])["error"]["code"] == "body_timeout"


async def test_a_body_in_tiny_pieces_takes_linear_time():
    async def seconds(size: int) -> float:
        sent = iter([True] * (size - 1) + [False])

        async def receive():
            return {"type": "http.request", "body": b" ", "more_body": next(sent)}

        started = time.process_time()
        assert len(await Bodies(Bounds()).read([], receive)) == size
        return time.process_time() - started

    small = min([await seconds(16_384) for _ in range(3)])
    # Sixteen times as long where it is linear; 256 times where each piece is joined anew.
    assert await seconds(262_144) < 64 * small


async def test_all_bodies_together_are_bounded():
    bodies = Bodies(Bounds(together_bytes=1_000))
    started, go_on = asyncio.Event(), asyncio.Event()
    first = iter([b" " * 600, b" "])

    async def slow():
        if started.is_set():
            await go_on.wait()
        started.set()
        piece = next(first)
        return {"type": "http.request", "body": piece, "more_body": len(piece) > 1}

    async def quick():
        return {"type": "http.request", "body": b" " * 300, "more_body": True}

    one = asyncio.ensure_future(bodies.read([], slow))
    await started.wait()
    with pytest.raises(Refused) as caught:
        await bodies.read([], quick)
    assert caught.value.code == "overloaded"
    go_on.set()
    assert len(await one) == 601
    # What was counted for the one that was refused is free again.
    with pytest.raises(Refused):
        await bodies.read([], quick)
    assert bodies.reading_bytes == 0
