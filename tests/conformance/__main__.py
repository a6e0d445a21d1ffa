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
from xml.etree import ElementTree as ET

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
# What pydantic says of vectors that came as text, and of nothing else.
_GOT_THE_BASE64_IT_ASKED_FOR = (
    r"1 validation error for CreateEmbeddingResponse\s+E?\s+data\.0\.embedding\s+E?\s+"
    r"Input should be a valid list \[type=list_type, input_value='[\w+/=]+', input_type=str\]"
)
ASYNC = (
    "asyncio_mode=auto",
    *(f"asyncio_default_{scope}_loop_scope=session" for scope in ("fixture", "test")),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much of a suite passed, whether that is what must pass, and what it said."""

    suite: str
    held: bool
    said: str
    passed: int = 0
    cases: int = 0

    def __str__(self) -> str:
        tally = f"{self.passed:4} of {self.cases:4}" if self.cases else " " * 12
        return f"{self.suite:28}{tally}  {'held' if self.held else 'FAILED'}: {self.said}"


def main() -> int:
    """Every suite in turn; the exit status counts those that did not hold."""
    failed = 0
    with Stage() as stage:
        for suite in (
            openai_chat,
            openai_models,
            openai_embeddings,
            openai_embeddings_as_numbers,
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
                print(f"{suite.__name__:28}skipped: {absent}", flush=True)
                continue
            failed += not verdict.held
            print(verdict, flush=True)
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
    """openai-python's own tests of embeddings, as they are.

    It asks for base64 unless told otherwise, and its strict validation takes numbers alone: nine of
    the twenty can pass only where a server does not do what it was asked.
    """
    tests = ("tests/api_resources/test_embeddings.py",)
    return _openai(stage, "openai embeddings", tests, 11, _GOT_THE_BASE64_IT_ASKED_FOR)


def openai_embeddings_as_numbers(stage: Stage) -> Verdict:
    """The same twenty where the client asks for numbers."""
    tests = ("-p", "asks_for_numbers", "tests/api_resources/test_embeddings.py")
    return _openai(stage, "openai embeddings, numbers", tests, 20)


def openai_completions(stage: Stage) -> Verdict:
    """openai-python's own tests of the older completions."""
    return _openai(stage, "openai completions", ("tests/api_resources/test_completions.py",), 40)


def langchain(stage: Stage) -> Verdict:
    """LangChain's standard integration tests over ChatOpenAI."""
    home = HERE / "suite_langchain"
    options = [word for option in ASYNC for word in ("-o", option)]
    command = [*PYTEST, "-c", os.devnull, "--rootdir", ".", "--confcutdir", ".", *options]
    run = Run(python_env(home), [*command, "suite.py"], stage.environment(), home)
    return _counted("langchain", run, 39)


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
    command += ["--max-examples", "50"]
    said = Run(env, [*command, "--checks", ",".join(names), "--seed", "402"], {}, env).said()
    found = re.search(r"(\d+) generated, (\d+) passed$", said, re.MULTILINE)
    if found is None:
        return Verdict("schemathesis", False, said)
    cases, passed = int(found.group(1)), int(found.group(2))
    return Verdict("schemathesis", cases == passed and cases >= 100, found.group(0), passed, cases)


def _complied(name: str, ask: list[str], expected: int, form: str = "openai-chat") -> Verdict:
    env = python_env(HERE / "suite_llm_comply")
    call = "from llm_comply.cli import main; main()"
    said = Run(env, ["-c", call, *ask, "--format", form], {}, env).said()
    tally = r"Results: (\d+)/(\d+) passed(?:, \d+ (?:with warnings|skipped))*$"
    found = re.search(tally, said, re.MULTILINE)
    if found is None:
        return Verdict(name, False, said)
    passed, cases = int(found.group(1)), int(found.group(2))
    held = passed == expected
    return Verdict(name, held, found.group(0) if held else said, passed, cases)


def _openai(
    stage: Stage, name: str, tests: tuple[str, ...], expected: int, but: str | None = None
) -> Verdict:
    env = python_env(HERE / "suite_openai")
    told = {"TEST_API_BASE_URL": stage.served.base_url, "OPENAI_API_KEY": TEST_SUITE_KEY}
    told["PYTHONPATH"] = str(HERE / "suite_openai")
    return _counted(name, Run(env, [*PYTEST, *tests], told, _openai_source()), expected, but)


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


def _counted(name: str, run: Run, expected: int, but: str | None = None) -> Verdict:
    """A pytest run: exactly as many passed as expected; whatever failed did so for the reason."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.xml"
        said = run.said("--junitxml", str(told))
        cases = list(ET.parse(told).iter("testcase")) if told.exists() else []
    marks = [{mark.tag: mark.text or "" for mark in case} for case in cases]
    passed = sum(not mark.keys() & {"failure", "error", "skipped"} for mark in marks)
    failed = [mark for mark in marks if mark.keys() & {"failure", "error"}]
    excused = but is not None and all(re.search(but, mark.get("failure", "")) for mark in failed)
    held = passed == expected and (excused or not failed)
    last = said.strip().splitlines()[-1] if held else said[-6000:]
    return Verdict(name, held, last, passed, len(cases))


@dataclass(frozen=True, slots=True)
class Run:
    """A suite in its environment."""

    env: Path
    command: list[str]
    more: dict[str, str]
    cwd: Path

    def said(self, *options: str) -> str:
        """Both streams of one run."""
        done = subprocess.run(
            [str(self.env / "bin" / "python"), *self.command, *options],
            cwd=self.cwd,
            env={**bare_environment(), **self.more},
            capture_output=True,
            text=True,
            timeout=SUITE_S,
            check=False,
        )
        return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
