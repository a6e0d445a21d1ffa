"""Decides whether curl, as a reader of the documentation would type it, gets what it should.

Looks at raw bytes: what no SDK shows, such as frames, blank lines and heads.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from checks import BASE_URL, HELLO, KEY, PIN_KEY, TEXT, check, finish, metadata

ASK: dict[str, Any] = {"model": "hello", "messages": HELLO}
JSON = "content-type: application/json"


def _curl(*words: str, key: str = KEY, feed: bytes | None = None) -> bytes:
    command = ["curl", "--silent", "--show-error", "--max-time", "20"]
    command += ["--header", f"Authorization: Bearer {key}", *words]
    return subprocess.run(command, input=feed, capture_output=True, check=True).stdout


def _chat(body: Any, *words: str, key: str = KEY) -> bytes:
    sent = ["--header", JSON, "--data-binary", "@-", f"{BASE_URL}/chat/completions"]
    return _curl(*words, *sent, key=key, feed=json.dumps(body).encode())


def _frames(raw: bytes) -> list[str]:
    """The frames of a stream; anything but `data: …` and a blank line is a failure."""
    assert raw.endswith(b"\n\n"), raw[-40:]
    frames = raw.decode().removesuffix("\n\n").split("\n\n")
    assert all(frame.startswith("data: ") and "\n" not in frame for frame in frames), frames
    return [frame.removeprefix("data: ") for frame in frames]


def whole() -> None:
    with check("the documentation's first request"):
        metadata(json.loads(_chat(ASK))["p402_metadata"])
    with check("head"):
        head = _chat(ASK, "--include").split(b"\r\n\r\n")[0].decode().lower()
        assert head.startswith("http/1.1 200")
        for name in ("request-id", "mode", "cost-usd", "provider", "model", "attempts", "cache"):
            assert f"\r\nx-p402-{name}: " in head, name
        assert "\r\ncontent-type: application/json\r\n" in head + "\r\n"
    with check("--compressed"):
        metadata(json.loads(_chat(ASK, "--compressed"))["p402_metadata"])
    with check("a body of 2 MiB, Expect: 100-continue"):
        long = [{"role": "user", "content": "word " * 20_000}] * 2
        wide = {**ASK, "messages": long, "metadata": {"pad": " " * (2 << 20)}}
        assert json.loads(_chat(wide))["choices"][0]["message"]["content"] == TEXT
    with check("a chunked body"):
        assert json.loads(_chat(ASK, "--header", "transfer-encoding: chunked"))["choices"]
    with check("HTTP/1.0"):
        metadata(json.loads(_chat(ASK, "--http1.0"))["p402_metadata"])
    with check("HTTP/2 is not forced on the client"):
        metadata(json.loads(_chat(ASK, "--http2"))["p402_metadata"])
    with check("other names of the paths"):
        root = BASE_URL.removesuffix("/api/v2")
        for base in (f"{root}/v1", f"{BASE_URL}/v1"):
            body = ["--header", JSON, "--data", json.dumps(ASK)]
            metadata(json.loads(_curl(*body, f"{base}/chat/completions"))["p402_metadata"])
            assert json.loads(_curl(f"{base}/models"))["object"] == "list"
    with check("a dry run"):
        body = ["--header", JSON, "--data", json.dumps(ASK)]
        assert json.loads(_curl(*body, f"{BASE_URL}/route"))["plan"][0]["model"] == "hello"
    with check("health, without a key"):
        url = BASE_URL.removesuffix("/api/v2") + "/healthz"
        said = subprocess.run(["curl", "-s", url], capture_output=True, check=True).stdout
        assert said == b'{"status":"ok"}'


def streams() -> None:
    with check("frames of a stream"):
        frames = _frames(_chat({**ASK, "stream": True}, "--no-buffer"))
        assert frames[-1] == "[DONE]"
        chunks = [json.loads(frame) for frame in frames[:-1]]
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        assert all(len(chunk["choices"]) == 1 for chunk in chunks)
        assert [i for i, chunk in enumerate(chunks) if "p402_metadata" in chunk] == [
            len(chunks) - 1
        ]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert not any(chunk.get("usage") for chunk in chunks)
    with check("frames with usage"):
        ask = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
        *chunks, done = _frames(_chat(ask, "--no-buffer"))
        last = json.loads(chunks[-1])
        assert done == "[DONE]"
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 16
        first, second = (json.loads(chunk)["p402_metadata"] for chunk in chunks[-2:])
        assert {**first, "latency_ms": 0} == {**second, "latency_ms": 0}
    for fault in ("error-mid-stream", "close-mid-stream", "clean-cut", "malformed-json"):
        with check(f"a broken stream ends with an error and no [DONE]: {fault}"):
            ask = {**ASK, "model": f"fault-{fault}", "stream": True}
            frames = [json.loads(frame) for frame in _frames(_chat(ask, key=PIN_KEY))]
            assert "error" in frames[-1], frames[-1]
            assert isinstance(frames[-1]["error"]["code"], str)
            assert frames[-1]["error"]["request_id"] == frames[-1]["p402_metadata"]["request_id"]
            assert all(not chunk["choices"][0]["finish_reason"] for chunk in frames[:-1])


def refusals() -> None:
    for name, status, words, code in (
        ("wrong key", 401, ["--data", "{}"], "invalid_api_key"),
        ("malformed JSON", 400, ["--data", '{"model":'], "invalid_json"),
        ("no JSON object", 400, ["--data", "[1]"], "invalid_type"),
        ("a form", 415, ["--form", "model=hello"], "unsupported_media_type"),
        ("GET", 405, [], "method_not_allowed"),
    ):
        with check(f"a refusal: {name}"):
            key = "wrong" if status == 401 else KEY
            shown = ["--write-out", "\n%{http_code}", f"{BASE_URL}/chat/completions"]
            body, _, found = _curl(*words, *shown, key=key).decode().rpartition("\n")
            error = json.loads(body)["error"]
            assert (int(found), error["code"]) == (status, code), (found, error)
            assert {"message", "type", "param", "code"} <= set(error)
    with check("a refusal: unknown URL"):
        assert json.loads(_curl(f"{BASE_URL}/files"))["error"]["code"] == "unknown_url"


def main() -> None:
    whole()
    streams()
    refusals()
    finish()


main()
