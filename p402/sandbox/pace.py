"""Decides how long a sandbox model makes its client wait, and which prompts it has seen before.

Does not sleep: it yields pauses that `wire.py` keeps. A factor of 0 means no pause at all.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p402.sandbox.messages import CHARS_PER_TOKEN
from p402.sandbox.script import Wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p402.sandbox.models import SandboxModel

JITTER_STEPS = 51
PREFILL_MS_PER_TOKEN = 0.02
GRAIN_S = 0.004
CACHE_TOKENS_MIN = 1_024
CACHE_TOKENS_STEP = 128
CACHE_PROMPTS_MAX = 64
CACHE_CHARS_MAX = 262_144


def first_wait_s(model: SandboxModel, prompt_tokens: int, hidden_tokens: int, seed: int) -> float:
    """Time to the first token: the model's own, the prompt's length, reasoning, some jitter."""
    jitter = 0.75 + (seed % JITTER_STEPS) / 100
    own_s = (model.ttft_ms + prompt_tokens * PREFILL_MS_PER_TOKEN) / 1_000
    return own_s * jitter + hidden_tokens / model.tokens_per_s


@dataclass(slots=True)
class Metronome:
    """Spreads tokens over time; pauses shorter than a timer can keep are saved up."""

    tokens_per_s: int
    factor: float
    _owed_s: float = 0.0

    def tick(self, tokens: int) -> Iterator[Wait]:
        """The pause after that many tokens, if it is due."""
        self._owed_s += tokens / self.tokens_per_s * self.factor
        if self._owed_s >= GRAIN_S:
            yield Wait(self._owed_s)
            self._owed_s = 0.0


@dataclass(slots=True)
class PromptMemory:
    """Prompt caching as providers do it: long equal beginnings count as cached tokens."""

    _seen: OrderedDict[tuple[str, str], str] = field(default_factory=OrderedDict)

    def cached_tokens(self, model_id: str, text: str, prompt_tokens: int) -> int:
        """Tokens of the prompt that an earlier one began with; remembers this one."""
        if prompt_tokens < CACHE_TOKENS_MIN:
            return 0
        text = text[:CACHE_CHARS_MAX]
        key = (model_id, text[: CACHE_TOKENS_MIN * CHARS_PER_TOKEN])
        earlier = self._seen.pop(key, "")
        self._seen[key] = text
        if len(self._seen) > CACHE_PROMPTS_MAX:
            self._seen.popitem(last=False)
        shared = _equal_start(earlier, text) // CHARS_PER_TOKEN
        if shared < CACHE_TOKENS_MIN:
            return 0
        return min(shared, prompt_tokens) // CACHE_TOKENS_STEP * CACHE_TOKENS_STEP


def _equal_start(earlier: str, later: str) -> int:
    """How many characters two texts begin with alike, by halving: compares run at C speed."""
    low, high = 0, min(len(earlier), len(later))
    while low < high:
        middle = (low + high + 1) // 2
        if earlier[low:middle] == later[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
