"""Decides how a test gets an upstream for what is no chat: texts, vectors, pictures, voices.

Does not know pytest. It refuses unknown fields, as the real one does; `/down/…` always fails.
"""

from __future__ import annotations

import email
import json
from email.message import Message
from typing import Any

from tests.loopback import Loopback

VECTOR = [0.5, -0.25, 1.0]
VOICE = b"RIFF\x00\x01voice"
KNOWN = {
    "/embeddings": {"model", "input", "encoding_format", "dimensions", "user"},
    "/completions": {
        *("model", "prompt", "suffix", "max_tokens", "temperature", "stream", "stream_options"),
        *("n", "best_of", "echo", "logprobs", "stop", "seed", "user", "top_p", "logit_bias"),
        *("frequency_penalty", "presence_penalty"),
    },
    "/moderations": {"model", "input"},
    "/images/generations": {"model", "prompt", "n", "size", "quality"},
    "/audio/speech": {"model", "input", "voice", "response_format"},
    "/audio/transcriptions": {"model", "file", "prompt", "response_format", "language"},
    "/audio/translations": {"model", "file", "prompt", "response_format"},
    "/images/edits": {"model", "image", "image[]", "mask", "prompt", "n", "size"},
    "/images/variations": {"model", "image", "n", "size"},
}
SUBTITLES = b"1\n00:00:00,000 --> 00:00:02,500\nHello there\n"


class Passing(Loopback):
    """A loopback provider; `seen` holds what arrived: path and body."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def answer(self, path: str, headers: dict[str, str], raw: bytes) -> tuple[int, str, bytes]:
        """What the path is for; nothing but failure at a provider that is down."""
        body = _fields(headers, raw)
        self.seen.append((path, body))
        base, _, rest = path.removeprefix("/").partition("/v1")
        return _refuse(500, "down") if base == "down" else _answer(rest, body)

    def url(self, name: str) -> str:
        """The base address of the provider of this name."""
        return f"{self.root}/{name}/v1"


def _fields(headers: dict[str, str], raw: bytes) -> dict[str, Any]:
    """The members of a JSON body, or the fields of a form by a reader that is not ours."""
    kind = headers["content-type"]
    if not kind.startswith("multipart/"):
        return dict(json.loads(raw))
    form = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
    parts: list[Message] = form.get_payload()  # type: ignore[assignment]
    fields: dict[str, Any] = {}
    for part in parts:
        value: Any = part.get_payload(decode=True)
        name = str(part.get_param("name", header="content-disposition"))
        fields[name] = value if part.get_filename() else value.decode()
    return fields


def _refuse(status: int, message: str) -> tuple[int, str, bytes]:
    error = {"error": {"message": message, "type": "invalid_request_error", "code": None}}
    return status, "application/json", json.dumps(error).encode()


def _json(body: object) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(body).encode()


def _answer(path: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
    known = KNOWN.get(path)
    if known is None:
        return _refuse(404, f"no such path: {path}")
    if unknown := body.keys() - known:
        return _refuse(400, f"Unrecognized request argument supplied: {sorted(unknown)}")
    if path == "/embeddings":
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        rows = [
            {"object": "embedding", "index": at, "embedding": VECTOR} for at in range(len(texts))
        ]
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        return _json({"object": "list", "data": rows, "model": body["model"], "usage": usage})
    if path == "/completions":
        return _completion(body)
    if path == "/moderations":
        verdict = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0}}
        return _json({"id": "modr-1", "model": body["model"], "results": [verdict]})
    if path.startswith("/images/"):
        return _json({"created": 1, "data": [{"b64_json": "aWc="}] * int(body.get("n", 1))})
    return _sound(path, body)


def _sound(path: str, body: dict[str, Any]) -> tuple[int, str, bytes]:
    if path == "/audio/speech":
        return 200, "audio/wav", VOICE
    if body.get("response_format") == "srt":
        return 200, "text/plain; charset=utf-8", SUBTITLES
    usage = {"type": "duration", "seconds": 2.5}
    return _json({"text": f"{len(body['file'])} bytes", "usage": usage})


def _completion(body: dict[str, Any]) -> tuple[int, str, bytes]:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choice = {"index": 0, "logprobs": None}
    if not body.get("stream"):
        whole = {**choice, "text": "return a + b", "finish_reason": "stop"}
        return _json({**head, "choices": [whole], "usage": usage})
    pieces = [{**choice, "text": text, "finish_reason": None} for text in ("return ", "a + b")]
    pieces.append({**choice, "text": "", "finish_reason": "stop"})
    chunks: list[dict[str, Any]] = [{**head, "choices": [piece]} for piece in pieces]
    if body.get("stream_options", {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": usage})
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return 200, "text/event-stream", text.encode()
