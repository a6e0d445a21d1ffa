"""Decides whether every JSON the sandbox makes up validates against the schema it was given.

Does not test the wire.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, AwareDatetime, BaseModel, Field

from p402.sandbox import schema
from p402.sandbox.dice import roll

PROMPT = "Ask Alice and Bob in Paris for 3 apples at 2.50, admin only"


def valid(document, seed=0):
    value = schema.generate(document, schema.Words.of(PROMPT), roll(seed))
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(document, format_checker=checker).validate(value)
    return value


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = Field(min_length=3, max_length=3)


class Tree(BaseModel):
    label: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{3,5}$")]
    children: list[Tree] = []
    left: Tree | None = None


class Everything(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    colour: Colour
    tree: Tree
    when: AwareDatetime
    site: AnyUrl
    key: UUID
    share: float = Field(gt=0, lt=1)
    even: int = Field(multiple_of=2, ge=10, le=20)
    tags: set[str] = Field(min_length=4, max_length=6)
    pair: tuple[int, str]
    counts: dict[str, int]
    note: str | None
    anything: Any
    code: str = Field(min_length=5, max_length=8)


@pytest.mark.parametrize("seed", range(20))
def test_pydantic_models_read_it_back(seed):
    Everything.model_validate(valid(Everything.model_json_schema(), seed))


def test_the_prompt_shines_through():
    document = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "amount": {"type": "integer"},
            "role": {"enum": ["guest", "admin"]},
        },
        "required": ["city", "amount", "role"],
    }
    made = valid(document)
    assert made["city"] in ("Alice", "Bob", "Paris")
    assert (made["amount"], made["role"]) == (3, "admin")


@pytest.mark.parametrize(
    "document",
    [
        {},
        True,
        {"const": {"a": [1, None]}},
        {"enum": [None]},
        {"type": ["null", "integer"], "minimum": 5},
        {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
        {"type": "integer", "minimum": -10, "maximum": -3, "multipleOf": 4},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "number", "minimum": 1.5, "maximum": 1.5},
        {"type": "number", "multipleOf": 0.25, "minimum": 0.1, "maximum": 0.6},
        {"type": "integer", "maximum": -200},
        {"type": "string", "minLength": 40},
        {"type": "string", "maxLength": 2},
        {"type": "string", "pattern": "^(foo|bar)_[a-f0-9]{4}(\\.[^/]+)?$"},
        {"type": "string", "pattern": "\\d{3}"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 5, "uniqueItems": True},
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"const": 1}, {"type": "string"}], "items": False},
        {"type": "array", "maxItems": 0},
        {"items": {"type": "null"}},
        {"type": "object", "required": ["a", "b"]},
        {"type": "object", "minProperties": 3, "properties": {"a": {"type": "null"}}},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
        {"type": "object", "properties": {}, "additionalProperties": False},
        {"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}, {"type": "object"}]},
        {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "integer"}]},
        {"$defs": {"x": {"type": "integer", "minimum": 7}}, "$ref": "#/$defs/x"},
        {"definitions": {"a/b": {"const": 9}}, "properties": {"z": {"$ref": "#/definitions/a~1b"}}},
        {"type": "array", "items": {"$ref": "#"}},
        {
            "type": "object",
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
            "required": ["next"],
        },
        *({"type": "string", "format": name} for name in ("date", "email", "ipv4", "ipv6", "uuid")),
        *({"type": "string", "format": name} for name in ("date-time", "time", "regex", "odd")),
    ],
)
def test_it_validates(document):
    for seed in range(10):
        valid(document, seed)


NAMES = st.sampled_from(["a", "b", "c", "d"])
LEAVES = st.one_of(
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-1_000, 1_000),
        st.integers(0, 50),
    ),
    st.builds(
        lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": [1, "x"]}, {"const": 0}]),
)


def branches(inner):
    return st.one_of(
        st.builds(
            lambda parts, bound: {
                "type": "object",
                "properties": parts,
                "required": sorted(parts)[:bound],
                "additionalProperties": False,
            },
            st.dictionaries(NAMES, inner, max_size=4),
            st.integers(0, 4),
        ),
        st.builds(
            lambda items, few, more: {
                "type": "array",
                "items": items,
                "minItems": few,
                "maxItems": few + more,
            },
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
    )


@given(st.recursive(LEAVES, branches, max_leaves=12), st.integers(0, 9))
@settings(max_examples=300, deadline=None)
def test_any_schema_of_these_parts_is_satisfied(document, seed):
    valid(document, seed)
