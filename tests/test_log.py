"""Decides whether the operator hears of failures, one line each, and nobody ever reads a secret.

Does not test how events are made: the core's own tests do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re

import httpx

from tests.gateway import WIDE, Gateway, ask, lone, pair
from tests.outcomes import SPEC
from tests.serving import Served
from tests.upstream import Upstream

LINE = re.compile(
    r"(attempt_failed|stream_broke) [a-z]+/[a-z-]+ [a-z_]+ status=\d{3} ms=\d+ req_[0-9a-f]{32}"
)
SECRET = "PLANTED-b1946ac92492d2347c"
PROVIDER_KEY = f"sk-{SECRET}-provider"
TENANT_KEY = f"p402_{SECRET}_tenant"
# The refused key comes last: nothing is sent with it any more.
FAULTS = ["400", "500", "error-200", "error-mid-stream", "html-200", "malformed-json", "422"]
MET = [*FAULTS, *FAULTS, "401"]


async def test_each_failed_attempt_is_one_line(caplog):
    with Upstream() as up:
        async with Gateway(pair(up)) as gateway:
            up.broken("503", "/a/v1")
            first = await gateway.chat(ask())
            up.broken("reset-mid-stream", "/b/v1")
            second = await gateway.chat(ask(stream=True))
            with caplog.at_level(logging.WARNING, "p402"):
                gateway.app._log.write()
    lines = [record.getMessage() for record in caplog.records if record.name == "p402"]
    assert all(LINE.fullmatch(line) for line in lines), lines
    told = [[*line.split()[:3], line.split()[-1]] for line in lines]
    ids = [reply.headers["x-request-id"] for reply in (first, second)]
    assert told == [
        ["attempt_failed", "a/m-a", "server", ids[0]],
        ["attempt_failed", "a/m-a", "server", ids[1]],
        ["stream_broke", "b/m-b", "cut", ids[1]],
    ]
    assert {record.levelno for record in caplog.records if record.name == "p402"} == {30}


async def test_events_that_nobody_fetched_are_counted(caplog):
    with Upstream() as up:
        up.broken("400", "/a/v1")
        async with Gateway(lone(up, WIDE)) as gateway:
            await gateway.chat(ask())
            gateway.app._log.stop()
            caplog.clear()
            for _ in range(11):
                await asyncio.gather(*(gateway.chat(ask()) for _ in range(100)))
            with caplog.at_level(logging.WARNING, "p402"):
                gateway.app._log.write()
    lines = [record.getMessage() for record in caplog.records if record.name == "p402"]
    fetched = [line for line in lines if LINE.fullmatch(line)]
    dropped = sum(int(line.split()[0]) for line in lines if "dropped" in line)
    assert dropped > 0
    assert len(fetched) + dropped == 1_100


async def test_nothing_happened_is_no_line(caplog):
    with Upstream() as up:
        async with Gateway(lone(up)) as gateway, asyncio.timeout(10):
            await gateway.chat(ask())
            gateway.app._log.write()
    assert not [record for record in caplog.records if record.name == "p402"]


def test_a_planted_secret_is_found_nowhere(tmp_path):
    """In key, prompt and the upstream's own words; looked for in log, errors and look-ups."""
    answers: list[bytes] = []
    with Upstream() as up:
        config = tmp_path / "p402.toml"
        text = lone(up).replace('api_key = ["sk-a-key"]', 'api_key_env = "A_KEY"')
        config.write_text(text + '[[tenant]]\nid = "one"\nkey_env = "ONE"\n')
        env = {"A_KEY": PROVIDER_KEY, "ONE": TENANT_KEY}
        with Served(config, env=env) as real, httpx.Client(trust_env=False, timeout=20) as http:
            for number, fault in enumerate(MET):
                up.broken(fault, "/a/v1", **SPEC.get(fault, {}))
                body = ask(stream=number >= len(FAULTS), p402={"explain": True})
                body["messages"] = [{"role": "user", "content": f"{SECRET} {PROVIDER_KEY}"}]
                answers.extend(everything(http, real, body))
            real.stop()
            said = real.stderr()
    assert [record.fault for record in up.log.of("/a/v1")] == MET
    assert f"Bearer {PROVIDER_KEY}" in {r.header("authorization") for r in up.log.of("/a/v1")}
    assert "attempt_failed" in said
    assert "stream_broke" in said
    assert SECRET not in said
    assert not [answer for answer in answers if SECRET.encode() in answer]
    assert "Traceback" not in said
    assert not [answer for answer in answers if b"Traceback" in answer or b".rs:" in answer]


def everything(http: httpx.Client, real: Served, body: dict) -> list[bytes]:
    """All that a client can read of one request: reply, headers, the look-up, the dry run."""
    headers = {"authorization": f"Bearer {TENANT_KEY}"}
    url = f"{real.base_url}/chat/completions"
    reply = http.post(url, json=body, headers=headers)
    row = http.get(f"{real.base_url}/requests/{reply.headers['x-request-id']}", headers=headers)
    wrong = http.post(url, json=body, headers={"authorization": f"Bearer {TENANT_KEY}x"})
    bad = http.post(url, content=json.dumps(body)[:-1], headers=headers)
    told = http.post(f"{real.base_url}/route", json=body, headers=headers)
    assert (row.status_code, wrong.status_code, bad.status_code) == (200, 401, 400)
    heads = [str(each.headers.raw).encode() for each in (reply, row, wrong, bad, told)]
    return [each.content for each in (reply, row, wrong, bad, told)] + heads


async def test_an_upstream_that_repeats_the_key_is_scrubbed():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        error = {"error": {"message": f"bad key {PROVIDER_KEY} at http://u:p@host/x", "code": 1}}
        body = json.dumps(error).encode()
        assert PROVIDER_KEY.encode() in head
        start = b"HTTP/1.1 422 No\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(start + b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = (
        f'[provider.a]\nbase_url = "http://127.0.0.1:{port}/v1"\napi_key = "{PROVIDER_KEY}"\n'
        '[[model]]\nid = "m-a"\nprovider = "a"\ninput_usd_per_mtok = "1"\n'
        'output_usd_per_mtok = "1"\ncontext = 100000\ncapability = 70\n'
    )
    async with Gateway(text) as gateway:
        told = await gateway.chat(ask())
    server.close()
    assert told.status == 422
    assert told.error["message"].startswith("bad key ")
    assert SECRET not in told.raw.decode()
    assert "u:p@" not in told.raw.decode()
