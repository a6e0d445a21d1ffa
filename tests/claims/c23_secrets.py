"""Claim 23: no secret and no prompt is in anything that is written: logs, journal, index, metrics.

They are planted in every place they pass through, then every file and page is searched for them.
"""

from __future__ import annotations

import asyncio
import json

import httpx

from tests.claims.crowd import Caller
from tests.claims.stage import WIDE, Stage, key_of, model, tenant
from tests.claims.verdict import Scale, Verdict

TITLE = "planted secrets found in logs, ledger and metrics of a run with failures and restarts"
TARGET = "0"
NAME = "keeper"
PLANTED = {
    "prompt": "plant-prompt-5e1f",
    "answer tool": "plant-tool-77aa",
    "idempotency key": "plant-idempotency-0c3d",
    "wrong key": "sk-plant-wrong-9b2e",
    "user": "plant-user-41fe",
    "session": "plant-session-b00c",
}
REQUESTS = 120


def secrets() -> dict[str, bytes]:
    """What must not be found, by what it is."""
    made = {name: text.encode() for name, text in PLANTED.items()}
    made["tenant's key"] = key_of(NAME).encode()
    made["provider's key"] = b"sk-plant-provider-3d3d"
    made["webhook's secret"] = b"plant-webhook-e1e1"
    return made


async def run(stage: Stage) -> None:
    """Answers, streams, failures, refusals, wrong keys, broken bodies, hang-ups."""
    tool = {"type": "function", "function": {"name": "t", "description": PLANTED["answer tool"]}}
    for number in range(REQUESTS):
        caller = Caller(stage.gate.port, key_of(NAME) if number % 7 else PLANTED["wrong key"])
        body = {
            "model": "claims" if number % 5 else PLANTED["prompt"],
            "messages": [{"role": "user", "content": PLANTED["prompt"]}],
            "max_tokens": 8,
            "stream": number % 2 == 0,
            "user": f"{PLANTED['user']}/{number}",
            "tools": [tool],
            "p402": {"session_id": PLANTED["session"]},
        }
        raw = json.dumps(body).encode()
        await caller.ask(
            raw[:-9] if number % 11 == 0 else raw,
            leave_s=0.01 if number % 6 == 0 else None,
            idempotency_key=f"{PLANTED['idempotency key']}-{number}",
        )
        caller.hang_up()


def measure(scale: Scale) -> Verdict:
    """Runs, restarts, searches."""
    text = model("claims", "rough") + model("claims", "tough")
    text += tenant(NAME, f'{WIDE}budget_usd = "0.01"')
    text += '[alerts]\nwebhook_url = "http://127.0.0.1:9/"\nwebhook_secret_env = "PLANTED_HOOK"\n'
    own = {"PLANTED_HOOK": "plant-webhook-e1e1"}
    with Stage(text, seed=scale.seed, provider_key="sk-plant-provider-3d3d", env=own) as stage:
        asyncio.run(run(stage))
        stage.gate.kill()
        stage.gate.start()
        asyncio.run(run(stage))
        root = f"http://127.0.0.1:{stage.gate.port}"
        header = {"authorization": f"Bearer {key_of(NAME)}"}
        pages = {
            path: httpx.get(f"{root}{path}", headers=header, trust_env=False).content
            for path in ("/api/v2/metrics", "/api/v2/models", "/healthz", "/readyz")
        }
        stage.gate.stop()
        written = [file for file in stage.data.rglob("*") if file.is_file()]
        places = {str(file.relative_to(stage.root)): file.read_bytes() for file in written}
        places |= pages | {"stderr": stage.noise().encode()}
    hits = [
        f"{name} in {place}"
        for place, content in places.items()
        for name, secret in secrets().items()
        if secret in content
    ]
    size = sum(map(len, places.values()))
    return Verdict(
        not hits and len(written) >= 4,
        f"{len(hits)} of {len(secrets())} planted in {len(places)} files and pages "
        f"({size >> 10:,} KiB) {', '.join(hits)}",
    )
