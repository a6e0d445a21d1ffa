"""Claim 14: no answer costs more than was held for it, whatever its usage looks like.

Every fault, shape and framing that the sandbox knows, whole and streamed, through a real gateway.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from p402.sandbox.fault_table import FAULTS
from tests.claims.books import Books
from tests.claims.verdict import Scale, Verdict
from tests.gateway import WIDE, Gateway, Told, ask, lone, model, provider
from tests.upstream import Upstream

TITLE = "answers of every shape the sandbox knows that cost more than their hold"
TARGET = "0"
AT_ONCE = 16
TOKENS = (1, 5, 300, 4_000)


def offer(upstream: Upstream, number: int, name: str) -> str:
    """A model whose every answer has this fault, at a provider of its own: they fail alone."""
    more = f'upstream_id = "sandbox-fault:{name}"'
    return provider(f"p{number}", upstream) + model(f"x{number}", f"p{number}", more=more)


async def answers() -> tuple[list[Told], list[str], int]:
    """All of them; what cost more than its hold, and how many ended in the ledger."""
    shapes = [name for name in FAULTS if name != "endless"] * len(TOKENS)
    turn = asyncio.Semaphore(AT_ONCE)
    with Upstream() as upstream:
        offers = [offer(upstream, number, name) for number, name in enumerate(shapes)]
        async with Gateway(lone(upstream, WIDE) + "".join(offers)) as gateway:

            async def one(number: int, *, stream: bool) -> Told:
                async with turn:
                    tokens = TOKENS[number % len(TOKENS)]
                    named = f"p{number}/x{number}"
                    return await gateway.chat(ask(stream=stream, model=named, max_tokens=tokens))

            told = await asyncio.gather(
                *(
                    one(number, stream=stream)
                    for number in range(len(shapes))
                    for stream in (False, True)
                )
            )
            await gateway.idle()
            books = Books(Path(gateway.folder.name))
            rids = [one.headers["x-p402-request-id"] for one in told if one.status == 200]
            await asyncio.to_thread(books.until_indexed, rids)
            return told, books.above_their_hold(), len(books.ends())


def measure(_: Scale) -> Verdict:
    """Asks for each shape."""
    told, above, ends = asyncio.run(answers())
    served = sum(one.status == 200 for one in told)
    return Verdict(
        not above and served > len(told) // 4,
        f"{len(above)} of {ends} ({len(FAULTS)} shapes, whole and streamed; {served} answered)"
        + "".join(f"; {each}" for each in above[:5]),
    )
