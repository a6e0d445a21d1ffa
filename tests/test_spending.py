"""Decides whether money is right through real processes: a thousand clients, and a power cut.

The oracle is the provider's own bill, never what the gateway says of itself.
"""

from __future__ import annotations

import asyncio
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import httpx
import openai
import pytest

from p402.sandbox import Fault
from tests.gateway import ask, lone
from tests.serving import Served
from tests.upstream import Upstream

CLIENTS = 1_000
BUDGET_NANO = 1_000_000_000
# $400 per million tokens, both ways: 16 tokens are $0.0064.
PICO_PER_TOKEN = 400_000_000
TOKENS = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
LIMITS = '[guard]\nbudget_usd = "1"\nin_flight_max = 256\nrate = { limit = 1000000, per_s = 1 }\n'


class Biller:
    """A provider that writes each answer into its bill before it gives it."""

    def __init__(self, bill: Path) -> None:
        lock = Lock()
        answer = {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "up",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello, world!"},
                    "finish_reason": "stop",
                }
            ],
            "usage": TOKENS,
        }
        body = json.dumps(answer).encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                with lock, bill.open("a") as file:
                    file.write(f"{TOKENS['total_tokens'] * PICO_PER_TOKEN // 1_000}\n")
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        self.bill = bill
        self.server = Server(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def nanos(self) -> list[int]:
        """What it has billed, answer by answer."""
        return [int(line) for line in self.bill.read_text().split()]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def dear(port: int) -> str:
    return (
        '[routing]\nmode = "cost"\nattempts = 1\n[cache]\ncost_mode_default = false\n'
        f'[provider.a]\nbase_url = "http://127.0.0.1:{port}/v1"\napi_key = "sk-a"\n'
        '[[model]]\nid = "m-a"\nprovider = "a"\n'
        'input_usd_per_mtok = "400"\noutput_usd_per_mtok = "400"\n'
        "context = 100000\nmax_output = 8000\ncapability = 70\nttft_ms = 10\n"
        f"tokens_per_s = 10000\n{LIMITS}"
    )


async def spend(sdk: openai.AsyncOpenAI) -> tuple[int, int]:
    """One client: asks until nothing is held any more and it is still refused."""
    served = 0
    while True:
        try:
            await sdk.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "Hi"}], max_tokens=8
            )
            served += 1
        except openai.RateLimitError as error:
            if error.code == "budget_exceeded" and not error.body["held_usd"]:
                return served, round(error.body["estimated_cost_usd"] * 1e9)
            if error.code not in ("budget_exceeded", "concurrency_limit_exceeded"):
                raise
        await asyncio.sleep(0.05)  # as a client would: others' requests are on their way


@pytest.mark.slow
def test_a_thousand_clients_never_spend_more_than_their_budget(tmp_path):
    biller = Biller(tmp_path / "bill")
    config = tmp_path / "p402.toml"
    config.write_text(dear(biller.server.server_port))

    async def all_of_them(base_url: str) -> list[tuple[int, int]]:
        limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        async with httpx.AsyncClient(timeout=120.0, limits=limits, trust_env=False) as http:
            sdk = openai.AsyncOpenAI(base_url=base_url, api_key="any", http_client=http)
            return await asyncio.gather(*(spend(sdk) for _ in range(CLIENTS)))

    with Served(config) as served:
        found = asyncio.run(all_of_them(served.base_url))
        metrics = httpx.get(f"{served.base_url}/metrics", trust_env=False).text
    billed = biller.nanos()
    biller.stop()
    claim = found[0][1]
    assert len(billed) == sum(count for count, _ in found)
    assert sum(billed) <= BUDGET_NANO
    assert sum(billed) > BUDGET_NANO - claim
    assert "guard_held_nano 0" in metrics.splitlines()


def test_a_power_cut_in_the_midst_of_a_stream_leaves_nothing_held(tmp_path):
    data_dir, config = tmp_path / "data", tmp_path / "p402.toml"
    with Upstream() as up:
        config.write_text(lone(up, '[guard]\nbudget_usd = "1"\n'))
        with Served(config, data_dir=data_dir) as served:
            whole = httpx.post(f"{served.base_url}/chat/completions", json=ask(), trust_env=False)
            up.faults["/a/v1"] = Fault("stall-mid-stream")
            stream = httpx.stream(
                "POST",
                f"{served.base_url}/chat/completions",
                json=ask(stream=True),
                trust_env=False,
                timeout=20.0,
            )
            with stream as reply:
                rid = reply.headers["x-p402-request-id"]
                left_then = reply.headers["x-p402-budget-remaining-usd"]
                next(reply.iter_raw())
                served.kill()
        up.faults.clear()
        with Served(config, data_dir=data_dir) as served:
            row = httpx.get(f"{served.base_url}/requests/{rid}", trust_env=False).json()
            before = httpx.get(
                f"{served.base_url}/requests/{whole.headers['x-p402-request-id']}", trust_env=False
            ).json()
            refused = httpx.post(
                f"{served.base_url}/chat/completions", content=b"{", trust_env=False
            )
            metrics = httpx.get(f"{served.base_url}/metrics", trust_env=False).text
            after = httpx.post(f"{served.base_url}/chat/completions", json=ask(), trust_env=False)
    assert before["status"] == row["status"] == "settled"
    assert row["flags"] == ["estimated"]
    assert "guard_held_nano 0" in metrics.splitlines()
    # What was held when the power went is booked: nothing more, nothing less.
    assert refused.headers["x-p402-budget-remaining-usd"] == left_then
    assert after.status_code == 200
