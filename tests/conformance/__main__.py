"""Decides which suites of others meet the gateway, and what each must say: `make conformance`.

Does not hold their tests: they come from the package index, at exact versions, when first needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from p402 import local
from p402.demo import local_config
from p402.local import LocalModel
from p402.settings import bare_environment
from tests.clients.environments import ENVS, AbsentError, python_env
from tests.clients.stage import ROUTED_KEY, TEST_SUITE_KEY, Stage
from tests.serving import Served

HERE = Path(__file__).parent
OPENAI = "3.54.0"
SUITE_S = 600
REAL_ABLE = (
    *("chat-basic-response", "chat-system-prompt", "chat-multi-turn"),
    *("chat-streaming-response", "chat-streaming-usage", "chat-error-handling"),
)
# The suites bring their own pytest settings; ours must not reach them.
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "-o", "addopts=")
ASYNC = (
    "asyncio_mode=auto",
    *(f"asyncio_default_{scope}_loop_scope=session" for scope in ("fixture", "test")),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a suite said, and whether that is what it must say."""

    suite: str
    held: bool
    said: str


def main() -> int:
    """Every suite in turn; the exit status counts those that did not hold."""
    failed = 0
    with Stage() as stage:
        for suite in (
            openai_chat,
            openai_models,
            openai_embeddings,
            openai_completions,
            langchain,
            llm_comply,
            llm_comply_messages,
            llm_comply_responses,
            llm_comply_real,
            schemathesis,
        ):
            try:
                verdict = suite(stage)
            except AbsentError as absent:
                print(f"{suite.__name__:15} skipped: {absent}", flush=True)
                continue
            failed += not verdict.held
            print(f"{verdict.suite:15} {'held' if verdict.held else 'FAILED'}: {verdict.said}")
    return failed


def openai_chat(stage: Stage) -> Verdict:
    """openai-python's own tests of chat completions, `create` of every kind."""
    file = "tests/api_resources/chat/test_completions.py"
    return _openai(stage, "openai chat", (file, "-k", "create"), 40)


def openai_models(stage: Stage) -> Verdict:
    """openai-python's own tests of the model listing."""
    file = "tests/api_resources/test_models.py"
    return _openai(stage, "openai models", (file, "-k", "list or retrieve"), 35)


def openai_embeddings(stage: Stage) -> Verdict:
    """openai-python's own tests of embeddings.

    It asks for base64 unless told otherwise, and its strict validation takes numbers alone: nine of
    the twenty can pass only where a server does not do what it was asked.
    """
    file = "tests/api_resources/test_embeddings.py"
    return _openai(stage, "openai embeddings", (file, "-k", "loose or all_params"), 11)


def openai_completions(stage: Stage) -> Verdict:
    """openai-python's own tests of the older completions."""
    return _openai(stage, "openai completions", ("tests/api_resources/test_completions.py",), 40)


def langchain(stage: Stage) -> Verdict:
    """LangChain's standard integration tests over ChatOpenAI."""
    home = HERE / "suite_langchain"
    options = [word for option in ASYNC for word in ("-o", option)]
    command = [*PYTEST, "-c", os.devnull, "--rootdir", ".", "--confcutdir", ".", *options]
    said = _run(python_env(home), [*command, "suite.py"], stage.environment(), home)
    return _counted("langchain", said, 39)


def llm_comply(stage: Stage) -> Verdict:
    """llm-comply, the format of OpenAI's chat completions."""
    ask = ["-u", stage.served.base_url, "-k", ROUTED_KEY, "-m", "hello"]
    return _complied("llm-comply", ask, 8)


def llm_comply_messages(stage: Stage) -> Verdict:
    """llm-comply, the format of Anthropic's messages."""
    ask = ["-u", stage.served.base_url, "-k", ROUTED_KEY, "-m", "hello"]
    return _complied("llm-comply messages", ask, 8, "anthropic")


def llm_comply_responses(stage: Stage) -> Verdict:
    """llm-comply, the format of OpenAI's responses; its warning is of a path never served."""
    ask = ["-u", stage.served.base_url, "-k", ROUTED_KEY, "-m", "hello"]
    return _complied("llm-comply responses", ask, 12, "open-responses")


def llm_comply_real(_: Stage) -> Verdict:
    """The same through a real model, but for calling tools and seeing, which it cannot."""
    if not local.is_installed():
        raise AbsentError(local.INSTALL)
    with LocalModel() as model, tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "p402.toml"
        config.write_text(local_config(model))
        with Served(config, {"P402_STATE_DIR": folder}) as served:
            ask = ["-u", served.base_url, "-k", "any", "-m", model.model_id]
            return _complied("llm-comply real", [*ask, "--filter", ",".join(REAL_ABLE)], 6)


def schemathesis(stage: Stage) -> Verdict:
    """Schemathesis against the gateway's own OpenAPI document."""
    env = python_env(HERE / "suite_schemathesis")
    checks = ("not_a_server_error", "status_code", "content_type", "response_schema")
    names = [checks[0], *(f"{name}_conformance" for name in checks[1:])]
    url = stage.served.base_url
    command = ["-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--url", url]
    command += ["-H", f"Authorization: Bearer {ROUTED_KEY}", "--phases", "examples,fuzzing"]
    said = _run(env, [*command, "--checks", ",".join(names), "--seed", "402"], {}, env)
    found = re.search(r"(\d+) generated, (\d+) passed$", said, re.MULTILINE)
    held = found is not None and found.group(1) == found.group(2) and int(found.group(1)) >= 100
    return Verdict("schemathesis", held, found.group(0) if found else said)


def _complied(name: str, ask: list[str], expected: int, form: str = "openai-chat") -> Verdict:
    env = python_env(HERE / "suite_llm_comply")
    call = "from llm_comply.cli import main; main()"
    said = _run(env, ["-c", call, *ask, "--format", form], {}, env)
    tally = r"Results: (\d+)/\d+ passed(?:, \d+ (?:with warnings|skipped))*$"
    found = re.search(tally, said, re.MULTILINE)
    held = found is not None and int(found.group(1)) == expected
    return Verdict(name, held, found.group(0) if found and held else said)


def _openai(stage: Stage, name: str, tests: tuple[str, ...], expected: int) -> Verdict:
    env = python_env(HERE / "suite_openai")
    told = {"TEST_API_BASE_URL": stage.served.base_url, "OPENAI_API_KEY": TEST_SUITE_KEY}
    return _counted(name, _run(env, [*PYTEST, *tests], told, _openai_source()), expected)


def _openai_source() -> Path:
    """The SDK's source distribution: its wheel has no tests."""
    home = ENVS / f"openai-{OPENAI}"
    if not (home / "tests").is_dir():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        command += ["--quiet", "--no-deps", "--no-binary", "openai", "--dest", str(ENVS)]
        done = subprocess.run(
            [*command, f"openai=={OPENAI}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AbsentError(f"openai's source cannot be had: {done.stderr[-400:]}")
        with tarfile.open(ENVS / f"openai-{OPENAI}.tar.gz") as source:
            source.extractall(ENVS, filter="data")
    return home


def _counted(name: str, said: str, expected: int) -> Verdict:
    """A pytest run: exactly as many passed as expected, and nothing failed."""
    last = said.strip().splitlines()[-1] if said.strip() else "nothing said"
    held = f"{expected} passed" in last and not re.search(r"failed|error", last)
    return Verdict(name, held, last if held else said[-6000:])


def _run(env: Path, command: list[str], more: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [str(env / "bin" / "python"), *command],
        cwd=cwd,
        env={**bare_environment(), **more},
        capture_output=True,
        text=True,
        timeout=SUITE_S,
        check=False,
    )
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
