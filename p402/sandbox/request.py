"""Decides whether a chat request is acceptable, the way api.openai.com would, and reads it.

Does not answer it: the outcome is a `ChatRequest` or a `RefusedError` with OpenAI's error object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p402.sandbox.messages import Prompt, read_messages
from p402.sandbox.models import PLAIN, SandboxModel, find
from p402.sandbox.refusal import RefusedError, boolean, integer, unsupported, wrong_type

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

N_MAX = 128
TOP_LOGPROBS_MAX = 20
STOP_MAX = 4
TOOLS_MAX = 128
_KEYS = """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens messages metadata modalities model moderation n parallel_tool_calls prediction
    presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
    response_format safety_identifier seed service_tier stop store stream stream_options
    temperature tool_choice tools top_logprobs top_p user verbosity web_search_options"""
KNOWN_KEYS = frozenset(_KEYS.split())


@dataclass(frozen=True, slots=True)
class Manners:
    """How picky the server is about names.

    `strict` refuses every top-level key that OpenAI does not know, `refused_keys` only these;
    `any_model` answers unknown model ids as `hello` does.
    """

    refused_keys: Collection[str] = ("p402",)
    strict: bool = False
    any_model: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that passed every check; `body` keeps what nothing here needs to read."""

    model: SandboxModel
    model_id: str
    body: dict[str, Any]
    prompt: Prompt
    stream: bool
    include_usage: bool
    n: int
    max_tokens: int
    stop: tuple[str, ...]
    top_logprobs: int | None
    effort: str | None


def read_chat(raw: bytes, manners: Manners) -> ChatRequest:
    """Parse and check a body."""
    body = parse_object(raw)
    for key in body:
        if key in manners.refused_keys or (manners.strict and key not in KNOWN_KEYS):
            raise RefusedError(f"Unrecognized request argument supplied: {key}")
    model_id = body.get("model")
    if not isinstance(model_id, str) or not model_id:
        raise RefusedError("you must provide a model parameter")
    model = find(model_id) or (PLAIN if manners.any_model else None)
    if model is None:
        raise RefusedError(
            f"The model `{model_id}` does not exist or you do not have access to it.",
            code="model_not_found",
            status=404,
        )
    stream = boolean(body, "stream")
    prompt = read_messages(body.get("messages"), model)
    _check_features(body, model)
    request = ChatRequest(
        model=model,
        model_id=model_id,
        body=body,
        prompt=prompt,
        stream=stream,
        include_usage=_stream_usage(body, stream=stream or model.lenient),
        n=integer(body, "n", 1, N_MAX) or 1,
        max_tokens=_output_bound(body, model),
        stop=_stop(body),
        top_logprobs=_top_logprobs(body),
        effort=_effort(body, model),
    )
    _check_context(request)
    return request


def parse_object(raw: bytes) -> dict[str, Any]:
    """The body as an object, or the 400 that OpenAI gives for anything else."""
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            "We could not parse the JSON body of your request. (HINT: This likely means you "
            "aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, "
            "but what was sent was not valid JSON.)"
        ) from error
    if not isinstance(body, dict):
        raise RefusedError("The JSON body of your request must be an object.", code="invalid_type")
    return body


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _check_features(body: Mapping[str, Any], model: SandboxModel) -> None:
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects", tools)
    if tools and len(tools) > TOOLS_MAX:
        raise RefusedError(
            f"Invalid 'tools': array too long. Expected at most {TOOLS_MAX}.",
            param="tools",
            code="array_above_max_length",
        )
    for index, tool in enumerate(tools or ()):
        _check_tool(tool, index)
    if tools and not model.tools:
        raise unsupported("tools", model.id)
    if body.get("tool_choice") is not None and not (tools or model.lenient):
        raise RefusedError(
            "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice"
        )
    form = body.get("response_format")
    if form is not None and not isinstance(form, dict):
        raise wrong_type("response_format", "an object", form)
    if form and form.get("type") != "text" and not model.structured:
        raise unsupported("response_format", model.id)
    if form and form.get("type") == "json_schema" and not _has_schema(form):
        raise RefusedError(
            "Missing required parameter: 'response_format.json_schema'.",
            param="response_format.json_schema",
            code="missing_required_parameter",
        )
    temperature = body.get("temperature")
    if temperature is not None and not (
        isinstance(temperature, (int, float)) and 0 <= temperature <= 2
    ):
        raise RefusedError(
            "Invalid 'temperature': expected a number between 0 and 2.",
            param="temperature",
            code="invalid_value",
        )


def _has_schema(form: Mapping[str, Any]) -> bool:
    named = form.get("json_schema")
    return isinstance(named, dict) and isinstance(named.get("name"), str)


def _check_tool(tool: object, index: int) -> None:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or kind not in ("function", "custom"):
        raise RefusedError(
            f"Invalid value: {json.dumps(kind)}. Supported values are: 'function', 'custom'.",
            param=f"tools[{index}].type",
            code="invalid_value",
        )
    inner = tool.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise RefusedError(
            f"Missing required parameter: 'tools[{index}].{kind}.name'.",
            param=f"tools[{index}].{kind}.name",
            code="missing_required_parameter",
        )


def _check_context(request: ChatRequest) -> None:
    asked = request.prompt.tokens
    if asked <= request.model.context:
        return
    raise RefusedError(
        f"This model's maximum context length is {request.model.context} tokens. However, your "
        f"messages resulted in {asked} tokens. Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    )


def _stream_usage(body: Mapping[str, Any], *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise wrong_type("stream_options", "an object", options)
    if not stream:
        raise RefusedError(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    return boolean(options, "include_usage")


def _output_bound(body: Mapping[str, Any], model: SandboxModel) -> int:
    least = 0 if model.lenient else 1
    bounds = [integer(body, key, least, None) for key in ("max_tokens", "max_completion_tokens")]
    given = [bound for bound in bounds if bound]
    if given and min(given) > model.max_output:
        raise RefusedError(
            f"max_tokens is too large: {min(given)}. This model supports at most "
            f"{model.max_output} completion tokens.",
            param="max_tokens",
            code="invalid_value",
        )
    return min([*given, model.max_output])


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    if stop is None:
        return ()
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) for text in stops):
        raise wrong_type("stop", "a string or an array of strings", stop)
    if len(stops) > STOP_MAX:
        raise RefusedError(
            f"Invalid 'stop': array too long. Expected at most {STOP_MAX}.",
            param="stop",
            code="array_above_max_length",
        )
    return tuple(text for text in stops if text)


def _top_logprobs(body: Mapping[str, Any]) -> int | None:
    top = integer(body, "top_logprobs", 0, TOP_LOGPROBS_MAX)
    if not boolean(body, "logprobs"):
        if top is not None:
            raise RefusedError(
                "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
                param="top_logprobs",
            )
        return None
    return top or 0


def _effort(body: Mapping[str, Any], model: SandboxModel) -> str | None:
    effort = body.get("reasoning_effort")
    if effort is None:
        return "medium" if "medium" in model.efforts and not model.lenient else None
    if not model.efforts:
        raise unsupported("reasoning_effort", model.id)
    if effort not in model.efforts:
        raise RefusedError(
            f"Invalid value: {json.dumps(effort)}. Supported values are: "
            f"{', '.join(repr(name) for name in model.efforts)}.",
            param="reasoning_effort",
            code="invalid_value",
        )
    return str(effort)
