"""smg, a Rust gateway in a Python wheel, as its command line starts it.

Deliberately bare: no history, no retries, no breaker, no health checks.
"""

from __future__ import annotations

from pathlib import Path

from benches.contender import INSTALLED, Kind, Launch, Site, free_port
from benches.peers import install

PIN = "1.13.0"
PROGRAM = INSTALLED / "smg" / "bin" / "smg"


def _install(folder: Path) -> None:
    install.python(folder, f"smg=={PIN}")


def _launch(site: Site) -> Launch:
    flags = "--disable-retries --disable-circuit-breaker --disable-health-check"
    return Launch(
        command=[
            *(str(PROGRAM), "launch", "--host", "127.0.0.1", "--port", str(site.port)),
            *("--backend", "openai", "--history-backend", "none", "--log-level", "error"),
            *("--worker-urls", f"http://127.0.0.1:{site.upstream.port}"),  # without /v1
            *flags.split(),
            *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())),
        ],
        headers={"authorization": "Bearer x"},
    )


KIND = Kind(
    "smg", PIN, lambda: None if PROGRAM.exists() else "make bench-peers", _launch, _install, "bare"
)
