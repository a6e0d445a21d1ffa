//! Decides what another language costs: a request of 1 KB and one streamed event, there and back.
//! Deliberately with the cut a socket gives, one event a read; `benches/rows.py` holds the bars.
//! The tests are tests/codec.rs and tests/door.rs.

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

/// As `benches/rows.py` has it.
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

/// The same as clients of the other doors say it.
fn foreign() -> [(&'static str, Door, String); 3] {
    let text = "The weather of the day decides what is worn and what is planned. ".repeat(5);
    let about = r#""name":"get_weather","description":"The weather of a city.""#;
    let message = format!(
        r#"{{"model":"auto","max_tokens":500,"system":"Be brief.","messages":[
        {{"role":"user","content":"{text}"}},{{"role":"assistant","content":[{{"type":"tool_use",
        "id":"call_1","name":"get_weather","input":{{"city":"Paris"}}}}]}},{{"role":"user",
        "content":[{{"type":"tool_result","tool_use_id":"call_1","content":"18 degrees"}}]}}],
        "tools":[{{{about},"input_schema":{TOOL}}}]}}"#
    );
    let response = format!(
        r#"{{"model":"auto","max_output_tokens":500,"instructions":"Be brief.","input":[
        {{"role":"user","content":"{text}"}},{{"type":"function_call","call_id":"call_1",
        "name":"get_weather","arguments":"{{\"city\":\"Paris\"}}"}},
        {{"type":"function_call_output","call_id":"call_1","output":"18 degrees"}}],
        "tools":[{{"type":"function",{about},"parameters":{TOOL}}}]}}"#
    );
    let generate = format!(
        r#"{{"generationConfig":{{"maxOutputTokens":500}},"systemInstruction":{{"parts":[{{"text":
        "Be brief."}}]}},"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}},{{"role":
        "model","parts":[{{"functionCall":{{"id":"call_1","name":"get_weather","args":{{"city":
        "Paris"}}}}}}]}},{{"role":"user","parts":[{{"functionResponse":{{"id":"call_1","name":
        "get_weather","response":{{"result":"18 degrees"}}}}}}]}}],"tools":[{{
        "functionDeclarations":[{{{about},"parametersJsonSchema":{TOOL}}}]}}]}}"#
    );
    let path = "/models/auto:streamGenerateContent";
    let asked = Door::Generate.asked(path, generate.as_bytes()).expect("asked by its path");
    let generate = String::from_utf8(asked).expect("text");
    [
        ("messages", Door::Messages, message),
        ("responses", Door::Responses, response),
        ("generate", Door::Generate, generate),
    ]
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
    for (name, door, body) in foreign() {
        group.bench_function(format!("{name}, inbound"), |b| {
            b.iter(|| door.enter(black_box(body.as_bytes())).expect("told"));
        });
    }
    group.finish();
}

const CHUNK: &str = concat!(
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",",
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"logprobs\":null,",
    "\"finish_reason\":null}]}\n\n"
);
/// Recorded as Amazon frames it, checksums and all.
const FRAMES: &[u8] =
    include_bytes!("../../rust_core/p402-core/tests/dialect/answers/bedrock/text.frames");

/// The one frame of Amazon's in which this word stands.
fn frame(word: &str) -> Vec<u8> {
    let mut rest = FRAMES;
    loop {
        let total = u32::from_be_bytes(*rest.first_chunk().expect("a length")) as usize;
        let (frame, after) = rest.split_at(total);
        if String::from_utf8_lossy(frame).contains(word) {
            return frame.to_vec();
        }
        rest = after;
    }
}

/// A language's name, its dialect where its bytes do not pass, and how a text begins and goes on.
type Told = (&'static str, Option<DialectName>, Vec<u8>, Vec<u8>);

/// How a text begins and goes on in each language, as it is read from the wire.
fn streams() -> [Told; 4] {
    let start = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",",
        "\"model\":\"m\",\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
    );
    let delta = concat!(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"word \"}}\n\n"
    );
    let piece = concat!(
        "data: {\"candidates\":[{\"content\":{\"role\":\"model\",",
        "\"parts\":[{\"text\":\"word \"}]}}],",
        "\"usageMetadata\":{\"promptTokenCount\":10,\"candidatesTokenCount\":1,",
        "\"totalTokenCount\":11},\"modelVersion\":\"m\",\"responseId\":\"r\"}\r\n\r\n"
    );
    let (first, more) = (frame("messageStart"), frame("contentBlockDelta"));
    [
        ("openai (bytes pass)", None, Vec::new(), CHUNK.into()),
        ("anthropic", Some(DialectName::Anthropic), start.into(), delta.into()),
        ("gemini", Some(DialectName::Gemini), Vec::new(), piece.into()),
        ("bedrock", Some(DialectName::Bedrock), first, more),
    ]
}

fn begun(dialect: Option<DialectName>, start: &[u8]) -> ChatStream {
    let mut stream = match dialect.and_then(codec) {
        Some(codec) => ChatStream::decoded(ask(), codec.decoder(&ask())),
        None => ChatStream::new(ask()),
    };
    stream.push(start).expect("a beginning");
    stream
}

fn events(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec event");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, dialect, start, event) in streams() {
        group.bench_function(name, |b| {
            b.iter_batched(
                || begun(dialect, &start),
                |mut stream| {
                    let mut bytes = 0;
                    for _ in 0..EVENTS {
                        stream.push(black_box(&event)).expect("an event");
                        bytes += stream.take_output().map_or(0, |out| out.len());
                    }
                    assert!(bytes > EVENTS);
                },
                BatchSize::SmallInput,
            );
        });
    }
    for (name, door, body) in foreign() {
        group.bench_function(format!("{name}, outbound"), |b| {
            b.iter_batched(
                || door.enter(body.as_bytes()).expect("told").expect("foreign").reply,
                |reply| {
                    let mut reply = reply.expect("tells back");
                    let told = (0..EVENTS).map(|_| reply.frames(black_box(CHUNK.as_bytes())).len());
                    assert!(told.sum::<usize>() > EVENTS);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, requests, events);
criterion_main!(benches);
