"""Claim 17: a nano-dollar counts for the UTC day on which its request was admitted.

Requests are under way while a clock that is moved by hand passes midnight, again and again.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from p402 import _core
from p402.app import App
from p402.settings import load
from tests.claims.books import Books
from tests.claims.verdict import Scale, Verdict

TITLE = "nanos in the wrong day, requests under way across midnight UTC"
TARGET = "0"
DAY_US = 86_400_000_000
START_US = 20_785 * DAY_US
BEFORE_US = 50_000
EACH = 50
COST_NANO = 11 * 1_000 + 5 * 2_000
CAP_USD = "1000"
BODY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    }
)
# Long enough for all requests of a side to be under way together.
ANSWER = {
    "headers": [["content-type", "application/json"]],
    "steps": [{"wait_ms": 300}, {"chunk": BODY}],
}
CONFIG = f"""
[guard]
in_flight_max = 256
daily_cap_usd = "{CAP_USD}"
rate = {{ limit = 1000000, per_s = 1 }}
[provider.a]
base_url = "https://a.test/v1"
api_key = "sk"
[[model]]
id = "m"
provider = "a"
input_usd_per_mtok = "1"
output_usd_per_mtok = "2"
context = 100000
max_output = 8000
"""


class Clockwork:
    """A gateway whose time is moved by hand, and what it must have counted on which day."""

    def __init__(self, folder: Path) -> None:
        file = folder / "p402.toml"
        file.write_text(CONFIG)
        settings = load(file, env={})
        self.clock = _core.ManualClock(START_US)
        self.data = folder / "data"
        self.core = _core.Gateway(
            settings.core_config(),
            catalog=settings.catalog_layers(),
            data_dir=str(self.data),
            transport=json.dumps([ANSWER]),
            clock=self.clock,
        )
        wire = httpx.ASGITransport(app=App(settings, self.core))
        self.http = httpx.AsyncClient(transport=wire, base_url="http://gateway.test", timeout=30)
        self.due: Counter[int] = Counter()
        self.rids: list[str] = []

    def start(self) -> list[asyncio.Task[httpx.Response]]:
        """Requests of this instant's day."""
        self.due[self.clock.utc_micros // DAY_US] += EACH
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
        post = self.http.post
        return [
            asyncio.ensure_future(post("/api/v2/chat/completions", json=body)) for _ in range(EACH)
        ]

    async def under_way(self, requests: int) -> None:
        """All of them have been read: the clock may move."""
        while self.core.in_flight < requests:  # noqa: ASYNC110  (a foreign thread's counter)
            await asyncio.sleep(0.001)

    async def midnight(self) -> None:
        """Some before, some after, all under way together."""
        now = self.clock.utc_micros
        self.clock.advance_ms((DAY_US - BEFORE_US - now % DAY_US) // 1_000)
        tasks = self.start()
        await self.under_way(EACH)
        self.clock.advance_ms(2 * BEFORE_US // 1_000)
        tasks += self.start()
        await self.under_way(2 * EACH)
        for reply in await asyncio.gather(*tasks):
            reply.raise_for_status()
            self.rids.append(reply.headers["x-p402-request-id"])

    async def close(self) -> None:
        """Ends it."""
        await self.http.aclose()
        self.core.stop(0)
        asyncio.get_running_loop().remove_reader(self.core.wake_fd)


async def nights(folder: Path, midnights: int) -> tuple[int, int]:
    """Nano-dollars that stand in a wrong day, and how many requests there were."""
    works = Clockwork(folder)
    for _ in range(midnights):
        await works.midnight()
    books = Books(works.data)
    await asyncio.to_thread(books.until_indexed, works.rids)
    found = books.by_day()
    await works.close()
    days = works.due.keys() | found.keys()
    wrong = sum(abs(works.due[day] * COST_NANO - found[day]) for day in days)
    return wrong, len(works.rids)


def measure(scale: Scale) -> Verdict:
    """Passes midnight so often that enough requests were under way."""
    midnights = scale.pick(2_000, 100_000) // (2 * EACH)
    with tempfile.TemporaryDirectory(prefix="p402-claim-") as folder:
        wrong, requests = asyncio.run(nights(Path(folder), midnights))
    return Verdict(wrong == 0, f"{wrong} of {requests:,} requests over {midnights} midnights")
