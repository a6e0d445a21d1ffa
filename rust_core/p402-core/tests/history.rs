//! Shows how a transcript reads where a vendor takes it in one form alone: nothing is lost.
//! Does not test which vendor does: the catalogue says.

#![expect(clippy::expect_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::catalog::Quirks;
use p402_core::envelope::{UpstreamBody, scan, upstream_body};
use proptest::prelude::*;
use serde_json::{Value, json};

fn sent(messages: &Value, quirks: &Quirks) -> Value {
    let body = json!({"model": "m", "messages": messages, "seed": 4}).to_string();
    let seen = scan(body.as_bytes()).expect("a body");
    let to = UpstreamBody {
        model: "m",
        stream_usage: true,
        output_cap: None,
        effort: None,
        quirks,
        told: false,
    };
    let (out, _) = upstream_body(body.as_bytes(), &seen, &to);
    let mut out: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(out["seed"], 4);
    out["messages"].take()
}

fn alternating() -> Quirks {
    Quirks { roles_alternate: true, ..Quirks::default() }
}

fn echoing() -> Quirks {
    let drop = vec!["assistant_name".into()];
    Quirks { echo_reasoning: true, drop, ..Quirks::default() }
}

/// All that is said, in order, with its role.
fn said(messages: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for message in messages.as_array().expect("a list") {
        let role = message["role"].as_str().expect("a role");
        let texts: Vec<&str> = match &message["content"] {
            Value::String(text) => text.split("\n\n").collect(),
            parts => {
                let parts = parts.as_array().into_iter().flatten();
                parts.filter_map(|part| part["text"].as_str()).collect()
            }
        };
        all.extend(texts.into_iter().map(|text| (role.to_owned(), text.to_owned())));
    }
    all
}

fn message() -> impl Strategy<Value = Value> {
    let role = prop_oneof![Just("user"), Just("assistant")];
    let text = "[a-z\"\\\\\u{e9}]{1,6}";
    (role, prop::collection::vec(text, 1..3), any::<bool>()).prop_map(|(role, texts, parts)| {
        let parts = parts || texts.len() > 1;
        let list: Vec<Value> =
            texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
        let content = if parts { json!(list) } else { json!(texts.concat()) };
        json!({"role": role, "content": content})
    })
}

proptest! {
    #[test]
    fn roles_alternate_and_nothing_is_lost(messages in prop::collection::vec(message(), 1..9)) {
        let told = json!(messages);
        let out = sent(&told, &alternating());
        prop_assert_eq!(said(&out), said(&told));
        let roles: Vec<&Value> = out.as_array().expect("a list").iter().map(|m| &m["role"]).collect();
        prop_assert!(roles.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn a_name_or_a_call_stays_by_itself() {
    let told = json!([
        {"role": "user", "content": "a", "name": "ann"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": null, "tool_calls": []},
        {"role": "assistant", "content": "c"},
        {"role": "tool", "content": "d", "tool_call_id": "1"},
        {"role": "tool", "content": "e", "tool_call_id": "2"},
    ]);
    assert_eq!(sent(&told, &alternating()), told);
}

#[test]
fn an_empty_list_of_parts_joins() {
    let told = json!([{"role": "user", "content": []}, {"role": "user", "content": "b"}]);
    let part = json!([{"type": "text", "text": "b"}]);
    assert_eq!(sent(&told, &alternating()), json!([{"role": "user", "content": part}]));
}

#[test]
fn thousands_of_messages_join_into_one() {
    let long = "x".repeat(1_000);
    let told: Vec<Value> = (0..4_000).map(|_| json!({"role": "user", "content": long})).collect();
    let out = sent(&json!(told), &alternating());
    assert_eq!(out.as_array().map(Vec::len), Some(1));
}

#[test]
fn lost_thoughts_stand_beside_what_else_is_edited() {
    let call = json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]);
    let told = json!([
        {"name": "x", "role": "assistant", "tool_calls": call},
        {"role": "assistant", "name": "x", "content": "a", "reasoning_content": null},
        {"role": "assistant", "content": "b", "reasoning_content": "t"},
        {"role": "user", "content": "c"},
    ]);
    let expected = json!([
        {"role": "assistant", "reasoning_content": " ", "tool_calls": call},
        {"role": "assistant", "content": "a", "reasoning_content": " "},
        {"role": "assistant", "content": "b", "reasoning_content": "t"},
        {"role": "user", "content": "c"},
    ]);
    assert_eq!(sent(&told, &echoing()), expected);
}
