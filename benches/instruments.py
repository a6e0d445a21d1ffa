"""Decides how the two instruments are built, started, pinned and asked.

Deliberately knows no contender: it starts a mock upstream and runs plans of the load generator.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
READY_S = 60.0
STOP_S = 10.0

Report = dict[str, Any]


class VoidError(Exception):
    """A run that must not become a figure: an error, a failed probe, a wrong answer."""


@dataclass(frozen=True)
class Cores:
    """Which cores the contender gets, and which the instruments."""

    contender: frozenset[int]
    instruments: frozenset[int]

    @classmethod
    def split(cls) -> Cores:
        """The contender has the first core alone; with one core nobody is pinned."""
        first, *rest = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(rest or [first]))


@dataclass(frozen=True)
class Instruments:
    upstream: Path
    load: Path

    @classmethod
    def build(cls, *, release: bool = True) -> Instruments:
        command = ["cargo", "build", "--quiet", "--package", "p402-benches", "--bins"]
        if release:
            command.append("--release")
        subprocess.run(command, cwd=ROOT, check=True)
        return cls.found(release=release)

    @classmethod
    def found(cls, *, release: bool = True) -> Instruments:
        home = target_dir() / ("release" if release else "debug")
        return cls(home / "upstream", home / "load")

    def run(self, plan: dict[str, Any], cores: Cores | None = None) -> Report:
        """One plan to its end; a void row raises."""
        report = self.attempt(plan, cores)
        if report["void"]:
            errors = {target["name"]: target["errors"] for target in report["targets"]}
            raise VoidError(f"{report['completed']} completed, errors: {errors}")
        return report

    def attempt(self, plan: dict[str, Any], cores: Cores | None = None) -> Report:
        """As `run`, but a void report is returned and not raised."""
        done = subprocess.run(
            pinned([str(self.load), "-"], cores.instruments if cores else None),
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, 2}:
            raise VoidError(done.stderr.strip() or f"load ended with {done.returncode}")
        report: Report = json.loads(done.stdout)
        return report


@dataclass(frozen=True)
class Upstream:
    """A running mock upstream."""

    port: int
    pid: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chat_url(self) -> str:
        return f"{self.base_url}/chat/completions"

    def stats(self) -> dict[str, int]:
        url = f"http://127.0.0.1:{self.port}/__stats"
        with urllib.request.urlopen(url, timeout=5) as reply:
            counters: dict[str, int] = json.load(reply)
        return counters

    def content(self, model: str) -> str:
        """The text that every honest path to this model must deliver."""
        body = json.dumps({"model": model, "messages": []}).encode()
        request = urllib.request.Request(self.chat_url, data=body, method="POST")
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        return str(answer["choices"][0]["message"]["content"])


@contextlib.contextmanager
def upstream(instruments: Instruments, cores: Cores | None = None) -> Iterator[Upstream]:
    command = pinned([str(instruments.upstream), "0"], cores.instruments if cores else None)
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        yield Upstream(port, process.pid)


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A child that is stopped at the end, gently first."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)  # its own session: children included
        process.wait(STOP_S)
    if process.stdout is not None:
        process.stdout.close()


def pinned(command: list[str], cores: frozenset[int] | None) -> list[str]:
    if not cores or len(os.sched_getaffinity(0)) == 1:
        return command
    return ["taskset", "--cpu-list", ",".join(map(str, sorted(cores))), *command]


def wait_ready(
    url: str, process: subprocess.Popen[str], body: bytes, headers: dict[str, str]
) -> float:
    """Polls with real requests until one succeeds; returns the moment it did."""
    start = time.monotonic()
    last = "no reply"
    while time.monotonic() - start < READY_S:
        if process.poll() is not None:
            raise VoidError(f"the process ended with {process.returncode} before it was ready")
        request = urllib.request.Request(
            url, data=body, method="POST", headers={"content-type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                reply.read()
            return time.monotonic()
        except urllib.error.HTTPError as error:
            last = f"{error.code}: {error.read()[:300]!r}"
        except OSError as error:
            last = str(error)
        time.sleep(0.005)
    raise VoidError(f"not ready in {READY_S:.0f} s; last: {last}")


def target_dir() -> Path:
    answer = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(json.loads(answer.stdout)["target_directory"])
