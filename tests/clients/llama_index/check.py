"""Decides whether LlamaIndex works unchanged, through both of its OpenAI classes.

Does not test LlamaIndex: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import openai
from checks import BASE_URL, COST_USD, KEY, PIN_KEY, TEXT, check, finish, metadata, raises
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

SAY = [ChatMessage(role="user", content="Say hello.")]


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"mild in {city}"


def _named(**more: Any) -> OpenAI:
    """A model name that LlamaIndex knows: it reads the context window from its own table."""
    made = {"model": "gpt-4o-mini", "api_base": BASE_URL, "api_key": KEY, "max_retries": 0}
    return OpenAI(**{**made, **more})


def _like(**more: Any) -> OpenAILike:
    made = {"model": "hello", "api_base": BASE_URL, "api_key": KEY, "max_retries": 0}
    kind = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 128_000}
    return OpenAILike(**{**made, **kind, **more})


def both(name: str, llm: LLM, direct_cost: float) -> None:
    with check(f"{name}: chat"):
        done = llm.chat(SAY)
        assert done.message.content == TEXT
        assert done.raw.usage.total_tokens == 16
        metadata(done.raw.p402_metadata, direct_cost=direct_cost)
    with check(f"{name}: stream_chat"):
        found, last = None, None
        for last in llm.stream_chat(SAY):
            found = getattr(last.raw, "p402_metadata", found)
        assert last.message.content == TEXT
        metadata(found, direct_cost=direct_cost)
    with check(f"{name}: stream_complete"):
        assert "".join(part.delta or "" for part in llm.stream_complete("Say hello.")) == TEXT
    with check(f"{name}: achat"):
        assert asyncio.run(llm.achat(SAY)).message.content == TEXT
    with check(f"{name}: tools"):
        tool = FunctionTool.from_defaults(get_weather)
        done = llm.chat_with_tools([tool], user_msg="Weather in Paris?", tool_required=True)
        call = llm.get_tool_calls_from_response(done)[0]
        assert call.tool_name == "get_weather"
        assert set(call.tool_kwargs) == {"city"}
    with check(f"{name}: structured"):
        found = llm.as_structured_llm(Weather).chat(SAY)
        assert isinstance(found.raw, Weather)


def main() -> None:
    with check("versions"):
        assert version("llama-index-llms-openai") == "0.8.3"
        assert version("llama-index-llms-openai-like") == "0.8.1"
    # The model that was asked for stays the baseline: 11 tokens at $0.15, 5 at $0.60 per million.
    both("OpenAI", _named(), 0.00000465)
    both("OpenAILike", _like(), COST_USD)
    with check("the mode in additional_kwargs"):
        wish = {"extra_body": {"p402": {"mode": "cost"}}}
        metadata(_like(additional_kwargs=wish).chat(SAY).raw.p402_metadata, "cost")
    with check("a refusal"), raises(openai.AuthenticationError):
        _like(api_key="wrong").chat(SAY)
    for fault in ("error-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises(openai.APIError):
            list(_like(api_key=PIN_KEY, model=f"fault-{fault}").stream_chat(SAY))
    finish()


main()
