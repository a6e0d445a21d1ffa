//! The straight line over providers of other languages: what they are sent, what a client gets,
//! and what is booked.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod stage;

use p402_io::clock::ManualClock;
use p402_io::gateway::Gateway;
use p402_io::outbox::Head;
use p402_io::store::memory::Memory;
use p402_io::transport::scripted::{Script, ScriptedTransport};
use p402_io::transport::{BoxFuture, Transport, TransportError, WireRequest, WireResponse};
use p402_io::world::World;
use serde_json::{Value, json};
use stage::{START, home, start};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// What was written to the wire: address, headers and body.
type Sent = Arc<Mutex<Vec<(String, Vec<(String, String)>, Value)>>>;

/// Plays scripts and keeps what it was sent.
struct Recorder(ScriptedTransport, Sent);

impl Transport for Recorder {
    fn send(&self, request: WireRequest) -> BoxFuture<Result<WireResponse, TransportError>> {
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let body = serde_json::from_slice(&request.body).unwrap();
        self.1.lock().unwrap().push((request.uri.to_string(), headers.collect(), body));
        self.0.send(request)
    }
}

fn provider(id: &str, dialect: &str, auth: &str) -> Value {
    json!({"t": "provider", "id": id, "kind": "config", "dialect": dialect, "auth": auth,
        "base_url": format!("http://{id}.test/v1"), "env": [], "routable": true, "flags": []})
}

/// The older of its two address forms: the model in the path, a date in the query.
fn azure() -> Value {
    let base = "http://r.openai.azure.test/openai/deployments/{deployment}?api-version=2024-10-21";
    let mut record = provider("az", "openai", "api-key");
    record["base_url"] = base.into();
    record["flags"] = json!(["max_tokens_field=max_completion_tokens", "model_is_deployment"]);
    record
}

/// $1 in, $5 out, $0.10 read, $1.25 and $2 written, per million tokens.
fn offer(provider: &str, model: &str) -> Value {
    json!({"t": "offer", "provider": provider, "model": model, "canonical": model,
        "context": 100_000, "max_output": 8_000, "modalities": ["text", "image", "file"],
        "tools": true, "structured": true, "reasoning": true, "efforts": ["budget"], "flags": [],
        "prices": [{"bands": [{"above": 0, "in": 1_000_000, "out": 5_000_000,
            "cache_read": 100_000, "cache_write": 1_250_000, "cache_write_1h": 2_000_000}]}],
        "capability": 70, "ttft_ms": 300, "tokens_per_s": 100,
        "source": "test", "as_of": "2026-11", "n_agree": 1, "confidence": "config"})
}

fn gateway(scripts: Value) -> (Gateway, Sent, TempDir) {
    let header = json!({"t": "header", "schema": 1, "date": "2026-11-22", "inputs": {},
        "attributions": []});
    let lines = [
        header,
        provider("ant", "anthropic", "x-api-key"),
        offer("ant", "m-ant"),
        provider("open", "openai", "bearer"),
        offer("open", "m-open"),
        azure(),
        offer("az", "my-deployment"),
    ];
    let layer = lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let config = json!({"keys": {"ant": ["ka"], "open": ["ko"], "az": ["kz"]}});
    let world = World::load(config.to_string().as_bytes(), &[layer.as_bytes()]).unwrap();
    let scripts: Vec<Script> = serde_json::from_value(scripts).unwrap();
    let clock = Arc::new(ManualClock::at(START));
    let sent = Sent::default();
    let transport = Recorder(ScriptedTransport::new(scripts), Arc::clone(&sent));
    let (folder, home) = home(Box::new(Memory::default()));
    (Gateway::new(world, Box::new(transport), clock, Some(home)), sent, folder)
}

async fn ask(gateway: &Gateway, body: &Value) -> (Head, String) {
    let outbox = start(gateway, body);
    let mut head = poll_fn(|context| outbox.poll_head(context)).await;
    let mut all = head.body.take().unwrap_or_default();
    while let Some(bytes) = poll_fn(|context| outbox.poll_bytes(context)).await {
        all.extend(bytes);
    }
    (head, String::from_utf8(all).unwrap())
}

fn header<'a>(head: &'a Head, name: &str) -> &'a str {
    head.headers.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

fn question(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "stream_options": {"include_usage": stream},
        "user": "u-1", "seed": 7, "messages": [{"role": "user", "content": "Hello"}]})
}

const WHOLE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":10,"cache_read_input_tokens":900,"cache_creation_input_tokens":100,"output_tokens":50}}"#;

#[tokio::test]
async fn a_whole_answer_of_another_language_is_booked_with_its_caches() {
    let (gateway, sent, _folder) =
        gateway(json!([{"url": "ant.test", "steps": [{"chunk": WHOLE}]}]));
    let (head, body) = ask(&gateway, &question("ant/m-ant", false)).await;
    assert_eq!(head.status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["arguments"], r#"{"a":1}"#);
    assert_eq!(body["usage"]["prompt_tokens"], 1_010);
    // 10 at $1, 900 at $0.10, 100 at $1.25, 50 at $5 per million.
    assert_eq!(body["p402_metadata"]["cost_usd"], json!(0.000_475));
    assert_eq!(body["p402_metadata"]["provider"], "ant");
    assert_eq!(header(&head, "x-p402-warnings"), "dropped=seed");
    let sent = sent.lock().unwrap();
    let (uri, headers, wire) = sent.first().unwrap();
    assert_eq!(uri, "http://ant.test/v1/messages");
    let told = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    assert_eq!(told("x-api-key"), Some("ka"));
    assert_eq!(told("anthropic-version"), Some("2023-06-01"));
    assert_eq!(told("authorization"), None);
    let user = wire["metadata"]["user_id"].as_str().unwrap();
    assert!(user.len() == 32 && !user.contains("u-1"));
}

fn events(list: &[Value]) -> String {
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"]);
    list.iter().map(frame).collect()
}

fn hello(stop: &str) -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude-x",
            "usage": {"input_tokens": 10, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block":
            {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta":
            {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage":
            {"output_tokens": 50}}),
        json!({"type": "message_stop"}),
    ]
}

#[tokio::test]
async fn a_stream_of_another_language_ends_as_any_other() {
    let text = events(&hello("end_turn"));
    let (head_part, tail) = text.split_at(text.len() / 2);
    let steps = json!([{"chunk": head_part}, {"chunk": tail}]);
    let (gateway, _, _folder) = gateway(json!([{"url": "ant.test", "steps": steps}]));
    let (head, body) = ask(&gateway, &question("ant/m-ant", true)).await;
    assert_eq!(head.status, 200);
    let frames: Vec<&str> = body.split("\n\n").filter(|frame| !frame.is_empty()).collect();
    assert_eq!(frames.last(), Some(&"data: [DONE]"));
    let chunk = |at: usize| -> Value {
        serde_json::from_str(frames.get(at).unwrap().strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(chunk(0)["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunk(1)["choices"][0]["delta"]["content"], "Hi");
    assert_eq!(chunk(2)["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunk(2)["p402_metadata"]["cost_usd"], json!(0.000_26));
    assert_eq!(chunk(3)["usage"]["completion_tokens"], 50);
    assert_eq!(frames.len(), 5);
}

#[tokio::test]
async fn a_stream_of_another_language_that_breaks_says_so() {
    let half = events(hello("end_turn").get(..3).unwrap());
    let (gateway, _, _folder) = gateway(json!([{"url": "ant.test", "steps": [{"chunk": half}]}]));
    let (_, body) = ask(&gateway, &question("ant/m-ant", true)).await;
    assert!(body.contains("upstream_stream_cut") && !body.contains("[DONE]"), "{body}");
}

#[tokio::test]
async fn what_another_language_cannot_say_goes_elsewhere_or_is_refused() {
    let hello = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"3"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":4,"total_tokens":16}}"#;
    let (gateway, _, _folder) = gateway(json!([{"url": "open.test", "steps": [{"chunk": hello}]}]));
    let mut body = question("auto", false);
    let begun = json!({"role": "assistant", "content": "1, 2,"});
    body["messages"].as_array_mut().unwrap().push(begun);
    let (head, text) = ask(&gateway, &body).await;
    assert_eq!(head.status, 200, "{text}");
    assert!(text.contains(r#""provider":"open""#), "{text}");
    body["model"] = "ant/m-ant".into();
    let (head, text) = ask(&gateway, &body).await;
    assert_eq!(head.status, 400);
    assert!(text.contains("prefill"), "{text}");
    let mut armed = question("ant/m-ant", false);
    let format = json!({"type": "grammar", "grammar": {"syntax": "regex", "definition": "x"}});
    armed["tools"] = json!([{"type": "custom", "custom": {"name": "sql", "format": format}}]);
    let (head, text) = ask(&gateway, &armed).await;
    assert_eq!(head.status, 400);
    assert!(text.contains("grammar"), "{text}");
    armed["tools"] = json!([{"type": "web_search", "web_search": {}}]);
    let (head, text) = ask(&gateway, &armed).await;
    assert_eq!(head.status, 400);
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["error"]["code"], "unsupported_parameter");
    assert_eq!(error["error"]["param"], "tools");
}

#[tokio::test]
async fn an_error_of_another_language_is_classified_and_failed_over() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let script = json!([{"url": "ant.test", "status": 529, "steps": [{"chunk": error}]}]);
    let (gateway, _, _folder) = gateway(script);
    let (head, text) = ask(&gateway, &question("ant/m-ant", false)).await;
    assert_eq!(head.status, 502, "{text}");
    assert!(text.contains("all_attempts_failed") && text.contains("529"), "{text}");
}

#[tokio::test]
async fn thoughts_that_a_client_loses_are_sent_back_with_its_calls() {
    let thinking = r#"{"id":"msg_1","model":"claude-x","content":[{"type":"thinking","thinking":"Hm","signature":"sig=="},{"type":"tool_use","id":"toolu_1","name":"f","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":10,"output_tokens":50}}"#;
    let (gateway, sent, _folder) =
        gateway(json!([{"url": "ant.test", "steps": [{"chunk": thinking}]}]));
    let mut body = question("ant/m-ant", false);
    body["reasoning_effort"] = "low".into();
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    body["tools"] = tools;
    let (head, text) = ask(&gateway, &body).await;
    assert_eq!(head.status, 200, "{text}");
    let call = json!({"id": "toolu_1", "type": "function", "function":
        {"name": "f", "arguments": "{}"}});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    messages.push(json!({"role": "tool", "tool_call_id": "toolu_1", "content": "42"}));
    let (head, text) = ask(&gateway, &body).await;
    assert_eq!(head.status, 200, "{text}");
    assert_eq!(header(&head, "x-p402-warnings"), "dropped=seed");
    let sent = sent.lock().unwrap();
    let (_, _, wire) = sent.last().unwrap();
    let thought = &wire["messages"][1]["content"][0];
    assert_eq!(thought, &json!({"type": "thinking", "thinking": "Hm", "signature": "sig=="}));
    assert_eq!(wire["thinking"]["type"], "enabled");
}

#[tokio::test]
async fn azure_is_openai_with_an_address_of_its_own() {
    let empty_first = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    let chunk = |delta: &Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let body = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1,
            "model": "gpt-x", "choices": [choice]});
        format!("data: {body}\n\n")
    };
    let usage = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x",
        "choices": [], "usage":
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}});
    let text = [
        empty_first.to_owned(),
        chunk(&json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(&json!({"content": "Hi"}), Value::Null),
        chunk(&json!({}), "stop".into()),
        format!("data: {usage}\n\ndata: [DONE]\n\n"),
    ]
    .concat();
    let steps = json!([{"chunk": text}]);
    let (gateway, sent, _folder) = gateway(json!([{"url": "azure.test", "steps": steps}]));
    let (head, body) = ask(&gateway, &question("az/my-deployment", true)).await;
    assert_eq!(head.status, 200, "{body}");
    let first = body.split("\n\n").next().unwrap();
    assert!(first.contains("\"role\":\"assistant\""), "the empty chunk is swallowed: {first}");
    assert!(body.ends_with("data: [DONE]\n\n") && body.contains("\"cost_usd\":0.00002"), "{body}");
    let sent = sent.lock().unwrap();
    let (uri, headers, _) = sent.first().unwrap();
    let path = "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21";
    assert_eq!(uri, &format!("http://r.openai.azure.test{path}"));
    let told = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    assert_eq!((told("api-key"), told("authorization")), (Some("kz"), None));
}

#[tokio::test]
async fn what_azure_filters_keeps_its_code_and_its_reason() {
    let error = json!({"error": {"message": "The response was filtered.", "type": null,
        "param": "prompt", "code": "content_filter", "status": 400, "innererror":
        {"code": "ResponsibleAIPolicyViolation", "content_filter_result":
            {"hate": {"filtered": true, "severity": "high"}}}}});
    let script = json!([{"url": "azure.test", "status": 400, "steps":
        [{"chunk": error.to_string()}]}]);
    let (gateway, _, _folder) = gateway(script);
    let (head, body) = ask(&gateway, &question("az/my-deployment", false)).await;
    assert_eq!(head.status, 400, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told["error"]["code"], "content_filter");
    assert_eq!(told["error"]["innererror"], error["error"]["innererror"]);
}
