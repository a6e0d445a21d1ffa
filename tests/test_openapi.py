"""Decides whether the published document is true: real replies are held against its schemas.

Does not fuzz; schemathesis does, in `make conformance`.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

DOCUMENT = json.loads(files("p402").joinpath("openapi.json").read_bytes())
ASK = {"model": "auto", "messages": [{"role": "user", "content": "Good morning"}]}
PIN = {"p402": {"pin": True}}
HELLO = {**ASK, "contents": [{"role": "user", "parts": [{"text": "Good morning"}]}]}
CODES = Path(__file__).parent.parent / "rust_core/p402-core/src/reply/code.rs"


def holds(name: str, value: object) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def responses(path: str, method: str) -> dict[str, dict]:
    return DOCUMENT["paths"][path][method]["responses"]


def test_every_schema_is_one():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere():
    for found in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(DOCUMENT)):
        place = DOCUMENT
        for part in found.split("/"):
            place = place[part]


def test_every_status_of_the_error_table_is_documented():
    table = re.findall(r'row\(Code::\w+, "(\w+)", (\d{3}),', CODES.read_text())
    assert len(table) > 20
    chat = responses("/chat/completions", "post")
    told = json.dumps(DOCUMENT["components"]["responses"])
    # 405 cannot answer a POST; request_not_found and unknown_url belong to other paths.
    for code, status in table:
        assert status in chat or code == "method_not_allowed"
        assert code in told


@pytest.mark.parametrize("mode", ["cost", "quality", "speed", "balanced"])
def test_a_completion_is_as_documented(client, mode):
    body = {**ASK, "p402": {"mode": mode}}
    holds("ChatRequest", body)
    reply = client.post("/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    holds("ChatCompletion", told)
    metadata = DOCUMENT["components"]["schemas"]["Metadata"]["required"]
    assert list(told["p402_metadata"]) == metadata, "thirteen keys, in this order"
    found = client.get(f"/requests/{told['p402_metadata']['request_id']}")
    holds("Request", found.json())


def test_a_stream_carries_the_documented_metadata(client):
    reply = client.post("/chat/completions", json={**ASK, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    frames = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    assert frames[-1] == "[DONE]"
    carried = [json.loads(frame) for frame in frames[:-1] if "p402_metadata" in frame]
    assert len(carried) == 1
    holds("Metadata", carried[0]["p402_metadata"])


def test_other_doors_answer_as_documented(client):
    user = [{"role": "user", "content": "Good morning"}]
    ask = {"model": "auto", "max_tokens": 100, "messages": user}
    holds("MessagesRequest", ask)
    told = client.post("/messages", json=ask)
    assert told.status_code == 200, told.text
    holds("MessagesReply", told.json())
    ask = {"model": "auto", "input": "Good morning"}
    holds("ResponsesRequest", ask)
    told = client.post("/responses", json=ask)
    assert told.status_code == 200, told.text
    holds("ResponsesReply", told.json())


def test_models_and_one_model_are_as_documented(client):
    listed = client.get("/models").json()
    holds("Models", listed)
    one = client.get("/models/openai/gpt-5.4")
    assert one.status_code == 200
    holds("Model", one.json())
    assert one.json() == client.get("/models/openai%2Fgpt-5.4").json()


def test_a_decision_is_as_documented(client):
    reply = client.post("/route", json={**ASK, "p402": {"mode": "quality"}})
    assert reply.status_code == 200, reply.text
    holds("Route", reply.json())


def test_the_cache_and_feedback_are_as_documented(client):
    holds("Cache", client.get("/cache").json())
    told = client.post("/chat/completions", json={**ASK, "p402": {"cache": True, "explain": True}})
    holds("CacheTold", told.json()["p402_metadata"]["cache"])
    said = {"request_id": told.headers["x-request-id"], "score": -1}
    holds("Feedback", said)
    reply = client.post("/feedback", json=said)
    assert reply.status_code == 202, reply.text
    holds("FeedbackTold", reply.json())
    assert client.delete("/cache/ce_0000000000000000").status_code == 404
    assert client.delete("/cache?all=1").json().keys() == {"purged"}


def test_health_is_as_documented(client):
    for path in ("/healthz", "/readyz"):
        holds("Health", client.get(path).json())


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/chat/completions", "{", 400, "invalid_json"),
        ("/chat/completions", {"messages": []}, 400, None),
        ("/chat/completions", {**ASK, "n": 9}, 400, "invalid_value"),
        ("/chat/completions", {**ASK, "p402": {"mod": "cost"}}, 400, "p402_field_unknown"),
        ("/chat/completions", {**ASK, "p402": {"mode": "cheap"}}, 400, "p402_field_invalid"),
        (
            "/chat/completions",
            {**ASK, "model": "nope", "p402": {"pin": True}},
            404,
            "model_not_found",
        ),
        ("/messages", {"model": "auto", "messages": []}, 400, "missing_required_parameter"),
        ("/responses", {"model": "auto"}, 400, "missing_required_parameter"),
        ("/embeddings", {"model": "nobody", "input": "a"}, 404, "model_not_found"),
        ("/images/generations", {"model": "nobody", "prompt": "a"}, 404, "model_not_found"),
        ("/route", {**ASK, "p402": {"max_cost_usd": "0.000000001"}}, 400, "no_eligible_model"),
        ("/no/such/url", ASK, 404, "unknown_url"),
        ("/models", ASK, 405, "method_not_allowed"),
    ],
)
def test_a_refusal_is_as_documented(client, path, body, status, code):
    text = body if isinstance(body, str) else json.dumps(body)
    reply = client.post(path, content=text, headers={"content-type": "application/json"})
    assert reply.status_code == status, reply.text
    holds("Error", reply.json())
    assert code is None or reply.json()["error"]["code"] == code


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/models/auto:generateContent", "/models/{model}:generateContent"),
        ("/models/auto:streamGenerateContent?alt=sse", "/models/{model}:streamGenerateContent"),
        ("/messages", "/messages"),
        ("/messages/count_tokens", "/messages/count_tokens"),
    ],
)
def test_clients_of_other_makers_are_refused_as_documented(client, path, shown):
    for model, body in (("nobody", HELLO), ("auto", {"contents": [], "messages": []})):
        asked = path.replace("auto", model)
        reply = client.post(asked, json={"model": model, "max_tokens": 1, **body, **PIN})
        status = str(reply.status_code)
        assert status in ("400", "404"), reply.text
        answer = responses(shown, "post")[status]["$ref"].rpartition("/")[2]
        told = DOCUMENT["components"]["responses"][answer]["content"]["application/json"]["schema"]
        assert told["$ref"].rpartition("/")[2] != "Error"
        holds(told["$ref"].rpartition("/")[2], reply.json())
