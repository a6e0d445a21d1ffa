"""Decides whether anything a client can send makes the gateway fail, by sending much of it.

Does not expect particular codes: test_route_http.py does.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway import USER, Gateway, Told, pair
from tests.upstream import Upstream

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
READ = [
    "model messages stream stream_options max_tokens max_completion_tokens n tools tool_choice",
    "response_format reasoning_effort logprobs top_logprobs modalities service_tier temperature",
    "stop seed p402 user metadata",
]
FIELDS = " ".join(READ).split()
P402 = [
    "mode",
    "task",
    "models",
    "providers",
    "pin",
    "max_cost_usd",
    "max_latency_ms",
    "explain",
    "session_id",
    "cache",
    "cost_details",
]
SOUND = {
    "model": "auto",
    "messages": USER,
    "stream": False,
    "max_tokens": 5,
    "temperature": 0.5,
    "p402": {"mode": "cost", "explain": True},
}


class Stage:
    """One gateway for many examples."""

    def __init__(self, runner: asyncio.Runner, upstream: Upstream) -> None:
        self.runner = runner
        self.gateway = runner.run(Gateway(pair(upstream)).__aenter__())

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Told:
        return self.runner.run(self.gateway.post(path, body, headers))


@pytest.fixture(scope="module")
def stage():
    with Upstream() as up, asyncio.Runner() as runner:
        made = Stage(runner, up)
        yield made
        runner.run(made.gateway.__aexit__())


def check(told: Told) -> None:
    """An answer, or an error of the one shape that is the client's own doing."""
    if told.status == 504:
        assert told.error["code"] == "latency_exceeded"  # a wish of few milliseconds, kept to
        return
    assert told.status < 500, told.raw
    if told.status == 200:
        assert told.raw
        return
    assert set(told.error) >= {"message", "type", "param", "code"}
    assert isinstance(told.error["code"], str | None)
    assert isinstance(told.error["message"], str)
    assert b"panicked" not in told.raw


PATHS = pytest.mark.parametrize("path", ["/chat/completions", "/route"])


@PATHS
@settings(max_examples=80, deadline=None)
@given(body=st.binary(max_size=300))
def test_any_bytes(stage, path, body):
    check(stage.post(path, body))


@PATHS
@settings(max_examples=120, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_value_in_any_field(stage, path, changed):
    check(stage.post(path, json.dumps({**SOUND, **changed}).encode()))


@PATHS
@settings(max_examples=80, deadline=None)
@given(field=st.dictionaries(st.sampled_from(P402), JSON, max_size=3))
def test_any_value_in_the_p402_field(stage, path, field):
    check(stage.post(path, json.dumps({**SOUND, "p402": field}).encode()))


@settings(max_examples=80, deadline=None)
@given(at=st.integers(0, 200), byte=st.integers(0, 255), drop=st.integers(0, 3))
def test_a_sound_body_with_one_place_bent(stage, at, byte, drop):
    raw = json.dumps(SOUND).encode()
    check(stage.post("/chat/completions", raw[:at] + bytes([byte]) + raw[at + drop :]))


@settings(max_examples=80, deadline=None)
@given(
    key=st.sampled_from(P402),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)
def test_any_value_in_a_header_twin(stage, key, value):
    headers = {f"x-p402-{key.replace('_', '-')}": value}
    body = json.dumps({"model": "auto", "messages": USER}).encode()
    check(stage.post("/chat/completions", body, headers))


@settings(max_examples=80, deadline=None)
@given(content=JSON, role=st.one_of(JSON, st.sampled_from(["user", "tool", "assistant"])))
def test_any_message(stage, content, role):
    body = {**SOUND, "messages": [{"role": role, "content": content}]}
    told = stage.post("/chat/completions", json.dumps(body).encode())
    # What the upstream refuses is returned as its own words; the gateway itself never fails.
    check(told)
