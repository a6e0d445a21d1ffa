"""Decides what the bare hop answers: two ASGI apps that do nothing, and nothing but JSON.

Deliberately no gateway: they say what granian and the ASGI protocol cost by themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CONTENT = "every answer from here is the same text, every answer from here is the same text, "
REPLY: dict[str, Any] = {
    "id": "chatcmpl-mock",
    "object": "chat.completion",
    "created": 1_795_305_600,
    "model": "mock",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": CONTENT,
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 42,
        "completion_tokens": 16,
        "total_tokens": 58,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_mock",
}
BODY = json.dumps(REPLY, separators=(",", ":")).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
SSE = [(b"content-type", b"text/event-stream")]


def _frame(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": REPLY["created"]}
    return b"data: " + json.dumps(chunk | {"model": "mock", "choices": [choice]}).encode() + b"\n\n"


# The mock's own pace and content: a role, sixteen words, the finish and the end.
WORDS = CONTENT.replace(", ", ", |").replace(" ", " |").replace("||", "|").split("|")[:16]
FIRST = _frame({"role": "assistant", "content": ""})
EVENTS = [_frame({"content": word}) for word in WORDS]
LAST = _frame({}, "stop") + b"data: [DONE]\n\n"


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if not message.get("more_body"):
            return body


async def _reply(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, *, paced: bool) -> None:
    """Fixed frames by itself: what the hop costs a stream whose upstream costs nothing."""
    if paced:
        await asyncio.sleep(0.020)
    await send({"type": "http.response.start", "status": 200, "headers": SSE})
    await send({"type": "http.response.body", "body": FIRST, "more_body": True})
    for number, event in enumerate(EVENTS):
        if paced and number:
            await asyncio.sleep(0.010)
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": LAST})


async def hello(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Reads the body, answers fixed bytes: the hop."""
    if scope["type"] == "http":
        body = await _read(receive)
        if b'"stream": true' in body:
            await _stream(send, paced=b"gap10" in body)
        else:
            await _reply(send, BODY)


async def parsed(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The hop, and the JSON of request and reply parsed and dumped in Python."""
    if scope["type"] == "http":
        request = json.loads(await _read(receive))
        reply = json.loads(BODY)
        reply["model"] = request["model"]
        await _reply(send, json.dumps(reply, separators=(",", ":")).encode())
