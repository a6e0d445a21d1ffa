"""Decides how a test gets an upstream that speaks its house's own wire, strictly.

Does not know pytest. It refuses, as the real ones do, what their documentation forbids.
"""

from __future__ import annotations

import json
from typing import Any

from tests import bedrock
from tests.loopback import Loopback

CITY = {"city": "Paris"}


class Foreign(Loopback):
    """A loopback provider of every language; `seen` holds what arrived: path, headers, body."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    def answer(self, path: str, headers: dict[str, str], raw: bytes) -> tuple[int, str, bytes]:
        """As the house of the path's language would."""
        body = json.loads(raw)
        self.seen.append((path, headers, body))
        if path.startswith("/bedrock/"):
            return bedrock.speak(path, headers, raw)
        speak = _anthropic if path.startswith("/anthropic/") else _gemini
        return speak(path, headers, body)

    def url(self, language: str) -> str:
        """The base address of this language."""
        return f"{self.root}/{language}"


def _json(status: int, body: object) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(body).encode()


def _sse(events: list[dict[str, Any]], *, named: bool) -> tuple[int, str, bytes]:
    name = (lambda event: f"event: {event['type']}\n") if named else (lambda _: "")
    text = "".join(f"{name(event)}data: {json.dumps(event)}\n\n" for event in events)
    return 200, "text/event-stream", text.encode()


def _anthropic(path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, str, bytes]:
    def refuse(message: str) -> tuple[int, str, bytes]:
        error = {"type": "invalid_request_error", "message": message}
        return _json(400, {"type": "error", "error": error})

    if path != "/anthropic/messages" or headers.get("anthropic-version") != "2023-06-01":
        return refuse(f"no such endpoint or version: {path}")
    if headers.get("x-api-key") != "sk-anthropic" or "authorization" in headers:
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        return _json(401, {"type": "error", "error": error})
    if not isinstance(body.get("max_tokens"), int) or unknown(body, ANTHROPIC_FIELDS):
        return refuse(f"max_tokens or {unknown(body, ANTHROPIC_FIELDS)}")
    roles = [turn["role"] for turn in body["messages"]]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return refuse(f"roles: {roles}")
    blocks = [block for turn in body["messages"] for block in turn["content"]]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        return refuse("text content blocks must be non-empty")
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 300,
        "output_tokens": 5,
    }
    calling = "tools" in body and not any(block["type"] == "tool_result" for block in blocks)
    content: list[dict[str, Any]] = [{"type": "text", "text": _said(blocks, "image")}]
    if calling:
        thought = {"type": "thinking", "thinking": "I must look.", "signature": "c2ln"}
        call = {"type": "tool_use", "id": "toolu_1", **_called(body["tools"][0], "input")}
        content = [thought, call]
    stop = "tool_use" if calling else "end_turn"
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    if not body.get("stream"):
        return _json(200, {**message, "content": content, "stop_reason": stop, "usage": usage})
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(content):
        events += _block(index, block)
    end = {"stop_reason": stop, "stop_sequence": None}
    events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return _sse(events, named=True)


ANTHROPIC_FIELDS = {
    *("model", "max_tokens", "stream", "system", "messages", "tools", "tool_choice"),
    *("temperature", "top_p", "top_k", "stop_sequences", "thinking", "output_config", "metadata"),
}


def unknown(body: dict[str, Any], known: set[str]) -> list[str]:
    """Fields that the API does not document."""
    return sorted(body.keys() - known)


def _called(tool: dict[str, Any], key: str) -> dict[str, Any]:
    """A call of this tool: what it takes as `input` is a text, all others take a city."""
    is_text = '"input"' in json.dumps(list(tool.values()))
    return {"name": tool["name"], key: {"input": "Paris"} if is_text else CITY}


def _said(blocks: list[dict[str, Any]], picture: str) -> str:
    pictures = [block for block in blocks if block.get("type") == picture or picture in block]
    return "A red square." if pictures else "Hello, world!"


def _block(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    parts = {
        "text": [("text_delta", "text", block.get("text", ""))],
        "thinking": [
            ("thinking_delta", "thinking", block.get("thinking")),
            ("signature_delta", "signature", block.get("signature")),
        ],
        "tool_use": [("input_json_delta", "partial_json", json.dumps(block.get("input")))],
    }[block["type"]]
    empty = {"text": "", "thinking": "", "signature": "", "input": {}}
    opened = {key: empty.get(key, value) for key, value in block.items()}
    return [
        {"type": "content_block_start", "index": index, "content_block": opened},
        *(
            {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}}
            for kind, key, text in parts
            for piece in (text[:4], text[4:])
        ),
        {"type": "content_block_stop", "index": index},
    ]


def _gemini(path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, str, bytes]:
    def refuse(code: int, message: str) -> tuple[int, str, bytes]:
        error = {"code": code, "message": message, "status": "INVALID_ARGUMENT"}
        return _json(code, {"error": error})

    model, _, verb = path.removeprefix("/gemini/models/").partition(":")
    stream = verb == "streamGenerateContent?alt=sse"
    if not model or (verb != "generateContent" and not stream) or "key=" in path:
        return refuse(404, f"no such endpoint: {path}")
    if headers.get("x-goog-api-key") != "sk-gemini":
        return refuse(403, "the key is not valid")
    known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
    parts = [part for turn in body["contents"] for part in turn["parts"]]
    if unknown(body, known) or not parts:
        return refuse(400, f"{unknown(body, known)} or no parts")
    for part in parts:
        if "functionCall" in part and part.get("thoughtSignature") != "c2ln":
            return refuse(400, "missing thought_signature")
    answered = any("functionResponse" in part for part in parts)
    pieces = [{"text": _said(parts, "inlineData")}]
    if "tools" in body and not answered:
        call = _called(body["tools"][0]["functionDeclarations"][0], "args")
        pieces = [
            {"text": "I must look.", "thought": True},  # type: ignore[dict-item]
            {"functionCall": call, "thoughtSignature": "c2ln"},  # type: ignore[dict-item]
        ]
    usage = {
        "promptTokenCount": 2010,
        "cachedContentTokenCount": 2000,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 2022,
    }
    named = {"modelVersion": model, "responseId": "r1", "usageMetadata": usage}

    def answer(some: list[Any], **more: str) -> dict[str, Any]:
        content = {"role": "model", "parts": some}
        return {"candidates": [{"content": content, **more}], **named}

    if not stream:
        return _json(200, answer(pieces, finishReason="STOP"))
    events = [answer([piece]) for piece in pieces]
    return _sse([*events, answer([{"text": ""}], finishReason="STOP")], named=False)
