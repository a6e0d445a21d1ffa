"""TensorZero's gateway, as its Python wheel carries it.

Deliberately by the wheel's private starter, hence the exact pin; its build profile may be weaker
than the one of its own container.
"""

from __future__ import annotations

from pathlib import Path

from benches.contender import INSTALLED, Kind, Launch, Site
from benches.peers import install

PIN = "2026.6.0"
PYTHON = INSTALLED / "tensorzero" / "bin" / "python"
CONFIG = """
[gateway]
bind_address = "127.0.0.1:{port}"
disable_pseudonymous_usage_analytics = true
[gateway.observability]
enabled = false
[models.bench]
routing = ["mock"]
[models.bench.providers.mock]
type = "openai"
model_name = "{model}"
api_base = "{base}/"
api_key_location = "none"
"""
# The gateway listens on a port of its own choice; a byte forwarder would cost what we measure, so
# the port is told to the bench through a file.
STARTER = """
import asyncio, inspect, pathlib, sys, threading
from tensorzero.tensorzero import _start_http_gateway
async def main():
    gateway = _start_http_gateway(config_file=sys.argv[1], clickhouse_url=None, postgres_url=None,
                                  valkey_url=None, async_setup=False)
    if inspect.isawaitable(gateway):
        gateway = await gateway
    pathlib.Path(sys.argv[2]).write_text(gateway.base_url)
    threading.Event().wait()
asyncio.run(main())
"""


def _install(folder: Path) -> None:
    install.python(folder, f"tensorzero=={PIN}")


def _launch(site: Site) -> Launch:
    text = CONFIG.format(port=site.port, base=site.upstream.base_url, model=site.scenario.model)
    config, starter = site.write("tensorzero.toml", text), site.write("start.py", STARTER)
    address = site.folder / "address"
    return Launch(
        command=[str(PYTHON), str(starter), str(config), str(address)],
        path="/chat/completions",  # the address it tells ends in /openai/v1
        environment={"RUST_LOG": "error"},
        model="tensorzero::model_name::bench",
        address=address,
    )


KIND = Kind(
    "tensorzero",
    PIN,
    lambda: None if PYTHON.exists() else "make bench-peers",
    _launch,
    _install,
    "bare; the wheel's build",
)
