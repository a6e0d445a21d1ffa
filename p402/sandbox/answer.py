"""Decides what a sandbox model says: text, tool calls and counts, from the prompt's hash alone.

Does not shape or send it, and never looks at a clock or at chance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from p402.sandbox import prose, schema, toolplay
from p402.sandbox.dice import roll

if TYPE_CHECKING:
    import random

    from p402.sandbox.models import SandboxModel
    from p402.sandbox.request import ChatRequest
    from p402.sandbox.toolplay import Call

HELLO_PIECES = ("Hello", ",", " world", "!")
HELLO_PROMPT_TOKENS = 11
HELLO_COMPLETION_TOKENS = 5
PIECE = re.compile(r"\s*\S{1,8}|\s+$")
EFFORT_TOKENS = {"none": 0, "minimal": 16, "low": 64, "medium": 256, "high": 1_024}
JITTER_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice: its pieces are its tokens, in order."""

    pieces: tuple[str, ...]
    calls: tuple[Call, ...]
    finish: str
    reasoning: tuple[str, ...]
    reasoning_tokens: int
    dice_seed: int

    @property
    def completion_tokens(self) -> int:
        """All output tokens of the choice, reasoning inside."""
        return len(self.pieces) + sum(call.tokens for call in self.calls) + self.reasoning_tokens


@dataclass(frozen=True, slots=True)
class Counts:
    """The tokens of a whole reply."""

    prompt: int
    cached: int
    completion: int
    reasoning: int


def compose(request: ChatRequest) -> list[Answer]:
    """One answer per choice."""
    return [_choice(request, index) for index in range(request.n)]


def count(request: ChatRequest, answers: list[Answer], cached: int) -> Counts:
    """The usage of a reply; test models always count 11 + 5 (5 per choice)."""
    if request.model.lenient:
        return Counts(HELLO_PROMPT_TOKENS, 0, HELLO_COMPLETION_TOKENS * request.n, 0)
    return Counts(
        prompt=request.prompt.tokens,
        cached=cached,
        completion=sum(answer.completion_tokens for answer in answers),
        reasoning=sum(answer.reasoning_tokens for answer in answers),
    )


def _choice(request: ChatRequest, index: int) -> Answer:
    seed = dice_seed(request, index)
    dice = roll(seed)
    thought, reasoning = _reason(request, dice)
    budget = request.max_tokens - thought
    if budget <= 0 and not request.model.lenient:
        return Answer((), (), "length", reasoning, request.max_tokens, seed)
    calls = toolplay.calls(request, dice)
    if calls:
        finish = "function_call" if calls[0].legacy else "tool_calls"
        return Answer((), calls, finish, reasoning, thought, seed)
    pieces = _content(request, dice)
    pieces, stopped = _stop_at(pieces, request.stop)
    finish = "stop"
    if not request.model.lenient and len(pieces) > budget and not stopped:
        pieces, finish = pieces[:budget], "length"
    return Answer(pieces, (), finish, reasoning, thought, seed)


def dice_seed(request: ChatRequest, index: int) -> int:
    """The whole source of variety: model, prompt, the client's seed, the choice."""
    text = f"{request.model_id}\0{request.prompt.text}\0{request.body.get('seed')}\0{index}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _content(request: ChatRequest, dice: random.Random) -> tuple[str, ...]:
    form = request.body.get("response_format")
    if isinstance(form, Mapping) and form.get("type") in ("json_object", "json_schema"):
        return split(schema.answer_for(form, request.prompt.last_user, dice))
    if request.model.lenient:
        return HELLO_PIECES
    return split(_label(request.model) + prose.compose(request.prompt.last_user, dice))


def _label(model: SandboxModel) -> str:
    return f"[sandbox:{model.id}] No provider key is configured, so the built-in sandbox answers. "


def _reason(request: ChatRequest, dice: random.Random) -> tuple[int, tuple[str, ...]]:
    """Reasoning tokens, and the reasoning itself where the model shows it."""
    if request.effort is None or request.model.lenient:
        return 0, ()
    tokens = EFFORT_TOKENS[request.effort]
    if tokens:
        tokens += dice.randrange(JITTER_TOKENS)
    tokens = min(tokens, request.max_tokens)
    if not request.model.shows_reasoning:
        return tokens, ()
    return tokens, _musing(request.prompt.last_user, tokens)


def _musing(text: str, tokens: int) -> tuple[str, ...]:
    pieces = split(prose.musing(text))
    return tuple(pieces[index % len(pieces)] for index in range(tokens))


@lru_cache(maxsize=256)
def split(text: str) -> tuple[str, ...]:
    """Text as tokens of at most eight visible characters; joined they are the text again."""
    return tuple(PIECE.findall(text))


def _stop_at(pieces: tuple[str, ...], stops: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    if not stops:
        return pieces, False
    text = "".join(pieces)
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    if not found:
        return pieces, False
    return split(text[: min(found)]), True
