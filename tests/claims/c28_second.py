"""Claim 28: a second process on a data directory ends at once, and the first one never notices.

Both are started as an operator starts them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from p402.settings import bare_environment
from tests.claims.crowd import Caller
from tests.claims.stage import ROOT, Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict
from tests.serving import free_port

TITLE = "a second process on one data directory: exits non-zero; the first unharmed"
TARGET = "≤ 1 s beyond its start"
START_S = 20.0


async def answered(stage: Stage) -> bool:
    """The first one still serves."""
    caller = Caller(stage.gate.port, key_of("first"))
    body = {"model": "claims", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    told = await caller.ask({**body, "user": "first/0"})
    caller.hang_up()
    return told.status == 200


def measure(scale: Scale) -> Verdict:
    """Starts a second one, times its end."""
    with Stage(model("claims", "steady") + tenant("first"), seed=scale.seed) as stage:
        began = time.monotonic()
        command = [sys.executable, "-m", "p402", "serve", "--config", str(stage.config)]
        command += ["--port", str(free_port())]
        env = {**bare_environment(), "P402_DATA_DIR": str(stage.data), "PYTHONPATH": str(ROOT)}
        second = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=START_S, check=False
        )
        took_s = time.monotonic() - began
        first = stage.gate.started_s
        unharmed = asyncio.run(answered(stage))
    said = next((line for line in second.stderr.splitlines() if "p402" in line), second.stderr)
    return Verdict(
        second.returncode not in (0, None) and took_s <= first + 1 and unharmed,
        f"exit {second.returncode} after {took_s:.2f} s (a start takes {first:.2f} s), the first "
        f"{'still serves' if unharmed else 'does not serve'}: {said.strip()[:90]}",
    )
