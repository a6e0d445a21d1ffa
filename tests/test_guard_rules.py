"""Decides whether the guard's invariants hold after any sequence of what happens to a gateway.

Does not kill or restart it (test_guard_lives.py does): it runs here, on a test's clock.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from p402 import _core
from tests.gateway import Gateway, Told, ask, lone
from tests.upstream import Upstream

NOON_US = 1_795_348_800_000_000
DAY_US = 86_400_000_000
# An answer of the upstream: sixteen tokens at a dollar a million.
ANSWER = Decimal("0.000016")
CAP, BUDGET = Decimal("0.0004"), Decimal("0.0011")
LIMITS = f"""
[stream]
usage_wait_ms = 50
[guard]
daily_cap_usd = "{CAP}"
budget_usd = "{BUDGET}"
budget_period = "total"
rate = {{ limit = 100000, per_s = 1 }}
"""
FAULTS = ["429", "500", "401", "empty-body", "reset-mid-stream", "no-finish", "usage-missing"]
REFUSED = {"daily_spend_limit_exceeded": CAP, "budget_exceeded": BUDGET}


class Guarded(RuleBasedStateMachine):
    """One tenant, one provider, and everything that may happen between them."""

    @initialize()
    def open(self) -> None:
        """A gateway that has never been asked."""
        self.runner = asyncio.Runner()
        self.up = Upstream().start()
        self.clock = _core.ManualClock(NOON_US)
        self.gateway = Gateway(lone(self.up, LIMITS), clock=self.clock)
        self.runner.run(self.gateway.__aenter__())
        # What the provider has answered in full, by UTC day.
        self.answered: dict[int, Decimal] = {}

    def teardown(self) -> None:
        """Everything is given back."""
        self.runner.run(self.gateway.__aexit__())
        self.runner.close()
        self.up.stop()

    @rule(stream=st.booleans(), tokens=st.integers(1, 60))
    def asks(self, stream: bool, tokens: int) -> None:
        """A request to its end, whether it is answered or not."""
        told = self.runner.run(self.gateway.chat(ask(stream=stream, max_tokens=tokens)))
        self.judge(told)
        if told.status == 200 and (not stream or told.done):
            self.billed()

    @rule()
    def leaves(self) -> None:
        """A client that has read a little of its stream, and hangs up."""
        self.up.faults.clear()

        async def go() -> bool:
            async with self.gateway.call(ask(stream=True, max_tokens=20)) as call:
                begun = (await call.part())["status"] == 200
                if begun:
                    await call.until(b'"Hello"')
                call.leave()
            return begun

        if self.runner.run(go()):
            self.billed()

    @rule(count=st.integers(2, 12))
    def crowds(self, count: int) -> None:
        """Several at once, of whom not all may fit."""

        async def go() -> list[Told]:
            body = ask(max_tokens=60)
            return await asyncio.gather(*(self.gateway.chat(body) for _ in range(count)))

        for told in self.runner.run(go()):
            self.judge(told)
            if told.status == 200:
                self.billed()

    @rule(name=st.sampled_from(FAULTS))
    def breaks(self, name: str) -> None:
        """The provider, from now on."""
        self.up.broken(name, "/a/v1")

    @rule()
    def mends(self) -> None:
        """The provider again."""
        self.up.faults.clear()

    @rule(minutes=st.integers(1, 1_000))
    def passes(self, minutes: int) -> None:
        """Time."""
        self.clock.advance_ms(minutes * 60_000)

    def billed(self) -> None:
        """The provider has answered once more."""
        day = self.clock.utc_micros // DAY_US
        self.answered[day] = self.answered.get(day, Decimal(0)) + ANSWER

    def judge(self, told: Told) -> None:
        """Never our own failure; never no for money that would have fitted."""
        assert told.status not in (500, 503), told.raw
        if told.status != 429 or told.raw.startswith(b"data:"):
            return
        error = json.loads(told.raw, parse_float=Decimal)["error"]
        if error["code"] in REFUSED:
            taken = error["spent_usd"] + error["held_usd"] + error["estimated_cost_usd"]
            assert taken > error["limit_usd"] == REFUSED[error["code"]], error

    @invariant()
    def is_at_rest(self) -> None:
        """I1, I2, I5, I6: nothing is held; account, ledger and provider agree; caps are kept."""
        self.runner.run(self.gateway.idle())
        told = json.loads(self.runner.run(self.gateway.get("/usage")).raw, parse_float=Decimal)
        limits, today = told["limits"], self.clock.utc_micros // DAY_US
        spent = {row["bucket"]: row["cost_usd"] + row["wasted_usd"] for row in told["data"]}
        all_of_it = told["total"]["cost_usd"] + told["total"]["wasted_usd"]
        assert limits["concurrency"]["in_flight"] == 0
        assert limits["daily"]["held_usd"] == limits["budget"]["held_usd"] == 0
        assert limits["daily"]["spent_usd"] == spent.get(told["to"], 0) <= CAP
        assert limits["budget"]["spent_usd"] == sum(spent.values()) == all_of_it <= BUDGET
        assert self.answered.get(today, 0) <= limits["daily"]["spent_usd"]
        assert sum(self.answered.values()) <= all_of_it


Guarded.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestGuarded = Guarded.TestCase
