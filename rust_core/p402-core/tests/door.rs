//! Decides that each foreign door asks what was asked, and answers in its own language: a matrix of
//! requests and answers, and streams cut at every byte.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail and read files"
)]

use p402_core::door::{Door, Entered, customs};
use p402_core::envelope::scan;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const DOORS: [(&str, Door, &str); 3] = [
    (
        "messages",
        Door::Messages,
        r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#,
    ),
    (
        "responses",
        Door::Responses,
        r#"{"model":"m","input":"x","temperature":0.5,"include":["reasoning.encrypted_content"]}"#,
    ),
    (
        "generate",
        Door::Generate,
        r#"{"model":"m","contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}"#,
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door")
}

fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|end| endings.iter().any(|wanted| end == *wanted))
    };
    let mut found: Vec<PathBuf> = paths.filter(wanted).collect();
    found.sort();
    found
}

/// What is asked for with its vectors.
const EMBED: (&str, Door) = ("embed", Door::EmbedContent);

fn snapshot(folder: &Path, name: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, told));
}

fn pretty(json: &[u8]) -> String {
    let value: Value = serde_json::from_slice(json).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

fn stem(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn requests_are_told_as_chats() {
    for (name, door) in DOORS.map(|(name, door, _)| (name, door)).into_iter().chain([EMBED]) {
        let folder = folder().join(name);
        let cases = files(&folder, &["json"]);
        assert!(cases.len() >= 7, "{name}");
        for path in cases {
            let told = match door.enter(&fs::read(&path).unwrap()) {
                Err(unsaid) => format!("400 {} {}: {}", unsaid.code, unsaid.param, unsaid.message),
                Ok(entered) => {
                    let Entered { body, dropped, .. } = entered.unwrap();
                    // What comes in is a chat that the next stage can read.
                    assert!(scan(&body).is_ok(), "{path:?}: {:?}", scan(&body));
                    format!("dropped: {}\n{}", dropped.join(", "), pretty(&body))
                }
            };
            snapshot(&folder, &stem(&path), &told);
        }
    }
}

fn entered(door: Door, body: &str) -> Entered {
    door.enter(body.as_bytes()).unwrap().unwrap()
}

#[test]
fn answers_are_told_back() {
    let folder = folder().join("answers");
    for path in files(&folder, &["json", "sse"]) {
        let bytes = fs::read(&path).unwrap();
        for (name, door, body) in DOORS {
            let mut reply = entered(door, body).reply.unwrap();
            let whole = path.extension().is_some_and(|end| end == "json");
            let told = if whole {
                pretty(&reply.whole(&bytes))
            } else {
                String::from_utf8(reply.frames(&bytes)).unwrap()
            };
            snapshot(&folder, &format!("{}_{name}", stem(&path)), &told);
        }
    }
}

/// Every event stands alone, is JSON, and says its own name.
#[test]
fn events_are_named_and_whole() {
    for path in files(&folder().join("answers"), &["sse"]) {
        for (_, door, body) in DOORS {
            let told = entered(door, body).reply.unwrap().frames(&fs::read(&path).unwrap());
            let text = String::from_utf8(told).unwrap();
            for event in text.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
                // Google's events have no names.
                let (name, data) = event.split_once('\n').unwrap_or(("", event));
                let json: Value =
                    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                if door == Door::Generate {
                    assert!(json["candidates"].is_array() || json["error"].is_object(), "{event}");
                } else {
                    assert_eq!(json["type"], name.strip_prefix("event: ").unwrap(), "{event}");
                }
            }
        }
    }
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    for path in files(&folder().join("answers"), &["sse"]) {
        let bytes = fs::read(&path).unwrap();
        for (name, door, body) in DOORS {
            let told = |cuts: &[&[u8]]| {
                let mut reply = entered(door, body).reply.unwrap();
                cuts.iter().flat_map(|cut| reply.frames(cut)).collect::<Vec<u8>>()
            };
            let once = told(&[&bytes]);
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(told(&singly), once, "{path:?} {name} byte by byte");
            for at in 1..bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(told(&[head, tail]), once, "{path:?} {name} cut at {at}");
            }
        }
    }
}

/// A function call that stands for a custom tool's, in pieces of this many bytes.
fn called(arguments: &str, size: usize) -> String {
    let chunk = |delta: &Value, finish: &Value| {
        let choice = serde_json::json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", serde_json::json!({"id": "c-1", "choices": [choice]}))
    };
    let call = |call: Value| serde_json::json!({"tool_calls": [call]});
    let opening = serde_json::json!({"index": 0, "id": "call_1", "type": "function",
        "function": {"name": "edit", "arguments": ""}});
    let mut frames = chunk(&call(opening), &Value::Null);
    let letters: Vec<char> = arguments.chars().collect();
    for piece in letters.chunks(size) {
        let piece: String = piece.iter().collect();
        let more = serde_json::json!({"index": 0, "function": {"arguments": piece}});
        frames.push_str(&chunk(&call(more), &Value::Null));
    }
    frames + &chunk(&serde_json::json!({}), &"tool_calls".into()) + "data: [DONE]\n\n"
}

#[test]
fn calls_of_custom_tools_are_told_back_however_they_are_cut() {
    const CHAT: &[u8] = br#"{"model":"m","tools":[{"type":"custom","custom":{"name":"edit"}}]}"#;
    let inputs = [
        (r#"{"input":"plain"}"#, "plain"),
        (r#" { "input" : "a\nb \"c\" \\ \u00e9 \ud83d\ude00 é😀" }"#, "a\nb \"c\" \\ é 😀 é😀"),
        (r#"{"input":""}"#, ""),
        (r#"{"patch":"x"}"#, r#"{"patch":"x"}"#),
        (
            "*** Begin Patch: no JSON at all, and longer than any opening of an object can be ***",
            "*** Begin Patch: no JSON at all, and longer than any opening of an object can be ***",
        ),
    ];
    for (arguments, wanted) in inputs {
        for size in 1..=arguments.len() {
            let frames = called(arguments, size);
            let told = customs(CHAT).unwrap().frames(frames.as_bytes());
            let told = String::from_utf8(told).unwrap();
            let (mut input, mut kinds) = (String::new(), Vec::new());
            for event in told.split_terminator("\n\n").filter(|event| !event.ends_with("[DONE]")) {
                let json: Value = serde_json::from_str(&event[6..]).unwrap();
                for call in json["choices"][0]["delta"]["tool_calls"].as_array().unwrap_or(&vec![])
                {
                    assert!(call.get("function").is_none(), "{call}");
                    input.push_str(call["custom"]["input"].as_str().unwrap());
                    kinds.extend(call["type"].as_str().map(str::to_owned));
                }
            }
            assert_eq!(input, wanted, "in pieces of {size}");
            assert_eq!(kinds, ["custom"]);
            assert!(told.ends_with("data: [DONE]\n\n"));
        }
        let call = serde_json::json!({"id": "call_1", "type": "function",
            "function": {"name": "edit", "arguments": arguments}});
        let other = serde_json::json!({"id": "call_2", "type": "function",
            "function": {"name": "other", "arguments": "{}"}});
        let whole = serde_json::json!({"choices": [{"index": 0,
            "message": {"tool_calls": [call, other]}}]});
        let told = customs(CHAT).unwrap().whole(whole.to_string().as_bytes());
        let told: Value = serde_json::from_slice(&told).unwrap();
        let calls = &told["choices"][0]["message"]["tool_calls"];
        assert_eq!(calls[0]["custom"], serde_json::json!({"name": "edit", "input": wanted}));
        assert_eq!((&calls[0]["type"], calls[0].get("function")), (&"custom".into(), None));
        assert_eq!(calls[1], other);
    }
    assert!(customs(br#"{"tools":[{"type":"function","function":{"name":"f"}}]}"#).is_none());
}

#[test]
fn errors_have_the_shape_of_their_door() {
    let ours = br#"{"error":{"message":"no tenant has this key","type":"authentication_error","param":null,"code":"invalid_api_key","request_id":"req_1"}}"#;
    let told: Value = serde_json::from_slice(&Door::Messages.error(401, ours).unwrap()).unwrap();
    assert_eq!(told["type"], "error");
    assert_eq!(told["error"]["type"], "authentication_error");
    assert_eq!(told["error"]["code"], "invalid_api_key");
    assert_eq!(told["request_id"], "req_1");
    assert_eq!(told["error"]["details"], Value::Null);
    let kept = br#"{"error":{"message":"m","type":"invalid_request_error","param":"thread","code":"unsupported_parameter"}}"#;
    let told: Value = serde_json::from_slice(&Door::Messages.error(400, kept).unwrap()).unwrap();
    assert_eq!(told["error"]["details"]["error_code"], "thread_unsupported_request");
    assert!(Door::Responses.error(401, ours).is_none());
    let told: Value = serde_json::from_slice(&Door::Generate.error(401, ours).unwrap()).unwrap();
    assert_eq!(
        (&told["error"]["code"], &told["error"]["status"]),
        (&401.into(), &"UNAUTHENTICATED".into())
    );
    assert_eq!(told["error"]["details"][0]["reason"], "invalid_api_key");
    assert_eq!(told["error"]["details"][0]["metadata"]["request_id"], "req_1");
}

#[test]
fn what_stands_in_the_path_joins_the_body() {
    let path = "/models/openai/gpt-5.4:streamGenerateContent";
    assert_eq!(Door::at(path), Some(Door::Generate));
    let joined = Door::Generate.asked(path, br#"{"contents":[],"model":"other"}"#).unwrap();
    let joined: Value = serde_json::from_slice(&joined).unwrap();
    assert_eq!((&joined["model"], &joined["stream"]), (&"openai/gpt-5.4".into(), &true.into()));
    assert_eq!(Door::at("/models/m:countTokens"), Some(Door::Generate));
    assert_eq!(Door::at("/models/m:batchEmbedContents"), Some(Door::EmbedContent));
    assert_eq!(Door::at("/models/m:predict"), None);
    assert_eq!(Door::at("/models/:generateContent"), None);
    assert_eq!(Door::Chat.asked("/chat/completions", b"{}"), None);
}

#[test]
fn an_event_too_long_to_be_told_ends_in_an_error() {
    let chunk = |text: &str| {
        let delta = serde_json::json!({"id": "c-1", "model": "m", "choices":
            [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
        format!("data: {delta}\n\n")
    };
    let long = "x".repeat(2 << 20);
    let frames = [chunk("Hi"), chunk(&long), chunk("there")].concat();
    for (name, door, body) in DOORS {
        let told = entered(door, body).reply.unwrap().frames(frames.as_bytes());
        let text = String::from_utf8(told).unwrap();
        assert!(text.contains("upstream_stream_malformed"), "{name}");
        assert!(!text.contains("there") && text.len() < 10_000, "{name}");
    }
}
