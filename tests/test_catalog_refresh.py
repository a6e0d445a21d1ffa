"""Decides whether a refresh asks within bounds, believes little, and writes whole files only.
Does not reach any public host: every source is a loopback server with a script.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from genai_prices import data as genai_data

from p402.catalog import compiled, genai, refresh
from p402.catalog.fetch import Bounds
from p402.catalog.overlay import dollars, parse
from p402.catalog.refresh import Request, ask, write

Json = dict[str, Any]
TODAY = "2026-12-01"
KEY = "sk-loopback-secret"


@dataclass
class Script:
    """What the loopback server answers by path, and what it was asked."""

    routes: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    release: threading.Event = field(default_factory=threading.Event)

    def says(self, path: str, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("content-length", str(len(text)))
            handler.end_headers()
            handler.wfile.write(text)

        self.routes[path] = answer

    def fails(self, path: str, status: int, **headers: str) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("content-length", "0")
            handler.end_headers()

        self.routes[path] = answer

    def hangs(self, path: str) -> None:
        """Sends a little and then nothing until the test is over."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b'{"data": [')
            handler.wfile.flush()
            self.release.wait(30)

        self.routes[path] = answer


@pytest.fixture
def script() -> Iterator[Script]:
    said = Script()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            said.seen.append((path, {k.lower(): v for k, v in self.headers.items()}))
            # A client that has heard enough hangs up.
            with suppress(BrokenPipeError, ConnectionResetError):
                said.routes[path](self)

        def log_message(self, *_: object) -> None:
            """Keeps the test's output to the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    said.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield said
    said.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def shipped(provider: str) -> list[Json]:
    rows = [json.loads(raw) for raw in compiled().splitlines()]
    return [r for r in rows if r["t"] == "offer" and r["provider"] == provider]


def as_listed(offer: Json) -> Json:
    """An offer of ours as OpenRouter's list would have it: decimal dollars per token."""
    band = offer["prices"][-1]["bands"][0]

    def per_token(pico: int) -> str:
        return f"{pico // 10**12}.{pico % 10**12:012d}"

    names = {"in": "prompt", "out": "completion", "cache_read": "input_cache_read"}
    pricing = {theirs: per_token(band[ours]) for ours, theirs in names.items() if ours in band}
    return {"id": offer["model"], "context_length": offer["context"], "pricing": pricing}


@pytest.fixture
def catalogue() -> list[Json]:
    return [as_listed(offer) for offer in shipped("openrouter")]


def request(tmp_path: Path, script: Script, *names: str, **more: Any) -> Request:
    urls = {"openrouter": f"{script.url}/api/v1/models", "genai-prices": f"{script.url}/data.json"}
    return Request(tmp_path, names, TODAY, more.pop("env", {}), urls=urls, **more)


def refreshed(asked: Request) -> tuple[refresh.Result, dict[tuple[str, str], Json]]:
    result = asyncio.run(ask(asked))
    write(asked, result)
    rows = parse(asked.file.read_bytes())
    return result, {(r["provider"], r["model"]): r for r in rows if r["t"] == "offer"}


def entry(rows: list[Json], model: str) -> Json:
    return next(row for row in rows if row["id"] == model)


def plain_offer() -> str:
    """A fresh OpenRouter offer with one band, one price row and no cache rate."""
    return next(
        row["model"]
        for row in shipped("openrouter")
        if len(row["prices"]) == 1
        and set(row["prices"][0]["bands"][0]) == {"above", "in", "out"}
        and len(row["prices"][0]["bands"]) == 1
        and row["confidence"] != "stale"
    )


def living(rows: list[Json]) -> set[str]:
    return {row["model"] for row in rows if row["confidence"] != "stale"}


def test_the_same_list_changes_no_price(
    tmp_path: Path, script: Script, catalogue: list[Json]
) -> None:
    script.says("/api/v1/models", {"data": catalogue})
    result, written = refreshed(request(tmp_path, script, "openrouter"))
    assert result.failed == []
    assert result.changes.dearer == result.changes.cheaper == result.changes.gone == []
    assert not any("prices" in record for record in written.values())


def test_a_dearer_price_begins_today_and_keeps_its_past(
    tmp_path: Path, script: Script, catalogue: list[Json]
) -> None:
    name = plain_offer()
    old = next(row for row in shipped("openrouter") if row["model"] == name)
    row = entry(catalogue, name)
    row["pricing"]["prompt"] = str(float(row["pricing"]["prompt"]) * 2)
    script.says("/api/v1/models", {"data": catalogue})
    result, written = refreshed(request(tmp_path, script, "openrouter"))
    assert len(result.changes.dearer) == 1
    past, now = written["openrouter", name]["prices"]
    assert past == old["prices"][0]
    assert now["from"] == f"{TODAY}T00:00:00Z"
    assert now["bands"][0]["in"] == 2 * past["bands"][0]["in"]
    assert written["openrouter", name]["source"] == "openrouter"


def test_long_prompt_bands_move_with_their_base(
    tmp_path: Path, script: Script, catalogue: list[Json]
) -> None:
    offer = next(
        row
        for row in shipped("openrouter")
        if len(row["prices"][-1]["bands"]) == 2 and row["confidence"] != "stale"
    )
    base, upper = offer["prices"][-1]["bands"]
    row = entry(catalogue, offer["model"])
    for side in ("prompt", "completion"):
        row["pricing"][side] = f"{float(row['pricing'][side]) * 2:.12f}"
    script.says("/api/v1/models", {"data": catalogue})
    _, written = refreshed(request(tmp_path, script, "openrouter"))
    bands = written["openrouter", offer["model"]]["prices"][-1]["bands"]
    assert [band["above"] for band in bands] == [0, upper["above"]]
    assert bands[0]["in"] == 2 * base["in"]
    assert bands[1]["in"] == 2 * upper["in"]


@pytest.mark.parametrize(
    ("factor", "why"),
    [(4.0, "rises more than"), (0.4, "falls by more than half"), (0.0, "became zero")],
)
def test_a_wild_move_is_held_until_accepted(
    tmp_path: Path, script: Script, catalogue: list[Json], factor: float, why: str
) -> None:
    name = plain_offer()
    row = entry(catalogue, name)
    row["pricing"]["prompt"] = f"{float(row['pricing']['prompt']) * factor:.12f}"
    script.says("/api/v1/models", {"data": catalogue})
    result, written = refreshed(request(tmp_path, script, "openrouter"))
    assert len(result.held) == 1
    assert why in result.held[0]
    assert "prices" not in written.get(("openrouter", name), {})
    accepted = request(tmp_path, script, "openrouter", accept=frozenset({f"openrouter/{name}"}))
    result, written = refreshed(accepted)
    # Zero is never a price, whoever accepts it.
    assert ("prices" in written.get(("openrouter", name), {})) is (factor != 0.0)


def test_new_and_gone_models(tmp_path: Path, script: Script, catalogue: list[Json]) -> None:
    gone = plain_offer()
    catalogue = [row for row in catalogue if row["id"] != gone]
    new = {"pricing": {"prompt": "0.000001", "completion": "0.000002"}, "context_length": 8_000}
    catalogue += [
        {"id": "acme/gpt-5.4", **new, "supported_parameters": ["tools"]},
        {"id": "acme/free", "context_length": 1, "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "acme/auto", "context_length": 1, "pricing": {"prompt": "-1", "completion": "-1"}},
    ]
    script.says("/api/v1/models", {"data": catalogue})
    result, written = refreshed(request(tmp_path, script, "openrouter"))
    assert written["openrouter", gone] == {
        "t": "offer",
        "provider": "openrouter",
        "model": gone,
        "confidence": "stale",
    }
    made = written["openrouter", "acme/gpt-5.4"]
    assert (made["canonical"], made["tools"], made["structured"]) == ("gpt-5.4", True, False)
    assert made["prices"] == [{"bands": [{"above": 0, "in": 1_000_000, "out": 2_000_000}]}]
    assert not {"acme/free", "acme/auto"} & {model for _, model in written}
    assert result.changes.gone == [f"openrouter/{gone}"]


def test_a_cut_list_hides_nothing(tmp_path: Path, script: Script, catalogue: list[Json]) -> None:
    script.says("/api/v1/models", {"data": catalogue[:20]})
    result, written = refreshed(request(tmp_path, script, "openrouter"))
    assert result.changes.gone == []
    assert not any(record.get("confidence") == "stale" for record in written.values())
    assert any("too few to believe" in note for note in result.notes)


def test_one_failing_source_keeps_the_rest_and_its_own_past(
    tmp_path: Path, script: Script, catalogue: list[Json]
) -> None:
    name = plain_offer()
    row = entry(catalogue, name)
    row["pricing"]["prompt"] = str(float(row["pricing"]["prompt"]) * 2)
    script.says("/api/v1/models", {"data": catalogue})
    refreshed(request(tmp_path, script, "openrouter"))
    script.fails("/api/v1/models", 503)
    script.says("/data.json", [])
    result, written = refreshed(request(tmp_path, script, "openrouter", "genai-prices"))
    assert len(result.failed) == 1
    assert "status 503" in result.failed[0]
    assert "prices" in written["openrouter", name]


@pytest.mark.parametrize("fault", ["hang", "huge", "redirect", "html", "shape", "refused"])
def test_a_bad_answer_is_an_error_in_words(tmp_path: Path, script: Script, fault: str) -> None:
    path = "/api/v1/models"
    bounds = Bounds(deadline_s=0.5, bytes_max=100_000)
    if fault == "hang":
        script.hangs(path)
    elif fault == "huge":
        script.says(path, b" " * 200_000)
    elif fault == "redirect":
        script.fails(path, 302, location=f"{script.url}/elsewhere")
    elif fault == "html":
        script.says(path, b"<html>maintenance</html>")
    elif fault == "shape":
        script.says(path, {"data": "soon"})
    asked = request(tmp_path, script, "openrouter", bounds=bounds)
    if fault == "refused":
        asked.urls["openrouter"] = "http://127.0.0.1:1/models"
    result = asyncio.run(ask(asked))
    said = {
        "hang": "no whole answer in 0.5 s",
        "huge": "more than 100,000 bytes",
        "redirect": "status 302",
        "html": "no JSON",
        "shape": "no model list",
        "refused": "ConnectError",
    }
    assert len(result.failed) == 1
    assert said[fault] in result.failed[0]
    assert [path for path, _ in script.seen] in ([], ["/api/v1/models"])


# genai-prices: its own data, moved.


def genai_body(**moved: str) -> list[Json]:
    """The two offers we look at in the package's published form."""
    return [
        {
            "id": "openai",
            "name": "OpenAI",
            "api_pattern": "openai",
            "models": [
                {
                    "id": "gpt-5.4-nano",
                    "match": {"equals": "gpt-5.4-nano"},
                    "prices": {
                        "input_mtok": 0.2,
                        "cache_read_mtok": 0.02,
                        "output_mtok": 1.25,
                        **moved,
                    },
                }
            ],
        }
    ]


def test_published_prices_replace_those_that_came_from_there(
    tmp_path: Path, script: Script
) -> None:
    offer = next(row for row in shipped("openai") if row["model"] == "gpt-5.4-nano")
    assert offer["source"] == "genai-prices"
    script.says("/data.json", genai_body(output_mtok="1.5"))
    result, written = refreshed(request(tmp_path, script, "genai-prices"))
    assert result.failed == []
    record = written["openai", "gpt-5.4-nano"]
    assert record["prices"][-1]["bands"][0]["out"] == 1_500_000
    assert record["source"] == "genai-prices"
    # What the published file does not name stays as it was.
    assert ("openai", "gpt-5.4") not in written


def test_a_published_file_of_another_form_is_an_error(tmp_path: Path, script: Script) -> None:
    script.says("/data.json", {"providers": []})
    result = asyncio.run(ask(request(tmp_path, script, "genai-prices")))
    assert "not its data format" in result.failed[0]


def test_off_peak_keeps_its_share_of_a_moved_list_price() -> None:
    known = {"bands": [{"above": 0, "in": 300, "out": 9}], "off": [{"above": 0, "in": 150}]}
    moved = genai.with_off_peak([{"bands": [{"above": 0, "in": 501, "out": 7}]}], known)
    assert moved[0]["off"] == [{"above": 0, "in": 251, "out": 4}]


def test_the_package_still_reads_its_own_format() -> None:
    assert {provider.id for provider in genai_data.providers} == set(genai.providers())
    assert genai.published([]) == {}


# Providers: what a key can see.


def moved_base(script: Script) -> bytes:
    """The shipped file with groq and anthropic answering on loopback."""
    out = []
    for raw in compiled().decode().splitlines():
        record = json.loads(raw)
        if record["t"] == "provider" and record["id"] in {"groq", "anthropic"}:
            record["base_url"] = f"{script.url}/{record['id']}"
        out.append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
    return "".join(f"{text}\n" for text in out).encode()


def test_providers_are_asked_with_their_key_and_hide_what_is_gone(
    tmp_path: Path, script: Script
) -> None:
    ours = sorted(living(shipped("groq")))
    gone, kept = ours[0], ours[1:]
    listed = [{"id": name, "context_window": 4_096} for name in kept]
    script.says("/groq/models", {"data": [*listed, {"id": "brand-new-model"}]})
    env = {"GROQ_API_KEY": KEY}
    asked = request(tmp_path, script, "providers", env=env, base=moved_base(script))
    result, written = refreshed(asked)
    assert script.seen[0][1]["authorization"] == f"Bearer {KEY}"
    assert written["groq", gone]["confidence"] == "stale"
    assert written["groq", kept[0]]["context"] == 4_096
    assert not any("prices" in record for record in written.values())
    assert any("1 models without a price" in note for note in result.notes)
    assert KEY not in asked.file.read_text()


def test_a_dated_listing_still_means_the_undated_name(tmp_path: Path, script: Script) -> None:
    listed = [
        {"id": name if name.count("-20") else f"{name}-20260101"}
        for name in living(shipped("anthropic"))
    ]
    script.says("/anthropic/models", {"data": listed})
    env = {"ANTHROPIC_API_KEY": KEY}
    result, _ = refreshed(request(tmp_path, script, "providers", env=env, base=moved_base(script)))
    assert result.changes.gone == []
    assert script.seen[0][1]["x-api-key"] == KEY


def test_a_provider_that_refuses_the_key_changes_nothing(tmp_path: Path, script: Script) -> None:
    script.fails("/groq/models", 401)
    env = {"GROQ_API_KEY": KEY}
    result, written = refreshed(
        request(tmp_path, script, "providers", env=env, base=moved_base(script))
    )
    assert written == {}
    assert any("groq" in note and "401" in note for note in result.notes)
    assert KEY not in repr(result)


# Writing, and the command itself.


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, script: Script, catalogue: list[Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    script.says("/api/v1/models", {"data": catalogue[:-1]})
    asked = request(tmp_path, script, "openrouter")
    result, _ = refreshed(asked)
    before = asked.file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(refresh.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(asked, result)
    assert asked.file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_the_command_asks_before_it_writes(
    tmp_path: Path,
    script: Script,
    catalogue: list[Json],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script.says("/models", {"data": catalogue})
    argv = ["--from", "openrouter", "--url", f"{script.url}/models", "--state", str(tmp_path)]

    def no_terminal(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", no_terminal)
    assert refresh.main(argv) == 3
    assert not (tmp_path / "catalog.jsonl").exists()
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert refresh.main(argv) == 0
    assert (tmp_path / "catalog.jsonl").exists()
    script.fails("/models", 500)
    assert refresh.main([*argv, "--yes"]) == 1
    assert "status 500" in capsys.readouterr().err


def test_the_command_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        refresh.main(["--help"])
    assert stopped.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--accept" in told
    assert "never runs by itself" in told
    assert refresh.main(["--url", "http://127.0.0.1:1/", "--yes"]) == 2


@pytest.mark.parametrize(
    ("pico", "text"), [(1_000_000, "1"), (2_500_000, "2.5"), (2_800, "0.0028"), (0, "0")]
)
def test_rates_are_shown_exactly(pico: int, text: str) -> None:
    assert dollars(pico) == text
