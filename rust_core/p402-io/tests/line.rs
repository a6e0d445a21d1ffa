//! The straight line over scripted upstreams: one reply, one settlement, whatever happens.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod stage;

use p402_core::ledger::{Flags, Kind};
use p402_core::money::Usd;
use p402_io::clock::{ManualClock, SystemClock};
use p402_io::store::memory::Memory;
use p402_io::world::World;
use serde_json::{Value, json};
use stage::{
    FINISH, HELLO, ROLE, START, TEXT, USAGE, answer, cost_ask, gateway, head, header, look_up,
    named, records, rest, sse, staged, start,
};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_whole_answer_carries_its_cost() {
    let gateway = gateway(json!([{"url": "a.test", "steps": [{"chunk": HELLO}]}]), &json!({}));
    let (status, body, headers) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!(status, 200);
    assert_eq!(body["p402_metadata"]["cost_usd"], json!(0.0016));
    assert_eq!(body["p402_metadata"]["provider"], "a");
    assert_eq!(body["usage"]["cost"], json!(0.0016));
    assert_eq!(named(&headers, "x-p402-cost-usd"), "0.0016");
    let row = look_up(&gateway, &headers);
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
    assert_eq!(look_up(&gateway, &headers)["status"], "released");
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
    assert_eq!(look_up(&gateway, &head.headers)["status"], "settled");
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
        let row = look_up(&gateway, &head.headers);
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
    let row = look_up(&gateway, &head.headers);
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
    gateway.node.drain(Duration::from_secs(20)).await;
    let row = look_up(&gateway, &head.headers);
    assert_eq!(row["status"], "settled");
    assert_eq!(row["p402_metadata"]["input_tokens"], 1_200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_answer_is_heard_out_and_pays_what_it_came_to() {
    let scripts = json!([{"steps": [{"wait_ms": 5_000}, {"chunk": HELLO}]}]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(false));
    tokio::time::sleep(Duration::from_millis(100)).await;
    outbox.leave();
    gateway.node.drain(Duration::from_secs(20)).await;
    let rows = gateway.rows();
    assert_eq!(gateway.kinds(), [Kind::Dispatch, Kind::Settle]);
    assert!(rows[1].flags.has(Flags::DISCONNECTED) && !rows[1].flags.has(Flags::ESTIMATED));
    assert!(rows[1].cost > Usd::ZERO && rows[1].cost < rows[0].held);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_hears_out_pays_its_hold_and_the_upstream_is_cut() {
    for config in [json!({"stream": {"drain_max": 0}}), json!({"stream": {"drain_ms": 50}})] {
        let scripts = json!([{"steps": [{"wait_ms": 5_000}, {"chunk": HELLO}]}]);
        let gateway = gateway(scripts, &config);
        let outbox = start(&gateway, &cost_ask(false));
        tokio::time::sleep(Duration::from_millis(100)).await;
        outbox.leave();
        let before = tokio::time::Instant::now();
        gateway.node.drain(Duration::from_secs(20)).await;
        assert!(before.elapsed() < Duration::from_millis(100), "the upstream was not cut");
        let rows = gateway.rows();
        assert_eq!(gateway.kinds(), [Kind::Dispatch, Kind::Settle]);
        assert_eq!(rows[1].cost, rows[0].held);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_begun_for_a_client_that_has_left() {
    let scripts = json!([
        {"url": "a.test", "status": 500, "steps": [{"wait_ms": 1_000}]},
        {"steps": [{"chunk": HELLO}]}
    ]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(false));
    tokio::time::sleep(Duration::from_millis(100)).await;
    outbox.leave();
    gateway.node.drain(Duration::from_secs(20)).await;
    assert_eq!(gateway.kinds(), [Kind::Dispatch, Kind::Release]);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_open_streams_with_an_error_frame() {
    let scripts = json!([{"steps": [{"chunk": sse(&[ROLE, TEXT])}, {"wait_ms": 20_000}]}]);
    let gateway = gateway(scripts, &json!({}));
    let outbox = start(&gateway, &cost_ask(true));
    head(&outbox).await;
    gateway.node.drain(Duration::from_millis(200)).await;
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
    let layer: Vec<_> = records().lines().skip(4).take(2).map(|line| format!("{line}\n")).collect();
    let config = json!({"keys": {"c": ["kc"]}}).to_string();
    let world =
        World::load(config.as_bytes(), &[header().as_bytes(), layer.concat().as_bytes()]).unwrap();
    gateway.node.reload(world);
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
    let manual = Arc::new(ManualClock::at(START));
    let store = Box::new(Memory::default());
    let gateway = staged(scripts, &config, Arc::new(SystemClock::default()), (manual, store));
    let (status, body, headers) = answer(&gateway, &cost_ask(false)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(named(&headers, "x-p402-attempts"), "2;a=401");
}
