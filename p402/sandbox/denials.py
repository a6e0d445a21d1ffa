"""Decides how an upstream says no: every fault that is a plain error reply.

Does not cut or bend anything; the connection stays sound.
"""

from __future__ import annotations

from typing import Any

from p402.sandbox.faults import Fault, FaultKind
from p402.sandbox.perform import Job, bill_prompt, first_wait
from p402.sandbox.reply import dumps
from p402.sandbox.script import HTML_TYPE, JSON_TYPE, Script, sized

HTML_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center>"
    b"<h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>"
)


def _error(kind: str, message: str, code: str | int | None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _say(job: Job, status: int, body: object, extra: dict[str, str] | None = None) -> Script:
    yield from first_wait(job)
    job.record.status = status
    yield sized(status, JSON_TYPE, extra or {}, dumps(body))


def _fixed(doc: str, status: int, body: object) -> FaultKind:
    def play(job: Job, _: Fault) -> Script:
        return _say(job, status, body)

    return FaultKind(f"{status}: {doc}", play)


def _rate_limited(job: Job, fault: Fault) -> Script:
    after = fault.params["after"]
    extra = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"}
    if after:
        extra["retry-after"] = after
    if fault.params["after_ms"]:
        extra["retry-after-ms"] = fault.params["after_ms"]
    message = "Rate limit reached for sandbox in organization sandbox on requests per min (RPM)."
    return _say(job, 429, _error("requests", message, "rate_limit_exceeded"), extra)


def _model_gone(job: Job, _: Fault) -> Script:
    message = f"The model `{job.request.model_id}` has been deprecated."
    return _say(job, 404, _error("invalid_request_error", message, "model_not_found"))


def _unavailable(job: Job, fault: Fault) -> Script:
    extra = {"retry-after": fault.params["after"]} if fault.params["after"] else {}
    message = "The engine is currently overloaded, please try again later."
    return _say(job, 503, _error("server_error", message, None), extra)


def _html_error(job: Job, fault: Fault) -> Script:
    yield from first_wait(job)
    job.record.status = fault.integer("status")
    yield sized(job.record.status, HTML_TYPE, {}, HTML_PAGE)


def _html_success(job: Job, _: Fault) -> Script:
    yield from first_wait(job)
    bill_prompt(job)
    job.record.status = 200
    yield sized(200, HTML_TYPE, {}, HTML_PAGE.replace(b"502 Bad Gateway", b"Welcome"))


def _error_as_success(job: Job, _: Fault) -> Script:
    message = "The server had an error while processing your request."
    return _say(job, 200, _error("server_error", message, "internal_error"))


def _any_status(job: Job, fault: Fault) -> Script:
    status = fault.integer("status")
    return _say(job, status, _error("sandbox_error", f"Status {status}, as asked.", None))


DENIALS: dict[str, FaultKind] = {
    "400": _fixed(
        "a bad request with a parameter named",
        400,
        _error("invalid_request_error", "Invalid value for 'top_p'.", "invalid_value", "top_p"),
    ),
    "context-length": _fixed(
        "the prompt does not fit (code context_length_exceeded)",
        400,
        _error(
            "invalid_request_error",
            "This model's maximum context length is 128000 tokens. However, your messages "
            "resulted in 130412 tokens.",
            "context_length_exceeded",
            "messages",
        ),
    ),
    "content-filter": _fixed(
        "the provider's policy refuses the prompt (code content_filter)",
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering the content "
                "management policy.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
    ),
    "401": _fixed(
        "the key is wrong",
        401,
        _error("invalid_request_error", "Incorrect API key provided: sk-bad.", "invalid_api_key"),
    ),
    "402": _fixed(
        "the account is out of credit",
        402,
        _error("insufficient_quota", "Insufficient Balance", "insufficient_balance"),
    ),
    "403": _fixed(
        "the key may not use this model",
        403,
        _error("permission_error", "Country, region, or territory not supported", "forbidden"),
    ),
    "404": FaultKind("404: the model is gone", _model_gone),
    "408": _fixed("the provider gave up waiting", 408, _error("timeout", "Request timeout", None)),
    "413": _fixed(
        "the body is too large for the provider",
        413,
        _error("invalid_request_error", "Request too large", "request_too_large"),
    ),
    "422": _fixed(
        "FastAPI's error form, no `error` object",
        422,
        {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]},
    ),
    "429": FaultKind(
        "429: rate limited; Retry-After seconds in `after`, also `after_ms`",
        _rate_limited,
        {"after": "1", "after_ms": ""},
    ),
    "quota": _fixed(
        "429 that no waiting mends (code insufficient_quota)",
        429,
        _error(
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
        ),
    ),
    "500": _fixed(
        "the provider has a bug",
        500,
        _error(
            "server_error", "The server had an error while processing your request.", "internal"
        ),
    ),
    "502": FaultKind("a proxy's HTML page, status in `status`", _html_error, {"status": "502"}),
    "503": FaultKind("503: overloaded; `after` adds Retry-After", _unavailable, {"after": ""}),
    "504": _fixed("gateway timeout", 504, _error("timeout", "Gateway Timeout", None)),
    "529": _fixed(
        "Anthropic's overload",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ),
    "status": FaultKind("any `status` with an error object", _any_status, {"status": "418"}),
    "string-error": _fixed("`error` is a bare string", 500, {"error": "model runner has died"}),
    "int-code": _fixed(
        "`code` is a number, as llama.cpp and OpenRouter send it",
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
    ),
    "html-200": FaultKind("an HTML page with status 200", _html_success),
    "error-200": FaultKind("an error object with status 200", _error_as_success),
}
