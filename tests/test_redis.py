"""Decides whether a gateway whose accounts lie in Redis serves, survives and says so, over HTTP.

Does not repeat the store's own faults: `make faults` breaks it in twenty ways.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time

import pytest

from tests.gateway import Gateway, ask, lone
from tests.serving import free_port
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def up():
    with Upstream() as running:
        yield running


class Redis:
    """A server of the test's own."""

    def __init__(self, folder) -> None:
        self.port = free_port()
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except ConnectionRefusedError:
                time.sleep(0.01)
            else:
                return
        raise AssertionError("redis-server does not answer")

    def tell(self, kind: signal.Signals) -> None:
        os.kill(self.process.pid, kind)

    def end(self) -> None:
        self.tell(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.end()


def shared(up: Upstream, redis: Redis, guard: str = "") -> str:
    # The longest deadlines: other tests may be using this machine.
    store = f'[store]\nurl = "redis://127.0.0.1:{redis.port}"\ndeadline_ms = 50\n'
    store += "seed_deadline_ms = 10000\n"
    return lone(up, f"{store}[guard]\n{guard}\n")


async def settled(gateway: Gateway, body=None):
    told = await gateway.chat(body or ask())
    await gateway.idle()
    return told


async def served(gateway: Gateway, body=None):
    """As above, by the store: on a busy machine not even the longest deadline is always kept."""
    async with asyncio.timeout(20):
        while True:
            told = await settled(gateway, body)
            if told.status == 200 and "x-p402-guard" not in told.headers:
                return told
            await asyncio.sleep(0.02)


def counted(metrics: bytes, name: str) -> int:
    lines = metrics.decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


async def test_accounts_lie_in_redis_and_are_spent_there(up, redis):
    async with Gateway(shared(up, redis, 'outage_policy = "fail_closed"')) as gateway:
        first = await served(gateway)
        second = await served(gateway, ask(stream=True))
        left = [float(told.headers["x-p402-daily-remaining-usd"]) for told in (first, second)]
        assert left[1] < left[0] <= 1000
        assert any("appendonly" in line for line in gateway.core.events()[0])


async def test_a_cap_in_redis_is_a_cap(up, redis):
    async with Gateway(shared(up, redis, 'daily_cap_usd = "0.001"')) as gateway:
        told = await settled(gateway)
        assert (told.status, told.error["code"]) == (429, "daily_spend_limit_exceeded")


async def test_an_emptied_redis_is_seeded_from_the_ledger_within_the_request(up, redis):
    # Without a slice, which would be held beside what the requests hold.
    async with Gateway(shared(up, redis, 'outage_policy = "fail_closed"')) as gateway:
        before = await served(gateway)
        with socket.create_connection(("127.0.0.1", redis.port), 5) as admin:
            admin.sendall(b"FLUSHALL\r\n")
            assert admin.recv(16) == b"+OK\r\n"
        after = await served(gateway)
        left = [float(told.headers["x-p402-daily-remaining-usd"]) for told in (before, after)]
        assert left[1] < left[0]


async def test_an_outage_is_told_as_what_it_is_and_ends(up, redis, caplog):
    async with Gateway(shared(up, redis, 'outage_policy = "fail_closed"')) as gateway:
        await served(gateway)
        redis.tell(signal.SIGSTOP)
        lines: list[str] = []

        def told_of(word: str) -> bool:
            # What the log has told, and what it has not fetched yet; some may be in between.
            lines.extend(gateway.core.events()[0])
            return any(f"the store is {word}" in line for line in (*caplog.messages, *lines))

        # Late calls count unless this process was late itself: on a busy machine it takes more.
        async with asyncio.timeout(20):
            while not told_of("away"):
                told = await settled(gateway)
                assert (told.status, told.error["code"]) == (503, "guard_unavailable")
                assert told.headers["x-should-retry"] == "true"
        redis.tell(signal.SIGCONT)
        await served(gateway)
        async with asyncio.timeout(20):
            while not told_of("back"):  # noqa: ASYNC110  (the log tells nobody)
                await asyncio.sleep(0.02)


async def test_a_gateway_that_fails_open_says_so(up, redis):
    guard = 'outage_policy = "fail_open"\noutage_overdraft_usd = "1"'
    async with Gateway(shared(up, redis, guard)) as gateway:
        await served(gateway)
        redis.tell(signal.SIGSTOP)
        told = await settled(gateway)
        assert (told.status, told.headers["x-p402-guard"]) == (200, "degraded")


async def test_what_is_left_is_asked_of_redis_and_an_outage_is_seen_from_outside(up, redis):
    async with Gateway(shared(up, redis, 'budget_usd = "1"')) as gateway:
        spent = (await served(gateway)).metadata["cost_usd"]
        usage = (await gateway.get("/usage")).json
        assert usage["limits"]["budget"]["spent_usd"] == usage["total"]["cost_usd"] == spent
        calm = (await gateway.get("/metrics")).raw
        assert counted(calm, "guard_breaker_state") == 0
        assert counted(calm, "guard_store_trip_seconds_count") >= 1
        redis.tell(signal.SIGSTOP)
        away = calm
        async with asyncio.timeout(20):
            while counted(away, "guard_breaker_state") == 0:
                await settled(gateway)
                away = (await gateway.get("/metrics")).raw
        last = (await gateway.get("/usage")).json
    opened = [counted(text, "guard_breaker_opened_total") for text in (calm, away)]
    assert opened[1] == opened[0] + 1
    assert last["limits"]["budget"]["limit_usd"] == 1, "as it was seen last"
    assert last["total"]["requests"] >= usage["total"]["requests"]


def test_a_node_of_another_ledger_does_not_start(up, redis):
    async def start() -> None:
        async with Gateway(shared(up, redis)) as gateway:
            await served(gateway)
            with pytest.raises(ValueError, match="another ledger"):
                Gateway(shared(up, redis))

    asyncio.run(start())


async def test_gateways_share_their_cached_answers_and_take_them_back_together(up, redis):
    cache = f'[cache]\nredis_url = "redis://127.0.0.1:{redis.port}"\nredis_deadline_ms = 50\n'
    asked = ask(p402={"cache": True, "explain": True})

    async def until(gateway: Gateway, word: str):
        async with asyncio.timeout(10):
            while True:
                told = await gateway.chat(asked | {"p402": {"cache": {"no_store": True}}})
                assert told.status == 200
                if told.headers["x-p402-cache"] == word:
                    return

    async with Gateway(lone(up, cache)) as one, Gateway(lone(up, cache)) as other:
        async with asyncio.timeout(10):
            while (await one.chat(asked)).headers["x-p402-cache"] != "exact":
                pass
        await until(other, "exact")
        hit = await other.chat(asked)
        entry = hit.metadata["cache"]["entry"]
        assert (await other.http.delete(f"/cache/{entry}")).status_code == 204
        gone = time.monotonic()
        await until(one, "miss")
        assert time.monotonic() - gone < 1.0
        redis.tell(signal.SIGSTOP)
        told = await one.chat(asked)
        assert (told.status, told.headers["x-p402-cache"]) == (200, "miss")
        refused = await one.http.delete("/cache/ce_0000000000000000")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "cache_unavailable")
        redis.tell(signal.SIGCONT)


def test_a_cluster_is_refused_for_the_cache_in_words(up):
    text = lone(up, '[cache]\nredis_url = "redis-cluster://127.0.0.1:1"\n')
    with pytest.raises(ValueError, match="cluster"):
        Gateway(text)
