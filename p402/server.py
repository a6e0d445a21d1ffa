"""Decides how the gateway runs as a server: granian, its worker, the sandbox child, the signals.

Does not answer requests (app.py) and does not read settings itself: the worker asks for them anew,
so that a reload sees the file and the environment as they are then.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from p402.app import App
from p402.auth import Authenticator
from p402.log import to_stderr
from p402.opening import open_gateway
from p402.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

READY_WAIT_S = 30.0
DRAIN_SLACK_S = 3.0
# A worker that has been heard out and told to end does so within this, or is killed.
KILL_AFTER_S = 5.0
BACKPRESSURE = 4_096
HEADER_BUFFER_BYTES = 65_536
KEEP_ALIVE_MS = 30_000
# A request makes few cyclic objects; ten thousand young ones are still far less than a megabyte.
GC_YOUNG = 10_000


class Sign(NamedTuple):
    """Something that a worker says to its parent, once.

    Not an event of multiprocessing: setting one waits for whoever waits for it, and a parent that
    was killed meanwhile would hold its worker, and the worker its data directory, for ever.
    """

    reader: Connection
    writer: Connection

    @classmethod
    def new(cls) -> Sign:
        """One that nobody has given yet."""
        return cls(*multiprocessing.Pipe(duplex=False))

    def give(self) -> None:
        """Says it, whether or not anybody is there."""
        self.writer.send_bytes(b"!")

    def seen(self, within_s: float = 0.0) -> bool:
        """It was given, or is within this time."""
        return self.reader.poll(within_s)


class Plan(NamedTuple):
    """What a worker needs to make its application; picklable, so that it may be spawned."""

    config: str | None
    host: str
    port: int
    sandbox_url: str | None
    ready: Sign
    drained: Sign

    def settings(self) -> Settings:
        """The settings as file and environment are now."""
        settings = load(self.config, host=self.host, port=self.port)
        if self.sandbox_url is not None and settings.sandbox.enabled:
            return settings.with_sandbox(self.sandbox_url)
        return settings


class _Served(App):
    """The application under this server: it also hears signals."""

    def __init__(self, plan: Plan) -> None:
        settings = plan.settings()
        gateway = open_gateway(settings, say)
        self._authenticator = Authenticator.from_settings(settings)
        super().__init__(settings, gateway, self._authenticator.tenant)
        self._plan = plan
        self._jobs: set[asyncio.Task[None]] = set()
        # What start-up made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_YOUNG)

    async def _lifespan(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        async def noted(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._listen_to_signals()
                self._plan.ready.give()

        await super()._lifespan(receive, noted)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        # The terminal's Ctrl-C reaches this process too; the parent alone decides what it means.
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop.add_signal_handler(signal.SIGHUP, self._start, self._reload)
        loop.add_signal_handler(signal.SIGUSR1, self._start, self._leave)
        parent = multiprocessing.parent_process()
        if parent is not None:
            loop.add_reader(parent.sentinel, self._orphaned, parent.sentinel)

    def _orphaned(self, sentinel: int) -> None:
        """The parent was killed: nobody would ever end this worker, so it ends itself, at the
        latest when its parent would have. What it has acknowledged is in the journal."""
        asyncio.get_running_loop().remove_reader(sentinel)
        limit = threading.Timer(self.settings.server.drain_s + DRAIN_SLACK_S, os._exit, (1,))
        limit.daemon = True
        limit.start()
        os.kill(os.getpid(), signal.SIGTERM)

    def _start(self, job: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(job())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _reload(self) -> None:
        """SIGHUP: validate off the loop, then swap; a mistake changes nothing and is told."""
        try:
            settings = await asyncio.to_thread(self._plan.settings)
            layers = await asyncio.to_thread(settings.catalog_layers)
            await asyncio.to_thread(self.gateway.reload, settings.core_config(), layers)
        except SettingsError as error:
            say(f"reload refused, nothing changed:\n{error.block()}")
        except (OSError, ValueError) as error:
            say(f"reload refused, nothing changed: {error}")
        else:
            self._authenticator.admit(settings.tenants)
            self._disabled = settings.disabled
            self._operator.admit(settings)
            self._log.alert(settings.alerts)
            moved = settings.store != self.settings.store or settings.ledger != self.settings.ledger
            moved = moved or settings.operator.listen != self.settings.operator.listen
            self.settings = settings
            say("reloaded" + "; [store], [ledger] and addresses change at the next start" * moved)

    async def _leave(self) -> None:
        """SIGUSR1, the parent's first word on its way out: refuse what is new, finish what runs."""
        self.gateway.refuse_new()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.server.drain_s
        while self.gateway.in_flight and loop.time() < deadline:
            await asyncio.sleep(0.02)
        if self.gateway.in_flight:
            await loop.run_in_executor(None, self.gateway.stop, 0)
        self._plan.drained.give()


def worker(plan: Plan) -> App:
    """The application of one worker; a mistake is told in words and ends it."""
    to_stderr()
    _take_turns()
    try:
        return _Served(plan)
    except SettingsError as error:
        say(error.block())
    except ValueError as error:
        say(f"  problem {error}")
    raise SystemExit(2)


def _take_turns() -> None:
    """Lets the worker's threads finish their turn before the one they woke takes the core.

    A request wakes three threads in a row; where they share a core, each wake-up would otherwise
    interrupt the thread that made it, and everybody works with cold caches. Threads started later
    inherit the policy; other processes are not affected.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it; it is only a matter of speed
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def serve(settings: Settings, config: str | None, started: float) -> int:
    """Runs until told to stop. `started` is the monotonic time the command began."""
    from p402.sandbox_child import SandboxChild

    host, port = claim_address(settings.server.host, settings.server.port)
    if settings.operator.listen is not None:
        claim_address(*settings.operator.listen, key="operator.metrics_listen")
    child = None
    if settings.sandbox.enabled and settings.sandbox.url is None:
        child = SandboxChild(settings.sandbox.speed)
    try:
        server = _server(host, port, settings)
        url = settings.sandbox.url if child is None else child.wait()
        plan = Plan(config, host, port, url, Sign.new(), Sign.new())
        told = settings if url is None else settings.with_sandbox(url)
        server.prepare(plan, partial(_greet, told, port, started))
        server.serve(target_loader=partial(worker, plan), wrap_loader=False)
    finally:
        if child is not None:
            child.stop()
    return 0


def _announce(plan: Plan, greet: Callable[[], None]) -> None:
    if plan.ready.seen(READY_WAIT_S):
        greet()


def _end(workers: list[Any]) -> None:
    """Tells workers to end; kills who does not.

    Not by joining, as granian does: threads of its own join them too, and to the one that comes
    second an ended process looks alive, and is called unwilling. A sentinel tells everybody.
    """
    for each in workers:
        each.terminate()
    deadline = time.monotonic() + KILL_AFTER_S
    for each in workers:
        if not wait([each.inner.sentinel], max(0.0, deadline - time.monotonic())):
            say("killing a worker that does not end")
            each.kill()


def _server(host: str, port: int, settings: Settings) -> Any:
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    class Serving(Server):  # type: ignore[misc, valid-type]  # granian has no stub of its base
        """granian's parent process, with a drain before the end and a reload that keeps state."""

        plan: Plan
        greet: Callable[[], None]

        def prepare(self, plan: Plan, greet: Callable[[], None]) -> None:
            self.plan, self.greet = plan, greet

        def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
            super()._spawn_workers(spawn_target, target_loader)
            # After the fork: a process with threads should not fork.
            told = (self.plan, self.greet)
            threading.Thread(target=_announce, args=told, daemon=True).start()

        def signal_handler_reload(self, *_: Any) -> None:
            self._tell(signal.SIGHUP)

        def shutdown(self, exit_code: int = 0) -> None:
            if self._tell(signal.SIGUSR1):
                self.plan.drained.seen(settings.server.drain_s + DRAIN_SLACK_S)
            super().shutdown(exit_code)

        def _stop_workers(self) -> None:
            _end(self.wrks)
            self.wrks.clear()

        def _tell(self, number: int) -> bool:
            alive = [each for each in self.wrks if each.is_alive()]
            for each in alive:
                os.kill(each.inner.pid, number)
            return bool(alive) and self.plan.ready.seen()

    return Serving(
        "p402.server:worker",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backpressure=BACKPRESSURE,
        http1_settings=HTTP1Settings(
            header_read_timeout=KEEP_ALIVE_MS, max_buffer_size=HEADER_BUFFER_BYTES
        ),
        log_level=LogLevels.warning,
        log_access=False,
        process_name=None,
    )


def claim_address(host: str, port: int, key: str = "server.port") -> tuple[str, int]:
    """The numeric address to listen on; refuses one that is taken.

    granian binds with SO_REUSEPORT, so two gateways on one port would silently share its callers.
    """
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found)
            return str(found[0]), int(probe.getsockname()[1])
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            key=key,
            mend="stop what listens there, or choose another port",
        ) from None


def say(text: str) -> None:
    """One message to the operator; never a body, a prompt or a key."""
    sys.stderr.write(f"p402: {text}\n")
    sys.stderr.flush()


def _greet(settings: Settings, port: int, started: float) -> None:
    from p402.banner import banner

    banner(settings, port, time.monotonic() - started)
