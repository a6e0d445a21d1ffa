"""Claim 19: the real SDK retries what it should, sleeps as long as it is told, and nothing else.

Each refusal comes from a real gateway that was brought to it; every try and its time is noted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai

from p402.sandbox import Fault
from tests.claims.verdict import Scale, Verdict
from tests.gateway import BASE, QUICK, ROOT, USER, Gateway, ask, lone
from tests.upstream import Upstream

TITLE = "openai SDK against each refusal: tries and sleeps that differ from the contract"
TARGET = "0"
RETRIES = 2
# Beyond what the SDK was told to wait: its own work, on a busy machine.
SLACK_S = 0.35
Bring = Callable[["Wire", Gateway], Coroutine[Any, Any, None]]


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """Passes requests to the gateway and notes each reply and its time."""

    gateway: Gateway
    told: list[tuple[float, httpx.Response]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._asgi = httpx.ASGITransport(app=self.gateway.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One try."""
        began = time.monotonic()
        reply = await self._asgi.handle_async_request(request)
        self.told.append((began, reply))
        return reply

    def sdk(self) -> openai.AsyncOpenAI:
        """A client as anybody makes one."""
        http = httpx.AsyncClient(transport=self, timeout=30.0)
        return openai.AsyncOpenAI(
            base_url=ROOT + BASE, api_key="any", http_client=http, max_retries=RETRIES
        )


@dataclass(frozen=True)
class Case:
    """A refusal, what brings it about, and how often a client may try."""

    code: str
    guard: str
    tries: int
    bring: str = "nothing"
    more: dict[str, Any] = field(default_factory=dict)


# The contract is guard.md § 10: what is worth repeating, and what no repetition mends.
CASES = (
    Case("rate_limit_exceeded", "rate = { limit = 1, per_s = 1 }", 2, "one"),
    Case("rate_limit_exceeded", "rate = { limit = 1, per_s = 3600 }", 1, "one"),
    Case("daily_spend_limit_exceeded", 'daily_cap_usd = "0.00001"', 1),
    Case("budget_exceeded", 'budget_usd = "0.00001"', 1),
    Case("budget_exceeded", 'budget_usd = "0.00001"\nrefusal_status = 403', 1),
    Case("request_cost_limit_exceeded", 'request_cap_usd = "0.00001"', 1),
    Case("model_price_unknown", "", 1, more={"model": "a/m-free"}),
    Case("concurrency_limit_exceeded", "in_flight_max = 1", 3, "slow"),
    Case("request_in_progress", "", 3, "same"),
    Case("idempotency_conflict", "", 1, "other"),
    Case("spend_anomaly_blocked", 'anomaly = { mode = "block", floor_usd = "0" }', 1, "history"),
)
KEY = {"Idempotency-Key": "the-key"}


async def one(gateway: Gateway, **more: Any) -> None:
    """A request that is answered."""
    told = await gateway.chat(ask(max_tokens=4, **more))
    assert told.status == 200, told.raw


@asynccontextmanager
async def brought(case: Case, upstream: Upstream, gateway: Gateway) -> AsyncIterator[None]:
    """The gateway is where it will refuse."""
    slow: asyncio.Future[Any] | None = None
    if case.bring == "one":
        await one(gateway)
    if case.bring == "history":
        for _ in range(40):
            await one(gateway)
    if case.bring in ("slow", "same", "other"):
        upstream.faults["/a/v1"] = Fault("slow-first-byte", {"ms": "20000"})
        headers = {} if case.bring == "slow" else KEY
        first = Wire(gateway).sdk().chat.completions.create(**BODY, extra_headers=headers)
        slow = asyncio.ensure_future(first)
        await asyncio.to_thread(upstream.wait_for, lambda: upstream.log.of("/a/v1"))
    yield
    upstream.faults.clear()
    if slow is not None:
        slow.cancel()


PATIENT = "[timeouts]\nfirst_byte_min_ms = 30000\nfirst_byte_max_ms = 30000\nbody_min_ms = 30000\n"
BODY = {"model": "auto", "messages": USER, "max_tokens": 4}


async def differs(case: Case, upstream: Upstream) -> str:
    """How the SDK's behaviour differs from the contract; empty if it does not."""
    upstream.faults.clear()
    upstream.log.clear()
    unpriced = '[[model]]\nid = "m-free"\nprovider = "a"\ncontext = 100000\nmax_output = 8000\n'
    limits = f"[guard]\n{case.guard}\n" if case.guard else ""
    text = lone(upstream, limits).replace(QUICK, PATIENT)
    async with Gateway(text + unpriced) as gateway, brought(case, upstream, gateway):
        wire = Wire(gateway)
        asked: dict[str, Any] = {**BODY, **case.more}
        if case.bring in ("same", "other"):
            asked["extra_headers"] = KEY
        if case.bring == "other":
            asked["messages"] = [{"role": "user", "content": "Say something else"}]
        if case.bring == "history":
            asked |= {"max_tokens": 8_000}
        refused = ""
        try:
            await wire.sdk().chat.completions.create(**asked)
        except openai.APIStatusError as error:
            refused = str(error.code)
        return judged(case, wire, refused)


def judged(case: Case, wire: Wire, refused: str) -> str:
    """Code, number of tries, and each sleep against what the reply before it said."""
    codes = [reply.status_code for _, reply in wire.told]
    if refused != case.code and not (case.tries == RETRIES and not refused):
        return f"{case.code}: it was {refused or 'answered'} {codes}"
    if len(wire.told) != case.tries:
        return f"{case.code}: {len(wire.told)} tries, not {case.tries}"
    for (began, reply), (again, _) in zip(wire.told, wire.told[1:], strict=False):
        due = int(reply.headers["retry-after-ms"]) / 1_000
        if not due - 0.01 <= again - began <= due + SLACK_S:
            return f"{case.code}: slept {again - began:.2f} s, not {due:.2f}"
    last = wire.told[-1][1]
    if case.tries == 1 and ("retry-after" in last.headers or "retry-after-ms" in last.headers):
        return f"{case.code}: a hard stop that names a wait"
    return ""


def measure(_: Scale) -> Verdict:
    """Every case in turn."""
    with Upstream() as upstream:
        found = [asyncio.run(differs(case, upstream)) for case in CASES]
    wrong = [each for each in found if each]
    codes = len({case.code for case in CASES})
    return Verdict(
        not wrong,
        f"{len(wrong)} of {len(CASES)} cases, {codes} codes, openai-python {openai.__version__}"
        + "".join(f"; {each}" for each in wrong),
    )
