"""Decides what a question costs in time: the cache not asked, asked in vain, and with success.

Deliberately one client in turn, client to client: rows of one run are compared, nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from benches import peers
from benches.contender import BASE, Contender, started
from benches.instruments import Cores, Instruments, upstream

QUESTIONS = 200
LEAD_S = 5.0
# So many replies must be of the kind that the rung is about.
WORD_MIN = 0.95
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


@dataclass(frozen=True)
class Rung:
    """One kind of question: how it is asked, and the word that its reply must carry."""

    name: str
    word: str
    ask: Callable[[Caller, int], tuple[float, float, str]]


UNHEARD = {"no_store": True, "threshold": 1}
KEPT = {"no_store": True}
RUNGS = (
    Rung("cache off", "off", lambda caller, _: caller.ask(ASKED, cache=False)),
    Rung("miss, by bytes", "miss", lambda caller, n: caller.ask(f"Nr {n}?", UNHEARD)),
    Rung("miss, by meaning", "miss", lambda caller, n: caller.ask(f"What is {n}?", KEPT)),
    Rung("hit, exact", "exact", lambda caller, _: caller.ask(ASKED, KEPT)),
    Rung(
        "hit, semantic",
        "semantic",
        lambda caller, n: caller.ask(REWORDED[n % len(REWORDED)], KEPT),
    ),
)


def ladder(contender: Contender, questions: int = QUESTIONS) -> dict[str, dict[str, float]]:
    """Percentiles of each rung in milliseconds; a rung whose replies were of another kind is void
    and left out."""
    caller = Caller(contender)
    caller.ask(ASKED, cache=True)
    until = time.monotonic() + LEAD_S
    while caller.ask(REWORDED[0], KEPT)[2] != "semantic":
        if time.monotonic() > until:
            break  # the rungs below say so
    return {rung.name: told for rung in RUNGS if (told := _climb(caller, rung, questions))}


def _climb(caller: Caller, rung: Rung, questions: int) -> dict[str, float] | None:
    told = [rung.ask(caller, number) for number in range(questions)]
    good = [(took, own) for took, own, said in told if said == rung.word]
    if len(good) < questions * WORD_MIN:
        print(f"{rung.name:<18} void: {len(good)} of {questions} were {rung.word}")
        return None
    took, own = zip(*good, strict=True)
    figures = {
        "p50_ms": statistics.median(took),
        "p99_ms": statistics.quantiles(took, n=100)[98],
        "own_p50_ms": statistics.median(own),
        "own_p99_ms": statistics.quantiles(own, n=100)[98],
    }
    columns = "".join(f"{figure:9.2f}" for figure in figures.values())
    print(f"{rung.name:<18}{columns}   {rung.word}, {len(good)} of {questions}", flush=True)
    return figures


def main() -> int:
    """The ladder by itself."""
    parser = argparse.ArgumentParser(description="Latency of hits and misses.")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    questions = parser.parse_args().questions
    if why := peers.OURS.absent():
        print(why, file=sys.stderr)
        return 1
    instruments, cores = Instruments.build(), Cores.split()
    with (
        upstream(instruments, cores) as mock,
        started(peers.OURS, mock, BASE, cores) as contender,
    ):
        print(f"{'ms':<18}{'p50':>9}{'p99':>9}{'own p50':>9}{'own p99':>9}")
        rungs = ladder(contender, questions)
    return 0 if len(rungs) == len(RUNGS) else 1


if __name__ == "__main__":
    sys.exit(main())
