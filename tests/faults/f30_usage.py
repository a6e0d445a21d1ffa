"""Fault 30: a provider's usage is wrong, missing, negative or said twice: no such row is unflagged.

Whole and streamed; what cannot be told from a true count must cost exactly what a true one does.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

from tests.claims.books import SETTLE, Books
from tests.claims.verdict import Scale, Verdict
from tests.gateway import WIDE, Gateway, ask, lone, model, provider
from tests.upstream import Upstream

TITLE = "provider usage wrong, missing, negative, doubled: rows unflagged, or billed at a lie"
TARGET = "0"
ESTIMATED, IMPLAUSIBLE = 1, 1 << 4
# How it lies, and the flag that its row must bear; none where the true count is there as well.
LIES = {
    "usage-missing": ESTIMATED,
    "usage-partial": ESTIMATED,
    "usage-negative": IMPLAUSIBLE,
    "usage-fractional": IMPLAUSIBLE,
    "usage-huge": IMPLAUSIBLE,
    "usage-text": IMPLAUSIBLE,
    "usage-twice": 0,
    "usage-on-finish": 0,
    "usage-on-every-chunk": 0,
    "usage-bad-total": 0,
    "usage-cost": 0,
}
# The sandbox counts 11 tokens in and 5 out; each costs 1,000 nano-dollars.
TRUE_NANO = 16_000


def settled(data: Path) -> dict[str, tuple[int, int]]:
    """By request: the flags of its settlement, and what it cost."""
    sql = f"SELECT hex(rid), flags, cost_nano FROM ledger_rows WHERE kind = {SETTLE}"
    with closing(connect(f"file:{data / 'ledger.sqlite'}?mode=ro", uri=True)) as link:
        return {f"req_{rid.lower()}": (flags, nano) for rid, flags, nano in link.execute(sql)}


def judge(lie: str, flags: int, nano: int) -> bool:
    """Whether a row says what it is worth."""
    due = LIES[lie]
    if due:
        return bool(flags & due) and nano > 0
    return not flags & (ESTIMATED | IMPLAUSIBLE) and nano == TRUE_NANO


async def answers() -> tuple[list[str], int]:
    """Each lie, whole and streamed; the rows that do not say so, and how many there were."""
    names = list(LIES)
    with Upstream() as upstream:
        offers = [
            provider(f"p{n}", upstream)
            + model(f"x{n}", f"p{n}", more=f'upstream_id = "sandbox-fault:{name}"')
            for n, name in enumerate(names)
        ]
        async with Gateway(lone(upstream, WIDE) + "".join(offers)) as gateway:
            told = []
            for n, name in enumerate(names):
                for stream in (False, True):
                    body = ask(stream=stream, model=f"p{n}/x{n}", max_tokens=300)
                    told.append((name, stream, await gateway.chat(body)))
            await gateway.idle()
            data = Path(gateway.folder.name)
            rids = [one.headers["x-p402-request-id"] for _, _, one in told]
            await asyncio.to_thread(Books(data).until_indexed, rids)
            rows = settled(data)
    wrong = []
    for (name, stream, one), rid in zip(told, rids, strict=True):
        row = rows.get(rid)
        if row is None or not judge(name, *row):
            wrong.append(f"{name}{' streamed' if stream else ''}: {one.status} {row}")
    return wrong, len(told)


def measure(_: Scale) -> Verdict:
    """Asks for each lie."""
    wrong, rows = asyncio.run(answers())
    return Verdict(not wrong, "; ".join([f"{len(wrong)} of {rows}", *wrong]))
