"""Decides whether agno works unchanged.

Does not test agno: every assertion is about what the gateway sent. Stream errors of any form are
swallowed by agno itself, so none is asserted.
"""

from __future__ import annotations

import json
from importlib.metadata import version

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from checks import BASE_URL, KEY, TEXT, check, finish
from pydantic import BaseModel


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """The weather of a city."""
    return json.dumps({"city": city, "celsius": 20})


def _agent(**more: object) -> Agent:
    wish = {"p402": {"mode": "cost"}}
    model = OpenAILike(id="hello", base_url=BASE_URL, api_key=KEY, max_retries=0, extra_body=wish)
    return Agent(model=model, telemetry=False, **more)


def main() -> None:
    with check("version"):
        assert version("agno") == "3.1.10"
    with check("run"):
        done = _agent().run("Say hello.")
        assert done.content == TEXT
        assert done.metrics.total_tokens == 16
    with check("stream"):
        events = _agent().run("Say hello.", stream=True)
        pieces = [event.content for event in events if event.event == "RunContent"]
        assert "".join(piece or "" for piece in pieces) == TEXT
    with check("tools"):
        done = _agent(tools=[get_weather]).run("Weather in Paris?")
        assert done.content == TEXT
        assert done.tools[0].tool_name == "get_weather"
    with check("structured"):
        assert isinstance(_agent(output_schema=Weather).run("Weather in Paris?").content, Weather)
    finish()


main()
