"""Decides what every test may rely on: no provider key, no configuration, no foreign state.

Does not start anything: a test that needs an upstream or a gateway asks for the fixture.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from p402.settings import bare_environment
from tests.serving import Served
from tests.upstream import Upstream


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A developer's own keys must neither be spent by a test nor change its outcome."""
    bare = bare_environment()
    for name in list(os.environ):
        if name not in bare:
            monkeypatch.delenv(name)
    monkeypatch.setenv("P402_STATE_DIR", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A sandbox of the test's own, without delays."""
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def _modules_upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def up(_modules_upstream: Upstream) -> Upstream:
    """A sandbox of the test's file, well again and with an empty log."""
    _modules_upstream.faults.clear()
    _modules_upstream.log.clear()
    return _modules_upstream


@pytest.fixture(scope="session")
def p402_command() -> list[str]:
    """The command line of `p402` under this interpreter."""
    return [sys.executable, "-m", "p402"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`p402 serve` as a user runs it: a process of its own, sandbox, no configuration but speed."""
    config = tmp_path_factory.mktemp("served") / "p402.toml"
    config.write_text("[sandbox]\nenabled = true\nspeed = 0.0\n")
    with Served(config) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """A plain HTTP client of the served gateway."""
    with httpx.Client(base_url=served.base_url, timeout=30.0, trust_env=False) as made:
        yield made


def run_cli(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """One verb to its end."""
    return subprocess.run(
        [sys.executable, "-m", "p402", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={**bare_environment(), **(env or {})},
    )
