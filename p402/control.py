"""Decides how a tenant's hold on its cached answers, and its feedback, are told to the core.

Does not know ASGI (app.py does) and decides nothing about an answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from p402.body import Refused

if TYPE_CHECKING:
    from p402._core import Gateway, _Answer

    Headers = list[tuple[bytes, bytes]]

_PURGES = ("all", "model", "older_than_s")


def owns(name: str) -> bool:
    """The path is one of those answered here."""
    return name in ("/cache", "/feedback") or (name.startswith("/cache/") and name.count("/") == 2)


async def answer(
    gateway: Gateway, asked: tuple[str, str], tenant: str, said: tuple[Headers, bytes, bytes]
) -> _Answer:
    """The reply to (method, name), which came with (headers, query, body)."""
    (method, name), (headers, query, body) = asked, said
    if (method, name) == ("POST", "/feedback"):
        return await asyncio.to_thread(gateway.feedback, tenant, headers, body)
    if name == "/cache" and method in ("GET", "HEAD"):
        return gateway.cache_stats(tenant, headers)
    if name == "/cache" and method == "DELETE":
        return await asyncio.to_thread(gateway.purge, tenant, headers, _named(query))
    if name.startswith("/cache/") and method == "DELETE":
        entry = name.removeprefix("/cache/")
        return await asyncio.to_thread(gateway.forget, tenant, headers, entry)
    allowed = {"/feedback": "POST", "/cache": "GET and DELETE"}.get(name, "DELETE")
    raise Refused("method_not_allowed", f"this URL answers {allowed}, not {method}")


def _named(query: bytes) -> tuple[str | None, int | None]:
    """What a purge takes. An empty wish is refused: everything must be asked for in words."""
    told = parse_qs(query.decode("ascii", "replace"), keep_blank_values=True)
    age = told.get("older_than_s", [None])[0]
    bad_age = age is not None and not (age.isdecimal() and len(age) <= 12)
    if not told or bad_age or not set(told) <= set(_PURGES):
        text = "say what goes: ?all=1, or ?model=NAME, or ?older_than_s=SECONDS, or both"
        raise Refused("invalid_value", text)
    return told.get("model", [None])[0], None if age is None else int(age)
