"""Decides whether metrics read as Prometheus reads them, are complete, bounded, and the operator's.

Does not check what each counter counts beyond the plain cases: claims do, against bills.
"""

from __future__ import annotations

import socket
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from p402.sandbox import Fault
from p402.settings import SettingsError
from tests.gateway import Gateway, ask, lone, pair, settings
from tests.serving import Served, free_port

OPERATOR = {"authorization": "Bearer the-operator"}
ENV = {"OPERATOR_KEY": "the-operator", "ACME_KEY": "sk-acme"}
KEYED = '[operator]\nkey_env = "OPERATOR_KEY"\n'
TENANT = '[[tenant]]\nid = "acme"\nkey_env = "ACME_KEY"\n'
# guard.md § 11 and what an operator asks beside it: name (as a family) → type.
NAMES = {
    "guard_decisions": "counter",
    "guard_decision_seconds": "histogram",
    "guard_store_trip_seconds": "histogram",
    "guard_held_nano": "gauge",
    "guard_degraded": "counter",
    "guard_degraded_spend_nano": "counter",
    "guard_suspense": "gauge",
    "guard_suspense_nano": "gauge",
    "guard_late_settle": "counter",
    "guard_settle_unknown": "counter",
    "guard_estimate_shortfall_nano": "counter",
    "guard_ghost_released": "counter",
    "guard_breaker_state": "gauge",
    "guard_breaker_opened": "counter",
    "guard_cold": "counter",
    "guard_recoveries": "counter",
    "guard_recovery_missing_nodes": "counter",
    "guard_anomaly": "counter",
    "guard_tenant_requests": "counter",
    "guard_tenant_refused": "counter",
    "guard_tenant_spent_nano": "counter",
    "p402_requests": "counter",
    "p402_attempts": "counter",
    "p402_streams_broken": "counter",
    "p402_input_tokens": "counter",
    "p402_output_tokens": "counter",
    "p402_cost_nano": "counter",
    "p402_direct_nano": "counter",
    "p402_wasted_nano": "counter",
    "p402_first_token_seconds": "histogram",
    "p402_provider_seconds": "histogram",
    "p402_overhead_seconds": "histogram",
    "p402_errors": "counter",
    "p402_in_flight": "gauge",
    "p402_ledger_lag_rows": "gauge",
    "p402_ledger_journal_bytes": "gauge",
    "p402_ledger_index_up": "gauge",
    "p402_ledger_indexed_rows": "counter",
}


class Scraped:
    """What Prometheus' own parser makes of a text."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.kinds = {family.name: family.type for family in families}
        assert len(families) == len(self.kinds), "a family stands twice"
        assert all(family.documentation for family in families)
        self.samples: dict[tuple[str, frozenset], float] = {}
        for family in families:
            for each in family.samples:
                label = (each.name, frozenset(each.labels.items()))
                assert label not in self.samples, "a sample stands twice"
                self.samples[label] = each.value

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def labels(self, name: str, label: str) -> set[str]:
        return {dict(found)[label] for each, found in self.samples if each == name}


async def scraped(gateway: Gateway) -> Scraped:
    told = await gateway.get("/metrics", OPERATOR)
    assert told.status == 200, told.raw
    assert told.headers["content-type"] == "text/plain; version=0.0.4"
    return Scraped(told.raw.decode())


async def test_names_and_types_are_those_that_are_published(up):
    async with Gateway(lone(up)) as gateway:
        await gateway.chat(ask())
        found = await scraped(gateway)
    missing = {name: kind for name, kind in NAMES.items() if found.kinds.get(name) != kind}
    assert missing == {}
    assert {name.partition("_")[0] for name in found.kinds} == {"cache", "guard", "p402"}


async def test_requests_attempts_tokens_and_money_are_counted_where_they_belong(up):
    up.faults["/a/v1"] = Fault("status", {"status": "500"})
    async with Gateway(pair(up)) as gateway:
        told = await gateway.chat(ask())
        streamed = await gateway.chat(ask(stream=True))
        wrong = await gateway.chat(b"{")
        found = await scraped(gateway)
    assert (told.status, streamed.status, wrong.status) == (200, 200, 400)
    b = {"provider": "b", "model": "m-b"}
    assert found("p402_requests_total", end="settled", **b) == 2
    assert found("p402_attempts_total", outcome="ok", **b) == 2
    assert found.labels("p402_attempts_total", "provider") == {"a", "b"}
    both = (told.metadata, streamed.metadata)
    spent = sum(round(each["cost_usd"] * 10**9) for each in both)
    assert found("p402_cost_nano_total", **b) == spent
    assert found("p402_output_tokens_total", **b) == sum(each["output_tokens"] for each in both)
    assert found("p402_first_token_seconds_count", provider="b") == 1
    assert found("p402_provider_seconds_count", provider="b") == 2
    assert found("p402_overhead_seconds_count") == 2
    assert found("p402_errors_total", code="invalid_json") == 1
    assert found("guard_decision_seconds_count") == 2
    assert 0 < found("guard_store_trip_seconds_sum") <= found("guard_decision_seconds_sum") < 1
    assert found("guard_tenant_refused_total", tenant="default") == 1
    wasted = found("p402_wasted_nano_total", **b)
    assert found("guard_tenant_spent_nano_total", tenant="default") == spent + wasted


async def test_the_ledgers_lag_comes_down_to_nothing(up):
    async with Gateway(lone(up)) as gateway:
        await gateway.chat(ask())
        deadline = time.monotonic() + 10
        while (found := await scraped(gateway))("p402_ledger_lag_rows") > 0:
            assert time.monotonic() < deadline, "the index does not catch up"
    assert found("p402_ledger_indexed_rows_total") == 2, "a dispatch and a settlement"
    assert found("p402_ledger_journal_bytes") > 0
    assert found("p402_ledger_index_up") == 1


async def test_labels_are_bounded_and_escaped(up):
    more = "".join(
        f'[[model]]\nid = "n{n}"\nprovider = "a"\ninput_usd_per_mtok = "1"\n'
        'output_usd_per_mtok = "1"\ncontext = 100000\nmax_output = 8000\n'
        for n in range(300)
    )
    wide = "[guard]\nrate = { limit = 100000, per_s = 1 }\nin_flight_max = 256\n"
    async with Gateway(lone(up, wide) + more) as gateway:
        for n in range(300):
            told = await gateway.chat(ask(model=f"a/n{n}", max_tokens=4))
            assert told.status == 200, told.raw
        found = await scraped(gateway)
    models = found.labels("p402_requests_total", "model")
    assert len(models) <= 256
    assert "other" in models
    samples = [value for (name, _), value in found.samples.items() if name == "p402_requests_total"]
    assert sum(samples) == 300, "what has no label of its own is still counted"


async def test_whom_metrics_are_told(up):
    """Works out of the box on this machine; never to a tenant."""
    mine = {"authorization": "Bearer sk-acme"}
    cases = [
        ("", {}, 200),
        (KEYED, {}, 401),
        (KEYED, OPERATOR, 200),
        (KEYED, {"authorization": "Bearer wrong"}, 401),
        (KEYED, {"x-api-key": "the-operator"}, 200),
        (TENANT, {}, 401),
        (TENANT, mine, 401),
        (KEYED + TENANT, mine, 401),
        (KEYED + TENANT, OPERATOR, 200),
        ('[operator]\nkey_env = "NOT_SET"\n', {}, 401),
        ('[server]\nhost = "0.0.0.0"\nallow_open = true\n', {}, 401),
    ]
    for text, headers, status in cases:
        async with Gateway(lone(up, text), env=ENV) as gateway:
            told = await gateway.get("/metrics", headers)
            root = await gateway.http.get("http://gateway.test/metrics", headers=headers)
            assert (told.status, root.status_code) == (status, status), text
            if status == 401:
                assert told.error["code"] == "invalid_api_key"
                assert "operator" in told.error["message"]
            assert (await gateway.post("/metrics", {}, headers)).status == 405


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[operator]\nmetrics_listen = "0.0.0.0:9402"\n', "operator.metrics_listen"),
        ('[operator]\nmetrics_listen = "nowhere"\n', "operator.metrics_listen"),
        ('[operator]\nmetrics_listen = "127.0.0.1:99999"\n', "operator.metrics_listen"),
        ('[operator]\nkey_sha256 = "abc"\n', "operator.key_sha256"),
        ('[operator]\nkey = "abc"\n', "operator.key"),
        (f'{TENANT}[operator]\nkey_env = "ACME_KEY"\n', "operator"),
    ],
)
def test_a_mistake_of_the_operators_is_named(text, key):
    with pytest.raises(SettingsError) as raised:
        settings(text, tuple(ENV.items()))
    assert raised.value.key == key


@pytest.mark.parametrize("keyed", [False, True])
def test_metrics_have_an_address_of_their_own(tmp_path, keyed):
    port = free_port()
    config = tmp_path / "p402.toml"
    named = f'[operator]\nmetrics_listen = "127.0.0.1:{port}"\n'
    named += 'key_env = "OPERATOR_KEY"\n' if keyed else ""
    config.write_text(f"[sandbox]\nenabled = true\nspeed = 0.0\n{named}{TENANT}")
    with Served(config, env=ENV) as served:
        url = f"http://127.0.0.1:{port}"
        headers = OPERATOR if keyed else {}
        with httpx.Client(base_url=url, trust_env=False, timeout=5, headers=headers) as scraper:
            told = scraper.get("/metrics")
            Scraped(told.text)
            assert told.status_code == 200
            assert scraper.get("/metrics?a=b").status_code == 200
            assert scraper.head("/metrics").status_code == 200
            assert scraper.get("/api/v2/models").status_code == 404
            assert scraper.post("/metrics").status_code == 405
        with socket.create_connection(("127.0.0.1", port), 5) as raw:
            raw.sendall(b"\x00\x01nonsense\r\n\r\n")
            assert raw.recv(100) == b"", "what is no HTTP is told nothing"
        with socket.create_connection(("127.0.0.1", port), 5):
            assert httpx.get(f"{url}/metrics", headers=headers, trust_env=False).is_success
        if keyed:
            assert httpx.get(f"{url}/metrics", trust_env=False).status_code == 401
        main = httpx.get(f"{served.base_url}/metrics", trust_env=False)
        assert main.status_code == 401, "tenants have keys: the main address tells the operator"
        assert served.stop() == 0
