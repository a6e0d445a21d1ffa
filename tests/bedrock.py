"""Decides how a test's upstream speaks Amazon's Converse: signatures checked, streams framed.

Does not know pytest or sockets; `languages.py` serves it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import struct
from typing import Any
from zlib import crc32

CITY = {"city": "Paris"}
ID, SECRET = "AKIDEXAMPLE", "sk-bedrock"
FIELDS = {
    *("messages", "system", "inferenceConfig", "toolConfig", "outputConfig"),
    "additionalModelRequestFields",
}
USAGE = {
    "inputTokens": 10,
    "cacheReadInputTokens": 2000,
    "cacheWriteInputTokens": 300,
    "outputTokens": 5,
    "totalTokens": 2315,
}
_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8}/[\w-]+/bedrock/aws4_request), "
    r"SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})"
)


def speak(path: str, headers: dict[str, str], raw: bytes) -> tuple[int, str, bytes]:
    """The reply to one request."""
    if not _signed(path, headers, raw):
        return _json(403, {"message": "The request signature we calculated does not match"})
    body: dict[str, Any] = json.loads(raw)
    if body.keys() - FIELDS:
        return _json(400, {"message": f"extraneous keys {sorted(body.keys() - FIELDS)}"})
    roles = [turn["role"] for turn in body["messages"]]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return _json(400, {"message": f"roles: {roles}"})
    blocks = [block for turn in body["messages"] for block in turn["content"]]
    answered = any("toolResult" in block for block in blocks)
    pictures = any("image" in block for block in blocks)
    content: list[dict[str, Any]] = [{"text": "A red square." if pictures else "Hello, world!"}]
    if "toolConfig" in body and not answered:
        thought = {"reasoningText": {"text": "I must look.", "signature": "c2ln"}}
        call = {"toolUseId": "tooluse_1", "name": "get_weather", "input": CITY}
        content = [{"reasoningContent": thought}, {"toolUse": call}]
    stop = "tool_use" if "toolUse" in content[-1] else "end_turn"
    if path.endswith("/converse"):
        message = {"role": "assistant", "content": content}
        return _json(200, {"output": {"message": message}, "stopReason": stop, "usage": USAGE})
    if not path.endswith("/converse-stream"):
        return _json(404, {"message": f"no such operation: {path}"})
    events = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(content):
        events += _block(index, block)
    events += [("messageStop", {"stopReason": stop}), ("metadata", {"usage": USAGE})]
    framed = b"".join(_frame(name, event) for name, event in events)
    return 200, "application/vnd.amazon.eventstream", framed


def _json(status: int, body: object) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(body).encode()


def _block(index: int, block: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    at = {"contentBlockIndex": index}
    deltas: list[dict[str, Any]]
    if "text" in block:
        deltas = [{"text": block["text"][:5]}, {"text": block["text"][5:]}]
    elif "toolUse" in block:
        deltas = [{"toolUse": {"input": json.dumps(block["toolUse"]["input"])}}]
    else:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [{"reasoningContent": {key: thought[key]}} for key in ("text", "signature")]
    events: list[tuple[str, dict[str, Any]]] = []
    if "toolUse" in block:
        start = {key: block["toolUse"][key] for key in ("toolUseId", "name")}
        events.append(("contentBlockStart", {**at, "start": {"toolUse": start}}))
    events += [("contentBlockDelta", {**at, "delta": delta}) for delta in deltas]
    return [*events, ("contentBlockStop", at)]


def _frame(name: str, event: dict[str, Any]) -> bytes:
    told = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack(">B", len(key)) + key.encode() + b"\x07" + struct.pack(">H", len(value))
        + value.encode()
        for key, value in told.items()
    )  # fmt: skip
    payload = json.dumps(event).encode()
    head = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head += struct.pack(">I", crc32(head))
    return head + headers + payload + struct.pack(">I", crc32(head + headers + payload))


def _signed(path: str, headers: dict[str, str], raw: bytes) -> bool:
    """Whether the request is signed with the secret, counted here from the documentation."""
    found = _CREDENTIAL.fullmatch(headers.get("authorization", ""))
    if found is None or found[1] != ID:
        return False
    names = found[3].split(";")
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    spelt = path.replace("%", "%25")
    digest = hashlib.sha256(raw).hexdigest()
    canonical = f"POST\n{spelt}\n\n{lines}\n{found[3]}\n{digest}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{found[2]}\n{hashed}"
    key = f"AWS4{SECRET}".encode()
    for part in found[2].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), found[4])
