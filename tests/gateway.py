"""Decides how a test gets a gateway in its own process: settings from text, a core, an ASGI client.

Does not know pytest, and starts no server: `serving.py` does that where a real one is wanted.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import httpx

from p402 import _core
from p402.app import App
from p402.body import Bounds
from p402.settings import Settings, load
from tests.upstream import Upstream

ROOT = "http://gateway.test"
BASE = "/api/v2"
CHAT = f"{BASE}/chat/completions"
USER = [{"role": "user", "content": "Say hello"}]
HEADER = b'{"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]}\n'
# Short enough that silence is soon told, long enough for a busy machine.
QUICK = """
[timeouts]
first_byte_min_ms = 600
first_byte_max_ms = 800
body_min_ms = 600
idle_ms = 500
"""

# For tests of what happens to many at once: limits that none of them meets.
WIDE = "[guard]\nin_flight_max = 256\nrate = { limit = 100000, per_s = 1 }\n"


def provider(name: str, upstream: Upstream, *, path: str | None = None, keys: str = "") -> str:
    """A `[provider.*]` section that reaches the upstream's provider of this name."""
    listed = keys or json.dumps([f"sk-{name}-key"])
    url = upstream.provider_url(path or name)
    return f'[provider.{name}]\nbase_url = "{url}"\napi_key = {listed}\n'


def model(name: str, of: str, *, usd: str = "1", more: str = "") -> str:
    """A `[[model]]` section; the cheaper one goes first in cost mode."""
    return (
        f'[[model]]\nid = "{name}"\nprovider = "{of}"\n'
        f'input_usd_per_mtok = "{usd}"\noutput_usd_per_mtok = "{usd}"\n'
        "context = 100000\nmax_output = 8000\ntools = true\nvision = true\nstructured = true\n"
        f"capability = 70\nttft_ms = 10\ntokens_per_s = 10000\n{more}\n"
    )


def lone(upstream: Upstream, more: str = "") -> str:
    """One provider, `a`, with one model, `m-a`; equal requests are all sent, unless it says more
    of the cache.
    """
    if "[cache]" not in more:
        more += "\n[cache]\ncost_mode_default = false\n"
    return (
        f'[routing]\nmode = "cost"\n{QUICK}\n{more}\n{provider("a", upstream)}{model("m-a", "a")}'
    )


def pair(upstream: Upstream, more: str = "") -> str:
    """Two providers: `a` is cheaper and goes first, `b` is the next."""
    return lone(upstream, more) + provider("b", upstream) + model("m-b", "b", usd="2")


@lru_cache
def settings(text: str, env: tuple[tuple[str, str], ...] = ()) -> Settings:
    """Settings as the file would give them."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return load(Path(file.name), env=dict(env))


def ask(*, stream: bool = False, model: str = "auto", **more: Any) -> dict[str, Any]:
    """The smallest chat body."""
    return {"model": model, "messages": USER, "stream": stream, **more}


@dataclass
class Told:
    """A whole reply as its client saw it."""

    status: int
    headers: httpx.Headers
    raw: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        """The error object of a refusal."""
        return self.json["error"]

    @property
    def frames(self) -> list[bytes]:
        """What stands between blank lines; the last one ended with one, too."""
        assert self.raw.endswith(b"\n\n"), self.raw[-200:]
        return self.raw[:-2].split(b"\n\n")

    @property
    def events(self) -> list[Any]:
        """The JSON of every frame but [DONE] and comments."""
        frames = [frame for frame in self.frames if frame != b"data: [DONE]"]
        return [json.loads(frame[6:]) for frame in frames if not frame.startswith(b":")]

    @property
    def done(self) -> bool:
        """The stream says that it is whole."""
        return self.frames[-1] == b"data: [DONE]"

    @property
    def text(self) -> str:
        """The content of choice 0, streamed or not."""
        if self.raw.startswith(b"{"):
            return str(self.json["choices"][0]["message"]["content"])
        deltas = [event["choices"][0]["delta"] for event in self.events if event.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def metadata(self) -> Any:
        """`p402_metadata`, from the body or from the last frame that has it."""
        if self.raw.startswith(b"{"):
            return self.json["p402_metadata"]
        return [e["p402_metadata"] for e in self.events if "p402_metadata" in e][-1]


@dataclass
class Call:
    """One request to an ASGI application whose client can leave whenever it likes."""

    app: App
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    # Messages that may wait unread; 0 is a reader that keeps up with everything.
    unread_max: int = 0

    async def __aenter__(self) -> Self:
        self.sent: asyncio.Queue[Any] = asyncio.Queue(self.unread_max)
        self.gone = asyncio.Event()
        self.read = False
        scope = {
            "type": "http",
            "method": "POST",
            "path": CHAT,
            "raw_path": CHAT.encode(),
            "query_string": b"",
            "headers": self.headers,
        }
        self.task = asyncio.ensure_future(self.app(scope, self._receive, self.sent.put))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gone.set()
        async with asyncio.timeout(10):
            while not self.task.done():
                while not self.sent.empty():
                    self.sent.get_nowait()
                await asyncio.wait((self.task,), timeout=0.01)
        await self.task

    async def part(self) -> Any:
        """The next message."""
        return await asyncio.wait_for(self.sent.get(), 10)

    async def until(self, needle: bytes) -> bytes:
        """Body bytes up to the message that completes `needle`."""
        seen = b""
        while needle not in seen:
            seen += (await self.part()).get("body", b"")
        return seen

    def leave(self) -> None:
        """The client hangs up."""
        self.gone.set()

    async def _receive(self) -> dict[str, Any]:
        if not self.read:
            self.read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


class Gateway:
    """A gateway on the test's own loop. `async with Gateway(text) as gateway`.

    Its catalogue holds the operator's own offers and nothing else, unless `whole`.
    """

    def __init__(
        self,
        text: str,
        *,
        env: dict[str, str] | None = None,
        whole: bool = False,
        bounds: Bounds | None = None,
        embedder: str | Path = "hashed",
        clock: _core.ManualClock | None = None,
    ) -> None:
        if "[cache]" not in text:
            text += "\n[cache]\ncost_mode_default = false\n"  # equal requests are all to be sent
        chosen = settings(text, tuple((env or {}).items()))
        layers = chosen.catalog_layers()
        self.folder = tempfile.TemporaryDirectory(prefix="p402-test-")
        try:
            core = _core.Gateway(
                chosen.core_config(),
                catalog=layers if whole else [HEADER, *layers[1:]],
                data_dir=self.folder.name,
                clock=clock,
                embedder=embedder,
            )
        except ValueError:
            self.folder.cleanup()
            raise
        self.core = core
        self.app = App(chosen, core, bounds=bounds)

    async def __aenter__(self) -> Self:
        wire = httpx.ASGITransport(app=self.app)
        self.http = httpx.AsyncClient(transport=wire, base_url=ROOT + BASE, timeout=30.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        self.core.stop(0)
        asyncio.get_running_loop().remove_reader(self.core.wake_fd)
        self.folder.cleanup()

    def call(self, body: dict[str, Any], *, unread_max: int = 0) -> Call:
        """A request that can be left."""
        return Call(self.app, json.dumps(body).encode(), unread_max=unread_max)

    async def idle(self) -> None:
        """Returns when no request is on its way any more."""
        async with asyncio.timeout(10):
            while self.core.in_flight:  # noqa: ASYNC110  (a foreign thread's counter has no event)
                await asyncio.sleep(0.005)

    async def chat(self, body: Any, headers: dict[str, str] | None = None) -> Told:
        """One chat request, whole."""
        return await self.post("/chat/completions", body, headers)

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Told:
        """Any POST; bytes are sent as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        got = await self.http.post(path, content=content, headers=headers)
        return Told(got.status_code, got.headers, got.content)

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Told:
        """Any GET."""
        got = await self.http.get(path, headers=headers)
        return Told(got.status_code, got.headers, got.content)

    async def row(self, told: Told) -> Any:
        """The look-up of a reply's request."""
        found = await self.get(f"/requests/{told.headers['x-p402-request-id']}")
        assert found.status == 200, found.raw
        return found.json
