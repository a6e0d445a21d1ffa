"""Decides how a claim calls a test of the Rust crates, and reads what it printed.

Does not judge: a test that fails raises, with its last lines.
"""

from __future__ import annotations

import os
import re
import subprocess

from tests.claims.stage import ROOT
from tests.claims.verdict import NotHereError

TEST_S = 3_600


def cargo_test(crate: str, target: str, *words: str, **env: str) -> str:
    """Runs `cargo test --test TARGET`; what it said."""
    folder = ROOT / "rust_core" / crate / "tests"
    if not (folder / f"{target}.rs").exists() and not (folder / target / "main.rs").exists():
        raise NotHereError(f"{crate} has no test {target}")
    command = ["cargo", "test", "--quiet", "--locked", "-p", crate, "--test", target, "--"]
    return _run([*command, "--nocapture", *words], env)


def found(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of a pattern that must be there."""
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"no {pattern!r} in: {text[-400:]}")
    return match.groups()


def scenes(text: str) -> list[dict[str, float]]:
    """The figures of the store's fault scenarios, by name: `f01 opened 40 closed 195 …`."""
    lines = re.findall(r"^f\d\d .*$", text, re.MULTILINE)
    return [
        {name: float(figure) for name, figure in re.findall(r"([a-z]+) (-?[\d.]+)", line)}
        for line in lines
    ]


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=TEST_S,
        check=False,
    )
    told = done.stdout + done.stderr
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {told[-1_500:]}")
    return told
