//! Decides that recorded real traffic decodes to the usage it states, however it is cut, that an
//! answer's calls and thoughts go back as they came, and that what clients asked comes in by its
//! door. Without tapes it says so and passes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail, speak and read files"
)]

use p402_core::catalog::{DialectName, Efforts, Quirks, UsageShape};
use p402_core::chat::Request;
use p402_core::dialect::openai::{ChatStream, StreamAsk, read_answer};
use p402_core::dialect::{Codec, Forgetful, Target, codec};
use p402_core::door::Door;
use p402_core::envelope::scan;
use p402_core::id::RequestId;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Places at which a stream is cut in two, spread over its length.
const CUTS: usize = 64;

fn ask() -> StreamAsk {
    StreamAsk {
        n: 1,
        client_wants_usage: true,
        offer_model: "some-model".to_owned(),
        usage_shape: UsageShape::Canonical,
        created: 1_795_305_600,
        request_id: RequestId::new(Timestamp::from_seconds(1_795_305_600), 7),
    }
}

/// What was recorded of a language or a door; empty where nothing was fetched.
fn recorded(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/.tapes");
    let Ok(folder) = fs::read_dir(root.join(name)) else {
        println!("no recorded {name} traffic here: `make tapes` fetches it");
        return Vec::new();
    };
    let paths = folder.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end != "usage")).collect();
    paths.sort();
    paths
}

/// The exchanges of a language: (file, its usage).
fn exchanges(language: &str) -> Vec<(PathBuf, Value)> {
    let usage = |path: &Path| {
        serde_json::from_slice(&fs::read(path.with_extension("usage")).unwrap()).unwrap()
    };
    recorded(language).into_iter().map(|path| (path.clone(), usage(&path))).collect()
}

fn counts(usage: &Usage) -> Value {
    json!({"fresh": usage.fresh, "cache_read": usage.cache_read,
        "cache_write": usage.cache_write + usage.cache_write_1h, "output": usage.output})
}

/// What a stream comes to: its frames, and its usage.
fn streamed<'a>(
    codec: Option<&dyn Codec>,
    cuts: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, Value) {
    let mut stream = match codec {
        Some(codec) => ChatStream::decoded(ask(), codec.decoder(&ask())),
        None => ChatStream::new(StreamAsk { usage_shape: UsageShape::OpenAi, ..ask() }),
    };
    for bytes in cuts {
        stream.push(bytes).unwrap();
    }
    stream.end().unwrap();
    assert!(stream.finish_reason().is_some());
    let usage = stream.reported().map(|reported| counts(&reported.usage));
    (stream.take_output().unwrap_or_default(), usage.unwrap_or_default())
}

fn replay(language: &str, dialect: DialectName) {
    let codec = codec(dialect);
    let (mut whole, mut streams) = (0, 0);
    for (path, usage) in exchanges(language) {
        let bytes = fs::read(&path).unwrap();
        if path.extension().is_some_and(|end| end == "json") {
            assert_eq!(read_whole(codec, &bytes), usage, "{}", path.display());
            whole += 1;
            continue;
        }
        let once = streamed(codec, std::iter::once(bytes.as_slice()));
        assert_eq!(once.1, usage, "{}", path.display());
        assert_eq!(streamed(codec, bytes.chunks(1)), once, "{} byte by byte", path.display());
        for step in 1..CUTS {
            let (head, tail) = bytes.split_at(bytes.len() * step / CUTS);
            assert_eq!(streamed(codec, [head, tail].into_iter()), once, "{} cut", path.display());
        }
        streams += 1;
    }
    println!("{language}: {whole} whole answers and {streams} streams, usage equal in all");
}

/// The usage of a whole answer, whose thoughts and calls can go back.
fn read_whole(codec: Option<&dyn Codec>, bytes: &[u8]) -> Value {
    let Some(codec) = codec else {
        let ask = StreamAsk { usage_shape: UsageShape::OpenAi, ..ask() };
        return counts(&read_answer(bytes, &ask).unwrap().reported.unwrap().usage);
    };
    let body = codec.read(bytes, &ask()).unwrap().body;
    returns(codec, bytes, &body);
    counts(&read_answer(&body, &ask()).unwrap().reported.unwrap().usage)
}

/// The next turn says the answer's thoughts and calls again, unchanged.
fn returns(codec: &dyn Codec, original: &[u8], translated: &[u8]) {
    let message =
        serde_json::from_slice::<Value>(translated).unwrap()["choices"][0]["message"].clone();
    let mut messages = vec![json!({"role": "user", "content": "Hello"}), message.clone()];
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "done"}));
    }
    messages.push(json!({"role": "user", "content": "Go on"}));
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let body = json!({"model": "m", "messages": messages, "tools": tools}).to_string();
    let seen = scan(body.as_bytes()).unwrap();
    let request = Request::read(body.as_bytes(), &seen).unwrap();
    let quirks = Quirks::default();
    let target = Target {
        model: "some-model",
        stream: false,
        output_cap: None,
        max_output: None,
        effort: None,
        efforts: Efforts::default(),
        quirks: &quirks,
        user: None,
        recall: &Forgetful,
    };
    let encoded = codec.encode(&request, &target).unwrap();
    let sent: Value = serde_json::from_slice(&encoded.body).unwrap();
    let original: Value = serde_json::from_slice(original).unwrap();
    let blocks = original.get("content").unwrap_or(&original["output"]["message"]["content"]);
    let said = original_blocks(&sent["messages"][1]["content"]);
    assert_eq!(said, original_blocks(blocks));
}

/// The blocks that must come back: thoughts and calls, without what the service adds to them.
fn original_blocks(blocks: &Value) -> Vec<Value> {
    let wanted = ["thinking", "redacted_thinking", "tool_use"];
    let mut found = Vec::new();
    for block in blocks.as_array().into_iter().flatten() {
        let mut block = block.clone();
        if block.get("type").is_some_and(|kind| wanted.iter().any(|word| kind == word)) {
            block.as_object_mut().unwrap().remove("caller");
            found.push(block);
        } else if let Some(call) = block.get_mut("toolUse") {
            call.as_object_mut().unwrap().remove("type");
            found.push(block);
        } else if block.get("reasoningContent").is_some() {
            found.push(block);
        }
    }
    found
}

/// Every request that a real client made is told as a chat, but for what one provider alone does
/// or keeps, which is refused by its name.
fn enters(name: &str, door: Door, told_min: usize) {
    let requests = recorded(name);
    let (mut told, mut refused) = (0, 0);
    for path in &requests {
        match door.enter(&fs::read(path).unwrap()) {
            Ok(entered) => {
                let body = entered.unwrap().body;
                let seen = scan(&body).unwrap();
                assert!(Request::read(&body, &seen).is_ok(), "{}", path.display());
                told += 1;
            }
            Err(unsaid) => {
                assert!(unsaid.code.starts_with("unsupported_"), "{}: {unsaid:?}", path.display());
                refused += 1;
            }
        }
    }
    println!("/{name}: {told} requests told as chats, {refused} refused by name");
    assert!(requests.is_empty() || told >= told_min, "{told} requests told as chats");
}

#[test]
fn recorded_openai_traffic() {
    replay("openai", DialectName::OpenAi);
}

#[test]
fn recorded_anthropic_traffic() {
    replay("anthropic", DialectName::Anthropic);
}

#[test]
fn recorded_bedrock_traffic() {
    replay("bedrock", DialectName::Bedrock);
}

#[test]
fn recorded_requests_of_messages() {
    enters("messages", Door::Messages, 25);
}

#[test]
fn recorded_requests_of_responses() {
    enters("responses", Door::Responses, 131);
}
