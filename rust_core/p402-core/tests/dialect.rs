//! Decides that whole answers and failures of the OpenAI wire are read as compat.md §§ 2.2, 4.4
//! and routing.md § 5.2 say. Does not test streams (stream.rs).

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use p402_core::catalog::UsageShape;
use p402_core::chat::FinishReason;
use p402_core::dialect::openai::{
    AnswerFault, Seal, StreamAsk, UpstreamErrorKind as Kind, classify, read_answer,
};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

fn ask() -> StreamAsk {
    StreamAsk {
        n: 1,
        client_wants_usage: false,
        offer_model: "offer-model".to_owned(),
        usage_shape: UsageShape::OpenAi,
        created: 1_795_305_600,
        request_id: RequestId::new(NOW, 7),
    }
}

fn sealed(body: &str) -> String {
    let answer = read_answer(body.as_bytes(), &ask()).unwrap();
    let usage = answer
        .reported
        .map_or(Usage { fresh: 3, output: 4, ..Usage::default() }, |reported| reported.usage);
    let seal = Seal {
        metadata: br#"{"a":1}"#,
        metadata_again: b"",
        cost: Usd::from_nano(3_200_000),
        usage: &usage,
    };
    String::from_utf8(answer.seal(&seal)).unwrap()
}

fn value(body: &str) -> Value {
    serde_json::from_str(&sealed(body)).unwrap()
}

const REGULAR: &str = r#"{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 17, "model": "m-1",
  "choices": [ {"index": 0, "message": {"role": "assistant", "content": "a \"usage\": {} b",
     "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"} ],
  "usage": {"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}},
  "service_tier": "flex", "system_fingerprint": null
}
"#;

#[test]
fn a_regular_answer_keeps_its_bytes_but_for_the_splices() {
    let out = sealed(REGULAR);
    let expected = REGULAR
        .replace("\"reasoning_tokens\":2}}", "\"reasoning_tokens\":2},\"cost\":0.0032}")
        .replace("null\n}\n", "null,\"p402_metadata\":{\"a\":1}}");
    assert_eq!(out, expected);
    let answer = read_answer(REGULAR.as_bytes(), &ask()).unwrap();
    assert_eq!(answer.finish_reason, Some(FinishReason::Stop));
    assert_eq!(answer.service_tier.as_deref(), Some("flex"));
    assert_eq!((answer.model.as_str(), answer.upstream_id.as_deref()), ("m-1", Some("chatcmpl-1")));
    assert_eq!(answer.text_bytes, 15);
    let usage = answer.reported.unwrap().usage;
    assert_eq!((usage.fresh, usage.cache_read, usage.output, usage.reasoning), (16, 3, 10, 2));
}

#[test]
fn what_is_always_present_is_added() {
    let bare = value(r#"{"choices":[{"message":{"content":"hi"}}]}"#);
    let expected = json!({
        "id": "chatcmpl-01a2008d740000000000000000000007", "object": "chat.completion",
        "created": 1_795_305_600, "model": "offer-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi",
            "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0}, "cost": 0.0032},
        "p402_metadata": {"a": 1},
    });
    assert_eq!(bare, expected);
}

#[test]
fn the_operators_price_is_cut() {
    let out = value(
        r#"{"id":"g","model":null,"choices":[{"message":{"content":"x"}}],"p402_metadata":{"b":2},
        "usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6,"cost":0.5,
        "cost_details":{"upstream_inference_cost":1},"is_byok":true,"prompt_tokens_details":null}}"#,
    );
    let expected = json!({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0}, "cost": 0.0032});
    assert_eq!(out["usage"], expected);
    assert_eq!(out["p402_metadata"], json!({"a": 1}));
    assert_eq!(out["model"], "offer-model");
}

#[test]
fn tool_calls_and_finish_words_are_put_right() {
    let out = value(
        r#"{"choices":[{"message":{"role":"model","content":null,"tool_calls":[
        {"function":{"name":"a","arguments":{"x":1}}},{"id":"c2","type":"function",
        "function":{"name":"b","arguments":""}}]},"finish_reason":"stop"}]}"#,
    );
    let choice = &out["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let calls = &choice["message"]["tool_calls"];
    assert_eq!(calls[0]["function"]["arguments"], r#"{"x":1}"#);
    assert_eq!(calls[0]["type"], "function");
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(calls[1]["function"]["arguments"], "{}");
    for (word, mapped) in [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("SAFETY", "content_filter"),
        ("zz", "stop"),
    ] {
        let body = format!(r#"{{"choices":[{{"message":{{}},"finish_reason":"{word}"}}]}}"#);
        assert_eq!(value(&body)["choices"][0]["finish_reason"], mapped);
    }
}

#[test]
fn content_in_parts_becomes_text() {
    let out = value(
        r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text",
        "text":"hm"}]},{"type":"text","text":"yes"}]},"finish_reason":"stop"}]}"#,
    );
    assert_eq!(out["choices"][0]["message"]["content"], "yes");
    assert_eq!(out["choices"][0]["message"]["reasoning_content"], "hm");
}

#[test]
fn a_stream_that_nobody_asked_for_is_collected() {
    let stream = include_str!("streams/openai_tools.sse");
    let out = value(stream);
    let message = &out["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], r#"{"city":"Oslo"}"#);
    assert_eq!(message["tool_calls"][1]["id"], "call_b");
    assert_eq!(out["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(out["usage"]["total_tokens"], 29);
    assert_eq!(out["object"], "chat.completion");
    let two = value(include_str!("streams/openai_n2.sse"));
    assert_eq!(two["choices"][0]["message"]["content"], "A");
    assert_eq!(two["choices"][1]["message"]["content"], "B");
    assert_eq!(two["choices"][1]["finish_reason"], "length");
    let short = read_answer(&stream.as_bytes()[..stream.len() / 2], &ask());
    assert!(matches!(short, Err(AnswerFault::Malformed(_))));
}

#[test]
fn what_is_no_answer() {
    for body in [
        "",
        "null",
        "<html>",
        "upstream error",
        "{",
        "{}",
        "{\"choices\":[]}",
        "{\"choices\":7}",
        "{\"choices\":[7]}",
        "{\"choices\":[{}]}",
        "{\"choices\":[{\"message\":{}}]} trailing",
        "{\"choices\":[{\"message\":{\"content\":NaN}}]}",
    ] {
        let read = read_answer(body.as_bytes(), &ask());
        assert!(matches!(read, Err(AnswerFault::Malformed(_))), "{body}");
    }
    for body in [
        r#"{"error":"text"}"#,
        r#"{"error":{"message":"m","code":500}}"#,
        r#"[{"error":{"code":429,"message":"m"}}]"#,
        r#"{"choices":[{"message":{},"finish_reason":"error"}]}"#,
        r#"{"choices":[{"error":{"message":"m","code":502}}]}"#,
    ] {
        let Err(AnswerFault::Upstream(error)) = read_answer(body.as_bytes(), &ask()) else {
            panic!("{body}")
        };
        assert!(error.retryable && error.possibly_billed, "{body}");
    }
}

#[test]
fn failures_by_status_and_words() {
    let rows: [(u16, &str, Kind, bool); 34] = [
        (500, "", Kind::Server, true),
        (502, "<html>bad gateway</html>", Kind::Server, true),
        (503, r#"{"error":{"message":"overloaded"}}"#, Kind::Server, true),
        (529, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, Kind::Server, true),
        (504, "", Kind::Timeout, true),
        (408, "", Kind::Timeout, true),
        (429, r#"{"error":{"code":"rate_limit_exceeded"}}"#, Kind::RateLimit, true),
        (429, r#"{"error":{"code":"insufficient_quota"}}"#, Kind::Billing, true),
        (429, r#"{"error":{"message":"You exceeded your current quota"}}"#, Kind::Billing, true),
        (401, r#"{"error":{"code":"invalid_api_key"}}"#, Kind::Auth, true),
        (402, "", Kind::Billing, true),
        (403, r#"{"error":{"message":"Key limit exceeded"}}"#, Kind::Billing, true),
        (403, r#"{"error":{"message":"your input was flagged"}}"#, Kind::ContentFilter, false),
        (403, r#"{"error":{"message":"region"}}"#, Kind::Forbidden, true),
        (404, r#"{"error":{"code":"model_not_found"}}"#, Kind::ModelGone, true),
        (410, "", Kind::ModelGone, true),
        (400, r#"{"error":{"code":"context_length_exceeded"}}"#, Kind::ContextLength, true),
        (400, r#"{"error":{"message":"prompt is too long: 300000"}}"#, Kind::ContextLength, true),
        (
            400,
            r#"{"message":"This model's maximum context length is 8"}"#,
            Kind::ContextLength,
            true,
        ),
        (400, r#"{"error":{"code":"content_filter"}}"#, Kind::ContentFilter, false),
        (400, r#"[{"error":{"message":"API key not valid."}}]"#, Kind::Auth, true),
        (400, r#"{"error":{"message":"Your credit balance is too low"}}"#, Kind::Billing, true),
        (400, r#"{"error":{"message":"model x has been decommissioned"}}"#, Kind::ModelGone, true),
        (
            400,
            r#"{"error":{"message":"bad temperature","param":"temperature"}}"#,
            Kind::BadRequest,
            false,
        ),
        (422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, Kind::BadRequest, false),
        (413, r#"{"error":{"message":"too big"}}"#, Kind::BadRequest, false),
        (413, r#"{"error":{"message":"TPM","code":"rate_limit_exceeded"}}"#, Kind::RateLimit, true),
        (413, r#"{"error":{"type":"request_too_large"}}"#, Kind::ContextLength, true),
        (405, "", Kind::BadRequest, false),
        (409, "", Kind::Server, true),
        (302, "", Kind::Server, true),
        (0, "", Kind::Server, true),
        (599, "", Kind::Server, true),
        (418, "", Kind::BadRequest, false),
    ];
    for (status, body, kind, retryable) in rows {
        let error = classify(status, None, body.as_bytes(), NOW);
        assert_eq!((error.kind, error.retryable), (kind, retryable), "{status} {body}");
        assert_eq!(error.possibly_billed, status == 504, "{status} {body}");
        assert_eq!((error.status, error.body.as_slice()), (status, body.as_bytes()));
    }
}

#[test]
fn what_a_failure_says() {
    let body =
        br#"{"error":{"message":"bad","type":"invalid_request_error","param":"stop","code":null}}"#;
    let error = classify(400, None, body, NOW);
    assert_eq!((error.message.as_str(), error.param.as_deref()), ("bad", Some("stop")));
    assert_eq!(error.code.as_deref(), Some("invalid_request_error"));
    let number = classify(400, None, br#"{"error":{"message":"m","code":400}}"#, NOW);
    assert_eq!(number.code.as_deref(), Some("400"));
    let long = format!("{{\"error\":\"{}\"}}", "x".repeat(40_000));
    let error = classify(500, None, long.as_bytes(), NOW);
    assert_eq!((error.message.len(), error.body.len()), (1_000, 16 * 1024));
    assert!(!classify(502, None, b"<html>secret</html>", NOW).message.contains("secret"));
}

#[test]
fn how_long_to_wait() {
    let rows = [
        (Some("20"), Some(20_000)),
        (Some(" 1.5 "), Some(1_500)),
        (Some("0.0001"), Some(1)),
        (Some("250ms"), Some(250)),
        (Some("Sun, 22 Nov 2026 00:00:30 GMT"), Some(30_000)),
        (Some("Sat, 21 Nov 2026 00:00:00 GMT"), Some(0)),
        (Some("soon"), None),
        (Some("-5"), None),
        (Some("99999999999999999999"), None),
        (Some("1.é"), None),
        (None, None),
    ];
    for (text, wait) in rows {
        assert_eq!(classify(429, text, b"", NOW).retry_after_ms, wait, "{text:?}");
    }
    let body =
        br#"[{"error":{"code":429,"details":[{"@type":"RetryInfo","retryDelay": "34.5s"}]}}]"#;
    assert_eq!(classify(429, None, body, NOW).retry_after_ms, Some(34_500));
    assert_eq!(classify(429, Some("2"), body, NOW).retry_after_ms, Some(2_000), "header first");
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), status in 0u16..700, wait in ".{0,30}") {
        let _ = read_answer(&body, &ask());
        classify(status, Some(&wait), &body, NOW);
    }

    #[test]
    fn no_damage_panics(at in 0usize..600, byte in any::<u8>()) {
        let mut body = REGULAR.as_bytes().to_vec();
        let at = at % body.len();
        body[at] = byte;
        if let Ok(answer) = read_answer(&body, &ask()) {
            let usage = Usage::default();
            let seal = Seal { metadata: b"{}", metadata_again: b"", cost: Usd::ZERO, usage: &usage };
            let out = answer.seal(&seal);
            prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
        }
    }
}
