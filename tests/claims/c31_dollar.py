"""Claim 31: 1,000 clients with the real openai SDK at once, one dollar, by the provider's own bill.

Half of them stream. A client gives up only when it is refused while nothing is held any more.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import AsyncExitStack
from decimal import Decimal

import httpx
import openai

from tests.claims.provider import read_bill, totals
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.storm import WORDS
from tests.claims.verdict import Scale, Verdict

TITLE = "1,000 concurrent openai SDK clients against a $1 budget: billed by the provider"
TARGET = "≤ $1, and ≥ $1 less one claim"
BUDGET_NANO = 1_000_000_000
CLIENTS = 1_000
MAX_TOKENS = 512
PATIENCE_S = 240.0


async def spend(client: openai.AsyncOpenAI, dice: random.Random) -> int:
    """Asks until the budget is spent for good; the claim it was then refused with, in nano."""
    stream = dice.random() < 0.5
    while True:
        try:
            reply = await client.chat.completions.create(
                model="claims",
                messages=[{"role": "user", "content": WORDS * dice.randint(1, 3)}],
                max_tokens=MAX_TOKENS,
                stream=stream,
                user="dollar",
            )
            if stream:
                async for _ in reply:
                    pass
        except openai.RateLimitError as refused:
            told = refused.body
            if isinstance(told, dict) and told["code"] == "budget_exceeded":
                if Decimal(str(told["held_usd"])) == 0:
                    return int(Decimal(str(told["estimated_cost_usd"])).scaleb(9))
                await asyncio.sleep(dice.uniform(0.05, 0.5))


async def crowd(stage: Stage, seed: int) -> int:
    """All clients to their end; the smallest claim that found no room."""
    # A pool of its own for each: one of a thousand connections would mostly look for free ones.
    trust = ssl.create_default_context()
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        clients = []
        for _ in range(CLIENTS):
            wire = httpx.AsyncClient(verify=trust, timeout=60, trust_env=False)
            client = openai.AsyncOpenAI(
                api_key=key_of("dollar"),
                base_url=f"http://127.0.0.1:{stage.gate.port}/api/v2",
                http_client=await stack.enter_async_context(wire),
            )
            clients.append(client)
        spending = (spend(client, random.Random(seed + n)) for n, client in enumerate(clients))
        return min(await asyncio.gather(*spending))


def measure(scale: Scale) -> Verdict:
    """Spends the dollar, then reads the bill."""
    guard = f'{WIDE}in_flight_max = 256\nbudget_usd = "1"\nbudget_period = "total"'
    text = model("claims", "steady") + tenant("dollar", guard)
    with Stage(text, seed=scale.seed, pause_ms=40) as stage:
        claim = asyncio.run(crowd(stage, scale.seed))
        stage.gate.stop()
        stage.provider.stop()
        entries = read_bill(stage.provider.bill)
    billed = totals(entries)["dollar"]
    return Verdict(
        BUDGET_NANO - claim <= billed <= BUDGET_NANO,
        f"${billed / 1e9:.9f} in {len(entries):,} requests; the claim that found no room: "
        f"${claim / 1e9:.9f}",
    )
