"""Decides whether a request with files passes whole, is claimed before it and billed after it.

Does not test what passes as JSON (test_doors.py).
"""

from __future__ import annotations

import struct
import warnings
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.gateway import Gateway, Told
from tests.passing import SUBTITLES, Passing
from tests.serving import Served
from tests.test_doors import config

KIND = "multipart/form-data; boundary=cut"
# Holds what would end a form that is cut at line ends alone.
MP3 = b"ID3\x04\r\n--cu\r\n--\r\n\x00" * 150


@pytest.fixture
def passing() -> Iterator[Passing]:
    """An upstream of everything but chats."""
    with Passing() as running:
        yield running


def form(*parts: tuple[str, bytes], file: bytes | None = MP3) -> bytes:
    """A form as the commonest clients write it."""
    heads = [(f'form-data; name="{name}"', value) for name, value in parts]
    if file is not None:
        heads.append(('form-data; name="file"; filename="a.mp3"', file))
    head = "--cut\r\nContent-Disposition: {}\r\n\r\n"
    pieces = [head.format(said).encode() + value + b"\r\n" for said, value in heads]
    return b"".join(pieces) + b"--cut--\r\n"


async def send(gateway: Gateway, path: str, body: bytes, kind: str = KIND) -> Told:
    """One form."""
    return await gateway.post(path, body, {"content-type": kind})


MODEL = ("model", b"m-transcription")


async def test_a_file_passes_and_what_was_heard_is_billed(passing: Passing) -> None:
    own = (("p402[cost_details]", b"true"), ("p402[mode]", b"cost"))
    async with Gateway(config(passing)) as gateway:
        told = await send(gateway, "/audio/transcriptions", form(MODEL, *own))
        row = await gateway.row(told)
    assert told.status == 200, told.raw
    assert told.json["text"] == f"{len(MP3)} bytes"
    # Two seconds and a half at $0.0001 each, begun ones in full.
    assert told.metadata["cost_usd"] == 0.0003
    assert told.metadata["output_tokens"] == 3
    assert told.metadata["routing_mode"] == "cost"
    assert told.metadata["cost_details"]["cost_nano_usd"] == 300_000
    assert row["status"] == "settled"
    [(path, fields)] = passing.seen
    assert path == "/up/v1/audio/transcriptions"
    assert fields == {"model": "m-transcription", "file": MP3}


async def test_subtitles_are_billed_by_where_they_end(passing: Passing) -> None:
    async with Gateway(config(passing)) as gateway:
        asked = form(MODEL, ("response_format", b"srt"))
        told = await send(gateway, "/audio/translations", asked)
        row = await gateway.row(told)
    assert told.raw == SUBTITLES
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    assert told.headers["x-p402-cost-usd"] == "0.0003"
    assert row["p402_metadata"]["cost_usd"] == 0.0003


def sound(seconds: int) -> bytes:
    """A plain WAV file of silence."""
    out = BytesIO()
    with wave.open(out, "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(bytes(seconds * 32_000))
    return out.getvalue()


async def test_the_guard_claims_what_the_file_may_last(passing: Passing) -> None:
    limits = '[guard]\nrequest_cap_usd = "0.001"\n'
    async with Gateway(limits + config(passing)) as gateway:
        # Nine seconds, as the file's head says; 288 thousand bytes of anything else may be 288.
        short = await send(gateway, "/audio/transcriptions", form(MODEL, file=sound(9)))
        unknown = form(MODEL, file=bytes(288_000))
        long = await send(gateway, "/audio/transcriptions", unknown)
    assert short.status == 200, short.raw
    assert long.error["code"] == "request_cost_limit_exceeded", long.raw
    assert len(passing.seen) == 1


@pytest.mark.parametrize(
    ("at", "lie"), [(28, struct.pack("<I", 6_000_000)), (32, b"\x60\xea"), (20, b"\x55\x00")]
)
async def test_a_file_that_lies_about_its_rate_is_not_believed(
    passing: Passing, at: int, lie: bytes
) -> None:
    # Twenty seconds cost twice the cap; by the lie it would be one, or nothing is known.
    heard = sound(20)
    false = heard[:at] + lie + heard[at + len(lie) :]
    async with Gateway('[guard]\nrequest_cap_usd = "0.001"\n' + config(passing)) as gateway:
        told = await send(gateway, "/audio/transcriptions", form(MODEL, file=false))
    assert told.error["code"] == "request_cost_limit_exceeded", told.raw
    assert passing.seen == []


TWICE = form(MODEL, ("model", b"m-other"))
WHOLE = form(MODEL)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 415, "unsupported_media_type"),
        (b'{"model": "m-transcription"}', 415, "unsupported_media_type"),
        (WHOLE[:-12], 415, "unsupported_media_type"),
        (WHOLE.replace(b"--cut\r\n", b"--c\xfft\r\n"), 415, "unsupported_media_type"),
        (WHOLE.replace(b'"model"', b'"n"; name="model"'), 415, "unsupported_media_type"),
        (WHOLE.replace(b'"model"', b'"n"\nX: "model"'), 415, "unsupported_media_type"),
        (WHOLE + b"--cut\r\n", 415, "unsupported_media_type"),
        (TWICE, 400, "duplicate_field"),
        (form(file=MP3), 400, "missing_required_parameter"),
        (form(MODEL, file=None), 400, "missing_required_parameter"),
        (form(("model", b"m-image")), 400, "no_eligible_model"),
        (form(MODEL, ("stream", b"true")), 400, "unsupported_parameter"),
        (form(MODEL, ("p402[moed]", b"cost")), 400, "p402_field_unknown"),
        (form(MODEL, ("p402", b"cost")), 400, "invalid_type"),
    ],
)
async def test_what_is_refused(passing: Passing, body: bytes, status: int, code: str) -> None:
    async with Gateway(config(passing)) as gateway:
        told = await send(gateway, "/audio/transcriptions", body)
    assert (told.status, told.error["code"]) == (status, code), told.raw
    assert passing.seen == []


async def test_each_path_takes_its_own_kind_of_body(passing: Passing) -> None:
    async with Gateway(config(passing)) as gateway:
        no_form = await send(gateway, "/audio/transcriptions", WHOLE, "application/json")
        no_json = await send(gateway, "/embeddings", WHOLE)
    assert (no_form.status, no_json.status) == (415, 415)
    assert passing.seen == []


async def test_a_form_is_bounded(passing: Passing) -> None:
    async with Gateway(f"[limits]\nbody_bytes = 100000\n{config(passing)}") as gateway:
        told = await send(gateway, "/audio/transcriptions", form(MODEL, file=bytes(100_000)))
        many = form(MODEL, *[(f"n{at}", b"x") for at in range(99)])
        parts = await send(gateway, "/audio/transcriptions", many)
    assert (told.status, told.error["code"]) == (413, "request_too_large")
    assert parts.status == 415
    assert passing.seen == []


def test_the_openai_sdk_sends_files(passing: Passing, tmp_path: Path) -> None:
    file = tmp_path / "p402.toml"
    file.write_text(config(passing))
    with Served(file) as gateway:
        client = OpenAI(base_url=gateway.base_url, api_key="none", max_retries=0)
        own: dict[str, Any] = {"p402": {"cost_details": True}}
        heard = client.audio.transcriptions.create(
            model="m-transcription", file=("a.mp3", MP3), extra_body=own
        )
        assert heard.text == f"{len(MP3)} bytes"
        assert heard.p402_metadata["cost_usd"] == 0.0003  # type: ignore[union-attr]
        assert "cost_details" in heard.p402_metadata  # type: ignore[union-attr]
        with warnings.catch_warnings(action="ignore"):  # it advises against its older paths
            told = client.audio.translations.create(model="m-transcription", file=("a.mp3", MP3))
            varied = client.images.create_variation(model="m-image", image=("a.png", MP3))
        assert varied.p402_metadata["cost_usd"] == 0.04  # type: ignore[attr-defined]
        assert told.text == f"{len(MP3)} bytes"
        lines = client.audio.transcriptions.create(
            model="m-transcription", file=("a.mp3", MP3), response_format="srt"
        )
        assert lines == SUBTITLES.decode()
        edited = client.images.edit(model="m-image", image=("a.png", MP3), prompt="Red", n=2)
        assert edited.data is not None
        assert len(edited.data) == 2
        assert edited.p402_metadata["cost_usd"] == 0.08  # type: ignore[attr-defined]
        with pytest.raises(BadRequestError):
            client.images.edit(model="m-image", image=("a.png", MP3), prompt="x", n=99)
        paths = [path.removeprefix("/up/v1") for path, _ in passing.seen]
        assert paths == [
            *("/audio/transcriptions", "/audio/translations", "/images/variations"),
            *("/audio/transcriptions", "/images/edits"),
        ]
        for _, fields in passing.seen:
            assert next(value for value in fields.values() if isinstance(value, bytes)) == MP3
        # A form in pieces of unknown length.
        pieces = (WHOLE[at : at + 999] for at in range(0, len(WHOLE), 999))
        path = f"{gateway.base_url}/audio/transcriptions"
        chunked = httpx.post(path, content=pieces, headers={"content-type": KIND})
        assert chunked.json()["text"] == f"{len(MP3)} bytes"
