"""Decides whether the billing guard refuses as its clients need it, through HTTP and a real SDK.

Does not check the account's arithmetic: the core's own tests do.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import httpx
import openai
import pytest

from p402.sandbox import Fault
from tests.gateway import BASE, ROOT, USER, Gateway, ask, lone, settings

# What one small request claims: its bytes and 8,000 tokens of output at a dollar a million.
CLAIM_USD = 0.008019


def guarded(up, limits: str, more: str = "") -> str:
    return lone(up, f"{more}\n[guard]\n{limits}\n")


class Counted:
    """The ASGI application behind a real SDK, and how often it was asked."""

    def __init__(self, gateway: Gateway) -> None:
        self.tries = 0
        self._app = gateway.app
        wire = httpx.ASGITransport(app=self)
        http = httpx.AsyncClient(transport=wire, timeout=30.0)
        self.sdk = openai.AsyncOpenAI(base_url=ROOT + BASE, api_key="any", http_client=http)

    async def __call__(self, scope, receive, send):
        self.tries += scope["type"] == "http"
        await self._app(scope, receive, send)

    async def ask(self, **more):
        return await self.sdk.chat.completions.create(model="auto", messages=USER, **more)


@pytest.mark.parametrize(
    ("limits", "status", "code", "layer"),
    [
        ('daily_cap_usd = "0.001"', 429, "daily_spend_limit_exceeded", "daily_cap"),
        ('budget_usd = "0.001"', 429, "budget_exceeded", "reservation"),
        ('budget_usd = "0.001"\nrefusal_status = 403', 403, "budget_exceeded", "reservation"),
        ('request_cap_usd = "0.001"', 400, "request_cost_limit_exceeded", "request_cap"),
    ],
)
async def test_a_hard_stop_is_asked_once_and_costs_nothing(up, limits, status, code, layer):
    async with Gateway(guarded(up, limits)) as gateway:
        counted = Counted(gateway)
        started = time.monotonic()
        with pytest.raises(openai.APIStatusError) as raised:
            await counted.ask()
        assert time.monotonic() - started < 0.4, "the SDK slept"
        assert counted.tries == 1
    error = raised.value
    assert error.status_code == status
    assert (error.code, error.body["layer"]) == (code, layer)
    assert error.body["estimated_cost_usd"] == pytest.approx(CLAIM_USD, rel=0.02)
    assert error.response.headers["x-should-retry"] == "false"
    assert not up.log.of("/a/v1")


async def test_a_rate_is_waited_for_as_long_as_it_says(up):
    async with Gateway(guarded(up, "rate = { limit = 1, per_s = 1 }")) as gateway:
        counted = Counted(gateway)
        await counted.ask()
        started = time.monotonic()
        assert (await counted.ask()).choices[0].message.content
        waited = time.monotonic() - started
    assert counted.tries == 3
    assert 0.5 < waited < 1.4


async def test_a_slot_is_waited_for(up):
    up.faults["/a/v1"] = Fault("slow-first-byte", {"ms": "300"})
    async with Gateway(guarded(up, "in_flight_max = 1")) as gateway:
        counted = Counted(gateway)
        counted.sdk.max_retries = 8
        both = await asyncio.gather(counted.ask(), counted.ask())
    assert all(reply.choices for reply in both)
    assert counted.tries > 2


async def test_every_reply_says_what_is_left(up):
    async with Gateway(guarded(up, 'budget_usd = "2"\ndaily_cap_usd = "1"')) as gateway:
        first = await gateway.chat(ask())
        streamed = await gateway.chat(ask(stream=True))
        wrong = await gateway.chat(b"{")
    assert first.status == streamed.status == 200
    assert wrong.status == 400
    for told in (first, streamed, wrong):
        assert told.headers["x-ratelimit-limit-requests"] == "1000"
        assert told.headers["ratelimit-policy"] == '"hour";q=1000;w=3600'
        assert float(told.headers["x-p402-budget-remaining-usd"]) > 1.9
    assert first.headers["x-p402-daily-remaining-usd"] == "0.999984"
    assert streamed.headers["x-ratelimit-remaining-requests"] == "998"
    assert wrong.headers["x-ratelimit-remaining-requests"] == "998", "no token for what is wrong"


async def test_a_problem_is_told_to_whoever_accepts_one(up):
    async with Gateway(guarded(up, 'budget_usd = "0"')) as gateway:
        told = await gateway.chat(ask(), {"accept": "application/problem+json"})
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json["type"] == "urn:p402:error:budget_exceeded"
    assert told.json["status"] == told.status == 429
    assert told.json["limit_usd"] == 0


async def test_a_stranger_to_money_pays_nothing_until_told(up):
    """No budget is set: layer 6 never refuses."""
    async with Gateway(lone(up)) as gateway:
        told = await gateway.chat(ask())
    assert "x-p402-budget-remaining-usd" not in told.headers


async def test_a_key_in_use_is_not_sent_twice(up):
    up.faults["/a/v1"] = Fault("slow-first-byte", {"ms": "400"})
    key = {"idempotency-key": "order-77"}
    async with Gateway(lone(up)) as gateway:
        first = asyncio.ensure_future(gateway.chat(ask(), key))
        await asyncio.to_thread(up.wait_for, lambda: up.log.of("/a/v1"))
        again = await gateway.chat(ask(), key)
        other = await gateway.chat(ask(temperature=0.5), key)
        done = await first
        after = await gateway.chat(ask(), key)
        assert (await gateway.row(after))["status"] == "settled"
    rid = done.headers["x-p402-request-id"]
    assert (again.status, again.error["code"]) == (409, "request_in_progress")
    assert (again.error["rid"], again.headers["x-should-retry"]) == (rid, "true")
    assert (other.status, other.error["code"]) == (409, "idempotency_conflict")
    assert other.headers["x-should-retry"] == "false"
    assert after.status == 200
    assert after.headers["x-p402-request-id"] != rid, "it costs anew, so it is another request"
    assert len(up.log.of("/a/v1")) == 2


async def test_a_request_is_found_after_its_node_forgot_it(up):
    async with Gateway(lone(up, "[limits]\nrequests_kept = 1\n")) as gateway:
        first = await gateway.chat(ask())
        await gateway.chat(ask())
        row = await gateway.row(first)
        stranger = await gateway.get("/requests/req_" + "0" * 32)
    told = first.metadata
    assert row["status"] == "settled"
    assert stranger.status == 404
    for name in ("cost_usd", "direct_cost", "input_tokens", "output_tokens", "provider", "model"):
        assert row["p402_metadata"][name] == told[name], name
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] == 16_000
    assert row["attempts"] == [{"provider": "a", "model": "m-a"}]


async def test_limits_change_with_a_reload_and_spending_stays(up):
    async with Gateway(guarded(up, 'budget_usd = "1"')) as gateway:
        before = await gateway.chat(ask())
        tight = settings(guarded(up, 'budget_usd = "0.0001"'))
        layers = tight.catalog_layers()
        gateway.core.reload(tight.core_config(), [*layers])
        refused = await gateway.chat(ask(model="a/m-a"))
    assert before.status == 200
    assert refused.error["spent_usd"] == 0.000016


async def test_the_guard_counts_what_it_decides(up):
    async with Gateway(guarded(up, "rate = { limit = 2, per_s = 3600 }")) as gateway:
        for _ in range(3):
            await gateway.chat(ask())
        told = await gateway.get("/metrics")
    lines = told.raw.decode().splitlines()
    assert 'guard_decisions_total{layer="all",code="admitted"} 2' in lines
    assert 'guard_decisions_total{layer="rate_limit",code="refused"} 1' in lines
    assert "guard_held_nano 0" in lines


class Hook:
    """A webhook that fails at first."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.told = Event()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hook.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(500 if len(hook.got) == 1 else 204)
                self.end_headers()
                if len(hook.got) == 2:
                    hook.told.set()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


async def test_alarms_reach_the_webhook_signed_and_again_if_need_be(up):
    hook = Hook()
    more = f'[alerts]\nwebhook_url = "{hook.url}"\nwebhook_secret_env = "HOOK_SECRET"\n'
    text = guarded(up, 'budget_usd = "0.00012"', more)
    async with Gateway(text, env={"HOOK_SECRET": "s3cret"}) as gateway:
        for _ in range(4):
            assert (await gateway.chat(ask(max_tokens=16))).status == 200
        assert await asyncio.to_thread(hook.told.wait, 10)
    hook.server.shutdown()
    hook.server.server_close()
    (headers, body), (_, again) = hook.got[:2]
    assert body == again
    signed = headers["x-p402-timestamp"].encode() + b"." + body
    assert (
        headers["x-p402-signature"] == "sha256=" + hmac.new(b"s3cret", signed, "sha256").hexdigest()
    )
    told = json.loads(body)
    assert (told["event"], told["tenant_id"]) == ("budget_threshold", "default")
    assert told["budget_usd"] == "0.00012"
