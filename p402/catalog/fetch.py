"""Decides how the catalogue's only connections behave: one deadline, one size bound, no redirects.
Does not know what it fetches, and never puts a key into an error's text.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

DEADLINE_S = 10.0
BYTES_MAX = 20 * 1024 * 1024


class FetchError(Exception):
    """Why one address gave nothing; names the host and never the headers."""


@dataclass(frozen=True)
class Bounds:
    """What one fetch may cost."""

    deadline_s: float = DEADLINE_S
    bytes_max: int = BYTES_MAX


@dataclass(frozen=True)
class Target:
    """One address to read, with the headers that show the key."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


async def fetch_json(client: httpx.AsyncClient, target: Target, bounds: Bounds) -> Any:
    """The parsed body of one GET; every failure is a FetchError in words."""
    try:
        async with asyncio.timeout(bounds.deadline_s):
            body = await _body(client, target, bounds.bytes_max)
    except TimeoutError:
        raise FetchError(f"{target.host}: no whole answer in {bounds.deadline_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"{target.host}: {type(error).__name__}") from None
    try:
        return json.loads(body, parse_float=str)
    except ValueError:
        raise FetchError(f"{target.host}: the answer is no JSON") from None


async def _body(client: httpx.AsyncClient, target: Target, bytes_max: int) -> bytes:
    async with client.stream("GET", target.url, headers=target.headers) as response:
        if response.status_code != 200:
            raise FetchError(f"{target.host}: status {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > bytes_max:
                raise FetchError(f"{target.host}: more than {bytes_max:,} bytes")
        return bytes(body)


def client() -> httpx.AsyncClient:
    """A client that follows nobody: a redirect would carry a key to another host."""
    return httpx.AsyncClient(follow_redirects=False, timeout=httpx.Timeout(DEADLINE_S))
