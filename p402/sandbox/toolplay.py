"""Decides which tools a sandbox model calls, and with what arguments.

Does not run tools or judge their results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p402.sandbox import schema

if TYPE_CHECKING:
    import random

    from p402.sandbox.request import ChatRequest

FRAGMENT = re.compile(r".{1,6}", re.DOTALL)
MANY = re.compile(r"\b(and|both|each|parallel|und)\b")
CALLS_MAX = 8


@dataclass(frozen=True, slots=True)
class Call:
    """One call; `legacy` is the older single `function_call`."""

    id: str
    kind: str
    name: str
    payload: str
    legacy: bool = False

    @property
    def payload_key(self) -> str:
        """Where the payload stands inside the call."""
        return "input" if self.kind == "custom" else "arguments"

    @property
    def fragments(self) -> list[str]:
        """The payload as a stream cuts it."""
        return FRAGMENT.findall(self.payload)

    @property
    def tokens(self) -> int:
        """One token for the name and one per fragment, as streamed."""
        return 1 + len(self.fragments)

    def function(self) -> dict[str, str]:
        """Name and payload."""
        return {"name": self.name, self.payload_key: self.payload}

    def whole(self) -> dict[str, Any]:
        """The call in a message."""
        return {"id": self.id, "type": self.kind, self.kind: self.function()}

    def opening(self) -> dict[str, Any]:
        """The first fragment of the call in a stream."""
        inner = {"name": self.name, self.payload_key: ""}
        return {"id": self.id, "type": self.kind, self.kind: inner}


def calls(request: ChatRequest, dice: random.Random) -> tuple[Call, ...]:
    """The calls of one choice; none where a tool result or the choice asks for text."""
    tools = [tool for tool in request.body.get("tools") or () if isinstance(tool, Mapping)]
    if not tools:
        return _legacy_call(request, dice)
    tools, choice = _allowed(tools, request.body.get("tool_choice"))
    if choice == "none" or (choice in (None, "auto") and not request.prompt.fresh_turn):
        return ()
    chosen = _chosen(tools, choice, request.prompt.last_user)
    if len(chosen) == 1 and _wants_many(request):
        chosen = chosen * 2
    if request.body.get("parallel_tool_calls") is False:
        chosen = chosen[:1]
    words = schema.Words.of(request.prompt.last_user)
    return tuple(_call(tool, words, dice) for tool in chosen[:CALLS_MAX])


def _allowed(
    tools: list[Mapping[str, Any]], choice: object
) -> tuple[list[Mapping[str, Any]], object]:
    """The tools that may be called, and how free the choice among them is."""
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return tools, choice
    inner = choice.get("allowed_tools")
    allowed: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    listed = [tool for tool in allowed.get("tools") or () if isinstance(tool, Mapping)]
    names = [_inner(tool).get("name") for tool in listed]
    return [tool for tool in tools if _inner(tool).get("name") in names], allowed.get("mode")


def _chosen(
    tools: list[Mapping[str, Any]], choice: object, user_text: str
) -> list[Mapping[str, Any]]:
    if isinstance(choice, Mapping):
        inner = choice.get(str(choice.get("type"))) or {}
        named = [tool for tool in tools if _inner(tool).get("name") == inner.get("name")]
        return named[:1] or tools[:1]
    lowered = user_text.lower().replace(" ", "_")
    mentioned = [tool for tool in tools if str(_inner(tool).get("name")).lower() in lowered]
    return mentioned or tools[:1]


def _wants_many(request: ChatRequest) -> bool:
    free = request.body.get("tool_choice") in (None, "auto")
    return free and MANY.search(request.prompt.last_user.lower()) is not None


def _inner(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = tool.get(str(tool.get("type")))
    return inner if isinstance(inner, Mapping) else {}


def _call(tool: Mapping[str, Any], words: schema.Words, dice: random.Random) -> Call:
    inner = _inner(tool)
    call_id = f"call_{dice.getrandbits(96):024x}"
    if tool.get("type") == "custom":
        return Call(call_id, "custom", str(inner["name"]), words.text())
    return Call(call_id, "function", str(inner["name"]), _arguments(inner, words, dice))


def _legacy_call(request: ChatRequest, dice: random.Random) -> tuple[Call, ...]:
    functions = request.body.get("functions")
    choice = request.body.get("function_call")
    if not isinstance(functions, list) or choice == "none":
        return ()
    if choice in (None, "auto") and request.prompt.last_role == "function":
        return ()
    wanted = choice.get("name") if isinstance(choice, Mapping) else None
    listed = [row for row in functions if isinstance(row, Mapping) and "name" in row]
    named = [row for row in listed if wanted in (None, row["name"])] or listed
    if not named:
        return ()
    words = schema.Words.of(request.prompt.last_user)
    arguments = _arguments(named[0], words, dice)
    return (Call("", "function", str(named[0]["name"]), arguments, legacy=True),)


def _arguments(inner: Mapping[str, Any], words: schema.Words, dice: random.Random) -> str:
    parameters = inner.get("parameters")
    if not isinstance(parameters, Mapping):
        return "{}"
    return json.dumps(schema.generate(parameters, words, dice), ensure_ascii=False)
