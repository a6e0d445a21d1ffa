//! Shows over random bodies that spans are exact, that nothing panics, and that edits keep bytes.
//! Does not repeat the examples of envelope.rs and edits.rs.

#![expect(clippy::panic, reason = "a test that cannot set up must fail loudly")]

use p402_core::catalog::{Effort, Quirks};
use p402_core::envelope::{Edits, Scan, Span, UpstreamBody, scan, upstream_body};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// How a value is written down: blanks and escapes are drawn.
#[derive(Clone, Debug)]
struct Pen {
    blanks: Vec<u8>,
    escapes: Vec<bool>,
    drawn: usize,
}

impl Pen {
    fn blank(&mut self, out: &mut String) {
        self.drawn += 1;
        let choice = self.blanks.get(self.drawn % self.blanks.len()).copied().unwrap_or(0);
        out.push_str(["", "", " ", "\n\t", "\r\n "][usize::from(choice % 5)]);
    }

    fn text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            self.drawn += 1;
            let escape = self.escapes[self.drawn % self.escapes.len()];
            if escape || c < ' ' || c == '"' || c == '\\' {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.extend(["\\u", &format!("{unit:04X}")]);
                }
            } else {
                out.push(c);
            }
        }
        out.push('"');
    }

    fn value(&mut self, value: &Value, out: &mut String) {
        match value {
            Value::String(text) => self.text(text, out),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.blank(out);
                    self.value(item, out);
                    self.blank(out);
                }
                self.blank(out);
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (index, (key, item)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.blank(out);
                    self.text(key, out);
                    self.blank(out);
                    out.push(':');
                    self.blank(out);
                    self.value(item, out);
                    self.blank(out);
                }
                self.blank(out);
                out.push('}');
            }
            plain => out.push_str(&plain.to_string()),
        }
    }
}

fn pens() -> impl Strategy<Value = Pen> {
    (vec(any::<u8>(), 1..9), vec(prop::bool::weighted(0.1), 1..30))
        .prop_map(|(blanks, escapes)| Pen { blanks, escapes, drawn: 0 })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ -~]{0,60}",
        1 => any::<String>(),
        1 => r#"[a-z"\\/{}\[\]:,\n]{0,20}"#,
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(texts(), inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn messages() -> impl Strategy<Value = Value> {
    let roles = prop::sample::select(vec!["system", "developer", "user", "assistant", "tool"]);
    let content = prop_oneof![
        texts().prop_map(Value::from),
        vec(texts(), 0..3).prop_map(|texts| {
            texts.into_iter().map(|text| json!({"type": "text", "text": text})).collect()
        }),
        Just(Value::Null),
    ];
    let message = (roles, content, prop::option::of(values())).prop_map(|(role, content, more)| {
        let mut message = json!({"role": role, "content": content});
        if let Some(more) = more {
            message["metadata"] = more;
        }
        message
    });
    vec(message, 1..5).prop_map(Value::from)
}

/// Bodies that the scan accepts: known fields of the right type, and anything under other names.
fn bodies() -> impl Strategy<Value = Map<String, Value>> {
    let others = btree_map("[a-e_]{1,6}|x.{0,5}", values(), 0..5);
    let known = (
        prop::option::of(any::<bool>()),
        prop::option::of(0..10_000_u64),
        prop::option::of(0..10_000_u64),
        prop::option::of(prop::sample::select(vec![
            json!({}),
            json!({"include_usage": false}),
            json!({"include_obfuscation": true}),
            json!({"include_usage": true}),
            Value::Null,
        ])),
        prop::option::of(prop::sample::select(vec![
            json!({"mode": "cost"}),
            json!({}),
            json!(null),
        ])),
    );
    (texts(), messages(), others, known).prop_map(|(model, messages, others, known)| {
        let mut body: Map<String, Value> = others.into_iter().collect();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(key.to_owned(), value);
            }
        };
        put("model", Some(model.into()));
        put("messages", Some(messages));
        put("stream", known.0.map(Value::from));
        put("max_tokens", known.1.map(Value::from));
        put("max_completion_tokens", known.2.map(Value::from));
        put("stream_options", known.3);
        put("p402", known.4);
        body
    })
}

fn written(body: &Map<String, Value>, pen: &mut Pen) -> String {
    let mut out = String::new();
    pen.blank(&mut out);
    pen.value(&Value::Object(body.clone()), &mut out);
    pen.blank(&mut out);
    out
}

fn accepted(text: &str) -> Scan {
    scan(text.as_bytes()).unwrap_or_else(|error| panic!("{text}\n{error:?}"))
}

fn parsed(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Bytes of the transcript's text, counted on the parsed body.
fn text_bytes(messages: &Value) -> usize {
    let part = |part: &Value| part["text"].as_str().map_or(0, str::len);
    let content = |content: &Value| match content {
        Value::String(text) => text.len(),
        Value::Array(parts) => parts.iter().map(part).sum(),
        _ => 0,
    };
    messages.as_array().map_or(0, |all| all.iter().map(|m| content(&m["content"])).sum())
}

/// Cases enough for every shape, and no file left behind.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn spans_are_exact(body in bodies(), mut pen in pens()) {
        let text = written(&body, &mut pen);
        let seen = accepted(&text);
        prop_assert_eq!(seen.fields.len(), body.len());
        for (key, field) in &seen.fields {
            let value = field.value.of(text.as_bytes());
            prop_assert_eq!(&parsed(value), &body[key]);
            let member = [b"{", field.whole.of(text.as_bytes()), b"}"].concat();
            prop_assert_eq!(&parsed(&member), &json!({key: body[key]}));
            prop_assert_eq!(value.first().zip(value.last()).is_some(), true);
        }
        prop_assert_eq!(&json!(seen.model), &body["model"]);
        prop_assert_eq!(seen.text.total as usize, text_bytes(&body["messages"]));
        prop_assert_eq!(seen.stream, body.get("stream") == Some(&json!(true)));
        let bound = body.get("max_tokens").and_then(Value::as_u64);
        prop_assert_eq!(seen.max_tokens.map(|b| b.value), bound);
        let users = body["messages"].as_array().unwrap().iter();
        let users: Vec<&Value> = users.filter(|m| m["role"] == "user").collect();
        prop_assert_eq!(seen.user_turns as usize, users.len());
        let latest = users.iter().rev().map(|m| &m["content"]).filter(|c| !c.is_null()).take(3);
        let found = seen.user_texts.iter().map(|span| parsed(span.of(text.as_bytes())));
        let found: Vec<Value> = found.collect();
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), latest.collect::<Vec<_>>());
    }

    #[test]
    fn a_parser_agrees_on_what_is_json(
        body in bodies(),
        mut pen in pens(),
        hits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4),
    ) {
        let mut bytes = written(&body, &mut pen).into_bytes();
        for (at, byte, how) in hits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes[at] = b"{}[]\",:\\u0n1-.e "[usize::from(byte) % 16],
            }
        }
        let parser = serde_json::from_slice::<Value>(&bytes);
        // At a number beyond f64 the parser stops, though it is JSON: it says nothing of the rest.
        let says_nothing = |e: &serde_json::Error| e.to_string().starts_with("number out of range");
        prop_assume!(!parser.as_ref().is_err_and(says_nothing));
        let json = parser.is_ok();
        match scan(&bytes) {
            Ok(_) => prop_assert!(json, "accepted: {parser:?}"),
            Err(error) if error.code == "invalid_json" => prop_assert!(!json, "{error:?}"),
            Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
        let _ = scan(&bytes);
        let quoted = [b"{\"model\":\"", &bytes[..], b"\"}"].concat();
        let _ = scan(&quoted);
        let _ = scan(&quoted[..cut.index(quoted.len())]);
    }

    #[test]
    fn edits_keep_every_other_byte(
        body in bodies(),
        mut pen in pens(),
        choices in vec(0..5_u8, 20),
        appended in prop::option::of(values()),
    ) {
        let text = written(&body, &mut pen);
        let seen = accepted(&text);
        prop_assert_eq!(Edits::new(text.as_bytes(), &seen).apply(), text.as_bytes());
        let mut edits = Edits::new(text.as_bytes(), &seen);
        let mut wanted = Map::new();
        // Only replacements, applied one by one from the back: the plain way to say the same.
        let mut plain = text.clone().into_bytes();
        let mut only_replaced = appended.is_none();
        let picked: Vec<_> = seen.fields.iter().zip(choices.iter().cycle()).collect();
        for ((key, field), choice) in picked.iter().rev() {
            match choice {
                0 => {
                    edits.cut(*field);
                    only_replaced = false;
                }
                1 => {
                    edits.replace(field.value, *b"[7]");
                    plain.splice(field.value.start..field.value.end, *b"[7]");
                    wanted.insert(key.clone(), json!([7]));
                }
                2 => {
                    edits.rename(*field, &format!("{key}\"new"));
                    only_replaced = false;
                    wanted.insert(format!("{key}\"new"), body[key].clone());
                }
                _ => drop(wanted.insert(key.clone(), body[key].clone())),
            }
        }
        if let Some(value) = appended {
            edits.append("late\n", value.to_string());
            wanted.insert("late\n".to_owned(), value);
        }
        let out = edits.apply();
        prop_assert_eq!(&parsed(&out), &Value::Object(wanted));
        if only_replaced {
            prop_assert_eq!(&out, &plain);
        }
        // Kept values keep their bytes, blanks and escapes too.
        for ((_, field), choice) in &picked {
            let raw = field.value.of(text.as_bytes());
            let kept = **choice >= 2;
            prop_assert!(!kept || out.windows(raw.len().max(1)).any(|window| window == raw));
        }
    }

    #[test]
    fn upstreams_get_what_was_said(
        body in bodies(),
        mut pen in pens(),
        cap in prop::option::of(0..10_000_u64),
        effort in prop::option::of(prop::sample::select(Effort::ALL.to_vec())),
        modern in any::<bool>(),
    ) {
        let text = written(&body, &mut pen);
        let seen = accepted(&text);
        let quirks = Quirks { max_completion_tokens: modern, ..Quirks::default() };
        let to = UpstreamBody {
            model: "u/m\"1",
            stream_usage: true,
            output_cap: cap,
            effort,
            quirks: &quirks,
            told: false,
        };
        let (out, dropped) = upstream_body(text.as_bytes(), &seen, &to);
        let out = parsed(&out);
        prop_assert!(dropped.is_empty());
        prop_assert_eq!(&out["model"], "u/m\"1");
        prop_assert!(out.get("p402").is_none());
        let (name, other) = if modern {
            ("max_completion_tokens", "max_tokens")
        } else {
            ("max_tokens", "max_completion_tokens")
        };
        let bound = seen.output_bound().map(|b| b.min(cap.unwrap_or(u64::MAX))).or(cap);
        prop_assert_eq!(out.get(name).and_then(Value::as_u64), bound);
        prop_assert!(out.get(other).is_none());
        prop_assert!(!seen.stream || out["stream_options"]["include_usage"] == true);
        let changed =
            ["model", "p402", name, other, "stream_options", "reasoning_effort", "messages"];
        for (key, value) in body.iter().filter(|(key, _)| !changed.contains(&key.as_str())) {
            prop_assert_eq!(&out[key], value);
        }
    }
}

#[test]
fn a_span_outside_the_body_is_empty() {
    assert_eq!(Span { start: 3, end: 9 }.of(b"abc"), b"");
}
