"""Decides whether the `llm` tool works unchanged.

Does not test `llm`: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from typing import Any

# It writes its logs and keys where this says; the user's own stay untouched.
os.environ["LLM_USER_PATH"] = tempfile.mkdtemp(prefix="p402-llm-")

from checks import BASE_URL, KEY, PIN_KEY, TEXT, check, finish, raises
from llm import ModelError
from llm.default_plugins.openai_models import Chat


def _chat(name: str = "hello", key: str = KEY) -> Any:
    made = Chat(name, model_name=name, api_base=BASE_URL, supports_schema=True, supports_tools=True)
    made.key = key
    return made


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"mild in {city}"


def main() -> None:
    with check("version"):
        assert version("llm") == "0.36"
    for stream in (True, False):
        with check(f"prompt, stream {stream}"):
            done = _chat().prompt("Say hello.", stream=stream)
            assert done.text() == TEXT
            assert (done.input_tokens, done.output_tokens) == (11, 5)
    with check("a chain with a tool"):
        assert _chat().chain("Weather in Paris?", tools=[get_weather]).text() == TEXT
    with check("a schema"):
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        assert "city" in _chat().prompt("Weather?", schema=schema).text()
    with check("a refusal"), raises(Exception) as caught:
        _chat(key="wrong").prompt("Say hello.").text()
    with check("a refusal's words"):
        assert "401" in str(caught[0]) or "no tenant has this key" in str(caught[0])
    for fault in ("error-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises((ModelError, Exception)):
            _chat(f"fault-{fault}", PIN_KEY).prompt("Say hello.").text()
    finish()


main()
