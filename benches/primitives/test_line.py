"""One bench per primitive through the Python Gateway; a batch is 100 requests.

Deliberately asserts what came back and no time: a fast wrong answer must fail here too.
"""

from __future__ import annotations

import json

from pytest_benchmark.fixture import BenchmarkFixture

from benches.primitives.conftest import BATCH, Line, request


def test_pass_through(benchmark: BenchmarkFixture, whole: Line) -> None:
    benchmark.extra_info["requests"] = BATCH
    answer = json.loads(benchmark(whole.batch, request()))
    assert len(answer["p402_metadata"]) == 13


def test_pass_through_of_50_kb(benchmark: BenchmarkFixture, whole: Line) -> None:
    benchmark.extra_info["requests"] = BATCH
    body = json.loads(request())
    body["messages"][1]["content"] = "how does the same question cost so much more? " * 1_087
    answer = json.loads(benchmark(whole.batch, json.dumps(body).encode()))
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_metadata_with_costs_and_reasons(benchmark: BenchmarkFixture, whole: Line) -> None:
    benchmark.extra_info["requests"] = BATCH
    answer = json.loads(benchmark(whole.batch, request(cost_details=True, explain=True)))
    assert {"cost_details", "routing"} <= answer["p402_metadata"].keys()


def test_stream_of_20(benchmark: BenchmarkFixture, streaming: Line) -> None:
    benchmark.extra_info["requests"] = BATCH
    answer = benchmark(streaming.batch, request(stream=True))
    assert answer.endswith(b"data: [DONE]\n\n")
    assert answer.count(b'"word ') == 16 or answer.count(b"word ") == 16
    assert answer.count(b"p402_metadata") == 1


def test_route_over_320(benchmark: BenchmarkFixture, whole: Line) -> None:
    """The dry run: plan and explanation, without a call."""
    status, _headers, body = benchmark(whole.gateway.explain, "bench", [], request(), False)
    assert status == 200
    assert body is not None
    told = json.loads(body)
    assert len(told["candidates"]) == 20
    assert len(told["plan"]) == 3


def test_refused(benchmark: BenchmarkFixture, whole: Line) -> None:
    """A request that ends before routing: an unknown key in the p402 field."""
    status, _headers, body = benchmark(
        whole.gateway.explain, "bench", [], request(moed="cost"), False
    )
    assert status == 400
    assert body is not None
    assert json.loads(body)["error"]["code"] == "p402_field_unknown"
