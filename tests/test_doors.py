"""Decides whether what is no chat is routed, guarded, billed and answered like one.

Does not test the translation of Messages and Responses: the Rust matrix and the clients do.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.gateway import QUICK, Gateway
from tests.passing import VECTOR, VOICE, Passing
from tests.serving import Served


@pytest.fixture
def passing() -> Iterator[Passing]:
    """An upstream of everything but chats."""
    with Passing() as running:
        yield running


def provider(passing: Passing, name: str) -> str:
    return f'[provider.{name}]\nbase_url = "{passing.url(name)}"\napi_key = ["sk-{name}"]\n'


def model(kind: str, of: str, price: str, more: str = "") -> str:
    return (
        f'[[model]]\nid = "m-{kind}"\nprovider = "{of}"\nkind = "{kind}"\n{price}\n'
        f"context = 100000\n{more}\n"
    )


def config(passing: Passing) -> str:
    """One model of each kind: $1 per million tokens, $0.04 a picture, $15 per million letters."""
    return (
        f"{QUICK}{provider(passing, 'up')}{provider(passing, 'down')}"
        + model("embedding", "up", 'input_usd_per_mtok = "1"')
        + model("embedding", "down", 'input_usd_per_mtok = "0.5"')
        + model("completion", "up", 'input_usd_per_mtok = "1"\noutput_usd_per_mtok = "2"')
        + model("moderation", "up", "free = true")
        + model("image", "up", 'per_unit_usd = "0.04"')
        + model("speech", "up", 'per_unit_usd = "0.000015"')
        + model("transcription", "up", 'per_unit_usd = "0.0001"')
        + '[[model]]\nid = "m-unpriced"\nprovider = "up"\nkind = "embedding"\n'
    )


async def test_vectors_come_packed_where_an_upstream_sends_numbers(passing: Passing) -> None:
    body = {"model": "up/m-embedding", "input": "Hello", "encoding_format": "base64"}
    async with Gateway(config(passing)) as gateway:
        told = await gateway.post("/embeddings", body | {"p402": {"cost_details": True}})
        row = await gateway.row(told)
    assert told.status == 200, told.raw
    packed = base64.b64decode(told.json["data"][0]["embedding"])
    assert list(struct.unpack("<3f", packed)) == VECTOR
    assert told.metadata["cost_usd"] == 0.000008
    assert (told.metadata["input_tokens"], told.metadata["output_tokens"]) == (8, 0)
    assert told.json["usage"]["cost"] == 0.000008
    assert told.metadata["cost_details"]["cost_nano_usd"] == 8_000
    assert row["status"] == "settled"
    assert passing.seen == [("/up/v1/embeddings", {**body, "model": "m-embedding"})]


async def test_the_same_model_elsewhere_stands_in(passing: Passing) -> None:
    async with Gateway(config(passing)) as gateway:
        told = await gateway.post("/embeddings", {"model": "m-embedding", "input": ["a", "b"]})
    assert told.status == 200, told.raw
    assert [row["embedding"] for row in told.json["data"]] == [VECTOR, VECTOR]
    assert told.metadata["provider"] == "up"
    assert told.headers["x-p402-attempts"] == "2;down=500"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "auto", "input": "a"}, 404, "model_not_found"),
        ({"model": "nobody", "input": "a"}, 404, "model_not_found"),
        ({"model": "m-image", "input": "a"}, 400, "no_eligible_model"),
        ({"model": "m-unpriced", "input": "a"}, 400, "model_price_unknown"),
        ({"model": "m-embedding"}, 400, "missing_required_parameter"),
        ({"model": "m-embedding", "input": []}, 400, "missing_required_parameter"),
        ({"model": "m-embedding", "input": "a", "stream": True}, 400, "unsupported_parameter"),
        ({"input": "a"}, 400, "missing_required_parameter"),
    ],
)
async def test_what_is_refused(
    passing: Passing, body: dict[str, Any], status: int, code: str
) -> None:
    async with Gateway(config(passing)) as gateway:
        told = await gateway.post("/embeddings", body)
    assert (told.status, told.error["code"]) == (status, code), told.raw
    assert passing.seen == []


async def test_a_chat_is_never_led_to_what_is_none(passing: Passing) -> None:
    async with Gateway(config(passing)) as gateway:
        user = [{"role": "user", "content": "Hello"}]
        led = await gateway.chat({"model": "auto", "messages": user})
        named = await gateway.chat({"model": "up/m-embedding", "messages": user})
    assert (led.status, led.error["code"]) == (400, "no_eligible_model"), led.raw
    assert (named.status, named.error["code"]) == (400, "no_eligible_model"), named.raw
    assert passing.seen == []


async def test_the_guard_claims_units(passing: Passing) -> None:
    limits = '[guard]\nrequest_cap_usd = "0.10"\n'
    async with Gateway(limits + config(passing)) as gateway:
        ask = {"model": "m-image", "prompt": "A red square"}
        two = await gateway.post("/images/generations", ask | {"n": 2})
        three = await gateway.post("/images/generations", ask | {"n": 3})
    assert two.status == 200, two.raw
    assert two.metadata["cost_usd"] == 0.08
    assert "usage" not in two.json
    assert three.error["code"] == "request_cost_limit_exceeded", three.raw
    assert len(passing.seen) == 1


CLAUDE = """[[model]]
id = "claude-sonnet-4-6"
provider = "up"
input_usd_per_mtok = "3"
output_usd_per_mtok = "15"
tools = true
"""


async def test_a_message_is_counted_without_being_sent(passing: Passing) -> None:
    said = {"role": "user", "content": "How long is a piece of string? " * 40}
    ask: dict[str, Any] = {"model": "claude-sonnet-4-6", "messages": [said]}
    tool = {"name": "cut", "input_schema": {"type": "object", "properties": {}}}
    path = "/messages/count_tokens"
    async with Gateway(config(passing) + CLAUDE) as gateway:
        bare = await gateway.post(path, ask)
        armed = await gateway.post(path, ask | {"tools": [tool], "context_management": {"a": 1}})
        wrong = await gateway.post(path, {"model": "claude-sonnet-4-6"})
        usage = await gateway.get("/usage")
    assert bare.status == 200, bare.raw
    # 1,240 bytes of prose are 310 tokens of OpenAI's, and 14 % more of Claude's to 4.6.
    assert bare.json == {"input_tokens": 354 + 8}
    assert bare.headers["x-p402-warnings"] == "input_tokens=estimated"
    # What Anthropic's own tool prompt weighs is in it.
    assert armed.json["input_tokens"] > bare.json["input_tokens"] + 549
    warnings = armed.headers["x-p402-warnings"]
    assert warnings == "input_tokens=estimated; dropped=context_management"
    assert (wrong.status, wrong.json["type"]) == (400, "error")
    assert wrong.json["error"]["code"] == "missing_required_parameter"
    assert usage.json["data"] == []
    assert passing.seen == []


def test_the_openai_sdk_finds_every_path(passing: Passing, tmp_path: Path) -> None:
    file = tmp_path / "p402.toml"
    file.write_text(config(passing))
    with Served(file) as gateway:
        client = OpenAI(base_url=gateway.base_url, api_key="none", max_retries=0)
        vectors = client.embeddings.create(model="m-embedding", input=["a", "b"])
        assert [row.embedding for row in vectors.data] == [VECTOR, VECTOR]
        assert vectors.p402_metadata["cost_usd"] == 0.000008  # type: ignore[attr-defined]
        whole = client.completions.create(model="m-completion", prompt="def add(", suffix="\n")
        assert whole.choices[0].text == "return a + b"
        assert whole.usage is not None
        assert whole.usage.total_tokens == 10
        stream = client.completions.create(model="m-completion", prompt="def add(", stream=True)
        chunks = list(stream)
        assert "".join(chunk.choices[0].text for chunk in chunks) == "return a + b"
        assert chunks[-1].p402_metadata["cost_usd"] == 0.000013  # type: ignore[attr-defined]
        verdict = client.moderations.create(model="m-moderation", input="Hello")
        assert verdict.results[0].flagged is False
        picture = client.images.generate(model="m-image", prompt="A red square")
        assert picture.data is not None
        assert picture.data[0].b64_json == "aWc="
        speech = client.audio.speech.with_raw_response.create(
            model="m-speech", voice="alloy", input="Hello there"
        )
        assert speech.content == VOICE
        assert speech.headers["content-type"] == "audio/wav"
        # Eleven characters at $15 per million.
        assert speech.headers["x-p402-cost-usd"] == "0.000165"
        with pytest.raises(NotFoundError):
            client.embeddings.create(model="text-embedding-of-nobody", input="a")
        with pytest.raises(BadRequestError):
            client.images.generate(model="m-image", prompt="x", n=99)
        paths = [path.removeprefix("/up/v1") for path, _ in passing.seen if path.startswith("/up")]
        assert paths == [
            *("/embeddings", "/completions", "/completions", "/moderations"),
            *("/images/generations", "/audio/speech"),
        ]
        sent = passing.seen[2][1]
        assert sent["max_tokens"] == 16, "what the API writes by default is what the guard holds"


async def test_googles_door_asks_for_its_key_and_for_events(passing: Passing) -> None:
    key = "p402_google"
    digest = hashlib.sha256(key.encode()).hexdigest()
    tenant = f'[[tenant]]\nid = "t"\nkey_sha256 = "{digest}"\n'
    ask = {"contents": [{"parts": [{"text": "Hello"}]}]}
    path = "/models/nobody:{}"
    mine = {"x-goog-api-key": key}
    async with Gateway(config(passing) + tenant) as gateway:
        unknown = await gateway.post(path.format("generateContent"), ask)
        listed = await gateway.post(path.format("streamGenerateContent"), ask, mine)
        pinned = ask | {"p402": {"pin": True}}
        absent = await gateway.post(path.format("generateContent"), pinned, mine)
        other = await gateway.post(path.format("predict"), ask, mine)
    assert (unknown.status, unknown.error["status"]) == (401, "UNAUTHENTICATED")
    assert (listed.status, listed.error["status"]) == (400, "INVALID_ARGUMENT")
    assert listed.error["details"][0]["reason"] == "unsupported_parameter"
    assert (absent.status, absent.error["status"]) == (404, "NOT_FOUND")
    assert other.status == 405


async def test_what_is_not_served_is_said_in_the_clients_own_words(passing: Passing) -> None:
    async with Gateway(config(passing)) as gateway:
        batches = await gateway.post("/messages/batches", {}, {"anthropic-version": "2023-06-01"})
        files = await gateway.post("/v1beta/files", {})
        caches = await gateway.get("/cachedContents", {"x-goog-api-client": "google-genai-sdk/3"})
        plain = await gateway.post("/batches", {})
    assert (batches.status, batches.json["type"]) == (404, "error"), batches.raw
    assert batches.error["type"] == "not_found_error"
    for told in (files, caches):
        assert (told.status, told.error["status"]) == (404, "NOT_FOUND"), told.raw
    assert (plain.status, plain.error["code"]) == (404, "unknown_url")
    assert plain.error["type"] == "invalid_request_error"


def test_vectors_without_a_key_come_from_the_sandbox() -> None:
    with Served() as gateway:
        client = OpenAI(base_url=gateway.base_url, api_key="none", max_retries=0)
        told = client.embeddings.create(model="sandbox-embed", input=["a red car", "a car", "tea"])
        numbers = client.embeddings.create(
            model="sandbox-embed", input="tea", encoding_format="float", dimensions=8
        )
        with pytest.raises(BadRequestError):
            client.embeddings.create(model="text-embedding-3-small", input="tea")
    red, car, tea = (row.embedding for row in told.data)

    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert len(red) == 256
    assert near(red, red) == pytest.approx(1)
    assert near(red, car) > 0.5 > near(red, tea)
    assert len(numbers.data[0].embedding) == 8
    metadata = told.p402_metadata  # type: ignore[attr-defined]
    assert (metadata["provider"], metadata["model"]) == ("sandbox", "sandbox-embed")
    # 9, 5 and 3 letters are 6 tokens at $0.02 per million.
    assert metadata["cost_usd"] == 0.00000012


SHIPPED = [
    ("/embeddings", "text-embedding-3-small", {"input": ["a"] * 9_000}, 0.00000016),
    ("/moderations", "omni-moderation-latest", {"input": "a"}, 0),
    ("/audio/speech", "tts-1", {"input": "Hello there", "voice": "alloy"}, 0.000165),
]


@pytest.mark.parametrize(("path", "name", "more", "cost"), SHIPPED)
async def test_shipped_models_need_a_key_and_no_config(
    passing: Passing, path: str, name: str, more: dict[str, Any], cost: float
) -> None:
    text = f'[provider.openai]\napi_key = ["sk-x"]\nbase_url = "{passing.url("up")}"\n'
    async with Gateway(text, whole=True) as gateway:
        told = await gateway.post(path, {"model": name, **more})
        row = await gateway.row(told)
    assert told.status == 200, told.raw
    assert row["p402_metadata"]["cost_usd"] == cost
    assert passing.seen[0][0] == f"/up/v1{path}"


async def test_a_moderation_need_not_name_its_model(passing: Passing) -> None:
    text = f'[provider.openai]\napi_key = ["sk-x"]\nbase_url = "{passing.url("up")}"\n'
    async with Gateway(text, whole=True) as gateway:
        told = await gateway.post("/moderations", {"input": "a"})
    assert told.status == 200, told.raw
    assert passing.seen[0][1] == {"model": "omni-moderation-latest", "input": "a"}


async def test_a_shipped_model_hears_a_file(passing: Passing) -> None:
    text = f'[provider.openai]\napi_key = ["sk-x"]\nbase_url = "{passing.url("up")}"\n'
    kind = {"content-type": "multipart/form-data; boundary=x"}
    head = "--x\r\nContent-Disposition: form-data; name="
    body = f'{head}"model"\r\n\r\nwhisper-1\r\n{head}"file"; filename="a"\r\n\r\n'.encode()
    async with Gateway(text, whole=True) as gateway:
        sent = body + bytes(600_000) + b"\r\n--x--\r\n"
        told = await gateway.post("/audio/transcriptions", sent, kind)
    assert told.status == 200, told.raw
    # Two seconds and a half, begun ones in full, at $0.006 a minute.
    assert told.metadata["cost_usd"] == 0.0003
