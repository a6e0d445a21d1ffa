"""Portkey's gateway on Node, headless, one process.

Deliberately with three overrides: without them every stream is a 500.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from benches.contender import INSTALLED, Kind, Launch, Site

PIN = "1.15.2"
HOME = INSTALLED / "portkey"
START = HOME / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": PIN},
    "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.5", "@hono/node-ws": "1.2.0"},
}


def _install(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise OSError("no Node here")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps(PACKAGE), encoding="utf-8")
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(["npm", "install", *quiet], cwd=folder, check=True)


def _absent() -> str | None:
    if shutil.which("node") is None:
        return "no Node here"
    return None if START.exists() else "make bench-peers"


def _launch(site: Site) -> Launch:
    return Launch(
        command=[
            *(shutil.which("node") or "node", str(START)),
            *(f"--port={site.port}", "--headless"),
        ],
        headers={
            "authorization": "Bearer x",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": site.upstream.base_url,
        },
        environment={
            "NODE_ENV": "production",
            "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost",
        },
    )


KIND = Kind("portkey", PIN, _absent, _launch, _install, "one Node process")
