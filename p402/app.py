"""Decides how HTTP, as ASGI tells it, becomes calls on the gateway and replies become messages.

The only file that knows ASGI. Does not parse a chat request, compare money or know a provider.
"""

from __future__ import annotations

import asyncio
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from p402.auth import Authenticator
from p402.body import Bodies, Bounds, Refused
from p402.log import LOGGER, EventLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from p402 import _core
    from p402.settings import Settings

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Headers = list[tuple[bytes, bytes]]
    Answer = tuple[int, Headers, bytes | None]

BASE = "/api/v2"
_CHAT_NAME = "/chat/completions"
_CHAT = BASE + _CHAT_NAME
# Each speaks an API of its own; behind them runs one line.
_DOORS = frozenset(
    {
        *(_CHAT_NAME, "/messages", "/responses", "/completions", "/embeddings", "/moderations"),
        *("/images/generations", "/audio/speech"),
    }
)
_BASES = (BASE + "/v1", BASE, "/v1")
HEADERS_MAX = 100
HEADERS_BYTES_MAX = 64 * 1024
# How often replies that are waited for are looked at. A client that leaves is listened for from the
# second look on, within the 100 ms bound; a request answered sooner needs no listener at all.
WATCH_EVERY_S = 0.03
_JSON = (b"content-type", b"application/json")


class _Request(NamedTuple):
    """One HTTP request as the host handed it over."""

    scope: Scope
    receive: Receive
    send: Send
    # Ticks when its head was read.
    received: int


class App:
    """The ASGI application. Construct through `create_app`."""

    def __init__(
        self,
        settings: Settings,
        gateway: _core.Gateway,
        authenticate: Callable[[Headers], str | None] | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.gateway = gateway
        self.settings = settings
        self._log = EventLog(gateway, settings.alerts)
        self._tenant = authenticate or Authenticator.from_settings(settings).tenant
        self._bounds = bounds or Bounds(settings.limits.body_bytes)
        self._bodies = Bodies(self._bounds)
        self._watched = _Watched()
        self._drain_ms = int(settings.server.drain_s * 1000)
        self._origins = frozenset(origin.encode() for origin in settings.cors.origins)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._openapi = files("p402").joinpath("openapi.json").read_bytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            received = self.gateway.ticks()
            if self._loop is not asyncio.get_running_loop():
                self._attach()
            request = _Request(scope, receive, send, received)
            # The one hot path goes straight; `_route` knows it too, under its other names.
            if scope["path"] == _CHAT and scope["method"] == "POST":
                await self._chat(request, _CHAT_NAME)
            else:
                await self._http(request)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def _attach(self) -> None:
        """Starts the core's lane in this process and listens for its wake-ups on this loop."""
        loop = asyncio.get_running_loop()
        descriptor = self.gateway.start()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(descriptor)
        loop.add_reader(descriptor, self.gateway.drain)
        # Their timers belong to the loop they were started on.
        self._bodies, self._watched = Bodies(self._bounds), _Watched()
        self._log.start(loop)
        self._loop = loop

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._attach()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.gateway.refuse_new()
                await self._drained()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _drained(self) -> None:
        """Waits until nothing is in flight, at most `drain_s`; then ends what is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_ms / 1000
        while self.gateway.in_flight and loop.time() < deadline:
            await asyncio.sleep(0.02)
        await loop.run_in_executor(None, self.gateway.stop, 0)
        self._log.stop()
        loop.remove_reader(self.gateway.wake_fd)
        self._loop = None

    async def _http(self, request: _Request) -> None:
        scope = request.scope
        try:
            answer = await self._route(request, scope["path"])
        except Refused as refused:
            answer = self._refusal(refused, _name(scope, scope["path"]))
        if answer is not None:
            await self._send(request.send, answer, scope)

    async def _route(self, request: _Request, path: str) -> Answer | None:
        """The one table of exact routes; default deny. Every path but two asks for a key first."""
        scope = request.scope
        method: str = scope["method"]
        name = _name(scope, path)
        if name in ("/healthz", "/readyz") or path in ("/healthz", "/readyz"):
            return self._health(method)
        if name == "/openapi.json":
            _only("GET", method)
            return 200, [_JSON, _length(self._openapi)], self._openapi
        if method == "OPTIONS" and self._origins:
            return 204, [], b""
        headers: Headers = scope["headers"]
        tenant = self._known(headers)
        if name in _DOORS:
            _only("POST", method)
            await self._chat(request, name)
            return None
        if name == "/route":
            _only("POST", method)
            body = await self._bodies.read(headers, request.receive)
            wants_all = scope.get("query_string", b"") == b"all=1"
            return self.gateway.explain(tenant, headers, body, wants_all)
        if name is not None:
            answer = self._look_up(name, tenant, method)
            if answer[0] == 404 and name.startswith("/requests/"):
                asked = name.removeprefix("/requests/")
                answer = await asyncio.to_thread(self.gateway.booked_request, tenant, asked)
            return answer
        raise Refused("unknown_url", f"no such URL: {method} {_shown(path)}")

    def _look_up(self, name: str, tenant: str, method: str) -> Answer:
        """The paths that only read: models, metrics, and one request of the caller's own."""
        if name == "/metrics":
            _only("GET", method)
            text = self.gateway.metrics().encode()
            return 200, [(b"content-type", b"text/plain; version=0.0.4"), _length(text)], text
        if name == "/models":
            _only("GET", method)
            listing = self.gateway.models()
            return 200, [_JSON, _length(listing)], listing
        if name.startswith("/models/"):
            _only("GET", method)
            return self.gateway.model(name.removeprefix("/models/"))
        if name.startswith("/requests/") and name.count("/") == 2:
            _only("GET", method)
            return self.gateway.request(tenant, name.removeprefix("/requests/"))
        raise Refused("unknown_url", f"no such URL: {method} {_shown(name)}")

    def _health(self, method: str) -> Answer:
        _only("GET", method)
        draining = self.gateway.draining
        body = b'{"status":"draining"}' if draining else b'{"status":"ok"}'
        return (503 if draining else 200), [_JSON, _length(body)], body

    def _known(self, headers: Headers) -> str:
        """The tenant of this request; header bounds come first, the body is read later."""
        if len(headers) > HEADERS_MAX:
            text = f"more than {HEADERS_MAX} headers"
            raise Refused("headers_too_large", text, closes=True)
        size = 0
        for name, value in headers:
            size += len(name) + len(value)
        if size > HEADERS_BYTES_MAX:
            text = f"more than {HEADERS_BYTES_MAX} bytes of headers"
            raise Refused("headers_too_large", text, closes=True)
        tenant = self._tenant(headers)
        if tenant is None:
            raise Refused(
                "invalid_api_key",
                "no tenant has this key; send it as `Authorization: Bearer KEY`",
            )
        return tenant

    def _stay_open(self) -> None:
        """Whoever leaves takes nothing new, and lets the connection go with it."""
        if self.gateway.draining:
            raise Refused("shutting_down", "this gateway is shutting down", closes=True)

    async def _chat(self, request: _Request, door: str) -> None:
        scope, receive, send, received = request
        headers: Headers = scope["headers"]
        try:
            tenant = self._known(headers)
            body = await self._bodies.read(headers, receive)
            self._stay_open()
        except Refused as refused:
            await self._send(send, self._refusal(refused, door), scope)
            return
        reply = self.gateway.chat(tenant, headers, body, received, door)
        watch = _Watch(receive, reply, self._watched)
        try:
            await self._forward(send, scope, watch)
        finally:
            watch.stop()
            reply.close()

    async def _forward(self, send: Send, scope: Scope, watch: _Watch) -> None:
        """Writes one reply: its head with what is there of its body, then batches to the last."""
        part = await watch.next()
        if part is None:
            return
        status, headers, body, more = part
        if self._origins:
            headers.extend(self._cors(scope))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while True:
            await send({"type": "http.response.body", "body": body, "more_body": more})
            if not more:
                return
            part = await watch.next()
            if part is None:
                return
            body, more = part

    def _refusal(self, refused: Refused, door: str | None) -> Answer:
        status, headers, body = self.gateway.refusal(refused.code, refused.message, door)
        if refused.closes:
            headers.append((b"connection", b"close"))
        return status, headers, body

    def _cors(self, scope: Scope) -> Headers:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"x-request-id, x-p402-request-id"),
            (b"vary", b"origin"),
        ]

    async def _send(self, send: Send, answer: Answer, scope: Scope) -> None:
        status, headers, body = answer
        if self._origins:
            headers.extend(self._cors(scope))
            if scope["method"] == "OPTIONS":
                asked = dict(scope["headers"]).get(b"access-control-request-headers", b"")
                headers.append((b"access-control-allow-headers", asked))
                headers.append((b"access-control-allow-methods", b"GET, POST"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body or b""
        await send({"type": "http.response.body", "body": shown})


class _Watched:
    """Replies that are waited for. One timer looks after all of them, and only while there are."""

    __slots__ = ("_since", "_timer")

    def __init__(self) -> None:
        self._since: dict[_Watch, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, watch: _Watch, loop: asyncio.AbstractEventLoop) -> None:
        self._since[watch] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(WATCH_EVERY_S, self._sweep, loop)

    def remove(self, watch: _Watch) -> None:
        self._since.pop(watch, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - WATCH_EVERY_S
        for watch in [each for each, since in self._since.items() if since <= before]:
            del self._since[watch]
            watch.begin()
        waiting = bool(self._since)
        self._timer = loop.call_later(WATCH_EVERY_S, self._sweep, loop) if waiting else None


class _Watch:
    """Takes a reply part by part, and notices that its client has left (compat.md § 4.5)."""

    __slots__ = ("_future", "_left", "_receive", "_reply", "_seen", "_task", "_watched")

    def __init__(self, receive: Receive, reply: _core.Reply, watched: _Watched) -> None:
        self._receive = receive
        self._reply = reply
        self._watched = watched
        self._future: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._seen = False
        self._left = False

    async def next(self) -> Any | None:
        """The reply's next part; None once the client has left."""
        if self._left:
            return None
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        part = self._reply.next(future)
        if part is not None:
            return part
        if not self._seen:
            self._seen = True
            self._watched.add(self, loop)
        self._future = future
        return await future

    def begin(self) -> None:
        """Listens for the client's leave from now on."""
        self._task = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._reply.close()
        # What nobody reads may never come; whoever waits for it must not wait for ever.
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def stop(self) -> None:
        self._watched.remove(self)
        if self._task is not None:
            self._task.cancel()


def _only(allowed: str, method: str) -> None:
    if method != allowed and not (allowed == "GET" and method == "HEAD"):
        raise Refused("method_not_allowed", f"this URL answers {allowed}, not {method}")


def _name(scope: Scope, path: str) -> str | None:
    """The route's own name under any of the three bases; None where there is none."""
    if "//" in path or re.search(r"/\.\.?(/|$)", path) or "\0" in path:
        return None
    raw = scope.get("raw_path")
    if raw is not None:
        # Ids hold `/` and `:`; whatever was encoded, the id is the rest of the decoded path.
        path = unquote_to_bytes(raw.split(b"?", 1)[0]).decode("utf-8", "replace")
        if "//" in path or re.search(r"/\.\.?(/|$)", path) or "\0" in path:
            return None
    for base in _BASES:
        if path.startswith(base + "/"):
            name = path.removeprefix(base)
            return name.removesuffix("/") if len(name) > 1 else name
    return None


def _shown(path: str) -> str:
    return path[:200].encode("ascii", "backslashreplace").decode("ascii")


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()


def create_app(settings: Settings | None = None) -> App:
    """The application for any ASGI host: `granian --interface asgi --factory p402.app:create_app`.

    Reads `P402_CONFIG` and the environment where no settings are handed in. Raises
    `p402.settings.SettingsError`, which names file, line, key and the mend.
    """
    from p402.opening import open_gateway
    from p402.settings import load

    chosen = settings if settings is not None else load()
    return App(chosen, open_gateway(chosen, LOGGER.warning))
