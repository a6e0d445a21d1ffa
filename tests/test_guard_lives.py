"""Decides whether the guard's invariants hold through the lives of a process: killed, drained.

The gateway is a real one on one data directory; what happens within a life is test_guard_rules.py.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.claims.crowd import Caller, Told
from tests.gateway import ask, model, provider
from tests.serving import Served
from tests.upstream import Upstream

# A dollar a million tokens, both ways.
TOKEN = Decimal("0.000001")
BUDGET = Decimal("0.004")
DRAIN_S = 1
TEXT = f"""
[server]
drain_s = {DRAIN_S}
[routing]
mode = "cost"
attempts = 1
[cache]
cost_mode_default = false
[guard]
budget_usd = "{BUDGET}"
budget_period = "total"
rate = {{ limit = 100000, per_s = 1 }}
"""
# The account follows the answer; and a busy machine is late with everything.
PATIENCE_S = 20.0
STALLED = "stall-mid-stream"
BASE = "/a/v1"
few, counts, bodies = st.integers(0, 3), st.integers(1, 4), st.booleans()


class Mortal(RuleBasedStateMachine):
    """One tenant, one provider, and a gateway that is killed or told to go."""

    @initialize()
    def open(self) -> None:
        """A gateway that has never been asked."""
        self.runner = asyncio.Runner()
        self.up = Upstream().start()
        self.folder = tempfile.TemporaryDirectory(prefix="p402-lives-")
        self.config = Path(self.folder.name) / "p402.toml"
        self.config.write_text(f"{TEXT}{provider('a', self.up)}{model('m-a', 'a')}")
        # Requests that the provider has begun to answer, and does not go on with.
        self.open_requests: list[asyncio.Task[Told]] = []
        # Somebody may pay for more than was billed: a life ended with requests under way.
        self.exact = True
        data = Path(self.folder.name) / "data"
        self.served = Served(self.config, data_dir=data).__enter__()

    def teardown(self) -> None:
        """Everything is given back."""
        self.served.__exit__()
        self.runner.run(self.ended())
        self.runner.close()
        self.up.stop()
        self.folder.cleanup()

    def begin(self) -> None:
        """The next life on the same data directory."""
        self.served.start()
        self.served.until_ready()

    async def ended(self) -> list[Told]:
        """What became of all that were under way."""
        told = await asyncio.gather(*self.open_requests)
        self.open_requests = []
        return told

    async def begun(self, count: int, stream: bool) -> None:
        """So many more requests; the provider has begun with each that was not refused."""
        before = len(self.up.log.of(BASE))
        new = [asyncio.ensure_future(self.one(stream)) for _ in range(count)]
        async with asyncio.timeout(PATIENCE_S):
            while (  # noqa: ASYNC110  (the provider is another thread, the gateway a process)
                sum(row.status == 200 for row in self.up.log.of(BASE)[before:])
                + sum(task.done() for task in new)
                < count
            ):
                await asyncio.sleep(0.005)
        for task in new:
            if task.done():
                self.judge(task.result())
            else:
                self.open_requests.append(task)

    async def one(self, stream: bool) -> Told:
        """One request, as far as it comes."""
        caller = Caller(self.served.port)
        told = await caller.ask(ask(stream=stream, max_tokens=60))
        caller.hang_up()
        return told

    def judge(self, told: Told) -> None:
        """An answer, or no for want of a slot or of money."""
        full = ("budget_exceeded", "concurrency_limit_exceeded")
        assert told.acknowledged or (told.status == 429 and told.code in full), told

    @rule(stream=bodies)
    def asks(self, stream: bool) -> None:
        """A request to its end."""
        self.up.faults.clear()
        self.judge(self.runner.run(self.one(stream)))

    @rule(stream=bodies, count=counts)
    def stalls(self, stream: bool, count: int) -> None:
        """Requests that come to no end of themselves."""
        self.up.broken(STALLED, BASE)
        self.runner.run(self.begun(count, stream))

    @rule(stream=bodies, count=few)
    def dies(self, stream: bool, count: int) -> None:
        """kill -9: what was held when it died is spent, nothing more and nothing less."""
        self.stalls(stream=stream, count=count)
        spent, held = self.money()
        self.exact = self.exact and not self.open_requests
        self.served.kill()
        self.runner.run(self.ended())
        self.begin()
        assert self.at_rest() == spent + held

    @rule(stream=bodies, count=counts, ms=st.integers(0, 40))
    def dies_at_any_moment(self, stream: bool, count: int, ms: int) -> None:
        """kill -9 while requests come and go."""
        self.up.faults.clear()
        self.exact = False

        async def go() -> None:
            new = [asyncio.ensure_future(self.one(stream)) for _ in range(count)]
            await asyncio.sleep(ms / 1_000)
            self.served.kill()
            await asyncio.gather(*new)
            await self.ended()

        self.runner.run(go())
        self.begin()
        self.at_rest()

    @rule(stream=bodies, count=few, ms=st.integers(0, 400))
    def dies_twice(self, stream: bool, count: int, ms: int) -> None:
        """kill -9, and again before it has come up: nothing is booked twice."""
        self.stalls(stream=stream, count=count)
        spent, held = self.money()
        self.exact = self.exact and not self.open_requests
        self.served.kill()
        self.runner.run(self.ended())
        self.served.start()
        time.sleep(ms / 1_000)  # the moment of its death is drawn, not awaited
        self.served.kill()
        self.begin()
        assert self.at_rest() == spent + held

    @rule(stream=bodies, count=few)
    def is_drained(self, stream: bool, count: int) -> None:
        """SIGTERM: who does not end is cut off, and costs no more than was held for it."""
        self.stalls(stream=stream, count=count)
        spent, held = self.money()
        self.exact = self.exact and not self.open_requests
        assert self.served.stop() == 0
        for told in self.runner.run(self.ended()):
            assert not told.acknowledged, "the provider has not gone on"
        self.begin()
        assert spent <= self.at_rest() <= spent + held

    @rule(stream=bodies, count=counts)
    def is_drained_in_peace(self, stream: bool, count: int) -> None:
        """SIGTERM while a slow provider answers: everybody gets all of it, and pays for that."""
        self.dies(stream=stream, count=0)
        before = self.at_rest() - self.billed()
        self.up.broken(STALLED if stream else "slow-first-byte", BASE, ms=300)

        async def go() -> list[Told]:
            began = len(self.up.log.of(BASE))
            new = [asyncio.ensure_future(self.one(stream)) for _ in range(count)]
            async with asyncio.timeout(PATIENCE_S):
                while (  # noqa: ASYNC110  (as above)
                    len(self.up.log.of(BASE)) - began + sum(task.done() for task in new) < count
                ):
                    await asyncio.sleep(0.005)
            assert await asyncio.to_thread(self.served.stop) == 0
            return await asyncio.gather(*new)

        for told in self.runner.run(go()):
            self.judge(told)
        self.begin()
        assert self.at_rest() - self.billed() == before

    def usage(self) -> Any:
        """What the gateway tells of the ledger's sums and the account."""
        told = httpx.get(f"{self.served.base_url}/usage", trust_env=False, timeout=PATIENCE_S)
        return json.loads(told.content, parse_float=Decimal)

    def money(self) -> tuple[Decimal, Decimal]:
        """What is spent and held, once nothing but the open requests is under way."""
        until = time.monotonic() + PATIENCE_S
        while True:
            told = self.usage()
            budget, slots = told["limits"]["budget"], told["limits"]["concurrency"]["in_flight"]
            ledger = told["total"]["cost_usd"] + told["total"]["wasted_usd"]
            calm = slots == len(self.open_requests) and ledger == budget["spent_usd"]
            if calm and (slots > 0 or budget["held_usd"] == 0):
                return Decimal(budget["spent_usd"]), Decimal(budget["held_usd"])
            assert time.monotonic() < until, told
            time.sleep(0.01)  # a foreign process, in which nothing can be awaited

    def at_rest(self) -> Decimal:
        """What is spent; nothing is held, and all of it is in the ledger."""
        assert not self.open_requests
        return self.money()[0]

    def billed(self) -> Decimal:
        """The provider's own bill."""
        rows = self.up.log.of(BASE)
        return TOKEN * sum(row.billed_prompt_tokens + row.billed_completion_tokens for row in rows)

    @invariant()
    def adds_up(self) -> None:
        """I1, I2, I5, I6: what was billed is spent or held, and that is within the cap."""
        spent, held = self.money()
        assert self.billed() <= spent + held <= BUDGET
        if self.exact and not self.open_requests:
            assert self.billed() == spent


# Each life takes seconds: few sequences, and a failure is told as it was found.
Mortal.TestCase.settings = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    max_examples=4,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMortal = pytest.mark.slow(Mortal.TestCase)
