"""Decides whether the messages of a chat request are acceptable and what they amount to.

Does not look at any other field of the body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p402.sandbox.refusal import RefusedError, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from p402.sandbox.models import SandboxModel

CHARS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3
TOKENS_PER_IMAGE = 255
TOKENS_PER_LOW_IMAGE = 85
TOKENS_PER_MEDIA = 120
ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
PART_TYPES = frozenset(("text", "refusal", "image_url", "input_audio", "file", "video_url"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the messages amount to."""

    text: str
    last_user: str
    last_role: str
    tokens: int
    images: int
    fresh_turn: bool


def text_tokens(text: str) -> int:
    """A count that depends on the text alone: four characters to a token, rounded up."""
    return -(-len(text) // CHARS_PER_TOKEN)


def read_messages(messages: object, model: SandboxModel) -> Prompt:
    if messages is None:
        raise RefusedError(
            "Missing required parameter: 'messages'.",
            param="messages",
            code="missing_required_parameter",
        )
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise RefusedError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got "
            "an empty array instead.",
            param="messages",
            code="empty_array",
        )
    texts: list[str] = []
    tokens = TOKENS_PER_MESSAGE
    images = 0
    last_user = ""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        role, text, extra, pictures = _read_message(message, index)
        _pair_tool_messages(message, role, index, open_calls, lenient=model.lenient)
        texts.append(text)
        tokens += TOKENS_PER_MESSAGE + text_tokens(text) + extra
        images += pictures
        if role == "user":
            last_user = text
    if open_calls and not model.lenient:
        raise RefusedError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. Not answered: {', '.join(sorted(open_calls))}",
            param="messages",
        )
    if images and not model.vision:
        raise RefusedError(
            "Invalid content type. image_url is only supported by certain models.",
            param="messages",
        )
    last_role = str(messages[-1]["role"])
    return Prompt("\n".join(texts), last_user, last_role, tokens, images, last_role != "tool")


def _read_message(message: object, index: int) -> tuple[str, str, int, int]:
    """Role, text, tokens beside the text, pictures."""
    where = f"messages[{index}]"
    if not isinstance(message, dict):
        raise wrong_type(where, "an object", message)
    role = message.get("role")
    if role not in ROLES:
        raise RefusedError(
            f"Invalid value: {json.dumps(role)}. Supported values are: "
            f"{', '.join(repr(name) for name in sorted(ROLES))}.",
            param=f"{where}.role",
            code="invalid_value",
        )
    content = message.get("content")
    calls = message.get("tool_calls")
    extra = text_tokens(json.dumps(calls)) if calls else 0
    if isinstance(content, str):
        return role, content, extra, 0
    if content is None:
        if role == "assistant" and (calls or message.get("function_call") or "refusal" in message):
            return role, "", extra, 0
        raise RefusedError(
            f"Invalid value for 'content': expected a string, got null. ({where}.content)",
            param=f"{where}.content",
        )
    if not isinstance(content, list):
        raise wrong_type(f"{where}.content", "a string or an array of content parts", content)
    texts: list[str] = []
    pictures = 0
    for position, part in enumerate(content):
        text, tokens, picture = _read_part(part, f"{where}.content[{position}]")
        texts.append(text)
        extra += tokens
        pictures += picture
    return role, "\n".join(texts), extra, pictures


def _read_part(part: object, where: str) -> tuple[str, int, int]:
    """Text, tokens beside the text, pictures."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in PART_TYPES:
        raise RefusedError(
            f"Invalid value: {json.dumps(kind)}. Supported values are: "
            f"{', '.join(repr(name) for name in sorted(PART_TYPES))}.",
            param=f"{where}.type",
            code="invalid_value",
        )
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise wrong_type(f"{where}.{kind}", "a string", text)
        return text, 0, 0
    if kind != "image_url":
        return "", TOKENS_PER_MEDIA, 0
    image = part.get("image_url")
    image = image if isinstance(image, dict) else {}
    url = image.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:image/")):
        raise RefusedError(
            "Invalid image_url.", param=f"{where}.image_url.url", code="invalid_image_url"
        )
    low = image.get("detail") == "low"
    return "", TOKENS_PER_LOW_IMAGE if low else TOKENS_PER_IMAGE, 1


def _pair_tool_messages(
    message: Mapping[str, Any], role: str, index: int, open_calls: set[str], *, lenient: bool
) -> None:
    """Keep the set of calls that still wait for a tool message."""
    if lenient:
        return
    if role == "tool":
        if message.get("tool_call_id") not in open_calls:
            raise RefusedError(
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                "message with 'tool_calls'.",
                param=f"messages[{index}].role",
            )
        open_calls.discard(message["tool_call_id"])
    elif role == "assistant":
        calls = message.get("tool_calls") or ()
        open_calls.update(call["id"] for call in calls if isinstance(call, dict) and "id" in call)
