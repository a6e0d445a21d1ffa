"""Decides how HTTP, as ASGI tells it, becomes calls on the gateway and replies become messages.

The only file that knows ASGI. Does not parse a chat request, compare money or know a provider.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from p402 import control
from p402.auth import Authenticator, Operator
from p402.body import Bodies, Bounds, Refused
from p402.log import LOGGER, EventLog
from p402.paths import CHAT, counts, is_door, named, shown, spoken, streams_otherwise, takes_form
from p402.scrape import Listener
from p402.watch import Watch, Watched

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

HEADERS_MAX = 100
HEADERS_BYTES_MAX = 64 * 1024
# Parameters of a URL that are read at all; more of them are no question.
PARAMS_MAX = 32
# Metrics that are being written out at once.
SCRAPES_MAX = 2
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
        self._disabled = settings.disabled
        self._operator = Operator(settings)
        self._listener = Listener(settings.operator.listen, self._scraped)
        self._scrapes = 0
        self._bounds = bounds or Bounds(settings.limits.body_bytes)
        self._bodies = Bodies(self._bounds)
        self._watched = Watched()
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
            if scope["path"] == CHAT and scope["method"] == "POST":
                await self._chat(request, "/chat/completions")
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
        self._bodies, self._watched = Bodies(self._bounds), Watched()
        self._log.start(loop)
        self._loop = loop

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._attach()
                await self._listener.start()
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
        await self._listener.stop()
        self._log.stop()
        loop.remove_reader(self.gateway.wake_fd)
        self._loop = None

    async def _http(self, request: _Request) -> None:
        scope = request.scope
        try:
            answer = await self._route(request, scope["path"])
        except Refused as refused:
            answer = self._refusal(refused, scope["headers"], spoken(scope, named(scope) or ""))
        if answer is not None:
            await self._send(request.send, answer, scope)

    async def _route(self, request: _Request, path: str) -> Answer | None:
        """The one table of exact routes; default deny. Every path asks for a key first but health,
        the document, and metrics where nobody has one."""
        scope = request.scope
        method: str = scope["method"]
        headers: Headers = scope["headers"]
        name = named(scope)
        if name in ("/healthz", "/readyz") or path in ("/healthz", "/readyz"):
            return self._health(method)
        if name == "/openapi.json":
            _only("GET", method)
            return 200, [_JSON, _length(self._openapi)], self._openapi
        if method == "OPTIONS" and self._origins:
            return 204, [], b""
        _bounded(headers)
        if name == "/metrics" or path == "/metrics":
            _only("GET", method)
            return await self._metrics(headers, is_open=self.settings.metrics_open)
        if name == "/usage" and self._operator.knows(headers):
            return await self._usage(request, None)
        tenant = self._known(headers)
        try:
            answer = await self._of_tenant(request, tenant, name or "")
        except Refused as refused:
            answer = self._refusal(refused, headers, spoken(scope, name or ""))
        if answer is not None:
            answer[1].extend(self.gateway.standing(tenant))
        return answer

    async def _of_tenant(self, request: _Request, tenant: str, name: str) -> Answer | None:
        """The paths of tenants; None where the reply has been written out."""
        scope = request.scope
        method, headers = scope["method"], scope["headers"]
        if is_door(name):
            _only("POST", method)
            await self._chat(request, name)
            return None
        if name == "/route":
            _only("POST", method)
            body = await self._bodies.read(headers, request.receive)
            wants_all = scope.get("query_string", b"") == b"all=1"
            return self.gateway.explain(tenant, headers, body, wants_all)
        if counts(name):
            _only("POST", method)
            body = await self._bodies.read(headers, request.receive)
            return self.gateway.count_tokens(tenant, (headers, name), body)
        if control.owns(name):
            said = await self._bodies.read(headers, request.receive) if method == "POST" else b""
            told = (headers, scope.get("query_string", b""), said)
            return await control.answer(self.gateway, (method, name), tenant, told)
        if name == "/models" or name.startswith("/models/"):
            _only("GET", method)
            return self._models(scope, name)
        if name == "/usage":
            return await self._usage(request, tenant)
        if name.startswith("/requests/") and name.count("/") == 2:
            _only("GET", method)
            asked = name.removeprefix("/requests/")
            found = self.gateway.request(tenant, asked)
            return found or await self._whole(
                request, self.gateway.booked_request(tenant, headers, asked)
            )
        if method == "POST":
            # Whoever tries what an API may have goes on with the same connection.
            await self._bodies.skip(request.receive)
        raise Refused("unknown_url", f"no such URL: {method} {shown(scope['path'])}")

    def _models(self, scope: Scope, name: str) -> Answer:
        """The list of models, or one of them, in the words of the client's own API."""
        door, headers = spoken(scope, name), scope["headers"]
        if name != "/models":
            return self.gateway.model(headers, name.removeprefix("/models/"), door)
        return self.gateway.listing(headers, _params(scope), door)

    async def _usage(self, request: _Request, tenant: str | None) -> Answer | None:
        """What was spent: a tenant's own, or anybody's to the operator."""
        scope = request.scope
        _only("GET", scope["method"])
        told = self.gateway.usage(tenant, scope["headers"], _params(scope))
        return await self._whole(request, told)

    async def _whole(self, request: _Request, reply: _core.Reply) -> Answer | None:
        """A reply that comes in one piece; None where its client has left."""
        watch = Watch(request.receive, reply, self._watched)
        try:
            part = await watch.next()
        finally:
            watch.stop()
            reply.close()
        return None if part is None else (part[0], part[1], part[2])

    async def _metrics(self, headers: Headers, *, is_open: bool) -> Answer:
        """All counters, to the operator."""
        if not (is_open or self._operator.knows(headers)):
            raise Refused("invalid_api_key", "metrics are the operator's: send its key")
        if self._scrapes == SCRAPES_MAX:
            raise Refused("overloaded", f"{SCRAPES_MAX} scrapes are under way")
        self._scrapes += 1
        try:
            text = (await asyncio.to_thread(self.gateway.metrics)).encode()
        finally:
            self._scrapes -= 1
        return 200, [(b"content-type", b"text/plain; version=0.0.4"), _length(text)], text

    async def _scraped(self, method: str, path: str, headers: Headers) -> Answer:
        """A request on the metrics' own address, which is this machine's or asks for a key."""
        if path.partition("?")[0] != "/metrics":
            refused = Refused("unknown_url", "this address answers GET /metrics alone")
            return self._refusal(refused, headers)
        try:
            _only("GET", method)
            return await self._metrics(headers, is_open=not self.settings.operator.keyed)
        except Refused as refused:
            return self._refusal(refused, headers)

    def _health(self, method: str) -> Answer:
        _only("GET", method)
        draining = self.gateway.draining
        body = b'{"status":"draining"}' if draining else b'{"status":"ok"}'
        return (503 if draining else 200), [_JSON, _length(body)], body

    def _known(self, headers: Headers) -> str:
        """The tenant of this request; header bounds come first, the body is read later."""
        _bounded(headers)
        tenant = self._tenant(headers)
        if tenant is None:
            raise Refused(
                "invalid_api_key",
                "no tenant has this key; send it as `Authorization: Bearer KEY`",
            )
        if tenant in self._disabled:
            raise Refused("key_disabled", "this key is disabled: ask the operator of this gateway")
        return tenant

    def _stay_open(self) -> None:
        """Whoever leaves takes nothing new, and lets the connection go with it."""
        if self.gateway.draining:
            raise Refused("shutting_down", "this gateway is shutting down", closes=True)

    async def _chat(self, request: _Request, door: str) -> None:
        scope, receive, send, received = request
        headers: Headers = scope["headers"]
        tenant = None
        try:
            tenant = self._known(headers)
            _as_events(door, scope)
            body = await self._bodies.read(headers, receive, form=takes_form(door))
            self._stay_open()
        except Refused as refused:
            answer = self._refusal(refused, headers, door)
            if tenant is not None:
                answer[1].extend(self.gateway.standing(tenant))
            await self._send(send, answer, scope)
            return
        reply = self.gateway.chat(tenant, headers, body, received, door)
        watch = Watch(receive, reply, self._watched)
        try:
            await self._forward(send, scope, watch)
        finally:
            watch.stop()
            reply.close()

    async def _forward(self, send: Send, scope: Scope, watch: Watch) -> None:
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

    def _refusal(self, refused: Refused, asked: Headers, door: str | None = None) -> Answer:
        code, text = refused.code, refused.message
        status, headers, body = self.gateway.refusal(code, text, (asked, door))
        if refused.closes:
            headers.append((b"connection", b"close"))
        return status, headers, body

    def _cors(self, scope: Scope) -> Headers:
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            # Nobody sends credentials: what a client may not see is not sent.
            (b"access-control-expose-headers", b"*"),
            (b"vary", b"origin"),
        ]

    async def _send(self, send: Send, answer: Answer, scope: Scope) -> None:
        status, headers, body = answer
        if self._origins:
            headers.extend(self._cors(scope))
            if scope["method"] == "OPTIONS":
                asked = dict(scope["headers"]).get(b"access-control-request-headers", b"")
                headers.append((b"access-control-allow-headers", asked))
                headers.append((b"access-control-allow-methods", b"GET, POST, DELETE"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body or b""
        await send({"type": "http.response.body", "body": shown})


def _only(allowed: str, method: str) -> None:
    if method != allowed and not (allowed == "GET" and method == "HEAD"):
        raise Refused("method_not_allowed", f"this URL answers {allowed}, not {method}")


def _params(scope: Scope) -> list[tuple[str, str]]:
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMS_MAX)
    except ValueError:
        raise Refused("invalid_value", f"more than {PARAMS_MAX} parameters") from None


def _as_events(door: str, scope: Scope) -> None:
    if streams_otherwise(door, scope.get("query_string", b"")):
        raise Refused("unsupported_parameter", "streams come as events: ask with ?alt=sse")


def _bounded(headers: Headers) -> None:
    if len(headers) > HEADERS_MAX:
        text = f"more than {HEADERS_MAX} headers"
        raise Refused("headers_too_large", text, closes=True)
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    if size > HEADERS_BYTES_MAX:
        text = f"more than {HEADERS_BYTES_MAX} bytes of headers"
        raise Refused("headers_too_large", text, closes=True)


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
