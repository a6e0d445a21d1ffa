"""LiteLLM's proxy under granian, one worker.

Deliberately in its fastest documented form: no callbacks, no database, no retries, no spend logs.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from benches.contender import INSTALLED, Kind, Launch, Site
from benches.peers import install

PIN = "1.106.2"  # 1.82.7 and 1.82.8 were compromised releases: never float
HOME = INSTALLED / "litellm"
CONFIG = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {base}
      api_key: x
litellm_settings:
  callbacks: []
  num_retries: 0
  telemetry: false
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 0
  disable_cooldowns: true
general_settings:
  disable_spend_logs: true
  disable_error_logs: true
"""


def _install(folder: Path) -> None:
    install.python(folder, f"litellm[proxy]=={PIN}")


def _launch(site: Site) -> Launch:
    text = CONFIG.format(model=site.scenario.model, base=site.upstream.base_url)
    config = site.write("litellm.yaml", text)
    key = f"sk-{secrets.token_hex(24)}"
    return Launch(
        command=[
            *(str(HOME / "bin" / "litellm"), "--config", str(config), "--telemetry", "False"),
            *("--host", "127.0.0.1", "--port", str(site.port)),
            *("--run_granian", "--num_workers", "1"),
        ],
        headers={"authorization": f"Bearer {key}"},
        environment={
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "LITELLM_MASTER_KEY": key,
            "HOME": str(site.folder),
        },
    )


KIND = Kind(
    "litellm",
    PIN,
    lambda: None if (HOME / "bin" / "litellm").exists() else "make bench-peers",
    _launch,
    _install,
    "granian, 1 worker; a key, since it refuses to run without",
)
