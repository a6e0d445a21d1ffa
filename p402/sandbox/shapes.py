"""Decides how the JSON of a reply deviates: usage, roles, finish, tool calls, identities.

Does not touch framing; every frame is a proper event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from p402.sandbox.faults import Fault, FaultKind
from p402.sandbox.perform import Job, plain, stream
from p402.sandbox.reply import Chunk, usage

if TYPE_CHECKING:
    from p402.sandbox.script import Script

Body = dict[str, Any]
BendBody = Callable[[Body, Fault], None]
BendChunks = Callable[[Job, Fault], Iterable[Chunk]]


def _shape(
    doc: str, body: BendBody, chunks: BendChunks, defaults: dict[str, str] | None = None
) -> FaultKind:
    def play(job: Job, fault: Fault) -> Script:
        if job.request.stream:
            yield from stream(job, chunks(job, fault))
            return
        completion = job.completion()
        body(completion, fault)
        yield from plain(job, completion)

    return FaultKind(doc, play, defaults or {})


def _each(bend: Callable[[Chunk, Fault], None]) -> BendChunks:
    """Bend every chunk by itself."""

    def chunks(job: Job, fault: Fault) -> Iterator[Chunk]:
        for event in job.chunks():
            bend(event, fault)
            yield event

    return chunks


def _untouched(_: Body, __: Fault) -> None:
    """The fault shows in streams only."""


def _of_usage(doc: str, bend: Callable[[Body], None]) -> FaultKind:
    """A usage object that cannot be true."""

    def in_chunk(event: Chunk, _: Fault) -> None:
        if event.kind == "usage":
            bend(event.body["usage"])

    return _shape(doc, lambda body, _: bend(body["usage"]), _each(in_chunk))


def _cached_above_prompt(counts: Body) -> None:
    counts["prompt_tokens_details"]["cached_tokens"] = counts["prompt_tokens"] + 1_000


def _negative(counts: Body) -> None:
    counts["completion_tokens"] = -counts["completion_tokens"]


def _fractional(counts: Body) -> None:
    counts["prompt_tokens"] += 0.5


def _huge(counts: Body) -> None:
    counts["completion_tokens"] = 2**63


def _text(counts: Body) -> None:
    counts["prompt_tokens"] = str(counts["prompt_tokens"])


def _partial(counts: Body) -> None:
    for key in ("completion_tokens", "prompt_tokens_details", "completion_tokens_details"):
        del counts[key]


def _bad_total(counts: Body) -> None:
    counts["total_tokens"] += 7


def _zero(counts: Body) -> None:
    counts.update(prompt_tokens=0, completion_tokens=0, total_tokens=0)


def _with_cost(counts: Body) -> None:
    counts.update(cost=0.5, is_byok=False, cost_details={"upstream_inference_cost": 0.5})


def _reasoning_beside(counts: Body) -> None:
    counts["completion_tokens_details"]["reasoning_tokens"] = 50
    counts["total_tokens"] += 50


def _hit_and_miss(counts: Body) -> None:
    hit = counts["prompt_tokens"] // 2
    counts["prompt_cache_hit_tokens"] = hit
    counts["prompt_cache_miss_tokens"] = counts["prompt_tokens"] - hit


def _beside_caches(counts: Body) -> None:
    prompt, output = counts["prompt_tokens"], counts["completion_tokens"]
    counts.clear()
    counts.update(input_tokens=prompt - 6, output_tokens=output)
    counts.update(cache_read_input_tokens=4, cache_creation_input_tokens=2)


def _beside_thoughts(counts: Body) -> None:
    prompt, output = counts["prompt_tokens"], counts["completion_tokens"]
    counts.clear()
    counts.update(promptTokenCount=prompt, cachedContentTokenCount=4)
    counts.update(candidatesTokenCount=output, thoughtsTokenCount=50)


def _with_writes(counts: Body) -> None:
    counts["prompt_tokens_details"].update(cached_tokens=4, cache_write_tokens=2)


def _reasoning_above_output(counts: Body) -> None:
    counts["completion_tokens_details"]["reasoning_tokens"] = counts["completion_tokens"] + 50


def _without_usage_body(body: Body, _: Fault) -> None:
    del body["usage"]


def _without_usage(job: Job, _: Fault) -> Iterator[Chunk]:
    return (event for event in job.chunks() if event.kind != "usage")


def _usage_on_finish(job: Job, _: Fault) -> Iterator[Chunk]:
    for event in _without_usage(job, _):
        if event.kind == "finish":
            event.body["usage"] = usage(job.counts)
        yield event


def _usage_everywhere(job: Job, _: Fault) -> Iterator[Chunk]:
    """Running counts on every chunk, as Gemini and others send them; the last is right."""
    said = 0
    for event in job.chunks():
        said += event.tokens
        counts = usage(job.counts)
        if event.kind not in ("finish", "usage"):
            counts["completion_tokens"] = min(said, job.counts.completion)
            counts["total_tokens"] = counts["prompt_tokens"] + counts["completion_tokens"]
        event.body["usage"] = counts
        yield event


def _usage_twice(job: Job, _: Fault) -> Iterator[Chunk]:
    for event in job.chunks():
        yield event
        if event.kind == "usage":
            yield event


def _no_finish(event: Chunk) -> bool:
    return event.kind != "finish"


def _without_finish(job: Job, _: Fault) -> Iterator[Chunk]:
    return filter(_no_finish, job.chunks())


def _foreign_finish(body: Body, fault: Fault) -> None:
    for choice in body["choices"]:
        if choice["finish_reason"] is not None:
            choice["finish_reason"] = fault.params["reason"]


def _null_finish(body: Body, _: Fault) -> None:
    for choice in body["choices"]:
        choice["finish_reason"] = None


def _without_role(body: Body, _: Fault) -> None:
    for choice in body["choices"]:
        choice.get("message", choice.get("delta", {})).pop("role", None)


def _without_tool_index(event: Chunk, _: Fault) -> None:
    for choice in event.body["choices"]:
        for call in choice["delta"].get("tool_calls", ()):
            call.pop("index", None)


def _one_tool_index(event: Chunk, _: Fault) -> None:
    for choice in event.body["choices"]:
        for call in choice["delta"].get("tool_calls", ()):
            call["index"] = 0


def _no_arguments_body(body: Body, _: Fault) -> None:
    for choice in body["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call["function"]["arguments"] = ""


def _no_arguments(job: Job, _: Fault) -> Iterator[Chunk]:
    """Only the opening of each tool call, without its arguments."""
    for event in job.chunks():
        calls = [
            call
            for choice in event.body["choices"]
            for call in choice["delta"].get("tool_calls", ())
        ]
        for call in calls:
            call.get("function", {}).pop("arguments", None)
        if not calls or "id" in calls[0]:
            yield event


def _whole_calls(job: Job, fault: Fault) -> Iterator[Chunk]:
    """All tool calls of a choice in one chunk without index, finish `stop` (Google's endpoint)."""
    for event in job.chunks():
        if event.kind == "tool":
            calls = job.answers[event.body["choices"][0]["index"]].calls
            if "id" not in event.body["choices"][0]["delta"]["tool_calls"][0]:
                continue
            if event.body["choices"][0]["delta"]["tool_calls"][0]["index"]:
                continue
            event.body["choices"][0]["delta"]["tool_calls"] = [call.whole() for call in calls]
        if event.kind == "finish":
            _stop_after_calls(event.body, fault)
        yield event


def _stop_after_calls(body: Body, _: Fault) -> None:
    for choice in body["choices"]:
        if choice["finish_reason"] == "tool_calls":
            choice["finish_reason"] = "stop"


def _empty_choices_first(job: Job, _: Fault) -> Iterator[Chunk]:
    """Azure's first chunk."""
    filters: Body = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    yield Chunk("extra", {**filters, "prompt_filter_results": [{"prompt_index": 0}]})
    yield from job.chunks()


def _without_choices(job: Job, _: Fault) -> Iterator[Chunk]:
    """A chunk without `choices` between the others."""
    for event in job.chunks():
        yield event
        if event.kind == "role":
            yield Chunk("extra", {"id": event.body["id"], "object": "chat.completion.chunk"})


def _changing_ids(job: Job, _: Fault) -> Iterator[Chunk]:
    for number, event in enumerate(job.chunks()):
        event.body.update(id=f"chatcmpl-{number}", created=number, model=f"other-{number}")
        yield event


def _bare_body(body: Body, _: Fault) -> None:
    """What llama.cpp and its like leave out."""
    for key in ("service_tier", "system_fingerprint"):
        body.pop(key, None)
    body["model"] = None
    for choice in body["choices"]:
        choice.pop("logprobs", None)
        part = choice.get("message", choice.get("delta", {}))
        for key in ("refusal", "annotations"):
            part.pop(key, None)
    if body.get("usage"):
        body["usage"].pop("prompt_tokens_details", None)
        body["usage"].pop("completion_tokens_details", None)
    body["timings"] = {"predicted_ms": 12.5}


def _content_on_finish(job: Job, _: Fault) -> Iterator[Chunk]:
    """The last piece of text rides on the finish chunk."""
    waiting: Chunk | None = None
    for event in job.chunks():
        if event.kind == "finish" and waiting is not None:
            event.body["choices"][0]["delta"] = waiting.body["choices"][0]["delta"]
            event.tokens = waiting.tokens
            waiting = None
        if waiting is not None:
            yield waiting
            waiting = None
        if event.kind == "content":
            waiting = event
        else:
            yield event


def _on_body(bend: BendBody) -> BendChunks:
    """The bend of a body, applied to each chunk."""
    return _each(lambda event, fault: bend(event.body, fault))


def _same(doc: str, bend: BendBody, defaults: dict[str, str] | None = None) -> FaultKind:
    return _shape(doc, bend, _on_body(bend), defaults)


_stream_only = partial(_shape, body=_untouched)

SHAPES: dict[str, FaultKind] = {
    "usage-cached-above-prompt": _of_usage("more cached than prompt", _cached_above_prompt),
    "usage-reasoning-above-output": _of_usage(
        "more reasoning than output", _reasoning_above_output
    ),
    "usage-negative": _of_usage("negative completion_tokens", _negative),
    "usage-fractional": _of_usage("fractional prompt_tokens", _fractional),
    "usage-huge": _of_usage("completion_tokens beyond 63 bits", _huge),
    "usage-text": _of_usage("prompt_tokens as a string", _text),
    "usage-partial": _of_usage("no completion_tokens, no details", _partial),
    "usage-bad-total": _of_usage("total is not the sum", _bad_total),
    "usage-zero": _of_usage("all counts zero", _zero),
    "usage-cost": _of_usage("OpenRouter's cost, cost_details, is_byok", _with_cost),
    "usage-beside": _of_usage("reasoning beside the completion, as xAI", _reasoning_beside),
    "usage-beside-caches": _of_usage("caches beside the input, as Anthropic", _beside_caches),
    "usage-beside-thoughts": _of_usage("thoughts beside the answer, as Gemini", _beside_thoughts),
    "usage-writes": _of_usage("cache writes inside the prompt, as OpenRouter", _with_writes),
    "usage-split": _of_usage("cached tokens as hit and miss, as DeepSeek", _hit_and_miss),
    "usage-missing": _shape("no usage although asked", _without_usage_body, _without_usage),
    "usage-on-finish": _stream_only("usage on the finish chunk", chunks=_usage_on_finish),
    "usage-on-every-chunk": _stream_only("running usage on every chunk", chunks=_usage_everywhere),
    "usage-twice": _stream_only("the usage chunk twice", chunks=_usage_twice),
    "no-finish": _shape("[DONE] without a finish chunk", _null_finish, _without_finish),
    "finish-foreign": _same("finish_reason is `reason`", _foreign_finish, {"reason": "end_turn"}),
    "finish-stop-after-tools": _same("`stop` after tool calls", _stop_after_calls),
    "content-on-finish": _stream_only("last text on the finish chunk", chunks=_content_on_finish),
    "no-role": _same("no role anywhere", _without_role),
    "tool-no-index": _stream_only(
        "tool fragments without index", chunks=_each(_without_tool_index)
    ),
    "tool-one-index": _stream_only("all tool calls at index 0", chunks=_each(_one_tool_index)),
    "tool-no-arguments": _shape("arguments never sent", _no_arguments_body, _no_arguments),
    "tool-whole": _shape("whole calls, no index, finish stop", _stop_after_calls, _whole_calls),
    "empty-choices-first": _stream_only("Azure's first chunk", chunks=_empty_choices_first),
    "chunk-without-choices": _stream_only("a chunk without choices", chunks=_without_choices),
    "changing-ids": _stream_only("id, created, model change", chunks=_changing_ids),
    "bare": _same("fields missing and model null, as llama.cpp", _bare_body),
}
