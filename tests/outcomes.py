"""Decides what each fault of the sandbox must become, whole and streamed, alone and with a spare.

Does not run anything: tests go through the table, so that a new fault without a row fails them.
"""

from __future__ import annotations

from typing import NamedTuple

from p402.sandbox import FAULTS

HELLO = "Hello, world!"
BAD = "malformed"
FAILED = (502, "all_attempts_failed")
LATE = (504, "upstream_timeout")


class Outcome(NamedTuple):
    """`served`: mended and passed on · `moved`: the next provider answers · `returned`: the
    upstream's own refusal · `broken`: an error frame after the first content."""

    kind: str = "served"
    note: str = ""
    status: int = 200
    code: str | None = None


def _moved(note: str, alone: tuple[int, str] = FAILED) -> Outcome:
    return Outcome("moved", note, *alone)


def _returned(status: int, code: str | None) -> Outcome:
    return Outcome("returned", str(status), status, code)


def _broken(code: str) -> Outcome:
    return Outcome("broken", code=code)


# Parameters that keep a test short; a fault that is not named here has its defaults.
SPEC = {
    "slow-first-byte": {"ms": 20},
    "slow-tokens": {"ms": 1},
    "endless": {"count": 50},
    "429": {"after": 30},
}
_CUT = _broken("upstream_stream_cut")
_BOTH = {
    "400": _returned(400, "invalid_value"),
    "content-filter": _returned(400, "content_filter"),
    "context-length": _returned(400, "context_length_exceeded"),
    "413": _returned(413, "request_too_large"),
    "422": _returned(422, None),
    "status": _returned(418, None),
    "401": _moved("401"),
    "402": _moved("402"),
    "403": _moved("403"),
    "404": _moved("404"),
    "408": _moved("408", LATE),
    "429": _moved("429", (429, "upstream_rate_limited")),
    "quota": _moved("429"),
    "500": _moved("500"),
    "502": _moved("server"),
    "503": _moved("503"),
    "504": _moved("timeout", LATE),
    "529": _moved("529"),
    "string-error": _moved("500"),
    "int-code": _moved("503"),
    "html-200": _moved(BAD),
    "error-200": _moved("server"),
    "error-first-event": _moved("server"),
    "hang": _moved("timeout", LATE),
    "stall-after-head": _moved("timeout", LATE),
    "close-before-head": _moved("cut"),
    "reset-before-head": _moved("cut"),
    "close-after-head": _moved("cut"),
    "reset-after-head": _moved("cut"),
}
_STREAMED = {
    "empty-body": _moved("cut"),
    "huge-frame": _moved(BAD),
    "close-mid-stream": _CUT,
    "reset-mid-stream": _CUT,
    "cut-mid-frame": _CUT,
    "stall-mid-stream": _CUT,
    "clean-cut": _CUT,
    "endless": _CUT,
    "no-finish": _CUT,
    "malformed-json": _broken("upstream_stream_malformed"),
    "error-mid-stream": _broken("upstream_error"),
}
_WHOLE = {
    "empty-body": _moved(BAD),
    "close-mid-stream": _moved("cut"),
    "reset-mid-stream": _moved("cut"),
    "cut-mid-frame": _moved("cut"),
    "stall-mid-stream": _moved("timeout", LATE),
    "clean-cut": _moved(BAD),
    "malformed-json": _moved(BAD),
    "malformed-sse": _moved(BAD),
    "error-mid-stream": _moved("server"),
}
# Usage that cannot be right is replaced by P402's own count, and said to be.
UNBELIEVED = frozenset(
    {
        "usage-missing",
        "usage-cached-above-prompt",
        "usage-fractional",
        "usage-huge",
        "usage-negative",
        "usage-text",
        "usage-partial",
        "usage-zero",
        # Other vendors' words, from an offer that is not flagged as speaking them.
        "usage-beside-caches",
        "usage-beside-thoughts",
    }
)


def outcome(fault: str, *, stream: bool) -> Outcome:
    """What a request that meets this fault must become."""
    assert fault in FAULTS
    own = _STREAMED if stream else _WHOLE
    return own.get(fault) or _BOTH.get(fault) or Outcome()
