//! Decides that each language says what was asked and that foreign answers come back whole: a
//! matrix of cases and languages, and streams cut at every byte (OpenAI's own in stream.rs).

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail and read files"
)]

use p402_core::catalog::{DialectName, Efforts, Quirks, ReasoningControl, UsageShape};
use p402_core::chat::{FinishReason, Request};
use p402_core::dialect::openai::{ChatStream, StreamAsk, read_answer};
use p402_core::dialect::{Codec, Recall, Target, codec};
use p402_core::envelope::{UpstreamBody, scan, upstream_body};
use p402_core::id::RequestId;
use p402_core::time::Timestamp;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A column of the matrix: a language, and a model whose ways differ.
struct Column {
    name: &'static str,
    dialect: DialectName,
    quirks: Quirks,
    efforts: Efforts,
    model: &'static str,
}

fn columns() -> Vec<Column> {
    let words = Efforts { words: 0b1_1100, ..Efforts::default() };
    let budget = Efforts { budget: true, ..Efforts::default() };
    let current = Quirks {
        drop: vec!["temperature".into()],
        reasoning_control: ReasoningControl::AdaptiveOnly,
        ..Quirks::default()
    };
    let reasoning = Quirks {
        max_completion_tokens: true,
        developer_role: true,
        drop: ["temperature", "top_p", "presence_penalty", "frequency_penalty"]
            .map(Into::into)
            .to_vec(),
        ..Quirks::default()
    };
    let column = |name, dialect, quirks, efforts| Column {
        name,
        dialect,
        quirks,
        efforts,
        model: match dialect {
            DialectName::Bedrock => "eu.anthropic.claude-x-1:0",
            _ => "some-model-1",
        },
    };
    vec![
        column("anthropic", DialectName::Anthropic, current, words),
        column("anthropic_older", DialectName::Anthropic, Quirks::default(), budget),
        column("gemini", DialectName::Gemini, Quirks::default(), words),
        column("gemini_older", DialectName::Gemini, Quirks::default(), budget),
        column("bedrock", DialectName::Bedrock, Quirks::default(), budget),
        column("openai", DialectName::OpenAi, Quirks::default(), words),
        column("openai_reasoning", DialectName::OpenAi, reasoning, words),
    ]
}

/// Remembers the thoughts of one call.
struct OneCall;

impl Recall for OneCall {
    fn thoughts(&self, call_id: &str) -> Option<Arc<str>> {
        let kept = r#"[{"type":"reasoning.text","text":"Kept","signature":"kept==","format":"anthropic-claude-v1"}]"#;
        (call_id == "call_kept").then(|| kept.into())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialect")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// What one column makes of one request, readable.
fn encoded(column: &Column, body: &[u8]) -> String {
    let seen = scan(body).unwrap();
    let Some(codec) = codec(column.dialect) else {
        let to = UpstreamBody {
            model: column.model,
            stream_usage: false,
            output_cap: None,
            effort: None,
            quirks: &column.quirks,
            told: false,
        };
        let (body, dropped) = upstream_body(body, &seen, &to);
        return posted("/chat/completions", &dropped, &body);
    };
    let request = Request::read(body, &seen).unwrap();
    let target = Target {
        model: column.model,
        stream: false,
        output_cap: None,
        max_output: Some(64_000),
        effort: None,
        efforts: column.efforts,
        quirks: &column.quirks,
        user: request.user.as_ref().map(|_| "hashed"),
        recall: &OneCall,
    };
    match codec.encode(&request, &target) {
        Err(unsaid) => format!("400 {} {}: {}", unsaid.code, unsaid.param, unsaid.message),
        Ok(encoded) => posted(&encoded.path, &encoded.dropped, &encoded.body),
    }
}

fn posted(path: &str, dropped: &[String], body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap();
    let mut text = format!("POST {path}\n");
    if !dropped.is_empty() {
        writeln!(text, "dropped: {}", dropped.join(", ")).unwrap();
    }
    text + &serde_json::to_string_pretty(&json).unwrap()
}

/// Compares with the snapshot beside the case.
fn snapshot(folder: &Path, name: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, told));
}

#[test]
fn the_matrix_of_cases_and_languages() {
    let cases = sorted(&folder());
    assert!(cases.len() > 30);
    for case in cases.iter().filter(|case| case.join("request.json").is_file()) {
        let body = fs::read(case.join("request.json")).unwrap();
        for column in columns() {
            snapshot(case, column.name, &encoded(&column, &body));
        }
    }
}

fn ask() -> StreamAsk {
    StreamAsk {
        n: 1,
        client_wants_usage: false,
        offer_model: "some-model-1".to_owned(),
        usage_shape: UsageShape::Canonical,
        created: 1_795_305_600,
        request_id: RequestId::new(Timestamp::from_seconds(1_795_305_600), 7),
    }
}

/// The frames a stream becomes, the usage read from them, and how it ended.
fn streamed<'a>(codec: &dyn Codec, cuts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut stream = ChatStream::decoded(ask(), codec.decoder(&ask()));
    let mut ended = Ok(());
    for bytes in cuts {
        ended = ended.and_then(|()| stream.push(bytes));
    }
    ended = ended.and_then(|()| stream.end());
    let out = stream.take_output().unwrap_or_default();
    let frames = String::from_utf8(out).unwrap();
    let finish = stream.finish_reason().map(FinishReason::name);
    let told = stream.reported().map(|reported| reported.usage);
    let (tier, kept) = (stream.service_tier(), stream.kept());
    format!(
        "{frames}ended {ended:?}\nfinish {finish:?}\nusage {told:?}\ntier {tier:?}\nkept {kept:?}\n"
    )
}

fn languages() -> [(&'static str, DialectName); 3] {
    [
        ("anthropic", DialectName::Anthropic),
        ("gemini", DialectName::Gemini),
        ("bedrock", DialectName::Bedrock),
    ]
}

#[test]
fn answers_of_each_language() {
    for (name, dialect) in languages() {
        let codec = codec(dialect).unwrap();
        let mut seen = 0;
        for path in sorted(&folder().join("answers").join(name)) {
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            if Path::new(&file).extension().is_some_and(|end| end == "snap") {
                continue;
            }
            seen += 1;
            let bytes = fs::read(&path).unwrap();
            let whole = Path::new(&file).extension().is_some_and(|end| end == "json");
            let told = if whole {
                match codec.read(&bytes, &ask()) {
                    Ok(translated) => {
                        let answer = read_answer(&translated.body, &ask()).unwrap();
                        let json: Value = serde_json::from_slice(&answer.body).unwrap();
                        let usage = answer.reported.map(|reported| reported.usage);
                        let kept = translated.kept;
                        let json = serde_json::to_string_pretty(&json).unwrap();
                        format!("{json}\nusage {usage:?}\nkept {kept:?}")
                    }
                    Err(fault) => format!("{fault:?}"),
                }
            } else {
                streamed(codec, [bytes.as_slice()])
            };
            snapshot(path.parent().unwrap(), &file, &told);
        }
        assert!(seen >= 8, "{name} has {seen} answers");
    }
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    for (name, dialect) in languages() {
        let codec = codec(dialect).unwrap();
        for path in sorted(&folder().join("answers").join(name)) {
            if !path.extension().is_some_and(|end| end == "sse" || end == "frames") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let once = streamed(codec, [bytes.as_slice()]);
            assert_eq!(streamed(codec, bytes.chunks(1)), once, "{path:?} byte by byte");
            for at in 1..bytes.len() {
                let (head, tail) = bytes.split_at(at);
                assert_eq!(streamed(codec, [head, tail]), once, "{path:?} cut at {at}");
            }
        }
    }
}

/// A stream that stops anywhere before its end says so.
#[test]
fn a_stream_that_stops_short_never_ends_well() {
    for (name, dialect) in languages() {
        let codec = codec(dialect).unwrap();
        for path in sorted(&folder().join("answers").join(name)) {
            if !path.extension().is_some_and(|end| end == "sse" || end == "frames") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let mut whole = ChatStream::decoded(ask(), codec.decoder(&ask()));
            if whole.push(&bytes).and_then(|()| whole.end()).is_err() {
                continue;
            }
            let mut ready = None;
            for at in 0..bytes.len() {
                let mut stream = ChatStream::decoded(ask(), codec.decoder(&ask()));
                let fed = stream.push(bytes.get(..at).unwrap());
                if fed.is_ok() && stream.ready() {
                    ready.get_or_insert(at);
                }
                let ended = fed.and_then(|()| stream.end());
                let finished = stream.finish_reason().is_some();
                assert!(finished || ended.is_err(), "{path:?}: clean end at {at}");
            }
        }
    }
}
