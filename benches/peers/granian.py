"""granian alone: the ASGI hop that every Python front pays.

Deliberately the flags of p402's own server, so that the difference is our code and not the flags.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from benches.contender import Kind, Launch, Site
from benches.instruments import ROOT


def _launch(site: Site, app: str) -> Launch:
    flags = "--interface asgi --http 1 --no-ws --workers 1 --loop uvloop --no-access-log"
    return Launch(
        command=[
            *(sys.executable, "-m", "granian", *flags.split(), "--log-level", "error"),
            *("--backpressure", "4096", "--host", "127.0.0.1", "--port", str(site.port)),
            f"benches.hello:{app}",
        ],
        environment={"PYTHONPATH": str(ROOT)},
    )


HELLO = Kind("asgi-hello", version("granian"), lambda: None, lambda s: _launch(s, "hello"))
PARSED = Kind("asgi-json", version("granian"), lambda: None, lambda s: _launch(s, "parsed"))
