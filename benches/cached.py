"""Decides what a question costs in time: the cache not asked, asked in vain, and with success.

Deliberately one client in turn, client to client: rows of one run are compared, nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from benches import peers
from benches.contender import BASE, Contender, started
from benches.instruments import Cores, Instruments, upstream

QUESTIONS = 200
LEAD_S = 5.0
# The same question in other words, again and again: a semantic hit is not stored as a new entry.
ASKED = "How do I sort a long list of customer names by their second letter in Python"
REWORDED = (
    "How can I sort a long list of customer names by their second letter in Python",
    "In Python, how do I sort a long list of customer names by their second letter",
    "How would I sort a long list of customer names by their second letter in Python",
)


class Caller:
    """One client of the gateway."""

    def __init__(self, contender: Contender) -> None:
        self._url = contender.url
        self._model = contender.model
        self._http = httpx.Client(trust_env=False, timeout=30.0)

    def ask(self, text: str, cache: Any) -> tuple[float, float, str]:
        """Milliseconds client to client, those of the gateway alone, and what the cache said."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": text}],
            "p402": {"mode": "balanced", "cache": cache},
        }
        content = json.dumps(body).encode()
        began = time.perf_counter()
        told = self._http.post(self._url, content=content)
        took = (time.perf_counter() - began) * 1_000
        told.raise_for_status()
        metadata = told.json()["p402_metadata"]
        own = metadata["latency_ms"] - metadata["provider_latency_ms"]
        return took, own, told.headers["x-p402-cache"]


def row(name: str, count: int, one: Callable[[int], tuple[float, float, str]], word: str) -> None:
    """Asks so often and prints what it took; a reply of another kind voids the row."""
    told = [one(number) for number in range(count)]
    good = [(took, own) for took, own, said in told if said == word]
    if len(good) < count * 0.95:
        print(f"{name:<22} void: {len(good)} of {count} were {word}")
        return
    figures = []
    for column in zip(*good, strict=True):
        spread = statistics.quantiles(column, n=100)
        figures.append(f"{statistics.median(column):9.2f}{spread[98]:9.2f}")
    print(f"{name:<22}{''.join(figures)}   {word}, {len(good)} of {count}")


def main() -> int:
    """The ladder."""
    parser = argparse.ArgumentParser(description="Latency of hits and misses.")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    count = parser.parse_args().questions
    if why := peers.OURS.absent():
        print(why, file=sys.stderr)
        return 1
    instruments, cores = Instruments.build(), Cores.split()
    with contextlib.ExitStack() as stack:
        mock = stack.enter_context(upstream(instruments, cores))
        caller = Caller(stack.enter_context(started(peers.OURS, mock, BASE, cores)))
        caller.ask(ASKED, cache=True)
        until = time.monotonic() + LEAD_S
        while caller.ask(REWORDED[0], {"no_store": True})[2] != "semantic":
            if time.monotonic() > until:
                break  # the rows below say so
        print(f"{'ms':<22}{'p50':>9}{'p99':>9}{'own p50':>9}{'own p99':>9}")
        row("cache off", count, lambda _: caller.ask(ASKED, cache=False), "off")
        unheard = {"no_store": True, "threshold": 1}
        row("cache miss, by bytes", count, lambda n: caller.ask(f"Nr {n}?", unheard), "miss")
        kept = {"no_store": True}
        row("cache miss, by meaning", count, lambda n: caller.ask(f"What is {n}?", kept), "miss")
        row("cache hit, exact", count, lambda _: caller.ask(ASKED, kept), "exact")
        words = len(REWORDED)
        row(
            "cache hit, semantic",
            count,
            lambda n: caller.ask(REWORDED[n % words], kept),
            "semantic",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
