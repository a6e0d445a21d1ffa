"""Decides whether a real gateway that is restarted still knows what is usual for its tenants.

Does not judge what is unusual (the core's own tests), or how nodes agree (Rust's, on a real Redis).
"""

from __future__ import annotations

import struct
import time

import httpx
import pytest

from tests.foreign import sql
from tests.gateway import ask, lone
from tests.serving import Served
from tests.upstream import Upstream

WAIT_S = 10
SERIES = struct.Struct("<QQdd")


@pytest.fixture
def up():
    with Upstream() as running:
        yield running


def told(served: Served, tokens: int) -> str:
    """What the reply to a request for so many tokens says is unusual about it."""
    body = ask(max_tokens=tokens)
    reply = httpx.post(f"{served.base_url}/chat/completions", json=body, trust_env=False)
    assert reply.status_code == 200, reply.text
    return reply.headers.get("x-p402-guard-anomaly", "")


def samples(folder) -> int:
    """The longest series on disk."""
    rows = sql(folder / "usual.sqlite", "SELECT hex(snapshot) FROM seen")
    kept = [bytes.fromhex(row[0]) for row in rows]
    assert all(bytes_[0] == 1 for bytes_ in kept)
    return max((found[1] for bytes_ in kept for found in SERIES.iter_unpack(bytes_[1:])), default=0)


def test_a_restart_keeps_what_is_usual(up, tmp_path):
    config, data = tmp_path / "p402.toml", tmp_path / "data"
    config.write_text(lone(up, '[guard.anomaly]\nfloor_usd = "0"\n'))
    with Served(config, data_dir=data) as first:
        for _ in range(32):
            assert told(first, 1_000) == ""
    assert samples(data) == 32
    with Served(config, data_dir=data) as second:
        assert told(second, 1_000) == ""
        until = time.monotonic() + WAIT_S
        while samples(data) != 33:  # the earlier life was recalled beside the request
            assert time.monotonic() < until
            time.sleep(0.005)
        assert told(second, 4_000).endswith(";n=33;series=cost")
