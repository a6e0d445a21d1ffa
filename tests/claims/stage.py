"""Decides how a claim gets its processes: a provider with a bill file, a gateway to be killed.

Does not load or judge them.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

import httpx

from p402.settings import bare_environment
from tests.claims.provider import INPUT_USD_PER_MTOK, OUTPUT_USD_PER_MTOK, READY
from tests.claims.servers import Postgres, Redis
from tests.claims.verdict import NotHereError
from tests.serving import free_port

ROOT = Path(__file__).parent.parent.parent
START_S = 30.0
END_S = 15.0
# What the one process plays; those below /rough have mishaps, the last two nothing else.
PROVIDERS = {
    "steady": "/steady",
    "rough": "/rough/a",
    "tough": "/rough/b",
    "mute": "/mute",
    "bad": "/bad",
}
WIDE = "rate = { limit = 1000000, per_s = 1 }\n"


def key_of(tenant: str) -> str:
    """The API key of a tenant of the claims."""
    return f"sk-claims-{tenant}"


def tenant(name: str, guard: str = "") -> str:
    """A `[[tenant]]` section with limits of its own."""
    digest = hashlib.sha256(key_of(name).encode()).hexdigest()
    return f'[[tenant]]\nid = "{name}"\nkey_sha256 = "{digest}"\n[tenant.guard]\n{guard}\n'


def model(name: str, provider: str, more: str = "") -> str:
    """A `[[model]]` section at the provider's true price."""
    return (
        f'[[model]]\nid = "{name}"\nprovider = "{provider}"\n'
        f'input_usd_per_mtok = "{INPUT_USD_PER_MTOK}"\n'
        f'output_usd_per_mtok = "{OUTPUT_USD_PER_MTOK}"\n'
        "context = 100000\nmax_output = 8000\ntools = true\nstructured = true\n"
        f"capability = 70\nttft_ms = 10\ntokens_per_s = 10000\n{more}\n"
    )


class Provider:
    """The provider's process."""

    def __init__(self, bill: Path, seed: int, pause_ms: int) -> None:
        self.bill = bill
        command = [sys.executable, "-m", "tests.claims.provider", "--bill", str(bill)]
        command += ["--seed", str(seed), "--pause-ms", str(pause_ms)]
        self._child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        with self._child.stdout as told:
            line = told.readline()
        assert line.startswith(READY), line
        self.root = line.split()[-1]

    def stop(self) -> None:
        """Ends it; what it has acknowledged is on disk."""
        self._child.kill()
        self._child.wait(END_S)


class Gate:
    """`p402 serve` on a data directory that outlives it."""

    def __init__(
        self, config: Path, data: Path, noise: IO[bytes], env: dict[str, str] | None = None
    ) -> None:
        self._env = env or {}
        # What its command line begins with: where it runs, if not here.
        self.inside: list[str] = []
        self.port = free_port()
        self._config = config
        self._data = data
        self._noise = noise
        self._child: subprocess.Popen[bytes] | None = None
        # How long its last start took.
        self.started_s = 0.0

    @property
    def pid(self) -> int:
        """The leader of the gateway's process group."""
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Returns once it is ready."""
        command = [*self.inside, sys.executable, "-m", "p402", "serve"]
        command += ["--config", str(self._config), "--port", str(self.port)]
        own = {"P402_DATA_DIR": str(self._data), "PYTHONPATH": str(ROOT)}
        env = {**bare_environment(), **own, **self._env}
        began = time.monotonic()
        self._child = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._noise,
            stderr=self._noise,
            start_new_session=True,
        )
        while time.monotonic() - began < START_S and self._child.poll() is None:
            try:
                url = f"http://127.0.0.1:{self.port}/readyz"
                if httpx.get(url, trust_env=False, timeout=1.0).status_code == 200:
                    self.started_s = time.monotonic() - began
                    return
            except httpx.TransportError:
                time.sleep(0.01)  # polls a foreign process; nothing in it can be awaited
        raise RuntimeError("the gateway did not start")

    def kill(self) -> None:
        """kill -9, its workers with it."""
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait(END_S)
            self._child = None

    def stop(self) -> None:
        """Asks it to end."""
        if self._child is None:
            return
        self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(END_S)
            self._child = None
        except subprocess.TimeoutExpired:
            self.kill()


class Stage:
    """A folder, a provider and gateways. `text` is the configuration beside the provider's own.

    `shared`: so many gateways keep their accounts in one Redis and their ledger in one PostgreSQL.
    `inside`: makes a place for the data directory, and says how a command line gets there.
    """

    def __init__(
        self,
        text: str,
        *,
        seed: int = 402,
        pause_ms: int = 80,
        provider_key: str = "sk-provider",
        env: dict[str, str] | None = None,
        shared: int = 0,
        deadline_ms: int = 50,
        inside: Callable[[Path], list[str]] | None = None,
    ) -> None:
        self._inside = inside
        self._shared = shared
        self._deadline_ms = deadline_ms
        self._provider_key = provider_key
        self._env = env
        self._text = text
        self._seed = seed
        self._pause_ms = pause_ms

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="p402-claim-")
        self.root = Path(self._folder.name)
        self.data = self.root / "data"
        self._noise = (self.root / "stderr").open("ab")
        self.provider = Provider(self.root / "bill", self._seed, self._pause_ms)
        self.config = self.root / "p402.toml"
        self.servers: list[Redis | Postgres] = []
        self.redis: Redis | None = None
        try:
            self.configure(self._text + self._store())
            folders = [self.data, *(self.root / f"data-{n}" for n in range(1, self._shared))]
            self.gates = [Gate(self.config, each, self._noise, self._env) for each in folders]
            self.gate = self.gates[0]
            self.gate.inside = self._inside(self.data) if self._inside else []
            with ThreadPoolExecutor() as starting:
                list(starting.map(Gate.start, self.gates))
        except RuntimeError:
            told = self.noise()
            self.close()
            raise RuntimeError(f"the gateway did not start:\n{told}") from None
        except NotHereError:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            sys.stderr.write(self.noise()[-4_000:])
        self.close()

    def _store(self) -> str:
        """Where accounts and the ledger are, if they are shared."""
        if not self._shared:
            return ""
        redis = self.redis = Redis(self.root)
        self.servers.append(redis)
        postgres = Postgres(self.root)
        self.servers.append(postgres)
        # By default the longest that may be said: everything here shares a few processors.
        patience = f"deadline_ms = {self._deadline_ms}\nseed_deadline_ms = 1000\n"
        return f'[store]\nurl = "{redis.url}"\nledger = "{postgres.url}"\n{patience}'

    def configure(self, text: str) -> None:
        """Writes the gateway's configuration."""
        url = self.provider.root
        # Equal requests are to be paid for, each of them, where nothing else is asked.
        own = '[routing]\nmode = "cost"\n[cache]\ncost_mode_default = false\n'
        for name, path in PROVIDERS.items():
            own += f'[provider.{name}]\nbase_url = "{url}{path}/v1"\n'
            own += f'api_key = "{self._provider_key}"\n'
        self.config.write_text(f"{own}{text}")

    def noise(self) -> str:
        """All that the gateway has said."""
        return (self.root / "stderr").read_text("utf-8", "replace")

    def close(self) -> None:
        """Ends all and removes the folder."""
        for each in getattr(self, "gates", ()):
            each.kill()
        for server in self.servers:
            server.stop()
        self.provider.stop()
        self._noise.close()
        self._folder.cleanup()
