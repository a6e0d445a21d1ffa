"""Decides a JSON value that satisfies a JSON schema, with words and numbers of the prompt in it.

Does not validate and never fails: what a schema forbids in every branch comes out as null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from p402.sandbox import scalars

if TYPE_CHECKING:
    import random

DEPTH_MAX = 5
REF_MAX = 32
ITEMS_DEFAULT = 2
ITEMS_MAX = 64
UNIQUE_TRIES = 64
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NAME = re.compile(r"\b[A-Z][\w'-]+")
WORD = re.compile(r"[^\W\d_]{3,}")
QUOTED = re.compile(r"(?<!\w)['\"]([^'\"\n]{1,40})['\"](?!\w)")
OBJECT_KEYS_MAX = 16
SHAPES = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


@dataclass(slots=True)
class Words:
    """What the prompt offers as values; each is used once before any is used again."""

    prompt: str
    names: list[str]
    numbers: list[float]
    _turn: int = field(default=0)
    _figure: int = field(default=0)

    @classmethod
    def of(cls, prompt: str) -> Words:
        """Read names and numbers off the first stretch of a prompt; what it quotes comes first."""
        start = prompt[:2_000]
        names = QUOTED.findall(start) or NAME.findall(start)[1:]
        names = names or WORD.findall(start) or ["sandbox"]
        return cls(start, list(dict.fromkeys(names)), [float(n) for n in NUMBER.findall(start)])

    def name(self) -> str:
        """The next name."""
        self._turn += 1
        return self.names[(self._turn - 1) % len(self.names)]

    def number(self) -> float | None:
        """The next number, None when all have been used."""
        if self._figure >= len(self.numbers):
            return None
        self._figure += 1
        return self.numbers[self._figure - 1]

    def text(self) -> str:
        """The whole prompt as one value."""
        return self.prompt.strip() or "sandbox"


def answer_for(form: Mapping[str, Any], prompt: str, dice: random.Random) -> str:
    """The JSON text for a `response_format`."""
    words = Words.of(prompt)
    if form.get("type") == "json_object":
        keys = [key for key in QUOTED.findall(words.prompt) if key.isidentifier()]
        asked = {key: words.text()[:80] for key in keys[:OBJECT_KEYS_MAX]}
        plain = {"sandbox": True, "topic": words.name(), "answer": words.text()[:80]}
        value: object = asked or plain
    else:
        named = form.get("json_schema")
        body = named.get("schema") if isinstance(named, Mapping) else None
        value = generate(body if isinstance(body, Mapping) else {}, words, dice)
    return json.dumps(value, ensure_ascii=False)


def generate(schema: Mapping[str, Any], words: Words, dice: random.Random) -> Any:
    """A value for a whole schema document."""
    return _Generator(schema, words, dice).value(schema, 0)


@dataclass(slots=True)
class _Generator:
    root: Mapping[str, Any]
    words: Words
    dice: random.Random

    def value(self, schema: object, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return self.words.name() if schema is True else None
        schema = self._flat(schema)
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return self._of_enum(choices)
        for key in ("anyOf", "oneOf"):
            branches = schema.get(key)
            if isinstance(branches, list) and branches:
                rest = {name: part for name, part in schema.items() if name != key}
                return self.value(_merge(rest, self._branch(branches, depth)), depth)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = self._kind(schema, depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            hint = self.words.number()
            return scalars.number(schema, hint, self.dice, whole=kind == "integer")
        if kind == "boolean":
            return self.dice.random() < 0.5
        if kind == "null":
            return None
        return scalars.string(schema, self.words.name(), self.dice)

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            simple = [name for name in kind if name != "null"]
            kind = "null" if not simple or (depth > DEPTH_MAX and "null" in kind) else simple[0]
        if isinstance(kind, str):
            return kind
        return next((shape for key, shape in SHAPES.items() if key in schema), "string")

    def _of_enum(self, choices: list[Any]) -> Any:
        lowered = self.words.prompt.lower()
        for choice in choices:
            if isinstance(choice, str) and len(choice) > 2 and choice.lower() in lowered:
                return choice
        return self.dice.choice(choices)

    def _branch(self, branches: list[Any], depth: int) -> Mapping[str, Any]:
        """The first branch that is not null; past the depth the one that ends soonest."""
        flat = [self._flat(branch) for branch in branches if isinstance(branch, Mapping)]
        if not flat:
            return {}
        if depth > DEPTH_MAX:
            return min(flat, key=_weight)
        return next((branch for branch in flat if branch.get("type") != "null"), flat[0])

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        listed = properties if isinstance(properties, Mapping) else {}
        required = [key for key in schema.get("required") or () if isinstance(key, str)]
        others = schema.get("additionalProperties", True)
        spare = others if isinstance(others, Mapping) else {}
        wanted = [key for key in listed if key in required or depth < DEPTH_MAX - 2]
        made = {key: self.value(listed[key], depth + 1) for key in wanted}
        for key in required:
            if key not in made:
                made[key] = self.value(spare, depth + 1)
        for key in listed:
            if len(made) < schema.get("minProperties", 0) and key not in made:
                made[key] = self.value(listed[key], depth + 1)
        fewest = min(schema.get("minProperties", 0), ITEMS_MAX)
        if not listed and isinstance(others, Mapping) and depth < DEPTH_MAX:
            fewest = max(fewest, 1)
        number = 0
        while others is not False and len(made) < fewest:
            number += 1
            made.setdefault(f"key_{number}", self.value(spare, depth + 1))
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        prefix = schema.get("prefixItems")
        heads = list(prefix) if isinstance(prefix, list) else []
        items = schema.get("items", True)
        fewest = schema.get("minItems", 0)
        most = schema.get("maxItems", ITEMS_MAX)
        length = 0 if depth > DEPTH_MAX else max(ITEMS_DEFAULT, len(heads))
        if items is False:
            length = len(heads)
        length = min(max(length, fewest), most, ITEMS_MAX)
        made: list[Any] = []
        for place in range(length):
            part = heads[place] if place < len(heads) else items
            value = self.value(part, depth + 1)
            if schema.get("uniqueItems"):
                value = self._unlike(made, value, part, depth)
                if value in made:
                    break
            made.append(value)
        return made

    def _unlike(self, made: list[Any], value: Any, part: object, depth: int) -> Any:
        """A value not yet in the list, if a bounded number of tries finds one."""
        for number in range(UNIQUE_TRIES):
            if value not in made:
                break
            flat = self._flat(part) if isinstance(part, Mapping) else {}
            choices = flat.get("enum")
            if isinstance(choices, list):
                value = choices[number % len(choices)]
            elif isinstance(value, str) and "format" not in flat and "pattern" not in flat:
                value = scalars.fit(flat, f"{number}{value}")
            else:
                value = self.value(part, depth + 1)
        return value

    def _flat(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema with its own `$ref` and `allOf` folded in."""
        for _ in range(REF_MAX):
            if "$ref" in schema:
                rest = {key: part for key, part in schema.items() if key != "$ref"}
                schema = _merge(self._target(str(schema["$ref"])), rest)
            elif isinstance(schema.get("allOf"), list):
                parts = schema["allOf"]
                schema = {key: part for key, part in schema.items() if key != "allOf"}
                for part in parts:
                    schema = _merge(schema, self._flat(part) if isinstance(part, Mapping) else {})
            else:
                break
        return schema

    def _target(self, ref: str) -> Mapping[str, Any]:
        found: Any = self.root
        for step in ref.removeprefix("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if key and isinstance(found, Mapping):
                found = found.get(key)
            elif key and isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
        return found if isinstance(found, Mapping) else {}


def _merge(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both schemas at once: properties and required are joined, the rest is overridden."""
    merged = {**base, **more}
    for key in ("properties", "$defs"):
        if isinstance(base.get(key), Mapping) and isinstance(more.get(key), Mapping):
            merged[key] = {**base[key], **more[key]}
    if isinstance(base.get("required"), list) and isinstance(more.get("required"), list):
        merged["required"] = list(dict.fromkeys([*base["required"], *more["required"]]))
    return merged


def _weight(schema: Mapping[str, Any]) -> int:
    order = {"null": 0, "boolean": 1, "integer": 1, "number": 1, "string": 1, "array": 2}
    return order.get(str(schema.get("type")), 3 if "$ref" not in schema else 4)
