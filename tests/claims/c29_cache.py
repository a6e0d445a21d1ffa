"""Claim 29: a cache hit costs nothing and takes a token: no hold, no attempt, no second trip.

Judged by the ledger's rows, the guard's own counters and headers, and the provider's bill.
"""

from __future__ import annotations

import hashlib
import json
import time
from decimal import Decimal

import httpx

from tests.claims.books import SETTLE, Books
from tests.claims.stage import Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict

TITLE = "cache hits: nanos; rate tokens, records, settle trips"
TARGET = "0; 1, 0, 0"
NAME = "repeater"
WAIT_S = 10.0
# A token comes back every 26.784 s, so that those taken are seen.
REFILL_S = 26.784
GUARD = 'rate = { limit = 100000, per_s = 2678400 }\nbudget_usd = "5"\nbudget_period = "total"'
BOSS = "looks-in"
OPERATOR = f'[operator]\nkey_sha256 = "{hashlib.sha256(BOSS.encode()).hexdigest()}"\n'
CACHED = 1 << 7
QUESTIONS = ("Name three rivers.", "What is a monad?", "Who wrote Faust?")


class Client:
    """One caller of the gateway."""

    def __init__(self, port: int) -> None:
        headers = {"authorization": f"Bearer {key_of(NAME)}"}
        base = f"http://127.0.0.1:{port}/api/v2"
        self.http = httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=30.0)

    def ask(self, text: str, *, stream: bool) -> httpx.Response:
        """One question, answered from the cache where it can be."""
        body = {
            "model": "auto",
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            "user": f"{NAME}/0",
            "p402": {"cache": True},
        }
        told = self.http.post("/chat/completions", content=json.dumps(body))
        assert told.status_code == 200, told.text
        return told

    def counter(self, name: str) -> int:
        """A number of the gateway's own."""
        asker = {"authorization": f"Bearer {BOSS}"}
        lines = self.http.get("/metrics", headers=asker).text.splitlines()
        return next(int(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))


def tokens(told: httpx.Response) -> int:
    return int(told.headers["x-ratelimit-remaining-requests"])


def budget(told: httpx.Response) -> Decimal:
    return Decimal(told.headers["x-p402-budget-remaining-usd"])


def warm(client: Client) -> None:
    """Every question is answered once, and its answer kept."""
    for text in QUESTIONS:
        until = time.monotonic() + WAIT_S
        while client.ask(text, stream=False).headers["x-p402-cache"] != "exact":
            assert time.monotonic() < until, "no answer is ever kept"


def measure(scale: Scale) -> Verdict:
    """Thousands of hits, streamed and not; what each of them moved."""
    hits = scale.pick(300, 20_000)
    with Stage(
        model("claims-a", "steady") + tenant(NAME, GUARD) + OPERATOR, seed=scale.seed
    ) as stage:
        client = Client(stage.gate.port)
        warm(client)
        before = client.ask(QUESTIONS[0], stream=False)
        held, spent = client.counter("guard_held_nano"), budget(before)
        rids, wrong, began = [], 0, time.monotonic()
        for count in range(hits):
            told = client.ask(QUESTIONS[count % len(QUESTIONS)], stream=count % 2 == 1)
            wrong += told.headers["x-p402-cache"] != "exact"
            wrong += budget(told) != spent
            rids.append(told.headers["x-p402-request-id"])
        taken = tokens(before) - tokens(told)
        refilled = int((time.monotonic() - began) / REFILL_S) + 1
        settled_unknown = client.counter("guard_settle_unknown_total")
        moved = client.counter("guard_held_nano") - held
        books = Books(stage.data)
        books.until_indexed(rids)
        rows = books.rows(rids)
        open_now = books.open()
    nanos = sum(nano for *_, nano in rows)
    # One row a hit, and that is its end: nothing was dispatched, extended or held.
    other = sum(kind != SETTLE or not flags & CACHED for _, kind, flags, _ in rows)
    once = hits - refilled <= taken <= hits and len(rows) == hits
    return Verdict(
        once and not (wrong or nanos or moved or settled_unknown or other or open_now),
        f"{hits:,} hits, half of them streams: {nanos} nanos; {taken:,} tokens, {moved + open_now} "
        f"records, {settled_unknown} settle trips; {len(rows):,} rows, {wrong + other} wrong",
    )
