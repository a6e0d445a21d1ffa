"""Decides the shape of an answer on the wire: completion, chunks, usage, model list.

Does not decide what is said (`answer.py`) nor how a fault bends it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p402.sandbox.dice import roll
from p402.sandbox.models import CREATED_S, MODELS, PLAIN, PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from p402.sandbox.answer import Answer, Counts
    from p402.sandbox.request import ChatRequest
    from p402.sandbox.toolplay import Call

OWNER = "p402-sandbox"
_numbers = itertools.count(1)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(slots=True)
class Chunk:
    """One event of a stream: its place in it, its JSON, and the tokens it bills."""

    kind: str
    body: dict[str, Any]
    tokens: int = 0


def dumps(value: object) -> bytes:
    """Compact JSON, the way providers send it."""
    return _encode(value).encode("utf-8", "surrogatepass")


def usage(counts: Counts) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(request: ChatRequest, answers: list[Answer], counts: Counts) -> dict[str, Any]:
    """The body of a reply that is no stream."""
    return {
        **_frame(request, "chat.completion"),
        "choices": [_choice(request, index, answer) for index, answer in enumerate(answers)],
        "usage": usage(counts),
    }


def chunks(request: ChatRequest, answers: list[Answer], counts: Counts) -> Iterator[Chunk]:
    """The events of a stream; choices take turns."""
    frame = _frame(request, "chat.completion.chunk")
    if request.include_usage:
        frame["usage"] = None
    turns = [_choice_chunks(request, index, answer) for index, answer in enumerate(answers)]
    for turn in itertools.zip_longest(*turns):
        for kind, choice, tokens in filter(None, turn):
            yield Chunk(kind, {**frame, "choices": [choice]}, tokens)
    if request.include_usage:
        yield Chunk("usage", {**frame, "choices": [], "usage": usage(counts)})


def model_list(base: str) -> dict[str, Any]:
    """`GET /models` of one base path."""
    provider = next((row for row in PROVIDERS if row.base == base), None)
    ids = sorted(MODELS) if provider is None else sorted(provider.models)
    return {"object": "list", "data": [model_entry(model_id) for model_id in ids]}


def model_entry(model_id: str) -> dict[str, Any]:
    """One model as OpenAI lists it."""
    return {"id": model_id, "object": "model", "created": CREATED_S, "owned_by": OWNER}


def is_listed(model_id: str) -> bool:
    """Whether `GET /models/{id}` knows the id."""
    return model_id in MODELS or model_id == PLAIN.id


def _frame(request: ChatRequest, kind: str) -> dict[str, Any]:
    number = next(_numbers)
    digest = hashlib.blake2b(b"%d" % number, digest_size=12).hexdigest()
    return {
        "id": f"chatcmpl-{digest}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model_id,
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }


def _choice(request: ChatRequest, index: int, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.calls else "".join(answer.pieces),
        "refusal": None,
        "annotations": [],
    }
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.calls and answer.calls[0].legacy:
        message["function_call"] = answer.calls[0].function()
    elif answer.calls:
        message["tool_calls"] = [call.whole() for call in answer.calls]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(request, answer, answer.pieces, 0),
        "finish_reason": answer.finish,
    }


def _choice_chunks(
    request: ChatRequest, index: int, answer: Answer
) -> Iterator[tuple[str, dict[str, Any], int]]:
    first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    if answer.calls:
        first["content"] = None
    yield "role", _delta(index, first), 0 if answer.reasoning else answer.reasoning_tokens
    for piece in answer.reasoning:
        yield "reasoning", _delta(index, {"reasoning_content": piece}), 1
    for place, piece in enumerate(answer.pieces):
        choice = _delta(index, {"content": piece})
        choice["logprobs"] = _logprobs(request, answer, (piece,), place)
        yield "content", choice, 1
    for place, call in enumerate(answer.calls):
        yield from _call_chunks(index, place, call)
    yield "finish", _delta(index, {}, answer.finish), 0


def _call_chunks(index: int, place: int, call: Call) -> Iterator[tuple[str, dict[str, Any], int]]:
    if call.legacy:
        opening: dict[str, Any] = {"function_call": {"name": call.name, "arguments": ""}}
        yield "tool", _delta(index, opening), 1
        for piece in call.fragments:
            yield "tool", _delta(index, {"function_call": {"arguments": piece}}), 1
        return
    yield "tool", _delta(index, {"tool_calls": [{"index": place, **call.opening()}]}), 1
    for piece in call.fragments:
        fragment = {"index": place, call.kind: {call.payload_key: piece}}
        yield "tool", _delta(index, {"tool_calls": [fragment]}), 1


def _delta(index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _logprobs(
    request: ChatRequest, answer: Answer, pieces: tuple[str, ...], offset: int
) -> dict[str, Any] | None:
    if request.top_logprobs is None or answer.calls:
        return None
    rows = []
    for place, piece in enumerate(pieces, start=offset):
        dice = roll(answer.dice_seed + place)
        row = _token_row(piece, -round(dice.random() / 2, 6))
        alternatives = [
            _token_row(f"{piece}{rank or ''}", float(row["logprob"]) - rank)
            for rank in range(request.top_logprobs)
        ]
        rows.append({**row, "top_logprobs": alternatives})
    return {"content": rows, "refusal": None}


def _token_row(piece: str, logprob: float) -> dict[str, Any]:
    return {"token": piece, "logprob": logprob, "bytes": list(piece.encode())}
