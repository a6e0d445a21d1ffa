"""Decides how a refused request is worded: OpenAI's error object and its usual causes.

Does not know which request is refused or why: readers raise these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class RefusedError(Exception):
    """A request that is answered with an error object instead of a completion."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }


def integer(body: Mapping[str, Any], key: str, least: int, most: int | None) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(key, "an integer", value)
    if value < least or (most is not None and value > most):
        side = "below minimum" if value < least else "above maximum"
        raise RefusedError(
            f"Invalid '{key}': integer {side} value.",
            param=key,
            code=f"integer_{side.replace(' ', '_')}_value",
        )
    return value


def boolean(body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(key, "a boolean", value)
    return bool(value)


def unsupported(param: str, model_id: str) -> RefusedError:
    return RefusedError(
        f"Unsupported parameter: '{param}' is not supported with this model ({model_id}).",
        param=param,
        code="unsupported_parameter",
    )


def wrong_type(param: str, expected: str, value: object) -> RefusedError:
    found = "null" if value is None else type(value).__name__
    return RefusedError(
        f"Invalid type for '{param}': expected {expected}, but got {found} instead.",
        param=param,
        code="invalid_type",
    )
