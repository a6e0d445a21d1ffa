"""Do real client packages, unchanged, work with the gateway? One test per client.

Each client's program says one JSON line per check (tests/clients/checks.py). `make clients` runs
the rows of every CI run, `make clients-all` (P402_CLIENTS=all) the whole matrix.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from p402.settings import bare_environment
from tests.clients.environments import AbsentError, ready
from tests.clients.matrix import CLIENTS, HERE, Client
from tests.clients.stage import Stage

RUN_S = 240
CHOSEN = os.environ.get("P402_CLIENTS", "")
IN_CI = bool(os.environ.get("CI"))
SELECTED = [
    client
    for client in CLIENTS
    if CHOSEN == "all" or (client.name in CHOSEN.split(",") if CHOSEN else client.when == "always")
]

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1_200)]


@pytest.fixture(scope="module")
def commands() -> Iterator[dict[str, Future[list[str]]]]:
    """Every environment, being installed while the first clients run already."""
    with ThreadPoolExecutor(2) as pool:
        yield {client.name: pool.submit(ready, client) for client in SELECTED}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One gateway for all clients."""
    with Stage() as running:
        yield running


@pytest.mark.parametrize("client", SELECTED, ids=lambda client: client.name)
def test_client(client: Client, commands: dict[str, Future[list[str]]], stage: Stage):
    try:
        command = commands[client.name].result()
    except AbsentError as absent:
        if IN_CI and client.when == "always":
            raise
        pytest.skip(f"{client.name} is not installed: {absent}")
    done = subprocess.run(
        command,
        env={**bare_environment(), "PYTHONPATH": str(HERE), **stage.environment()},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    checks = [line for line in lines if "check" in line]
    failed = [f"{line['check']}: {line['detail']}" for line in checks if not line["ok"]]
    assert not failed, f"{len(failed)} of {len(checks)} checks failed:\n" + "\n".join(failed)
    assert done.returncode == 0, done.stderr[-3000:]
    assert lines, done.stderr[-3000:]
    assert lines[-1] == {"done": len(checks)}
    assert len(checks) >= client.checks_min
    print(f"{client.name}: {len(checks)} checks")
