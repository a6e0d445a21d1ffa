"""Decides what a path means: which of its bases it stands under, and which door it leads to.

Does not answer anything and does not read a body.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import MutableMapping

BASE = "/api/v2"
CHAT = BASE + "/chat/completions"
# Each speaks an API of its own; behind them runs one line.
_DOORS = {"/chat/completions", "/messages", "/responses", "/completions", "/embeddings"}
_DOORS |= {"/moderations", "/images/generations", "/audio/speech"}
# These take files, in a form.
_FORMS = {"/images/edits", "/images/variations", "/audio/transcriptions", "/audio/translations"}
# Google's clients name their model in the path.
_CONTENT = re.compile(r"/models/.+:(generateContent|streamGenerateContent)")
_BASES = (BASE + "/v1beta", BASE + "/v1", BASE, "/v1beta", "/v1")


def is_door(name: str) -> bool:
    """Whether the line serves this path."""
    return name in _DOORS or name in _FORMS or _CONTENT.fullmatch(name) is not None


def takes_form(name: str) -> bool:
    """Whether what comes there is a form, not JSON."""
    return name in _FORMS


def streams_otherwise(name: str, query: bytes) -> bool:
    """Whether a stream of content is asked for in another form than events."""
    return name.endswith(":streamGenerateContent") and b"alt=sse" not in query.split(b"&")


def named(scope: MutableMapping[str, Any]) -> str | None:
    """The route's own name under any of its bases; None where there is none."""
    path: str = scope["path"]
    if _astray(path):
        return None
    raw = scope.get("raw_path")
    if raw is not None:
        # Ids hold `/` and `:`; whatever was encoded, the id is the rest of the decoded path.
        path = unquote_to_bytes(raw.split(b"?", 1)[0]).decode("utf-8", "replace")
        if _astray(path):
            return None
    for base in _BASES:
        if path.startswith(base + "/"):
            name = path.removeprefix(base)
            return name.removesuffix("/") if len(name) > 1 else name
    return None


def shown(path: str) -> str:
    """A path as an error may quote it."""
    return path[:200].encode("ascii", "backslashreplace").decode("ascii")


def _astray(path: str) -> bool:
    return "//" in path or re.search(r"/\.\.?(/|$)", path) is not None or "\0" in path
