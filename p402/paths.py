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
_CONTENT = re.compile(
    r"/models/.+:(generateContent|streamGenerateContent|embedContent|batchEmbedContents)"
)
_COUNTS = re.compile(r"/messages/count_tokens|/responses/input_tokens|/models/.+:countTokens")
# Who comes by no door of its own is answered in the words of one of these.
ANTHROPICS = "/messages"
GOOGLES = "/models/any:generateContent"
_BASES = (BASE + "/v1beta", BASE + "/v1", BASE, "/v1beta", "/v1")


def is_door(name: str) -> bool:
    """Whether the line serves this path."""
    return name in _DOORS or name in _FORMS or _CONTENT.fullmatch(name) is not None


def counts(name: str) -> bool:
    """Whether this path tells how long a request is."""
    return _COUNTS.fullmatch(name) is not None


def spoken(scope: MutableMapping[str, Any], name: str) -> str:
    """The path of the door whose words a reply is told in. Where several clients come to one path,
    as they do to list models or to ask for what is not there, Google's are known by its version or
    their key's header, Anthropic's by a version header."""
    if is_door(name) or counts(name):
        return name
    if "/v1beta/" in scope["path"]:
        return GOOGLES
    said = {header for header, _ in scope["headers"]}
    if said & {b"x-goog-api-key", b"x-goog-api-client"}:
        return GOOGLES
    return ANTHROPICS if b"anthropic-version" in said else "/chat/completions"


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
