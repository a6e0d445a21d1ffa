"""Decides whether a real model, asked through the gateway by a real SDK, answers and costs nothing.

Does not judge what the model says: it is small.
"""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from p402 import local
from p402.demo import local_config
from p402.local import LocalModel
from tests.gateway import model as offer
from tests.gateway import provider
from tests.serving import Served
from tests.upstream import Upstream

pytestmark = pytest.mark.real
PROMPT = [{"role": "user", "content": "Name a colour."}]
MODES = pytest.mark.parametrize("mode", ["cost", "quality", "speed", "balanced"])
FREED_S = 5.0


@pytest.fixture(scope="module")
def model():
    if not local.is_installed():
        pytest.skip(f"no local model here; to run this test:\n{local.INSTALL}")
    with LocalModel() as running:
        yield running


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    config = tmp_path_factory.mktemp("real") / "p402.toml"
    config.write_text(local_config(model))
    with Served(config) as running:
        yield running


@pytest.fixture
def sdk(served):
    with openai.OpenAI(base_url=served.base_url, api_key="any", max_retries=0) as made:
        yield made


def asked(mode: str, **more):
    return {
        "model": "auto",
        "messages": PROMPT,
        "max_tokens": 12,
        "temperature": 0,
        "seed": 1,
        "extra_body": {"p402": {"mode": mode, "cost_details": True}},
        **more,
    }


def check_free(served, metadata, mode) -> None:
    assert metadata["routing_mode"] == mode
    assert metadata["provider"] == "local"
    assert (metadata["cost_usd"], metadata["direct_cost"], metadata["savings"]) == (0, 0, 0)
    assert metadata["cost_details"]["usage_source"] == "provider"
    row = httpx.get(f"{served.base_url}/requests/{metadata['request_id']}").json()
    assert row["status"] == "settled"
    assert row["p402_metadata"]["cost_details"]["cost_nano_usd"] == 0
    assert row["p402_metadata"]["input_tokens"] == metadata["input_tokens"] > 0


@MODES
def test_a_whole_answer_in_every_mode(served, model, sdk, mode):
    reply = sdk.chat.completions.create(**asked(mode))
    assert reply.choices[0].message.content
    assert reply.model == model.model_id
    assert 0 < reply.usage.completion_tokens <= 12
    assert reply.p402_metadata["output_tokens"] == reply.usage.completion_tokens
    assert reply.p402_metadata["input_tokens"] == reply.usage.prompt_tokens
    check_free(served, reply.p402_metadata, mode)


@MODES
def test_a_stream_in_every_mode_says_the_same(served, sdk, mode):
    whole = sdk.chat.completions.create(**asked(mode))
    chunks = list(sdk.chat.completions.create(**asked(mode, stream=True)))
    # Nobody asked for usage: every chunk has its choice, as unguarded loops need it.
    assert all(chunk.choices for chunk in chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 3
    metadata = chunks[-1].p402_metadata
    assert metadata["output_tokens"] == whole.usage.completion_tokens
    check_free(served, metadata, mode)


def test_a_schema_is_kept_to(sdk):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "warm": {"type": "boolean"}},
        "required": ["name", "warm"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}}
    body = asked("balanced", max_tokens=60, response_format=form)
    reply = sdk.chat.completions.create(**body)
    assert reply.choices[0].message.content.lstrip().startswith("{")


def busy(model) -> bool:
    root = model.base_url.removesuffix("/v1")
    return any(slot["is_processing"] for slot in httpx.get(f"{root}/slots").json())


def test_a_cancelled_stream_frees_the_slot(served, model, sdk):
    """No bill is to be known of a model that is free, so its stream is cut, not read to its end."""
    story = [{"role": "user", "content": "Count from one to nine hundred in words."}]
    body = asked("cost", stream=True, max_tokens=1_000) | {"messages": story}
    stream = sdk.chat.completions.create(**body)
    first = next(iter(stream))
    request_id = stream.response.headers["x-request-id"]
    assert first.choices
    assert busy(model)
    left = time.monotonic()
    stream.close()
    while busy(model) and time.monotonic() - left < FREED_S:
        time.sleep(0.02)  # a foreign process; nothing in it can be awaited
    assert time.monotonic() - left < FREED_S
    row = httpx.get(f"{served.base_url}/requests/{request_id}").json()
    assert row["status"] == "settled"
    assert row["p402_metadata"]["cost_usd"] == 0
    assert row["p402_metadata"]["output_tokens"] > 0


def test_a_real_model_stands_in_for_a_dead_provider(model, tmp_path):
    with Upstream() as up:
        up.broken("503", "/a/v1")
        config = tmp_path / "p402.toml"
        config.write_text(local_config(model) + provider("a", up) + offer("m-a", "a"))
        with (
            Served(config) as both,
            openai.OpenAI(base_url=both.base_url, api_key="any", max_retries=0) as sdk,
        ):
            raw = sdk.chat.completions.with_raw_response.create(**asked("quality"))
    assert raw.headers["x-p402-attempts"] == "2;a=503"
    assert raw.parse().choices[0].message.content
