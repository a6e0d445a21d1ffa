"""Decides the speed an offer is expected to have before anything was measured (catalog.md § 8).
Does not add what a reasoning effort costs and does not learn: both are the router's.
"""

from __future__ import annotations

import re

_SMALL = re.compile(r"(?:^|[^a-z])(?:flash|lite|haiku|mini|nano)(?:[^a-z]|$)")
_BY_HARDWARE = {
    "lpu": (250, 300),
    "wse": (350, 1_500),
    "rdu": (600, 500),
    "gpu_tuned": (500, 120),
}
_FIRST_PARTY_LARGE = (1_000, 60)
_FIRST_PARTY_SMALL = (500, 150)
_TPU_SMALL = (500, 200)
_OTHER_HOST = (800, 60)
_AGGREGATOR_HOP_MS = 150


def prior(kind: str, hardware: str, model: str) -> tuple[int, int]:
    """(time to first token in ms, tokens a second) of an offer nobody has measured."""
    small = _SMALL.search(model.lower()) is not None
    if hardware in _BY_HARDWARE:
        return _BY_HARDWARE[hardware]
    if kind == "first_party":
        if not small:
            return _FIRST_PARTY_LARGE
        return _TPU_SMALL if hardware == "tpu" else _FIRST_PARTY_SMALL
    if kind == "aggregator":
        # Which backend answers is unknown: the ordinary host's figures, and one hop more.
        ttft_ms, tokens_per_s = _OTHER_HOST
        return ttft_ms + _AGGREGATOR_HOP_MS, tokens_per_s
    return _OTHER_HOST
