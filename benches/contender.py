"""Decides what a contender is: a process that answers chat requests by asking the mock upstream.

Deliberately the same for all: one scenario, one process tree, one core; peers differ in data only.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benches.instruments import (
    READY_S,
    ROOT,
    Cores,
    Upstream,
    VoidError,
    pinned,
    running,
    wait_ready,
)

INSTALLED = ROOT / "benches" / "peers" / ".installed"
REQUEST_BYTES = 210


@dataclass(frozen=True)
class Scenario:
    """One kind of request."""

    name: str
    model: str = "mock"
    stream: bool = False
    prompt_bytes: int = 0


BASE = Scenario("base")
BURST = Scenario("burst", model="mock-burst20", stream=True)
PACED = Scenario("paced", model="mock-ttft20-n16-gap10", stream=True)
LONG = Scenario("long", prompt_bytes=50_000)


@dataclass(frozen=True)
class Site:
    """Where a contender is set up: what it asks, where it listens, where its files go."""

    upstream: Upstream
    port: int
    folder: Path
    scenario: Scenario

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


@dataclass(frozen=True)
class Launch:
    """How to start it and how to speak to it."""

    command: list[str]
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)
    model: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    #: Where the process chooses its port: the file in which it says its address.
    address: Path | None = None


@dataclass(frozen=True)
class Kind:
    """One contender as data: its name, its pin, why it may be absent, how it starts."""

    name: str
    pin: str
    absent: Callable[[], str | None]
    launch: Callable[[Site], Launch]
    install: Callable[[Path], None] | None = None
    note: str = ""
    #: Keys that its replies must carry, or the features that are said to be on are not.
    carries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contender:
    """A running one."""

    name: str
    pid: int | None
    url: str
    headers: dict[str, str]
    model: str
    extra: dict[str, Any]
    ready_s: float = 0.0
    carries: tuple[str, ...] = ()

    def target(self, scenario: Scenario, content: str | None) -> dict[str, Any]:
        """What the load generator is told."""
        return {
            "name": self.name,
            "url": self.url,
            "headers": self.headers,
            "body": body(scenario, self.model, self.extra),
            "stream": scenario.stream,
            "content": content,
        }


def body(scenario: Scenario, model: str, extra: dict[str, Any]) -> str:
    """The request as text; a plain one is 210 bytes, whoever is asked."""
    request: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": ""},
        ],
        **extra,
    }
    if scenario.stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    wanted = scenario.prompt_bytes or REQUEST_BYTES - len(json.dumps(request))
    words = "how does the same question cost so much more elsewhere "
    request["messages"][1]["content"] = (words * (wanted // len(words) + 1))[: max(wanted, 8)]
    return json.dumps(request)


def direct(upstream: Upstream, scenario: Scenario) -> Contender:
    """The mock itself: what a client would see with nothing in between."""
    return Contender("direct", upstream.pid, upstream.chat_url, {}, scenario.model, {})


@contextlib.contextmanager
def started(
    kind: Kind, upstream: Upstream, scenario: Scenario, cores: Cores | None
) -> Iterator[Contender]:
    """Starts, waits for a first good reply, stops."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{kind.name}-"))
    try:
        site = Site(upstream, free_port(), folder, scenario)
        launch = kind.launch(site)
        command = pinned(launch.command, cores.contender if cores else None)
        since = time.monotonic()
        with (
            (folder / "log").open("w", encoding="utf-8") as log,
            running(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", **launch.environment},
            ) as process,
        ):
            ready = _ready(kind, site, launch, process)
            yield replace(ready, ready_s=ready.ready_s - since)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(kind: Kind, site: Site, launch: Launch, process: subprocess.Popen[str]) -> Contender:
    model = launch.model or site.scenario.model
    first = body(site.scenario, model, launch.extra).encode()
    try:
        url = _base(site, launch, process) + launch.path
        ready_at = wait_ready(url, process, first, launch.headers)
    except Exception as error:
        log = (site.folder / "log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"{kind.name} did not start: {error}\n{log[-2_000:]}") from error
    return Contender(
        kind.name, process.pid, url, launch.headers, model, launch.extra, ready_at, kind.carries
    )


def _base(site: Site, launch: Launch, process: subprocess.Popen[str]) -> str:
    if launch.address is None:
        return f"http://127.0.0.1:{site.port}"
    deadline = time.monotonic() + READY_S
    while not launch.address.exists() or not launch.address.read_text(encoding="utf-8"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise VoidError("it never said where it listens")
        time.sleep(0.01)
    return launch.address.read_text(encoding="utf-8").rstrip("/")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
