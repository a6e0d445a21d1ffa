//! Decides what another language costs: a request of 1 KB and one streamed event, there and back.
//! Bars of compat.md: 60 µs a request over passing bytes, 4 µs an event. The tests are
//! tests/codec.rs and tests/door.rs.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use p402_core::catalog::{DialectName, Efforts, Quirks, UsageShape};
use p402_core::chat::Request;
use p402_core::dialect::openai::{ChatStream, StreamAsk};
use p402_core::dialect::{Forgetful, Target, codec};
use p402_core::door::Door;
use p402_core::envelope::{UpstreamBody, scan, upstream_body};
use p402_core::id::RequestId;
use p402_core::time::Timestamp;
use std::hint::black_box;

const EVENTS: usize = 200;
const LANGUAGES: [(&str, DialectName); 3] = [
    ("anthropic", DialectName::Anthropic),
    ("gemini", DialectName::Gemini),
    ("bedrock", DialectName::Bedrock),
];
const TOOL: &str =
    r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#;

/// A conversation with a tool, of about 1 KB.
fn chat() -> String {
    let text = "The weather of the day decides what is worn and what is planned. ".repeat(5);
    format!(
        r#"{{"model":"auto","max_tokens":500,"temperature":0.5,"messages":[
        {{"role":"system","content":"Be brief."}},{{"role":"user","content":"{text}"}},
        {{"role":"assistant","content":null,"tool_calls":[{{"id":"call_1","type":"function",
        "function":{{"name":"get_weather","arguments":"{{\"city\":\"Paris\"}}"}}}}]}},
        {{"role":"tool","tool_call_id":"call_1","content":"18 degrees"}}],"tools":[{{"type":
        "function","function":{{"name":"get_weather","description":"The weather of a city.",
        "parameters":{TOOL}}}}}]}}"#
    )
}

/// The same as a client of Messages says it.
fn message() -> String {
    let text = "The weather of the day decides what is worn and what is planned. ".repeat(5);
    format!(
        r#"{{"model":"auto","max_tokens":500,"system":"Be brief.","messages":[
        {{"role":"user","content":"{text}"}},{{"role":"assistant","content":[{{"type":"tool_use",
        "id":"call_1","name":"get_weather","input":{{"city":"Paris"}}}}]}},{{"role":"user",
        "content":[{{"type":"tool_result","tool_use_id":"call_1","content":"18 degrees"}}]}}],
        "tools":[{{"name":"get_weather","description":"The weather of a city.",
        "input_schema":{TOOL}}}]}}"#
    )
}

fn ask() -> StreamAsk {
    StreamAsk {
        n: 1,
        client_wants_usage: true,
        offer_model: "m".to_owned(),
        usage_shape: UsageShape::Canonical,
        created: 1_795_305_600,
        request_id: RequestId::new(Timestamp::from_seconds(1_795_305_600), 1),
    }
}

fn requests(c: &mut Criterion) {
    let (body, quirks) = (chat(), Quirks::default());
    let seen = scan(body.as_bytes()).expect("a chat");
    let mut group = c.benchmark_group("codec request");
    group.bench_function("openai (bytes pass)", |b| {
        let to = UpstreamBody {
            model: "m",
            stream_usage: false,
            output_cap: None,
            effort: None,
            quirks: &quirks,
            told: false,
        };
        b.iter(|| upstream_body(black_box(body.as_bytes()), &seen, &to));
    });
    let target = Target {
        model: "m",
        stream: false,
        output_cap: None,
        max_output: Some(8_000),
        effort: None,
        efforts: Efforts::default(),
        quirks: &quirks,
        user: None,
        recall: &Forgetful,
    };
    for (name, dialect) in LANGUAGES {
        let codec = codec(dialect).expect("a language");
        group.bench_function(name, |b| {
            b.iter(|| {
                let request = Request::read(black_box(body.as_bytes()), &seen).expect("a request");
                codec.encode(&request, &target).expect("said")
            });
        });
    }
    let message = message();
    group.bench_function("messages, inbound", |b| {
        b.iter(|| Door::Messages.enter(black_box(message.as_bytes())).expect("told"));
    });
    group.finish();
}

/// The events of a text in each language, as they are read from the wire.
fn streams() -> [(&'static str, DialectName, Vec<u8>); 2] {
    let delta =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word "}}"#;
    let start = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",",
        "\"model\":\"m\",\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
    );
    let deltas = format!("event: content_block_delta\ndata: {delta}\n\n").repeat(EVENTS);
    let piece = concat!(
        "data: {\"candidates\":[{\"content\":{\"role\":\"model\",",
        "\"parts\":[{\"text\":\"word \"}]}}],",
        "\"usageMetadata\":{\"promptTokenCount\":10,\"candidatesTokenCount\":1,",
        "\"totalTokenCount\":11},\"modelVersion\":\"m\",\"responseId\":\"r\"}\r\n\r\n"
    );
    [
        ("anthropic", DialectName::Anthropic, [start, &deltas].concat().into_bytes()),
        ("gemini", DialectName::Gemini, piece.repeat(EVENTS).into_bytes()),
    ]
}

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec event");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, dialect, bytes) in streams() {
        let codec = codec(dialect).expect("a language");
        group.bench_function(format!("{name}, {EVENTS} events"), |b| {
            b.iter_batched(
                || ChatStream::decoded(ask(), codec.decoder(&ask())),
                |mut stream| {
                    stream.push(black_box(&bytes)).expect("events");
                    stream.take_output()
                },
                BatchSize::SmallInput,
            );
        });
    }
    let chunk = concat!(
        "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",",
        "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"logprobs\":null,",
        "\"finish_reason\":null}]}\n\n"
    );
    let chunks = chunk.repeat(EVENTS).into_bytes();
    for (name, door, body) in [
        ("messages", Door::Messages, message()),
        ("responses", Door::Responses, r#"{"model":"m","input":"Hello"}"#.to_owned()),
    ] {
        group.bench_function(format!("{name} outbound, {EVENTS} events"), |b| {
            b.iter_batched(
                || door.enter(body.as_bytes()).expect("told").expect("foreign").reply,
                |reply| reply.map(|mut reply| reply.frames(black_box(&chunks))),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, requests, events);
criterion_main!(benches);
