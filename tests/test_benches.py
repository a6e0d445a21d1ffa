"""Decides whether the instruments of the benches tell the truth.

Deliberately asserts no speed: a figure is only as good as the mock and the clock behind it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benches import hello, plot, table  # noqa: E402
from benches.contender import BASE, BURST, LONG, Scenario, body, direct  # noqa: E402
from benches.instruments import Instruments, Upstream, VoidError, running, upstream  # noqa: E402
from benches.rows import Results, rows  # noqa: E402

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="session")
def instruments() -> Instruments:
    return Instruments.build(release=False)


@pytest.fixture
def mock(instruments: Instruments) -> Iterator[Upstream]:
    with upstream(instruments) as running_mock:
        yield running_mock


def plan(
    mock: Upstream, model: str = "mock", *, stream: bool = False, **more: Any
) -> dict[str, Any]:
    scenario = Scenario("test", model=model, stream=stream)
    target = direct(mock, scenario).target(scenario, None)
    return {"targets": [target], "warmup_s": 0.1, "window_s": 0.4, "connections": 4, **more}


def ask(mock: Upstream, request: bytes, *, until_closed: bool = False) -> bytes:
    """Raw bytes in, raw bytes out: up to the end of the body, or of the connection."""
    with socket.create_connection(("127.0.0.1", mock.port), timeout=10) as client:
        client.sendall(request)
        answer = b""
        while until_closed or not whole(answer):
            got = client.recv(65_536)
            if not got:
                break
            answer += got
    return answer


def whole(answer: bytes) -> bool:
    head, found, rest = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    if b"chunked" in head.lower():
        return answer.endswith(b"0\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    return len(rest) >= length


def sized(model: str, *, stream: bool = False) -> bytes:
    text = json.dumps({"model": model, "stream": stream, "messages": []}).encode()
    return f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(text)}\r\n\r\n".encode() + text


# The mock upstream


def test_every_framing_of_a_request_gets_the_same_reply(mock: Upstream) -> None:
    text = json.dumps({"model": "mock", "messages": []}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, text[i : i + 1]) for i in range(len(text)))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n".encode()
    chunked = head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    answer = ask(mock, sized("mock"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert ask(mock, chunked) == answer
    assert ask(mock, sized("mock") + sized("mock-close"), until_closed=True).startswith(answer)


def test_a_client_that_expects_100_is_told_to_continue(mock: Upstream) -> None:
    text = json.dumps({"model": "mock", "messages": []}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: {len(text)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", mock.port), timeout=10) as client:
        client.sendall(head.encode())
        assert client.recv(1_024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(text)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_stream_has_real_shapes(mock: Upstream) -> None:
    scenario = Scenario("s", model="mock-n3", stream=True)
    text = body(scenario, scenario.model, {}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\ncontent-length: {len(text)}\r\n\r\n".encode()
    frames = [
        line.removeprefix(b"data: ")
        for line in ask(mock, head + text).split(b"\n")
        if line.startswith(b"data: ")
    ]
    assert frames.pop() == b"[DONE]"
    role, *contents, finish, usage = map(json.loads, frames)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert len(contents) == 3
    told = "".join(chunk["choices"][0]["delta"]["content"] for chunk in contents)
    assert told == mock.content("mock-n3")
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 3
    assert len({(c["id"], c["created"], c["model"]) for c in (role, *contents, finish, usage)}) == 1


def test_the_first_event_is_sent_long_before_the_last(mock: Upstream) -> None:
    """A mock that buffered would hide a gateway that buffers."""
    with socket.create_connection(("127.0.0.1", mock.port), timeout=10) as client:
        start = time.monotonic()
        client.sendall(sized("mock-ttft50-n3-gap200", stream=True))
        client.recv(65_536)
        first_s = time.monotonic() - start
        answer = b""
        while b"[DONE]" not in answer:
            answer += client.recv(65_536)
        last_s = time.monotonic() - start
    assert 0.05 <= first_s < 0.25
    assert last_s >= 0.45


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_statuses_come_on_demand(mock: Upstream, status: int) -> None:
    answer = ask(mock, sized(f"mock-{status}"))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    assert (b"retry-after: 1" in answer) == (status == 429)


def test_a_model_it_does_not_know_is_an_error(mock: Upstream) -> None:
    assert ask(mock, sized("mock-tfft20")).startswith(b"HTTP/1.1 404")
    assert ask(mock, sized("gpt-5.4")).startswith(b"HTTP/1.1 404")


def test_resets_are_resets(mock: Upstream) -> None:
    with pytest.raises(ConnectionResetError):
        ask(mock, sized("mock-reset"))
    with pytest.raises(ConnectionResetError):
        ask(mock, sized("mock-cut2-gap20", stream=True))
    with pytest.raises(ConnectionResetError):
        ask(mock, sized("mock-cut1"))


def test_a_share_of_faults_is_that_share(instruments: Instruments, mock: Upstream) -> None:
    more = {"requests": 2_000, "tolerate": True}
    report = instruments.run(plan(mock, "mock-500-p30", **more))
    failed = report["targets"][0]["errors"]["status 500"]
    assert report["completed"] + failed == 2_000
    assert failed == mock.stats()["faults"]
    assert 500 <= failed <= 700


# The load generator


def test_it_counts_what_the_upstream_counts(instruments: Instruments, mock: Upstream) -> None:
    report = instruments.run(plan(mock, requests=1_000, connections=3))
    probes = 2
    assert report["completed"] == 1_000
    counted = mock.stats()
    assert counted["requests"] == 1_000 + probes
    assert counted["connections"] == 3 + 1 + 1  # the probe's, and the one for these counters


def test_errors_make_a_row_void(instruments: Instruments, mock: Upstream) -> None:
    with pytest.raises(VoidError, match="status 500"):
        instruments.run(plan(mock, "mock-500"))
    # Passes the probe (its two requests are drawn healthy or the probe says so), fails later.
    with pytest.raises(VoidError):
        instruments.run(plan(mock, "mock-503-p10"))


def test_a_refusal_leaves_its_connection(instruments: Instruments, mock: Upstream) -> None:
    asked = plan(mock, "mock-429", requests=20, connections=2, tolerate=True)
    (one,) = instruments.attempt(asked)["targets"]
    assert (one["errors"], one["connections"]) == ({"status 429": 20}, 2)


def test_a_wrong_content_is_caught_by_the_probe(instruments: Instruments, mock: Upstream) -> None:
    for stream in (False, True):
        wrong = plan(mock, stream=stream)
        wrong["targets"][0]["content"] = "something else"
        with pytest.raises(VoidError, match="expected"):
            instruments.run(wrong)


def test_a_connection_that_is_not_kept_is_caught(instruments: Instruments, mock: Upstream) -> None:
    with pytest.raises(VoidError, match="not kept"):
        instruments.run(plan(mock, "mock-close"))


def test_a_cut_stream_is_never_a_success(instruments: Instruments, mock: Upstream) -> None:
    more = {"requests": 20, "tolerate": True}
    report = instruments.attempt(plan(mock, "mock-cut4", stream=True, **more))
    assert report["completed"] == 0
    assert report["failed"] == 20


def test_delays_are_measured_as_they_are(instruments: Instruments, mock: Upstream) -> None:
    more = {"rate": 50.0, "window_s": 1.0, "connections": 64}
    report = instruments.run(plan(mock, "mock-ttft40-n5-gap20", stream=True, **more))
    target = report["targets"][0]
    assert target["ttft_us"]["min"] >= 40_000
    assert target["ttft_us"]["p50"] < 60_000
    assert 15_000 <= target["gap_us"]["p50"] < 30_000
    assert target["latency_us"]["min"] >= 120_000
    assert target["gap_us"]["samples"] == 4 * report["completed"]


def test_an_open_loop_sees_a_stall(instruments: Instruments, mock: Upstream) -> None:
    """A freeze of 0.5 s at 200/s leaves 100 late requests; a closed loop would leave four."""

    def freeze() -> None:
        os.kill(mock.pid, signal.SIGSTOP)
        threading.Event().wait(0.5)
        os.kill(mock.pid, signal.SIGCONT)

    timer = threading.Timer(0.8, freeze)
    timer.start()
    try:
        report = instruments.run(
            plan(mock, rate=200.0, window_s=2.0, warmup_s=0.2, connections=256)
        )
    finally:
        timer.join()
    latency = report["targets"][0]["latency_us"]
    assert report["completed"] >= 390
    assert latency["max"] >= 450_000
    assert latency["p90"] >= 150_000  # a fifth of the requests fell due in the freeze


def test_the_rate_is_kept_and_shared(instruments: Instruments, mock: Upstream) -> None:
    two = plan(mock, rate=300.0, window_s=1.0, connections=64)
    two["targets"].append({**two["targets"][0], "name": "again"})
    report = instruments.run(two)
    for target in report["targets"]:
        assert 285 <= target["per_s"] <= 315


def test_a_tree_is_charged_for_its_children(instruments: Instruments, mock: Upstream) -> None:
    child = "import time\nwhile time.process_time() < 60: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(running([sys.executable, "-c", parent]))
        stack.callback(subprocess.run, ["pkill", "-P", str(busy.pid)], check=False)
        idle = stack.enter_context(running([sys.executable, "-c", "import time; time.sleep(60)"]))
        more = {"rate": 20.0, "window_s": 2.0, "warmup_s": 0.5}
        report = instruments.run(plan(mock, trees={"busy": busy.pid, "idle": idle.pid}, **more))
    assert report["trees"]["busy"]["processes"] == 2
    assert report["trees"]["busy"]["cores"] > 0.2
    assert report["trees"]["idle"]["cores"] < 0.05


def test_a_tree_that_is_gone_is_an_error(instruments: Instruments, mock: Upstream) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(VoidError, match="gone"):
        instruments.run(plan(mock, trees={"gone": gone.pid}))


def test_a_plan_with_a_typo_is_refused(instruments: Instruments, mock: Upstream) -> None:
    with pytest.raises(VoidError, match="conections"):
        instruments.run(plan(mock, conections=3))


# What is made of the figures


def test_the_hop_answers_what_the_mock_answers(mock: Upstream) -> None:
    """Else the ladder would compare replies of different size."""
    answer = ask(mock, sized("mock"))
    assert answer.partition(b"\r\n\r\n")[2] == hello.BODY


def results(p402_us: float) -> Results:
    def told(us: float) -> dict[str, Any]:
        return {"cpu_us": {"median": us, "low": us * 0.9, "high": us * 1.1}}

    return {
        "date": "2026-11-22",
        "command": "test",
        "host": {"cpu": "a & b", "cores": 2, "kernel": "6", "python": "3.11"},
        "depth": {"rounds": 3},
        "contenders": [
            {"name": "p402", "pin": "0", "note": "", "absent": None},
            {"name": "smg", "pin": "1", "note": "", "absent": "make bench-peers"},
        ],
        "cpu": {"base": {"8": {"p402": told(p402_us), "asgi-hello": told(60.0)}}},
    }


def test_a_promise_is_kept_missed_or_not_measured() -> None:
    numbers = [row.number for row in rows(results(100.0))]
    assert numbers == [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18]
    kept, unmeasured = rows(results(120.0))[:2]
    assert (kept.verdict, unmeasured.verdict) == ("pass", "not measured")
    assert rows(results(131.0))[0].verdict == "miss"
    assert [bar.kept for bar in rows(results(128.0))[0].bars] == [True, False]  # 2.13 × the hop


def test_what_kernels_tell_is_judged_in_the_unit_of_its_promise() -> None:
    told = {"guard/decision p50": 0.2, "guard/decision p99": 1.2, "store/redis trip p50": 60.0}
    by_number = {row.number: row for row in rows(results(1.0) | {"kernels": told})}
    assert [bar.kept for bar in by_number[9].bars] == [True, False]
    assert [(bar.value, bar.kept) for bar in by_number[10].bars] == [(0.06, True), (None, None)]


def test_hits_are_judged_by_their_own_rungs() -> None:
    ladder = {"hit, exact": {"own_p50_ms": 0.2, "own_p99_ms": 1.5}, "hit, semantic": {"p50_ms": 4}}
    by_number = {row.number: row for row in rows(results(1.0) | {"cache": ladder})}
    assert [bar.kept for bar in by_number[11].bars] == [True, False]
    assert [bar.kept for bar in by_number[12].bars] == [True, None]


def test_a_language_is_judged_by_what_it_adds_and_by_its_events() -> None:
    kernels = {
        "codec request/openai (bytes pass)": 1.0,
        "codec request/gemini": 61.5,
        "codec event/gemini": 799.0,
        "codec request/messages, inbound": 60.0,
    }
    row = rows(results(1.0) | {"kernels": kernels})[-1]
    said = {bar.text: (bar.value, bar.kept) for bar in row.bars if bar.value is not None}
    assert said == {
        "gemini: a request of 1 KB, over passing bytes": (60.5, False),
        "gemini: an event": (3.995, True),
        "/messages: a request of 1 KB": (60.0, True),
    }
    assert len(row.bars) == 12


def test_tables_come_from_results_and_stand_between_their_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n", encoding="utf-8")
    for _ in range(2):  # a second run replaces the first
        assert table.put(readme, table.render(results(131.0)))
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("131 µs | ≤ 130 µs | **miss**") == 1
    assert "absent: make bench-peers" in text
    readme.write_text("no markers", encoding="utf-8")
    assert not table.put(readme, "text")


def test_the_picture_is_well_formed() -> None:
    root = ET.fromstring(plot.render(results(131.0)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "131" in "".join(root.itertext())


def test_requests_have_the_size_they_say() -> None:
    extra = {"p402": {"mode": "balanced"}}
    assert len(body(BASE, "mock", {})) == len(body(BASE, "mock", extra)) == 210
    assert 50_000 < len(body(LONG, "mock", {})) < 50_400
    assert json.loads(body(BURST, BURST.model, {}))["stream_options"] == {"include_usage": True}
