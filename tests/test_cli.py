"""Decides whether the command does what its help says, run as a user runs it.

Does not look inside: it starts `p402` and reads what comes out.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from p402 import _core
from p402.cli import main, parser
from p402.server import claim_address
from p402.settings import bare_environment, load
from tests.conftest import run_cli
from tests.serving import Served, free_port

ASK = {"model": "auto", "messages": [{"role": "user", "content": "Good morning"}]}
VERBS = ("serve", "check", "models", "route", "demo", "catalog")


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: p402 {verb}" in told
    if verb != "catalog":
        assert "p402 " in told.partition("examples:")[2]


def test_the_top_help_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert all(verb in told for verb in VERBS)
    assert "OPENAI_API_KEY" in told


def test_every_verb_can_be_imported():
    for verb in VERBS[:-1]:
        arguments = [verb, "x"] if verb == "route" else [verb]
        module = parser().parse_args(arguments).module
        assert module == f"p402.cli.{verb}"


def test_a_mistake_in_the_file_ends_with_2_and_one_readable_block(tmp_path):
    config = tmp_path / "p402.toml"
    config.write_text("[server]\nprot = 1\n")
    for verb in (["serve"], ["check"], ["models"], ["route", "x"]):
        ended = run_cli(*verb, "--config", str(config))
        assert ended.returncode == 2
        assert f"{config}:2" in ended.stderr
        assert "did you mean port?" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_check_shows_what_is_live():
    ended = run_cli("check", "--json", env={"GROQ_API_KEY": "gsk-1,gsk-2"})
    assert ended.returncode == 0, ended.stderr
    facts = json.loads(ended.stdout)
    assert [(row["id"], row["keys"], row["source"]) for row in facts["providers"]] == [
        ("groq", 2, "GROQ_API_KEY")
    ]
    assert facts["providers"][0]["models"] > 0
    assert facts["offers"] >= 600
    assert facts["open"]
    assert not facts["sandbox"]
    assert "gsk-1" not in ended.stdout + ended.stderr
    table = run_cli("check", env={"GROQ_API_KEY": "gsk-1,gsk-2"})
    assert table.returncode == 0
    assert "groq" in table.stdout
    assert "gsk-1" not in table.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "/metrics, to anyone on this machine"),
        ('[[tenant]]\nid = "a"\nkey_env = "A"\n', "to nobody: set [operator] key_env"),
        ('[operator]\nkey_env = "B"\n', "/metrics, to the operator's key"),
        (
            '[operator]\nmetrics_listen = "127.0.0.1:9402"\n[[tenant]]\nid = "a"\nkey_env = "A"\n',
            "on 127.0.0.1:9402 alone",
        ),
    ],
)
def test_check_says_whom_metrics_are_told(tmp_path, text, told):
    config = tmp_path / "p402.toml"
    config.write_text(text)
    ended = run_cli("check", "--json", "--config", str(config), env={"A": "k-a", "B": "k-b"})
    assert json.loads(ended.stdout)["metrics"] == told


def test_check_says_what_the_core_refuses(tmp_path):
    config = tmp_path / "p402.toml"
    config.write_text('[provider.groq]\nflags = ["no_such_flag"]\n')
    ended = run_cli("check", "--config", str(config))
    assert ended.returncode == 2
    assert "no_such_flag" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_models_lists_the_page_and_filters():
    listed = json.loads(run_cli("models", "--json").stdout)["data"]
    names = {row["id"] for row in listed}
    assert len(names) >= 300
    assert {"claude-haiku-4-6", "gemini-3.1-ultra", "gpt-5.4", "deepseek-chat"} <= names
    found = json.loads(run_cli("models", "--json", "--search", "HAIKU").stdout)["data"]
    assert found
    assert all("haiku" in row["id"].lower() for row in found)
    groq = json.loads(run_cli("models", "--json", "--provider", "groq").stdout)["data"]
    assert groq
    assert all("groq" in row["p402"]["providers"] for row in groq)
    nothing = run_cli("models", "--search", "no-such-model")
    assert nothing.returncode == 1
    assert "haiku" in run_cli("models", "--search", "haiku").stdout


@pytest.mark.parametrize("mode", ["cost", "quality", "speed", "balanced"])
def test_route_explains_without_any_key(mode):
    ended = run_cli("route", "Prove that 2 + 2 = 4", "--mode", mode, "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["object"] == "route"
    assert told["mode"] == mode
    assert told["plan"]
    assert "sandbox" not in told["plan"][0]["provider"]


def test_route_takes_every_option():
    ended = run_cli(
        *("route", "Write a haiku", "--mode", "cost", "--task", "creative", "--json"),
        *("--allow", "openai/*", "--allow", "anthropic/*", "--deny", "gpt-5*"),
        *("--max-cost-usd", "1", "--max-latency-ms", "600000", "--keys", "all"),
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    for row in told["candidates"]:
        names = (row["model"], f"{row['provider']}/{row['model']}")
        assert any(name.startswith(("openai/", "anthropic/")) for name in names)
        assert not row["model"].startswith("gpt-5")
    assert told["task"]["type"] == "creative"
    pinned = run_cli("route", "Hi", "--model", "claude-haiku-4-5", "--pin", "--json")
    # Whichever of its hosts is drawn, and however that one spells it.
    assert "claude-haiku-4-5" in json.loads(pinned.stdout)["plan"][0]["model"].replace(".", "-")


def test_route_reads_a_request_from_a_file_and_from_a_pipe(tmp_path):
    file = tmp_path / "request.json"
    file.write_text(json.dumps({**ASK, "p402": {"mode": "speed"}}))
    assert json.loads(run_cli("route", "-f", str(file), "--json").stdout)["mode"] == "speed"
    ruled = run_cli("route", "-f", str(file), "--mode", "cost", "--json")
    assert json.loads(ruled.stdout)["mode"] == "cost"
    command = [sys.executable, "-m", "p402", "route", "-", "--json"]
    piped = subprocess.run(
        command, input=b"hello", capture_output=True, env=bare_environment(), check=True
    )
    assert json.loads(piped.stdout)["object"] == "route"


def test_route_shows_tables():
    shown = run_cli("route", "Good morning", "--mode", "cost")
    assert shown.returncode == 0, shown.stderr
    for title in ("plan", "candidates", "rejected"):
        assert title in shown.stdout


def test_route_tells_a_refusal_in_words():
    ended = run_cli("route", "Hi", "--model", "no-such-model", "--pin")
    assert ended.returncode == 1
    assert "model_not_found" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serve_answers_with_the_sandbox_and_says_so(served, client):
    reply = client.post("/chat/completions", json=ASK)
    assert reply.status_code == 200, reply.text
    assert "sandbox" in reply.json()["p402_metadata"]["provider"]
    heard(served, "p402 demo")  # the last line of the banner
    told = served.stderr()
    assert served.base_url in told
    assert "made up" in told
    assert "OPEN" in told


def test_serve_is_ready_soon():
    """1.5 s to the first answer; on a crowded machine more, as much as plain Python takes more."""
    bar_s = 1.5 + (1.5 if _core.DEBUG_BUILD else 0.0)
    tries = []
    for _ in range(3):
        crowded = _crowding()
        with Served() as running:
            reply = httpx.post(
                f"{running.base_url}/chat/completions", json=ASK, timeout=30, trust_env=False
            )
            assert reply.status_code == 200
            tries.append((running.ready_s, crowded))
        if running.ready_s <= bar_s * crowded:
            return
    pytest.fail(f"not ready within {bar_s} s × crowding: {tries}")


def _crowding() -> float:
    """How much longer than its own CPU time a plain Python start takes here and now; 1 at least."""
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, "-c", "import asyncio, ssl, email.parser"])
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0
    return max(1.0, (time.monotonic() - started) / (used.ru_utime + used.ru_stime))


def test_serve_asks_for_the_tenant_key(tmp_path):
    config = tmp_path / "p402.toml"
    config.write_text(
        "[sandbox]\nenabled = true\nspeed = 0.0\n"
        '[[tenant]]\nid = "team-a"\nkey_env = "TEAM_A_KEY"\n'
    )
    with Served(config, {"TEAM_A_KEY": "secret-a"}) as running:
        url = f"{running.base_url}/chat/completions"
        right = {"authorization": "Bearer secret-a"}
        with httpx.Client(timeout=30, trust_env=False) as client:
            assert client.post(url, json=ASK).status_code == 401
            wrong = client.post(url, json=ASK, headers={"authorization": "Bearer secret-b"})
            assert wrong.json()["error"]["code"] == "invalid_api_key"
            reply = client.post(url, json=ASK, headers=right)
            assert reply.json()["p402_metadata"]["tenant_id"] == "team-a"
            assert client.get(f"{running.root}/healthz").status_code == 200
        assert "secret-a" not in running.stderr()


def test_a_port_that_is_taken_is_refused(served):
    ended = run_cli("serve", "--port", str(served.port))
    assert ended.returncode == 2
    assert f"127.0.0.1:{served.port}" in ended.stderr


def test_sigterm_finishes_open_streams_and_ends_with_0(tmp_path):
    config = tmp_path / "p402.toml"
    config.write_text("[sandbox]\nenabled = true\nspeed = 1.0\n")
    body = {**ASK, "stream": True, "p402": {"mode": "cost"}, "max_tokens": 120}
    with Served(config) as running, httpx.Client(timeout=60, trust_env=False) as client:
        url = f"{running.base_url}/chat/completions"
        with client.stream("POST", url, json=body) as reply:
            lines = reply.iter_lines()
            first = next(line for line in lines if line.startswith("data: {"))
            running.child.send_signal(signal.SIGTERM)
            rest = [line for line in lines if line]
        assert "chat.completion.chunk" in first
        assert rest[-1] == "data: [DONE]"
        assert running.child.wait(15) == 0


def test_sighup_takes_what_is_right_and_refuses_what_is_wrong(tmp_path):
    config = tmp_path / "p402.toml"
    sandbox = "[sandbox]\nenabled = true\nspeed = 0.0\n"
    config.write_text(sandbox + '[[tenant]]\nid = "a"\nkey_env = "A"\n')

    def mode_of(client: httpx.Client, key: str) -> str | int:
        reply = client.post(
            "/chat/completions", json=ASK, headers={"authorization": f"Bearer {key}"}
        )
        if reply.status_code != 200:
            return reply.status_code
        return str(reply.json()["p402_metadata"]["routing_mode"])

    with (
        Served(config, {"A": "key-a", "B": "key-b"}) as running,
        httpx.Client(base_url=running.base_url, timeout=30, trust_env=False) as client,
    ):
        assert mode_of(client, "key-a") == "balanced"
        assert mode_of(client, "key-b") == 401
        config.write_text(sandbox + '[[tenant]]\nid = "b"\nkey_env = "B"\nmode = "cost"\n')
        running.child.send_signal(signal.SIGHUP)
        heard(running, "reloaded")
        assert mode_of(client, "key-b") == "cost"
        assert mode_of(client, "key-a") == 401
        config.write_text(sandbox + "[routing]\nmdoe = 1\n")
        running.child.send_signal(signal.SIGHUP)
        heard(running, "reload refused")
        assert "p402.toml:5" in running.stderr()
        assert mode_of(client, "key-b") == "cost"
        config.write_text(sandbox + '[[tenant]]\nid = "b"\nkey_env = "B"\nenabled = false\n')
        running.child.send_signal(signal.SIGHUP)
        heard(running, "reloaded", times=2)
        assert mode_of(client, "key-b") == 403


def test_the_sandbox_ends_with_its_gateway():
    with Served() as running:
        children = _children(running.child.pid)
        assert len(children) >= 2, "a worker and the sandbox"
        running.child.kill()
        running.child.wait()
        deadline = time.monotonic() + 10
        while any(_runs(pid) for pid in children):
            assert time.monotonic() < deadline, "left behind after a kill"
            time.sleep(0.05)  # waits for foreign processes


def test_a_worker_ends_though_its_parent_was_killed_while_waiting_for_it(tmp_path):
    """Or it would hold its data directory for ever."""
    config = tmp_path / "p402.toml"
    text = "[server]\ndrain_s = 1\n[sandbox]\nenabled = true\nspeed = 20.0\n"
    config.write_text(text)
    with Served(config) as running, ThreadPoolExecutor() as pool:
        body = {**ASK, "max_tokens": 2_000}
        url = f"{running.base_url}/chat/completions"
        asked = pool.submit(httpx.post, url, json=body, timeout=60, trust_env=False)
        children = _children(running.child.pid)
        deadline = time.monotonic() + 10
        while "p402_in_flight 1\n" not in httpx.get(f"{running.root}/metrics").text:
            assert time.monotonic() < deadline, "the request did not arrive"
        running.child.send_signal(signal.SIGTERM)
        while httpx.get(f"{running.root}/healthz").status_code == 200:
            assert time.monotonic() < deadline, "the worker was not told"
        running.child.kill()
        running.child.wait()
        deadline = time.monotonic() + 20
        while any(_runs(pid) for pid in children):
            assert time.monotonic() < deadline, "left behind after a kill"
            time.sleep(0.05)  # waits for foreign processes
        with suppress(httpx.TransportError):
            asked.result()


def heard(running: Served, words: str, times: int = 1) -> None:
    """Waits until the gateway has said these words so often."""
    deadline = time.monotonic() + 15
    while running.stderr().count(words) < times:
        assert time.monotonic() < deadline, running.stderr()
        time.sleep(0.02)  # polls a foreign process's output


def _children(parent: int) -> list[int]:
    everyone = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [pid for pid in everyone if _stat(pid)[1:2] == [str(parent)]]


def _runs(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _stat(pid: int) -> list[str]:
    """The fields after the command's name: state, parent, …; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def test_demo_runs_to_its_end_and_draws(tmp_path):
    picture = tmp_path / "demo.svg"
    ended = run_cli("demo", "--requests", "12", "--plain", "--speed", "0", "--svg", str(picture))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert sum("saved" in line and "tokens" in line for line in lines) == 12
    assert "12 requests, 0 failed" in lines[-1]
    assert picture.read_text().startswith("<svg")


def test_demo_uses_no_key_of_the_operator():
    ended = run_cli(
        "demo", "--requests", "4", "--plain", "--speed", "0", env={"OPENAI_API_KEY": "k"}
    )
    assert ended.returncode == 0, ended.stderr
    assert "openai/" not in ended.stdout


def test_claiming_an_address_does_not_hold_it():
    host, port = claim_address("localhost", 0)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, port))
        assert probe.getsockname()[1] == port
    assert claim_address("127.0.0.1", free_port())[0] == "127.0.0.1"


def test_the_bare_environment_has_no_key():
    bare = bare_environment(
        {"OPENAI_API_KEY": "a", "P402_CONFIG": "b", "PATH": "c", "HF_TOKEN": "d"}
    )
    assert bare == {"PATH": "c"}
    assert load(env=bare).sandbox.enabled
