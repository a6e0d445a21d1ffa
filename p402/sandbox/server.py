"""Decides what the sandbox serves: paths, the log, the faults set for each provider path.

Does not shape replies or read sockets.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from functools import partial
from typing import Any
from urllib.parse import unquote

from p402.sandbox import reply
from p402.sandbox.answer import compose, count
from p402.sandbox.fault_table import FAULTS
from p402.sandbox.faults import Chooser, Fault, Faults, UnknownFaultError
from p402.sandbox.journal import Journal, Record
from p402.sandbox.models import FAULT_PREFIX, HELLO, catalog_records
from p402.sandbox.pace import PromptMemory
from p402.sandbox.perform import Job, regular
from p402.sandbox.refusal import RefusedError
from p402.sandbox.request import ChatRequest, Manners, read_chat
from p402.sandbox.script import JSON_TYPE, Script, sized
from p402.sandbox.vectors import embeddings
from p402.sandbox.wire import Arrival, Connection, Exchange

LOOPBACK = "127.0.0.1"
LOG_PATH = "/_sandbox/log"
LOG_DEFAULT = 1_024
FAULT_HEADER = "x-sandbox-fault"
ROUTE = re.compile(r"(?P<base>(?:/[A-Za-z0-9_-]{1,64})?/v1)/(?P<rest>[^?]*)(?:\?.*)?")


class Sandbox:
    """One loopback server that plays any number of providers, one per base path.

    `faults[base]` breaks a provider: a `Fault`, or several tried in order. `speed` multiplies
    every delay (0 none, 1 realistic). `log` holds what arrived; a `log_limit` of 0 keeps nothing.
    `manners` says which names are accepted. `changed` is set whenever a request arrives or its
    reply ends.
    """

    def __init__(
        self,
        *,
        speed: float = 0.0,
        log_limit: int = LOG_DEFAULT,
        manners: Manners | None = None,
    ) -> None:
        self.speed = speed
        self.faults: Faults = {}
        self.log = Journal(log_limit)
        self.manners = manners or Manners()
        self.in_flight = 0
        self.in_flight_peak = 0
        self.changed = asyncio.Event()
        self._chooser = Chooser(FAULTS, self.faults, seed=0)
        self._memory = PromptMemory()
        self._connections: set[Connection] = set()
        self._connection_numbers = itertools.count(1)
        self._request_numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._root = ""

    @property
    def base_url(self) -> str:
        """Where the first provider lives, `/v1` included."""
        return self.provider_url("/v1")

    @property
    def open_connections(self) -> int:
        """How many sockets are open now."""
        return len(self._connections)

    def provider_url(self, base: str) -> str:
        """The base URL of one provider path, such as `/b/v1`."""
        if not self._root:
            raise RuntimeError("the sandbox is not started")
        return self._root + base

    def catalog_records(self) -> list[dict[str, Any]]:
        """The catalogue records of this server's own providers."""
        return catalog_records(self.base_url)

    async def start(self, host: str = LOOPBACK, port: int = 0) -> str:
        """Listen; returns `base_url`."""
        await self.listen(host, port)
        return self.base_url

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listen; returns the asyncio server for callers that own its life."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, backlog=1_024)
        name = self._server.sockets[0].getsockname()
        shown = f"[{name[0]}]" if ":" in name[0] else name[0]
        self._root = f"http://{shown}:{name[1]}"
        return self._server

    async def stop(self) -> None:
        """Stop listening and drop every socket."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        self._server = None

    def _accept(self) -> Connection:
        number = next(self._connection_numbers)
        return Connection(number, self._answer, self._connections)

    def _answer(self, arrival: Arrival) -> Exchange:
        if arrival.target == LOG_PATH:
            return Exchange(self._log_page(arrival.method), _nobody)
        route = ROUTE.fullmatch(arrival.target)
        record = Record(
            number=next(self._request_numbers),
            connection=arrival.connection,
            method=arrival.method,
            path=arrival.target,
            base=route["base"] if route else "",
            headers=arrival.headers,
            raw_body=arrival.body,
        )
        self.log.add(record)
        self.changed.set()
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight_peak, self.in_flight)
        try:
            script = self._script(arrival.method, route["rest"] if route else None, record)
        except RefusedError as refused:
            script = _refuse(refused, record)
        return Exchange(script, partial(self._ended, record))

    def _ended(self, record: Record, *, whole: bool) -> None:
        record.finished = whole
        record.aborted = not whole
        self.in_flight -= 1
        self.changed.set()

    def _script(self, method: str, rest: str | None, record: Record) -> Script:
        if rest == "chat/completions" and method == "POST":
            return self._chat(record)
        if rest == "embeddings" and method == "POST":
            record.status = 200
            return iter((sized(200, JSON_TYPE, {}, reply.dumps(embeddings(record.raw_body))),))
        if rest is not None and method == "GET" and rest.partition("/")[0] == "models":
            return _models(unquote(rest), record)
        if rest in ("chat/completions", "embeddings", "models"):
            raise RefusedError(f"Not allowed to {method} on {record.path}.", status=405)
        raise RefusedError(f"Invalid URL ({method} {record.path})", status=404)

    def _chat(self, record: Record) -> Script:
        header = record.header(FAULT_HEADER)
        request = read_chat(record.raw_body, self.manners)
        record.model = request.model_id
        record.prompt_tokens = request.prompt.tokens
        job = self._job(request, record)
        try:
            fault = self._chooser.choose(record.base, request.model_id, header)
            return regular(job) if fault is None else self._misbehave(job, fault)
        except UnknownFaultError as error:
            raise RefusedError(str(error), param="model", code="unknown_fault") from error

    def _job(self, request: ChatRequest, record: Record) -> Job:
        cached = self._memory.cached_tokens(
            request.model_id, request.prompt.text, request.prompt.tokens
        )
        answers = compose(request)
        return Job(request, answers, count(request, answers, cached), record, self.speed)

    def _misbehave(self, job: Job, fault: Fault) -> Script:
        job.record.fault = fault.name
        return FAULTS[fault.name].play(job, fault)

    def _log_page(self, method: str) -> Script:
        if self.log.limit == 0:
            error = {"message": "The log is off; start with --log N.", "code": "log_off"}
            yield sized(404, JSON_TYPE, {}, reply.dumps({"error": error}))
            return
        if method == "DELETE":
            self.log.clear()
        rows = [row.public() for row in self.log.all()]
        yield sized(200, JSON_TYPE, {}, reply.dumps({"object": "list", "data": rows}))


async def serve(
    host: str = LOOPBACK, port: int = 0, *, speed: float = 0.0, log_limit: int = 0
) -> asyncio.Server:
    """A sandbox as a plain asyncio server; its port is in `.sockets`."""
    return await Sandbox(speed=speed, log_limit=log_limit).listen(host, port)


def _models(rest: str, record: Record) -> Script:
    record.status = 200
    if rest in ("models", "models/"):
        yield sized(200, JSON_TYPE, {}, reply.dumps(reply.model_list(record.base)))
        return
    model_id = rest.removeprefix("models/")
    if model_id != HELLO and not (reply.is_listed(model_id) or model_id.startswith(FAULT_PREFIX)):
        message = f"The model '{model_id}' does not exist"
        refused = RefusedError(message, param="model", code="model_not_found", status=404)
        yield from _refuse(refused, record)
        return
    yield sized(200, JSON_TYPE, {}, reply.dumps(reply.model_entry(model_id)))


def _refuse(refused: RefusedError, record: Record) -> Script:
    record.status = refused.status
    yield sized(refused.status, JSON_TYPE, {}, reply.dumps({"error": refused.error}))


def _nobody(*, whole: bool) -> None:
    """The log's own page is not logged."""
