"""Decides which clients are tried against the gateway, and when.

Does not install or run them. Pins stand in each client's own folder: `requirements.in` with its
lock, or `package.json` with its lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
When = Literal["always", "release"]


@dataclass(frozen=True, slots=True)
class Client:
    """One row: its folder, when it runs, and for Node clients the environment of their runtime.

    `checks_min` keeps a script from passing by saying nothing.
    """

    name: str
    when: When
    checks_min: int
    node: str | None = None
    script: str | None = None

    @property
    def folder(self) -> Path:
        """Where its pins stand."""
        return HERE / self.name

    @property
    def program(self) -> Path:
        """What it runs; two versions of one SDK share a program."""
        return HERE / (self.script or self.name) / ("check.mjs" if self.node else "check.py")


CLIENTS = (
    Client("curl", "always", 20),
    Client("openai_python", "always", 50),
    Client("openai_node", "always", 30, node="node_22"),
    Client("openai_responses", "always", 37),
    Client("openai_responses_node", "always", 15, node="node_22"),
    Client("anthropic_python", "always", 38),
    Client("anthropic_node", "always", 16, node="node_22"),
    Client("google_genai", "always", 46),
    Client("ai_sdk", "always", 8, node="node_22"),
    Client("langchain", "always", 10),
    Client("openai_python_2", "release", 50, script="openai_python"),
    Client("openai_node_4", "release", 25, node="node_20", script="openai_node"),
    Client("openrouter_ai_sdk", "release", 3, node="node_22"),
    Client("langchain_js", "release", 5, node="node_22"),
    Client("llama_index", "release", 6),
    Client("pydantic_ai", "release", 5),
    Client("instructor", "release", 4),
    Client("litellm", "release", 8),
    Client("openai_agents", "release", 4),
    Client("haystack", "release", 4),
    Client("smolagents", "release", 3),
    Client("llm", "release", 3),
    Client("agno", "release", 3),
    Client("autogen", "release", 4),
)
