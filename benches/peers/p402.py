"""P402 with everything on that exists: routing over 320 offers, metadata on every reply.

Deliberately no bench switch inside the product: this is `p402 serve` with an ordinary config file.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from benches.contender import Kind, Launch, Site
from benches.instruments import ROOT

PROVIDERS = 16
OFFERS_EACH = 20
EXTRA = {"p402": {"mode": "balanced"}}
# The guard is on and decides on every request; its limits are wide enough never to refuse one.
GUARD = """[guard]
daily_cap_usd = "9000000"
in_flight_max = 256
rate = { limit = 1000000, per_s = 1 }
"""


def config(base_url: str, upstream_id: str) -> str:
    """320 eligible offers of different price, quality and speed; all lead to the mock."""
    tables = [GUARD]
    for p in range(PROVIDERS):
        tables.append(
            f'[provider.bench{p}]\ndialect = "openai"\nbase_url = "{base_url}"\napi_key = "x"\n'
        )
        for m in range(OFFERS_EACH):
            i = p * OFFERS_EACH + m
            tables.append(
                "[[model]]\n"
                f'id = "bench-{i}"\nprovider = "bench{p}"\nupstream_id = "{upstream_id}"\n'
                f'input_usd_per_mtok = "{0.05 + i * 0.03:.2f}"\n'
                f'output_usd_per_mtok = "{0.20 + i * 0.12:.2f}"\n'
                "context = 200000\nmax_output = 32000\ntools = true\n"
                f"capability = {30 + i * 37 % 60}\n"
                f"ttft_ms = {200 + i * 13 % 900}\ntokens_per_s = {40 + i * 7 % 160}\n"
            )
    return "\n".join(tables)


def _absent() -> str | None:
    if find_spec("p402") is None or find_spec("p402._core") is None:
        return "build it first: make build"
    return None


def _pin() -> str:
    if _absent() is not None:
        return "not built"
    return str(import_module("p402._core").__version__)


def _launch(site: Site) -> Launch:
    text = config(site.upstream.base_url, site.scenario.model)
    path = site.write("p402.toml", text)
    folder = path.parent / "p402-data"
    return Launch(
        command=[
            *(sys.executable, "-m", "p402", "serve", "--config", str(path)),
            *("--host", "127.0.0.1", "--port", str(site.port)),
        ],
        path="/api/v2/chat/completions",
        extra=EXTRA,
        environment={"PYTHONPATH": str(ROOT), "P402_DATA_DIR": str(folder)},
    )


KIND = Kind(
    "p402",
    _pin(),
    _absent,
    _launch,
    note="all features on, 320 candidates",
    carries=("p402_metadata",),
)
