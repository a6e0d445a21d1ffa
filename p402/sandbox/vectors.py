"""Decides the sandbox's embeddings: made up from the letters of a text, the same at every call.

Texts that share words lie near each other; nothing else about a vector is true.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from typing import Any

from p402.sandbox.refusal import RefusedError, integer

MODEL = "sandbox-embed"
DIMENSIONS = 256
INPUTS_MAX = 2_048
BYTES_PER_TOKEN = 4
USD_PER_MTOK = "0.02"


def embeddings(raw: bytes) -> dict[str, Any]:
    """The answer to one request. Raises `RefusedError` for what the API refuses."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise RefusedError("We could not parse the JSON body of your request.") from None
    texts = _texts(body.get("input") if isinstance(body, dict) else None)
    size = integer(body, "dimensions", 1, DIMENSIONS) or DIMENSIONS
    packed = body.get("encoding_format") == "base64"
    rows = []
    for at, text in enumerate(texts):
        vector = _vector(text, size)
        shown = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if packed else vector
        rows.append({"object": "embedding", "index": at, "embedding": shown})
    tokens = sum(-(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": rows, "model": body.get("model"), "usage": usage}


def _texts(given: object) -> list[str]:
    """One text or a list of them; tokens as numbers stand for themselves."""
    listed: list[Any] = given if isinstance(given, list) else [given]
    if listed and all(isinstance(item, int) for item in listed):
        listed = [listed]
    if not 0 < len(listed) <= INPUTS_MAX or not all(isinstance(i, str | list) for i in listed):
        raise RefusedError(f"'input' is 1 to {INPUTS_MAX} texts.", param="input")
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in listed]


def _vector(text: str, size: int) -> list[float]:
    """Each word moves a few places of a vector of length one."""
    vector = [0.0] * size
    for word in text.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=16).digest()
        for low, high in zip(digest[::2], digest[1::2], strict=True):
            vector[(low | high << 8) % size] += 1.0 if low & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [round(value / length, 7) for value in vector]


def offer(provider: str, as_of: str, pico: int) -> dict[str, Any]:
    """The catalogue record of this model."""
    return {
        "t": "offer",
        "provider": provider,
        "model": MODEL,
        "canonical": MODEL,
        "kind": "embedding",
        "home": True,
        "context": 8_192,
        "flags": [],
        "prices": [{"bands": [{"above": 0, "in": pico, "out": 0}]}],
        "source": "sandbox",
        "as_of": as_of,
        "n_agree": 1,
        "confidence": "config",
    }
