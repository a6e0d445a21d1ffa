//! The straight line over scripted upstreams: one reply, one settlement, whatever happens.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use bytes::Bytes;
use p402_core::time::{Ticks, Timestamp};
use p402_io::clock::{ManualClock, SystemClock};
use p402_io::gateway::{Call, Gateway};
use p402_io::outbox::{Head, Outbox};
use p402_io::transport::scripted::{Script, ScriptedTransport};
use p402_io::world::World;
use serde_json::{Value, json};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

const HELLO: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"up-a","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1200,"completion_tokens":400,"total_tokens":1600}}"#;

fn records() -> String {
    let mut lines = Vec::new();
    for (name, price) in [("a", 1_000_000), ("b", 2_000_000), ("c", 3_000_000)] {
        lines.push(json!({"t": "provider", "id": name, "kind": "config", "dialect": "openai",
            "base_url": format!("http://{name}.test/v1"), "auth": "bearer", "env": [],
            "routable": true, "flags": []}));
        lines.push(json!({"t": "offer", "provider": name, "model": format!("m-{name}"),
            "canonical": format!("m-{name}"), "upstream_id": format!("up-{name}"),
            "context": 100_000, "max_output": 8_000, "modalities": ["text", "image"],
            "tools": true, "structured": true, "efforts": [], "flags": [],
            "prices": [{"bands": [{"above": 0, "in": price, "out": price}]}],
            "capability": 70, "ttft_ms": 300, "tokens_per_s": 100,
            "source": "test", "as_of": "2026-11", "n_agree": 1, "confidence": "config"}));
    }
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n"
}

fn header() -> String {
    let header = json!({"t": "header", "schema": 1, "date": "2026-11-22", "inputs": {},
        "attributions": []});
    format!("{header}\n")
}

fn gateway(scripts: Value, config: &Value) -> Gateway {
    let mut config = config.clone();
    config["keys"] = json!({"a": ["ka"], "b": ["kb"], "c": ["kc"]});
    let layer = records();
    let world =
        World::load(config.to_string().as_bytes(), &[header().as_bytes(), layer.as_bytes()])
            .unwrap();
    let scripts: Vec<Script> = serde_json::from_value(scripts).unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_158_000)));
    Gateway::new(world, Box::new(ScriptedTransport::new(scripts)), clock)
}

fn cost_ask(stream: bool) -> Value {
    json!({"model": "auto", "stream": stream, "p402": {"mode": "cost"},
        "messages": [{"role": "user", "content": "Summarise this."}]})
}

fn start(gateway: &Gateway, body: &Value) -> Arc<Outbox> {
    let outbox = Arc::new(Outbox::default());
    let call = Call {
        tenant: Arc::from("acme"),
        body: Bytes::from(body.to_string()),
        twins: Vec::new(),
        received: Ticks::from_micros(0),
        read_timeout_ms: None,
        retry_count: 0,
    };
    tokio::spawn(gateway.clone().serve(call, Arc::clone(&outbox)));
    outbox
}

async fn head(outbox: &Outbox) -> Head {
    poll_fn(|context| outbox.poll_head(context)).await
}

async fn rest(outbox: &Outbox) -> String {
    let mut all = Vec::new();
    while let Some(bytes) = poll_fn(|context| outbox.poll_bytes(context)).await {
        all.extend(bytes);
    }
    String::from_utf8(all).unwrap()
}

async fn answer(gateway: &Gateway, body: &Value) -> (u16, Value, Vec<(&'static str, String)>) {
    let head = head(&start(gateway, body)).await;
    let json = serde_json::from_slice(&head.body.unwrap()).unwrap();
    (head.status, json, head.headers)
}

fn named<'a>(headers: &'a [(&'static str, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

fn row(gateway: &Gateway, headers: &[(&'static str, String)]) -> Value {
    let id = named(headers, "x-p402-request-id");
    serde_json::from_slice(&gateway.look_up("acme", id).unwrap()).unwrap()
}

fn sse(events: &[&str]) -> String {
    format!("data: {}\n\n", events.join("\n\ndata: "))
}

const ROLE: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const TEXT: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}]}"#;
const FINISH: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"s1","object":"chat.completion.chunk","created":1,"model":"up-a","choices":[],"usage":{"prompt_tokens":1200,"completion_tokens":400,"total_tokens":1600}}"#;

#[tokio::test]
async fn a_whole_answer_carries_its_cost() {
    let gateway = gateway(json!([{"url": "a.test", "steps": [{"chunk": HELLO}]}]), &json!({}));
    let (status, body, headers) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!(status, 200);
    assert_eq!(body["p402_metadata"]["cost_usd"], json!(0.0016));
    assert_eq!(body["p402_metadata"]["provider"], "a");
    assert_eq!(body["usage"]["cost"], json!(0.0016));
    assert_eq!(named(&headers, "x-p402-cost-usd"), "0.0016");
    let row = row(&gateway, &headers);
    assert_eq!(row["status"], "settled");
    assert_eq!(row["p402_metadata"]["cost_details"]["cost_nano_usd"], 1_600_000);
}

#[tokio::test]
async fn a_failing_upstream_is_survived_and_told() {
    let scripts = json!([
        {"url": "a.test", "status": 503, "steps": [{"chunk": "down"}]},
        {"url": "b.test", "refuse": true},
        {"url": "c.test", "steps": [{"chunk": HELLO}]}
    ]);
    let (status, body, headers) = answer(&gateway(scripts, &json!({})), &cost_ask(false)).await;
    assert_eq!(status, 200);
    assert_eq!(body["p402_metadata"]["provider"], "c");
    assert_eq!(named(&headers, "x-p402-attempts"), "3;a=503;b=connect");
}

#[tokio::test]
async fn a_bad_request_upstream_is_returned_as_is() {
    let text = r#"{"error":{"message":"bad image","type":"invalid_request_error","param":"messages","code":"invalid_image"}}"#;
    let scripts = json!([{"url": "a.test", "status": 422, "steps": [{"chunk": text}]}]);
    let gateway = gateway(scripts, &json!({}));
    let (status, body, headers) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!(status, 422);
    assert_eq!(body["error"]["code"], "invalid_image");
    assert_eq!(named(&headers, "x-should-retry"), "false");
    assert_eq!(row(&gateway, &headers)["status"], "released");
}

#[tokio::test]
async fn all_rate_limited_is_a_429_with_the_soonest_wait() {
    let limited = |host: &str, wait: &str| {
        json!({"url": host, "status": 429, "headers": [["retry-after", wait]],
            "steps": [{"chunk": "{}"}]})
    };
    let scripts = json!([limited("a.", "30"), limited("b.", "7"), limited("c.", "40")]);
    let (status, body, headers) = answer(&gateway(scripts, &json!({})), &cost_ask(false)).await;
    assert_eq!(status, 429);
    assert_eq!(body["error"]["code"], "upstream_rate_limited");
    assert_eq!(named(&headers, "retry-after"), "7");
}

#[tokio::test]
async fn all_failed_after_writing_must_not_be_retried() {
    let scripts = json!([{"steps": [{"chunk": "<html>"}]}]);
    let (status, body, headers) = answer(&gateway(scripts, &json!({})), &cost_ask(false)).await;
    assert_eq!(status, 502);
    assert_eq!(body["error"]["code"], "all_attempts_failed");
    assert_eq!(body["error"]["attempts"].as_array().unwrap().len(), 3);
    assert_eq!(named(&headers, "x-should-retry"), "false");
}

#[tokio::test]
async fn a_stream_ends_with_metadata_and_done() {
    let text = sse(&[ROLE, TEXT, FINISH, USAGE, "[DONE]"]);
    let gateway = gateway(json!([{"url": "a.test", "steps": [{"chunk": text}]}]), &json!({}));
    let outbox = start(&gateway, &cost_ask(true));
    let head = head(&outbox).await;
    assert_eq!(head.status, 200);
    let text = rest(&outbox).await;
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(text.matches("p402_metadata").count(), 1, "{text}");
    assert!(text.contains("\"cost_usd\":0.0016"), "{text}");
    assert!(!text.contains("\"choices\":[]"), "usage was not asked for: {text}");
    assert_eq!(row(&gateway, &head.headers)["status"], "settled");
}

#[tokio::test]
async fn a_stream_that_fails_before_content_moves_on() {
    let dead = sse(&[ROLE]);
    let error = sse(&[ROLE, r#"{"error":{"message":"overloaded"}}"#]);
    let good = sse(&[ROLE, TEXT, FINISH, USAGE, "[DONE]"]);
    let scripts = json!([
        {"url": "a.test", "steps": [{"chunk": dead}]},
        {"url": "b.test", "steps": [{"chunk": error}]},
        {"url": "c.test", "steps": [{"chunk": good}]}
    ]);
    let outbox = start(&gateway(scripts, &json!({})), &cost_ask(true));
    let head = head(&outbox).await;
    assert!(named(&head.headers, "x-p402-attempts").starts_with("3;a=cut;b="));
    let text = rest(&outbox).await;
    assert_eq!(text.matches("\"role\":\"assistant\"").count(), 1);
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_that_breaks_after_content_never_ends_cleanly() {
    for fault in [json!("reset"), json!({"chunk": "data: {broken\n\n"}), json!({"chunk": ""})] {
        let scripts = json!([{"url": "a.test", "steps": [{"chunk": sse(&[ROLE, TEXT])}, fault]}]);
        let gateway = gateway(scripts, &json!({}));
        let outbox = start(&gateway, &cost_ask(true));
        let head = head(&outbox).await;
        let text = rest(&outbox).await;
        assert!(!text.contains("[DONE]"), "{text}");
        let frame = text.trim_end().rsplit("data: ").next().unwrap();
        let frame: Value = serde_json::from_str(frame).unwrap();
        assert!(frame["error"]["code"].as_str().unwrap().starts_with("upstream_stream_"));
        assert_eq!(frame["p402_metadata"]["cost_usd"], json!(0));
        let row = row(&gateway, &head.headers);
        assert!(row["p402_metadata"]["cost_details"]["wasted_upstream_usd"].as_f64() > Some(0.0));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_that_never_comes_is_estimated_in_a_second() {
    let text = sse(&[ROLE, TEXT, FINISH]);
    let scripts = json!([{"url": "a.test", "steps": [{"chunk": text}, {"wait_ms": 60_000}]}]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(true));
    let head = head(&outbox).await;
    let before = tokio::time::Instant::now();
    let text = rest(&outbox).await;
    assert!(before.elapsed() <= Duration::from_millis(2_100), "{:?}", before.elapsed());
    assert!(text.ends_with("data: [DONE]\n\n"));
    let row = row(&gateway, &head.headers);
    assert_eq!(row["p402_metadata"]["cost_details"]["usage_source"], "estimated");
    assert!(row["p402_metadata"]["output_tokens"].as_u64() > Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_gets_comments_then_an_error_frame() {
    let scripts = json!([
        {"steps": [{"chunk": sse(&[ROLE, TEXT])}, {"wait_ms": 600_000}]}
    ]);
    let outbox = start(&gateway(scripts, &json!({})), &cost_ask(true));
    head(&outbox).await;
    let before = tokio::time::Instant::now();
    let text = rest(&outbox).await;
    assert!(before.elapsed() < Duration::from_secs(32), "{:?}", before.elapsed());
    assert_eq!(text.matches(": p402\n\n").count(), 2, "{text}");
    assert!(text.contains("\"code\":\"upstream_stream_cut\""), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_byte_brings_an_early_head_and_still_fails_over() {
    let good = sse(&[ROLE, TEXT, FINISH, USAGE, "[DONE]"]);
    let scripts = json!([
        {"url": "a.test", "steps": [{"wait_ms": 11_000}, {"chunk": "data: {broken\n\n"}]},
        {"url": "b.test", "steps": [{"chunk": good}]}
    ]);
    let config = json!({"timeouts": {"first_byte_min_ms": 20_000}});
    let outbox = start(&gateway(scripts, &config), &cost_ask(true));
    let head = head(&outbox).await;
    assert_eq!(named(&head.headers, "x-p402-provider"), "");
    let text = rest(&outbox).await;
    assert!(text.starts_with(": p402\n\n"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_mid_stream_is_still_accounted() {
    let scripts = json!([{"url": "a.test", "steps": [
        {"chunk": sse(&[ROLE, TEXT])}, {"wait_ms": 5_000},
        {"chunk": sse(&[FINISH, USAGE, "[DONE]"])}]}]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(true));
    let head = head(&outbox).await;
    outbox.leave();
    gateway.drain(Duration::from_secs(20)).await;
    let row = row(&gateway, &head.headers);
    assert_eq!(row["status"], "settled");
    assert_eq!(row["p402_metadata"]["input_tokens"], 1_200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_answer_releases() {
    let scripts = json!([{"steps": [{"wait_ms": 5_000}, {"chunk": HELLO}]}]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(false));
    tokio::time::sleep(Duration::from_millis(100)).await;
    outbox.leave();
    let before = tokio::time::Instant::now();
    gateway.drain(Duration::from_secs(20)).await;
    assert!(before.elapsed() < Duration::from_millis(100), "the upstream was not cut at once");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_open_streams_with_an_error_frame() {
    let scripts = json!([{"steps": [{"chunk": sse(&[ROLE, TEXT])}, {"wait_ms": 20_000}]}]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(true));
    head(&outbox).await;
    gateway.drain(Duration::from_millis(200)).await;
    let text = rest(&outbox).await;
    assert!(text.contains("\"code\":\"shutting_down\""), "{text}");
    let (status, body, _) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (503, &json!("shutting_down")));
}

#[tokio::test(start_paused = true)]
async fn a_reload_in_the_midst_of_a_request_changes_neither() {
    let scripts = json!([
        {"url": "a.test", "status": 500, "steps": [{"wait_ms": 1_000}], "times": 1},
        {"steps": [{"chunk": HELLO}]}
    ]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(false));
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The new world knows one provider: every index of the old plan means something else now.
    let layer: Vec<_> = records().lines().skip(4).map(|line| format!("{line}\n")).collect();
    let config = json!({"keys": {"c": ["kc"]}}).to_string();
    let world =
        World::load(config.as_bytes(), &[header().as_bytes(), layer.concat().as_bytes()]).unwrap();
    gateway.reload(world);
    let old = head(&outbox).await;
    assert_eq!(named(&old.headers, "x-p402-attempts"), "2;a=500");
    assert_eq!(named(&old.headers, "x-p402-provider"), "b");
    // The old request's failure is not laid at the door of whoever has its index now.
    let (status, body, headers) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!((status, &body["p402_metadata"]["provider"]), (200, &json!("c")));
    assert_eq!(named(&headers, "x-p402-attempts"), "1");
}

#[tokio::test(start_paused = true)]
async fn max_latency_is_kept() {
    let scripts = json!([{"steps": [{"wait_ms": 50_000}, {"chunk": HELLO}]}]);
    let gateway = gateway(scripts, &json!({}));
    let mut ask = cost_ask(false);
    ask["p402"]["max_latency_ms"] = json!(9_000);
    let before = tokio::time::Instant::now();
    let (status, body, _) = answer(&gateway, &ask).await;
    assert_eq!(status, 504, "{body}");
    assert_eq!(body["error"]["code"], "latency_exceeded");
    assert!(before.elapsed() <= Duration::from_millis(9_100));
}

#[tokio::test]
async fn a_key_that_is_refused_gives_way_to_the_next_one() {
    let scripts = json!([
        {"url": "a.test", "status": 401, "steps": [{"chunk": "{}"}], "times": 1},
        {"url": "a.test", "steps": [{"chunk": HELLO}]}
    ]);
    let config = json!({"keys": {"a": ["dead", "alive"]}});
    let layer = records();
    let world =
        World::load(config.to_string().as_bytes(), &[header().as_bytes(), layer.as_bytes()])
            .unwrap();
    let scripts: Vec<Script> = serde_json::from_value(scripts).unwrap();
    let transport = Box::new(ScriptedTransport::new(scripts));
    let gateway = Gateway::new(world, transport, Arc::new(SystemClock::default()));
    let (status, body, headers) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(named(&headers, "x-p402-attempts"), "2;a=401");
}
