"""Decides whether one Idempotency-Key is one request, also when its gateway is killed meanwhile.

Does not look into the gateway: what the provider was asked, and the ledger, are the witnesses.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx
import pytest

from p402.cli import main
from p402.sandbox import Fault
from tests.gateway import ask, lone
from tests.serving import Served
from tests.upstream import Upstream

KEY = "order-77"
# One key names one request of its tenant: guard.md § 4.
RID = "req_" + sha256(b"default\xff" + KEY.encode()).hexdigest()[:32]
HEAVY = {"max_tokens": 16}
# What one such request holds, and what its answer costs: a dollar a million tokens.
COST_USD = 0.000016


@pytest.fixture
def up():
    with Upstream() as running:
        yield running


@pytest.fixture
def place(up, tmp_path):
    """A configuration and a data directory that outlive their gateways."""
    config = tmp_path / "p402.toml"
    patient = "first_byte_max_ms = 30000\nbody_min_ms = 30000\n"
    text = lone(up).replace("first_byte_max_ms = 800\nbody_min_ms = 600\n", patient)
    config.write_text(text.replace("first_byte_min_ms = 600", "first_byte_min_ms = 30000"))
    return {"config": config, "data_dir": tmp_path / "data"}


def post(served: Served, **more) -> httpx.Response:
    return httpx.post(
        f"{served.base_url}/chat/completions",
        json=ask(**{**HEAVY, **more}),
        headers={"idempotency-key": KEY},
        trust_env=False,
        timeout=40.0,
    )


def verified(place, capsys) -> dict:
    """The ledger's own verdict, and its sums."""
    folder = str(place["data_dir"])
    assert main(["ledger", "verify", "--data-dir", folder]) == 0, "a nano-dollar is missing"
    capsys.readouterr()
    assert main(["usage", "--data-dir", folder, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["total"]


def rid_of(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["p402_metadata"]["request_id"])


def test_a_key_whose_request_was_answered_names_another_after_a_kill(up, place, capsys):
    """Its answer is not kept, so asking again is paid again: never under a booked name."""
    with Served(**place) as served:
        first = rid_of(post(served))
        served.kill()
    with Served(**place) as served:
        second = rid_of(post(served))
        third = rid_of(post(served))
        row = httpx.get(f"{served.base_url}/requests/{first}", trust_env=False).json()
    assert first == RID
    assert len({first, second, third}) == 3
    assert (row["status"], row["p402_metadata"]["cost_usd"]) == ("settled", COST_USD)
    total = verified(place, capsys)
    assert (total["requests"], total["cost_usd"]) == (3, 3 * COST_USD)
    assert total["wasted_usd"] == 0
    assert len(up.log.of("/a/v1")) == 3


def test_a_key_whose_request_was_cut_by_a_kill_is_booked_once_at_its_hold(up, place, capsys):
    up.faults["/a/v1"] = Fault("slow-first-byte", {"ms": "20000"})
    with ThreadPoolExecutor() as pool:
        with Served(**place) as served:
            lost = pool.submit(post, served)
            up.wait_for(lambda: up.log.of("/a/v1"))
            twin = post(served)
            served.kill()
        with pytest.raises(httpx.TransportError):
            lost.result()
        up.faults.clear()
        with Served(**place) as served:
            row = httpx.get(f"{served.base_url}/requests/{RID}", trust_env=False).json()
            again = rid_of(post(served))
    error = twin.json()["error"]
    assert (twin.status_code, error["code"], error["rid"]) == (409, "request_in_progress", RID)
    assert (row["status"], row["flags"]) == ("settled", ["estimated"])
    assert again != RID, "what was cut may have been billed: it is not the same request again"
    total = verified(place, capsys)
    assert (total["requests"], total["cost_usd"]) == (2, COST_USD)
    assert total["wasted_usd"] > COST_USD, "the whole hold, since nobody knows what was billed"
    assert total["flags"]["estimated"] == 1


def test_a_key_that_was_refused_is_the_same_request_after_a_kill(up, place, capsys):
    """A refusal has written nothing: the key is as good as new."""
    config = place["config"]
    text = config.read_text()
    config.write_text(text + '[guard]\nrequest_cap_usd = "0"\n')
    with Served(**place) as served:
        refused = post(served)
        served.kill()
    config.write_text(text)
    with Served(**place) as served:
        answered = rid_of(post(served))
    assert refused.json()["error"]["code"] == "request_cost_limit_exceeded"
    assert answered == RID
    assert verified(place, capsys)["requests"] == 1


def test_after_a_kill_a_key_is_again_in_use_for_one_body_alone(up, place):
    with Served(**place) as served:
        rid_of(post(served))
        served.kill()
    up.faults["/a/v1"] = Fault("slow-first-byte", {"ms": "1500"})
    before = len(up.log.of("/a/v1"))
    with Served(**place) as served, ThreadPoolExecutor() as pool:
        running = pool.submit(post, served)
        up.wait_for(lambda: len(up.log.of("/a/v1")) > before)
        twin, other = post(served), post(served, temperature=0.5)
        rid = rid_of(running.result())
    codes = [(reply.status_code, reply.json()["error"]["code"]) for reply in (twin, other)]
    assert codes == [(409, "request_in_progress"), (409, "idempotency_conflict")]
    assert [reply.json()["error"]["rid"] for reply in (twin, other)] == [rid, rid]
    assert [reply.headers["x-should-retry"] for reply in (twin, other)] == ["true", "false"]
    assert "retry-after-ms" in twin.headers
    assert "retry-after-ms" not in other.headers
    assert len(up.log.of("/a/v1")) == before + 1
