"""Decides the form of catalog.jsonl: record order, key order, canonical text.
Does not decide what any record says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sources import Json

SCHEMA = 1
RECORD_ORDER = ("header", "provider", "window", "capability", "offer", "alias")
EFFORT_ORDER = ("best", "none", "low", "medium", "high", "max", "default")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "toggle", "budget")
MODALITIES = ("text", "image", "audio", "file", "video")
BAND_KEYS = (
    "above",
    "in",
    "out",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "audio_in",
    "audio_out",
    "reasoning",
)
PRICE_KEYS = ("from", "bands", "off", "per_request", "service")
OFFER_KEYS = (
    "t",
    "provider",
    "model",
    "canonical",
    "kind",
    "home",
    "context",
    "max_input",
    "max_output",
    "modalities",
    "tools",
    "structured",
    "reasoning",
    "efforts",
    "flags",
    "free",
    "prices",
    "window",
    "capability",
    "deprecates",
    "source",
    "as_of",
    "n_agree",
    "confidence",
)


def line(record: Json) -> str:
    """Canonical JSON: no spaces, keys in the record's own order, text as it is."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sort_key(record: Json) -> tuple[int, str, str, int]:
    """Header, provider, window, capability, offer, alias; then by id."""
    kind = record["t"]
    first = record.get("provider") or record.get("id") or record.get("name") or ""
    effort = EFFORT_ORDER.index(record["effort"]) if kind == "capability" else 0
    return RECORD_ORDER.index(kind), str(first), str(record.get("model", "")), effort
