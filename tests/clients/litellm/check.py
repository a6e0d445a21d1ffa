"""Decides whether LiteLLM, used as a client, works unchanged under each of its prefixes.

Does not test LiteLLM: every assertion is about what the gateway sent.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import litellm
from checks import (
    BASE_URL,
    COST_USD,
    HELLO,
    KEY,
    PIN_KEY,
    TEXT,
    WEATHER,
    check,
    finish,
    metadata,
    raises,
)

ASK: dict[str, Any] = {"messages": HELLO, "api_base": BASE_URL, "api_key": KEY, "num_retries": 0}
OPENAI_SHAPED = ("openai/", "litellm_proxy/")
OTHERS = ("hosted_vllm/", "openrouter/")


def openai_shaped(prefix: str) -> None:
    model = f"{prefix}hello"
    with check(f"{prefix} completion"):
        done = litellm.completion(model=model, **ASK)
        assert done.choices[0].message.content == TEXT
        assert done.usage.total_tokens == 16
        assert done.usage.cost == COST_USD
        metadata(done.p402_metadata)
    with check(f"{prefix} stream"):
        chunks = list(litellm.completion(model=model, stream=True, **ASK))
        assert "".join(part.choices[0].delta.content or "" for part in chunks) == TEXT
        found = [part.p402_metadata for part in chunks if hasattr(part, "p402_metadata")]
        metadata(found[-1])
    with check(f"{prefix} mode"):
        wish = {"p402": {"mode": "cost"}}
        metadata(litellm.completion(model=model, extra_body=wish, **ASK).p402_metadata, "cost")


def usage(prefix: str) -> None:
    model = f"{prefix}hello"
    with check(f"{prefix} usage"):
        done = litellm.completion(model=model, **ASK)
        assert done.choices[0].message.content == TEXT
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (11, 5)
    with check(f"{prefix} usage, stream"):
        options = {"include_usage": True}
        chunks = list(litellm.completion(model=model, stream=True, stream_options=options, **ASK))
        whole = litellm.stream_chunk_builder(chunks)
        assert whole.choices[0].message.content == TEXT
        assert whole.usage.total_tokens == 16


def main() -> None:
    with check("version"):
        assert version("litellm") == "1.106.2"
    for prefix in OPENAI_SHAPED:
        openai_shaped(prefix)
    for prefix in (*OPENAI_SHAPED, *OTHERS):
        usage(prefix)
    with check("async"):
        done = asyncio.run(litellm.acompletion(model="openai/hello", **ASK))
        assert done.choices[0].message.content == TEXT
    with check("tools"):
        done = litellm.completion(
            model="openai/hello", tools=[WEATHER], tool_choice="required", **ASK
        )
        assert done.choices[0].message.tool_calls[0].function.name == "get_weather"
    with check("a refusal"), raises(litellm.AuthenticationError):
        litellm.completion(model="openai/hello", **{**ASK, "api_key": "wrong"})
    for fault in ("error-mid-stream", "clean-cut"):
        with check(f"error frame: {fault}"), raises(Exception):
            ask = {**ASK, "api_key": PIN_KEY}
            list(litellm.completion(model=f"openai/fault-{fault}", stream=True, **ask))
    finish()


main()
