"""Decides whether a real server process stands up to hostile sockets and to being told to leave.

Does not look at answers of models.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.gateway import QUICK, USER, lone
from tests.outcomes import HELLO
from tests.serving import Served
from tests.upstream import Upstream

TENANTS = """
[[tenant]]
id = "one"
key_env = "ONE"
[[tenant]]
id = "two"
key_env = ["TWO", "TWO_B"]
"""
KEYS = {"ONE": "p402_one", "TWO": "p402_two", "TWO_B": "p402_two_b"}
ONE = {"authorization": "Bearer p402_one"}
BODY = json.dumps({"model": "auto", "messages": USER}).encode()
BODY_MAX = 65_536


@pytest.fixture(scope="module")
def up():
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def real(up, tmp_path_factory):
    """A server process with tenants and a small body limit."""
    config = tmp_path_factory.mktemp("app") / "p402.toml"
    limits = f"[limits]\nbody_bytes = {BODY_MAX}\n[server]\ndrain_s = 2\n"
    limits += "[stream]\ndrain_ms = 200\n"
    config.write_text(lone(up, limits + TENANTS))
    with Served(config, env=KEYS) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v2/models", 200),
        ("/api/v2/models/", 200),
        ("/api/v2/v1/models", 200),
        ("/v1/models", 200),
        ("/v1/models/", 200),
        ("/models", 404),
        ("/api/v1/models", 404),
        ("/api/v2//models", 404),
        ("//api/v2/models", 404),
        ("/api/v2/./models", 404),
        ("/api/v2/x/../models", 404),
        ("/api/v2/%2e%2e/v2/models", 404),
        ("/api/v2/x/%2e%2e/models", 404),
        ("/api/v2/models//", 404),
        ("/api/v2/models%00", 404),
        ("/api/v2/files", 404),
        ("/api/v2/", 404),
        ("/", 404),
        ("/V1/models", 404),
        ("/v1/models?x=/../..", 200),
    ],
)
def test_paths_are_matched_exactly(real, path, status):
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer p402_one\r\n"
    assert status_of(talk(real, head.encode() + b"connection: close\r\n\r\n")) == [status]


def talk(real: Served, sent: bytes, *, more: bytes = b"", quiet_s: float = 3.0) -> bytes:
    """Sends raw bytes; everything that came back until the server closed or fell silent."""
    got = b""
    with socket.create_connection(("127.0.0.1", real.port), timeout=quiet_s) as wire:
        try:
            wire.sendall(sent)
            if more:
                wire.sendall(more)
            while part := wire.recv(65_536):
                got += part
        except (ConnectionResetError, BrokenPipeError):
            return got
        except TimeoutError:
            return got + b"<open>"
    return got


def status_of(got: bytes) -> list[int]:
    """The status of every response in there."""
    return [int(part[2:5]) for part in got.split(b"HTTP/1.")[1:] if part[1:2] == b" "] or [0]


def post(*lines: str, body: bytes = BODY, path: str = "/v1/chat/completions") -> bytes:
    head = "\r\n".join([f"POST {path} HTTP/1.1", "host: x", "x-api-key: p402_one", *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


SIZED = f"content-length: {len(BODY)}"
SMUGGLED = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\nx-api-key: p402_one\r\n\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "sent",
    [
        post(SIZED, "content-length: 3"),
        post(f"content-length: +{len(BODY)}"),
        post(f"content-length: {len(BODY)}, {len(BODY)}"),
        post("transfer-encoding: gzip"),
        post("transfer-encoding : chunked", body=CHUNKED),
        post("transfer-encoding: identity, chunked\r\ntransfer-encoding: gzip", body=CHUNKED),
        post(SIZED, "x-folded: a\r\n b"),
        post(SIZED, "x-nul: a\0b"),
        post("transfer-encoding: chunked", body=b"zz\r\n" + BODY),
        post("transfer-encoding: chunked", body=b"ffffffffffffffffff\r\n" + BODY),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
    ],
)
def test_malformed_requests_end_the_connection(real, up, sent):
    before = up.log.received
    got = talk(real, sent)
    assert not got.endswith(b"<open>"), "the connection was closed"
    assert status_of(got) in ([400], [0])
    assert up.log.received == before


@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 5"),
    ],
)
def test_a_smuggled_request_is_never_answered(real, lines):
    got = talk(real, post(*lines, body=SMUGGLED))
    assert len(status_of(got)) == 1
    assert status_of(got)[0] in {400, 0}
    assert b'"object":"list"' not in got
    assert not got.endswith(b"<open>")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /v1/models HTTP/1.1\r\nhost: x/healthz?", {400, 401}),
        ("GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b", {400, 401}),
        ("GET /v1/models HTTP/1.1", {400, 401}),
        ("GET http://x/healthz/../v1/models HTTP/1.1\r\nhost: x", {401, 404}),
        ("GET http://evil.test/v1/models HTTP/1.1\r\nhost: x", {401}),
        ("GET /healthz/../v1/models HTTP/1.1\r\nhost: x", {401}),
        ("GET /v1/models%2f..%2f..%2fhealthz HTTP/1.1\r\nhost: x", {401}),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-forwarded-prefix: /healthz", {401}),
        ("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-original-url: /healthz", {401}),
    ],
)
def test_no_trick_of_the_request_line_gets_round_the_key(real, line, status):
    got = talk(real, line.encode() + b"\r\nconnection: close\r\n\r\n")
    assert status_of(got)[0] in status
    assert b'"object":"list"' not in got


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post(SIZED, "x-big: " + "a" * 200_000), {431, 0}),
        (post(SIZED, *(f"x-{at}: 1" for at in range(600))), {431}),
        (post(SIZED, *(f"x-{at}: 1" for at in range(98))), {431}),
        (post(f"content-length: {BODY_MAX + 1}", body=b" " * (BODY_MAX + 1)), {413}),
        (post("content-length: 99999999999999", body=b""), {413}),
        (
            post("transfer-encoding: chunked", body=b"8000\r\n" + b" " * 0x8000 + b"\r\n")
            + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 2,
            {413},
        ),
        (post(SIZED, "content-type: multipart/form-data; boundary=x"), {415}),
    ],
)
def test_what_is_too_large_is_refused(real, sent, status):
    got = talk(real, sent)
    assert status_of(got)[0] in status
    assert not got.endswith(b"<open>")


def test_a_body_in_tiny_chunks_is_read(real):
    body = BODY[:-1] + b" " * (8_192 - len(BODY)) + b"}"
    tiny = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    sent = post("transfer-encoding: chunked", "connection: close", body=tiny)
    assert status_of(talk(real, sent, quiet_s=20.0)) == [200]


def test_a_thousand_idle_sockets_harm_nobody(real):
    held = []
    try:
        for at in range(1_000):
            wire = socket.create_connection(("127.0.0.1", real.port), timeout=5)
            held.append(wire)
            # A head without an end, or a body that does not come.
            wire.sendall(post(SIZED, body=b"")[: None if at % 2 else 30])
        started = time.monotonic()
        assert status_of(talk(real, post(SIZED, "connection: close"))) == [200]
        assert time.monotonic() - started < 2.0
    finally:
        for wire in held:
            wire.close()


def test_a_websocket_upgrade_is_no_way_in(real):
    upgrade = ("upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13")
    key = ("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol: caf\xe9")
    sent = post(*upgrade, *key, body=b"").replace(b"POST", b"GET").replace(b"p402_one", b"no")
    assert status_of(talk(real, sent, quiet_s=0.5))[0] in {400, 401, 404}
    assert httpx.get(f"{real.root}/healthz", trust_env=False).status_code == 200


def test_keep_alive_serves_one_after_the_other(real):
    both = post(SIZED) + post(SIZED, "connection: close")
    assert status_of(talk(real, both)) == [200, 200]


def test_a_path_that_is_not_there_costs_no_connection(real):
    """Though the body comes after its head, as it does over any network."""
    head, _, body = post(SIZED, path="/v1/responses/compact").partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", real.port), timeout=5) as client:
        client.sendall(head + b"\r\n\r\n")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(5)
        client.sendall(body)
        assert client.recv(65_536).startswith(b"HTTP/1.1 404")
        client.sendall(post(SIZED))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")


def test_expect_continue_is_answered(real):
    sent = post(SIZED, "expect: 100-continue", "connection: close", body=b"")
    assert status_of(talk(real, sent, more=BODY))[-1] == 200


def drive(real: Served, stream_of: httpx.Client, out: list[bytes]) -> None:
    body = {"model": "auto", "messages": USER, "stream": True}
    url = f"{real.base_url}/chat/completions"
    with stream_of.stream("POST", url, json=body, headers=ONE) as got:
        out.extend(got.iter_raw())


@pytest.mark.parametrize(
    ("fault", "whole"), [(("slow-tokens", {"ms": 60}), True), (("endless", {}), False)]
)
def test_sigterm_lets_open_streams_end_and_takes_no_new_ones(up, tmp_path, fault, whole):
    name, params = fault
    with Upstream() as own:
        own.broken(name, "/a/v1", **params)
        config = tmp_path / "p402.toml"
        config.write_text(lone(own, "[server]\ndrain_s = 1\n" + TENANTS))
        with Served(config, env=KEYS) as real, httpx.Client(trust_env=False, timeout=20) as http:
            assert http.get(f"{real.root}/healthz").status_code == 200
            out: list[bytes] = []
            reading = threading.Thread(target=drive, args=(real, http, out))
            reading.start()
            own.wait_for(lambda: own.log.of("/a/v1"))
            while not out:
                time.sleep(0.005)  # the reader's list has no event
            real.child.send_signal(signal.SIGTERM)
            seen = set()
            with httpx.Client(trust_env=False, timeout=5, base_url=real.base_url) as late:
                while reading.is_alive() and 503 not in seen:
                    try:
                        got = late.post("/chat/completions", content=BODY, headers=ONE)
                    except httpx.TransportError:
                        break
                    seen.add(got.status_code)
            reading.join(10)
            raw = b"".join(out)
    assert seen <= {200, 503}
    assert raw.endswith(b"data: [DONE]\n\n") is whole
    if whole:
        assert 503 in seen
        assert got.json()["error"]["code"] == "shutting_down"
        assert got.headers["connection"] == "close"
    else:
        assert b'"code":"shutting_down"' in raw


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_tells_a_client_whose_provider_is_silent(tmp_path, stream):
    with Upstream() as own:
        own.broken("slow-first-byte", "/a/v1", ms=60_000)
        config = tmp_path / "p402.toml"
        patient = QUICK.replace("00\n", "00000\n")
        text = lone(own, "[server]\ndrain_s = 1\n" + TENANTS)
        config.write_text(text.replace(QUICK, patient))
        with Served(config, env=KEYS) as real, ThreadPoolExecutor() as pool:
            url = f"{real.base_url}/chat/completions"
            body = {"model": "auto", "messages": USER, "stream": stream}
            asked = pool.submit(
                httpx.post, url, json=body, headers=ONE, timeout=30, trust_env=False
            )
            own.wait_for(lambda: own.log.of("/a/v1"))
            assert real.stop() == 0
            got = asked.result()
    assert got.status_code == 503
    assert got.json()["error"]["code"] == "shutting_down"
    # Its provider may bill what it was sent.
    assert got.headers["x-should-retry"] == "false"


def test_a_client_gone_over_a_real_socket_frees_the_upstream(real, up):
    up.broken("hang", "/a/v1")
    try:
        with socket.create_connection(("127.0.0.1", real.port)) as wire:
            before = up.log.received
            wire.sendall(post(SIZED))
            up.wait_for(lambda: up.log.received > before)
            record = up.last("/a/v1")
        left = time.monotonic()
        up.wait_for(lambda: record.aborted)
        assert time.monotonic() - left < 0.5
    finally:
        up.faults.clear()
    assert HELLO.encode() in talk(real, post(SIZED, "connection: close"))
