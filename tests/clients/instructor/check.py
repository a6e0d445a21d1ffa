"""Decides whether instructor works unchanged.

Does not test instructor: every assertion is about what the gateway sent.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import instructor
import openai
from checks import BASE_URL, HELLO, KEY, PIN_KEY, check, finish, raises
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel

ASK: dict[str, Any] = {"model": "hello", "messages": HELLO, "max_retries": 0}


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


class Answer(BaseModel):
    """What the test upstream says where it is told no schema."""

    sandbox: bool
    topic: str
    answer: str


def _patched(mode: Mode, key: str = KEY) -> Any:
    client = OpenAI(base_url=BASE_URL, api_key=key, max_retries=0)
    return instructor.from_openai(client, mode=mode)


def main() -> None:
    with check("version"):
        assert version("instructor") == "1.17.0"
    for mode, kind in (
        (Mode.TOOLS, Weather),
        (Mode.JSON_SCHEMA, Weather),
        (Mode.JSON, Answer),
    ):
        client = _patched(mode)
        with check(f"{mode.value}: create"):
            assert isinstance(client.create(**ASK, response_model=kind), kind)
        with check(f"{mode.value}: raw completion and its metadata"):
            found, raw = client.create_with_completion(**ASK, response_model=kind)
            assert isinstance(found, kind)
            assert raw.p402_metadata["output_tokens"] == raw.usage.completion_tokens
            assert raw.p402_metadata["cost_usd"] == raw.usage.cost > 0
        with check(f"{mode.value}: partials"):
            parts = list(client.create_partial(**ASK, response_model=kind))
            assert len(parts) > 1
            kind.model_validate(parts[-1].model_dump())
    with check("the mode in extra_body"):
        wish = {"p402": {"mode": "cost"}}
        _, raw = _patched(Mode.TOOLS).create_with_completion(
            **ASK, response_model=Weather, extra_body=wish
        )
        assert raw.p402_metadata["routing_mode"] == "cost"
    with check("a list of objects, one by one"):
        found = list(_patched(Mode.TOOLS).create_iterable(**ASK, response_model=Weather))
        assert all(isinstance(each, Weather) for each in found)
    with check("a refusal"):
        with raises(Exception) as caught:
            _patched(Mode.TOOLS, "wrong").create(**ASK, response_model=Weather)
        assert "invalid_api_key" in str(caught[0]) or "no tenant has this key" in str(caught[0])
    with check("error frame"), raises((openai.APIError, Exception)):
        ask = {**ASK, "model": "fault-close-mid-stream"}
        list(_patched(Mode.JSON, PIN_KEY).create_partial(**ask, response_model=Weather))
    finish()


main()
