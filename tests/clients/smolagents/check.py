"""Decides whether smolagents works unchanged.

Does not test smolagents: every assertion is about what the gateway sent.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import openai
from checks import BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, check, finish, raises
from smolagents import OpenAIModel, tool

SAY = [{"role": "user", "content": "Say hello."}]


@tool
def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name
    """
    return f"mild in {city}"


def _model(name: str = "hello", key: str = KEY) -> OpenAIModel:
    options = {"max_retries": 0}
    return OpenAIModel(model_id=name, api_base=BASE_URL, api_key=key, client_kwargs=options)


def main() -> None:
    with check("version"):
        assert version("smolagents") == "1.26.0"
    with check("generate"):
        done = _model().generate(SAY)
        assert done.content == TEXT
        assert done.token_usage.output_tokens == 5
        assert done.raw.usage.cost == COST_USD
    with check("the mode in extra_body"):
        wish: Any = {"p402": {"mode": "cost"}}
        done = _model().generate(SAY, extra_body=wish)
        assert done.raw.p402_metadata["routing_mode"] == "cost"
    with check("generate_stream"):
        parts = list(_model().generate_stream(SAY))
        assert "".join(part.content or "" for part in parts) == TEXT
        counted = [part.token_usage for part in parts if part.token_usage]
        assert counted[-1].input_tokens == 11
    with check("tools"):
        ask = [{"role": "user", "content": "Weather in Paris?"}]
        done = _model().generate(ask, tools_to_call_from=[get_weather])
        assert done.tool_calls[0].function.name == "get_weather"
    with check("a refusal"), raises(openai.AuthenticationError):
        _model(key="wrong").generate(SAY)
    for fault in ("error-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises(openai.APIError):
            list(_model(f"fault-{fault}", PIN_KEY).generate_stream(SAY))
    finish()


main()
