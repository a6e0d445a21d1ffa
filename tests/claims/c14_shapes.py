"""Claim 14: no answer costs more than was held for it, whatever its usage looks like.

Every fault, shape and framing that the sandbox knows, whole and streamed, through a real gateway.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from p402.sandbox.fault_table import FAULTS
from tests.claims.books import Books
from tests.claims.verdict import Scale, Verdict
from tests.gateway import WIDE, Gateway, Told, ask, lone, model
from tests.upstream import Upstream

TITLE = "answers of every shape the sandbox knows that cost more than their hold"
TARGET = "0"
AT_ONCE = 16


def offer(name: str) -> str:
    """A model whose every answer has this fault."""
    return model(f"x-{name}", "a", more=f'upstream_id = "sandbox-fault:{name}"')


async def answers() -> tuple[list[Told], list[str], int]:
    """All of them; what cost more than its hold, and how many ended in the ledger."""
    names = [name for name in FAULTS if name != "endless"]
    turn = asyncio.Semaphore(AT_ONCE)
    with Upstream() as upstream:
        text = lone(upstream, WIDE) + "".join(map(offer, names))
        async with Gateway(text) as gateway:

            async def one(name: str, *, stream: bool, tokens: int) -> Told:
                async with turn:
                    body = ask(stream=stream, model=f"a/x-{name}", max_tokens=tokens)
                    return await gateway.chat(body)

            told = await asyncio.gather(
                *(
                    one(name, stream=stream, tokens=tokens)
                    for name in names
                    for stream in (False, True)
                    for tokens in (1, 5, 4_000)
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
