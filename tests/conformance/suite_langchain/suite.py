"""Decides how LangChain's standard tests meet the gateway: ChatOpenAI, pointed at it.

Does not add tests: each is inherited. Those of images stay off: they fetch one from the internet.
"""

from __future__ import annotations

import os
from typing import Any

from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestGateway(ChatModelIntegrationTests):
    """The integration suite over chat completions."""

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "hello",
            "base_url": os.environ["P402_BASE_URL"],
            "api_key": os.environ["P402_KEY"],
            "stream_usage": True,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True
