"""Decides what a reply is made of: a lazy sequence of bytes, pauses and cuts.

Does not touch a socket: `wire.py` plays scripts, `reply.py` and the faults write them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import TypeAlias

LAST_CHUNK = b"0\r\n\r\n"
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
ODD_REASONS = {529: "Site is overloaded"}


class Cut(Enum):
    """How a connection ends before its reply is whole."""

    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause in real seconds; `FOREVER` ends only with the connection."""

    seconds: float


FOREVER = Wait(math.inf)

Step: TypeAlias = bytes | Wait | Cut
Script: TypeAlias = Iterator[Step]


def head(status: int, content_type: str, extra: Mapping[str, str], length: int | None) -> bytes:
    """A response head; without a length the body is chunked."""
    lines = [f"HTTP/1.1 {status} {_reason(status)}", f"content-type: {content_type}"]
    lines.extend(f"{name}: {value}" for name, value in extra.items())
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def sized(status: int, content_type: str, extra: Mapping[str, str], body: bytes) -> bytes:
    """A whole response of known length, as one write."""
    return head(status, content_type, extra, len(body)) + body


def chunk(payload: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ODD_REASONS.get(status, "Unknown")
