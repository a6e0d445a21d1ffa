"""Decides numbers and strings that satisfy the bounds, formats and patterns of a JSON schema.

Does not know objects or arrays.
"""

from __future__ import annotations

import math
import re
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping

PAD = "sandbox "
LENGTH_MAX = 4_096
REPEAT_EXTRA = 2
SPREAD = 100
STAMP = "2026-11-22"
PARSER: Any = re._parser  # type: ignore[attr-defined]  # the one regex reader there is


def number(
    schema: Mapping[str, Any], hint: float | None, dice: random.Random, *, whole: bool
) -> int | float:
    """A number within the bounds: the hint where it fits, else one drawn."""
    grain = _bound(schema, "multipleOf")
    step = grain if grain and grain > 0 else (1.0 if whole else 0.01)
    if whole and step != int(step):
        step = math.lcm(1, *_ratio(step))
    low, high = _limits(schema, step)
    if hint is not None and low <= hint <= high and _fits(hint, grain, whole=whole):
        return int(hint) if whole else hint
    first = math.ceil(round(low / step, 9))
    last = math.floor(round(high / step, 9))
    count = first if last <= first else dice.randint(first, last)
    value = count * step
    return int(value) if whole else min(max(round(value, 9), low), high)


def _fits(hint: float, grain: float | None, *, whole: bool) -> bool:
    if whole and hint != int(hint):
        return False
    return grain is None or hint % grain == 0


def _limits(schema: Mapping[str, Any], step: float) -> tuple[float, float]:
    low = _bound(schema, "minimum")
    over = _bound(schema, "exclusiveMinimum")
    high = _bound(schema, "maximum")
    under = _bound(schema, "exclusiveMaximum")
    if over is not None and (low is None or over >= low):
        low = over + _inside(over, under if under is not None else high, step)
    if under is not None and (high is None or under <= high):
        high = under - _inside(low, under, step)
    if low is None:
        low = 0.0 if high is None or high >= 0 else high - SPREAD
    if high is None:
        high = low + SPREAD * max(step, 1.0)
    return low, high


def _inside(low: float | None, high: float | None, step: float) -> float:
    """How far to stay off an exclusive bound: a step, or less in a narrow range."""
    if low is None or high is None or high - low > 2 * step:
        return step
    return (high - low) / 4


def _bound(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    return float(value) if isinstance(value, (int, float)) and value is not True else None


def _ratio(step: float) -> tuple[int, ...]:
    numerator, _ = step.as_integer_ratio()
    return (numerator,)


def string(schema: Mapping[str, Any], word: str, dice: random.Random) -> str:
    """A string of the format, the pattern, or simply the word at a fitting length."""
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        made = _of_pattern(pattern, dice)
        if made is not None:
            return made
    shape = schema.get("format")
    if isinstance(shape, str):
        made = _of_format(shape, word, dice)
        if made is not None:
            return made
    return fit(schema, word)


def fit(schema: Mapping[str, Any], text: str) -> str:
    """The text, padded or cut to the schema's length."""
    fewest = min(int(schema.get("minLength", 0)), LENGTH_MAX)
    most = int(schema.get("maxLength", LENGTH_MAX))
    while len(text) < fewest:
        text += " " + PAD
    if fewest and len(text) > max(fewest, most):
        text = text[:fewest]
    return text[:most]


def _of_format(shape: str, word: str, dice: random.Random) -> str | None:
    clock = f"{dice.randrange(24):02d}:{dice.randrange(60):02d}:00"
    host = re.sub(r"[^a-z0-9]", "", word.lower()) or "sandbox"
    return {
        "date": STAMP,
        "date-time": f"{STAMP}T{clock}Z",
        "time": f"{clock}Z",
        "duration": "PT5M",
        "email": f"{host}@example.com",
        "idn-email": f"{host}@example.com",
        "hostname": f"{host}.example.com",
        "uri": f"https://example.com/{host}",
        "url": f"https://example.com/{host}",
        "uri-reference": f"/{host}",
        "uuid": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "ipv4": f"192.0.2.{dice.randrange(1, 255)}",
        "ipv6": f"2001:db8::{dice.randrange(1, 255):x}",
        "byte": "c2FuZGJveA==",
        "decimal": "12.50",
        "regex": "^a+$",
        "json-pointer": f"/{host}",
    }.get(shape)


def _of_pattern(pattern: str, dice: random.Random) -> str | None:
    """A string the pattern matches; None where it uses what this cannot invert."""
    try:
        made = "".join(_piece(op, argument, dice) for op, argument in PARSER.parse(pattern))
        return made if re.search(pattern, made) else None
    except (re.error, LookupError, OverflowError):
        return None


def _piece(op: object, argument: Any, dice: random.Random) -> str:
    """One node of a parsed regular expression; KeyError for nodes without an inverse."""
    return INVERSES[str(op)](argument, dice)


def _repeat(argument: Any, dice: random.Random) -> str:
    fewest, most, inner = argument
    times = dice.randint(fewest, min(int(most), fewest + REPEAT_EXTRA, LENGTH_MAX))
    return "".join(_sequence(inner, dice) for _ in range(times))


def _sequence(nodes: Iterable[tuple[object, Any]], dice: random.Random) -> str:
    return "".join(_piece(op, argument, dice) for op, argument in nodes)


def _of_set(nodes: list[tuple[object, Any]], dice: random.Random) -> str:
    categories = {"CATEGORY_DIGIT": "7", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}
    if str(nodes[0][0]) == "NEGATE":
        barred = "".join(chr(value) for op, value in nodes[1:] if str(op) == "LITERAL")
        return next(letter for letter in "abcdefghijklmnopqrstuvwxyz0123" if letter not in barred)
    op, value = dice.choice(nodes)
    if str(op) == "RANGE":
        return chr(dice.randint(*value))
    if str(op) == "CATEGORY":
        return categories[str(value)]
    return chr(value)


INVERSES: dict[str, Callable[[Any, random.Random], str]] = {
    "LITERAL": lambda argument, _: chr(argument),
    "NOT_LITERAL": lambda argument, _: "b" if argument == ord("a") else "a",
    "ANY": lambda *_: "a",
    "AT": lambda *_: "",
    "IN": _of_set,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "SUBPATTERN": lambda argument, dice: _sequence(argument[-1], dice),
    "BRANCH": lambda argument, dice: _sequence(dice.choice(argument[1]), dice),
}
