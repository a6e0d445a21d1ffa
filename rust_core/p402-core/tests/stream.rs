//! Decides that every way upstreams stream ends in the frames of compat.md § 4.
//! Does not open a connection: recorded forms of the wire are fed in, cut at every byte.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail and read files"
)]

use p402_core::catalog::UsageShape;
use p402_core::dialect::openai::{ChatStream, Seal, StreamAsk, StreamFault, UpstreamErrorKind};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use proptest::prelude::*;
use serde_json::Value;
use std::path::PathBuf;

const METADATA: &[u8] = br#"{"request_id":"req_1","latency_ms":1}"#;
const METADATA_AGAIN: &[u8] = br#"{"request_id":"req_1","latency_ms":2}"#;

fn ask(n: u32, client_wants_usage: bool) -> StreamAsk {
    StreamAsk {
        n,
        client_wants_usage,
        offer_model: "offer-model".to_owned(),
        usage_shape: UsageShape::OpenAi,
        created: 1_795_305_600,
        request_id: RequestId::new(Timestamp::from_seconds(1_795_305_600), 7),
    }
}

struct Run {
    out: String,
    ended: Result<(), StreamFault>,
    stream: ChatStream,
    sealed: bool,
}

/// Plays the I/O layer: push, give out, seal once when ready.
fn run<'a>(cuts: impl IntoIterator<Item = &'a [u8]>, ask: StreamAsk) -> Run {
    let mut run =
        Run { out: String::new(), ended: Ok(()), stream: ChatStream::new(ask), sealed: false };
    let step = |run: &mut Run, fed: Result<(), StreamFault>| {
        if let Some(bytes) = run.stream.take_output() {
            run.out.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        if run.ended.is_ok() {
            run.ended = fed;
        }
        if run.stream.ready() {
            let usage = run
                .stream
                .reported()
                .map_or(Usage { fresh: 3, output: 4, ..Usage::default() }, |reported| {
                    reported.usage
                });
            let seal = Seal {
                metadata: METADATA,
                metadata_again: METADATA_AGAIN,
                cost: Usd::from_nano(3_200_000),
                usage: &usage,
            };
            run.out.push_str(std::str::from_utf8(&run.stream.seal(&seal)).unwrap());
            run.sealed = true;
        }
    };
    for bytes in cuts {
        let fed = run.stream.push(bytes);
        step(&mut run, fed);
    }
    if run.ended.is_ok() {
        let ended = run.stream.end();
        step(&mut run, ended);
    }
    run
}

fn streams() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/streams");
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
        })
        .collect();
    found.sort();
    assert!(found.len() > 20, "the recorded streams are missing");
    found
}

fn stream(name: &str) -> Vec<u8> {
    streams().into_iter().find(|(known, _)| known == name).unwrap().1
}

fn choices_asked(name: &str) -> u32 {
    if matches!(name, "openai_n2" | "fewer_choices") { 2 } else { 1 }
}

/// The JSON of each frame; asserts the framing of § 4.1 on the way.
fn frames(out: &str) -> Vec<Value> {
    let out = out.strip_suffix("data: [DONE]\n\n").unwrap_or(out);
    out.split_terminator("\n\n")
        .map(|frame| {
            let json = frame.strip_prefix("data: ").unwrap();
            assert!(!json.contains('\n'), "a frame of one line: {json}");
            serde_json::from_str(json).unwrap()
        })
        .collect()
}

#[test]
fn golden() {
    for (name, bytes) in streams() {
        let run = run([bytes.as_slice()], ask(choices_asked(&name), true));
        assert_eq!(run.ended, Ok(()), "{name}");
        insta::assert_snapshot!(name.clone(), run.out, &name);
    }
}

#[test]
fn what_always_holds_of_frames_out() {
    for (name, bytes) in streams() {
        for usage in [false, true] {
            let run = run([bytes.as_slice()], ask(choices_asked(&name), usage));
            assert!(run.out.ends_with("data: [DONE]\n\n"), "{name}");
            assert_eq!(run.out.matches("[DONE]").count(), 1, "{name}");
            let all = frames(&run.out);
            let first = &all[0];
            let mut roles = 0;
            for frame in &all {
                for key in ["id", "created", "model"] {
                    assert_eq!(frame[key], first[key], "{name}: {key} is constant");
                }
                assert_eq!(frame["object"], "chat.completion.chunk", "{name}");
                for choice in frame["choices"].as_array().unwrap() {
                    assert!(choice["index"].is_u64(), "{name}");
                    roles += u32::from(choice["delta"]["role"] == "assistant");
                    for call in choice["delta"]["tool_calls"].as_array().unwrap_or(&Vec::new()) {
                        assert!(call["index"].is_u64(), "{name}");
                    }
                }
            }
            assert_eq!(first["choices"][0]["delta"]["role"], "assistant", "{name}");
            let seen = if name == "openai_n2" { 2 } else { 1 };
            assert_eq!(roles, seen, "{name}: one role for each choice");
            let with_metadata =
                all.iter().filter(|frame| frame.get("p402_metadata").is_some()).count();
            assert_eq!(with_metadata, 1 + usize::from(usage), "{name}");
            let finish = &all[all.len() - 1 - usize::from(usage)];
            assert!(finish["choices"][0]["finish_reason"].is_string(), "{name}");
            assert_eq!(finish["p402_metadata"]["latency_ms"], 1, "{name}");
            let reported =
                all.iter().filter(|frame| frame.get("usage").is_some_and(|it| !it.is_null()));
            assert_eq!(reported.count(), usize::from(usage), "{name}");
            if usage {
                let last = all.last().unwrap();
                assert_eq!(last["choices"].as_array().unwrap().len(), 0, "{name}");
                assert_eq!(last["usage"]["cost"].to_string(), "0.0032", "{name}");
                assert!(last["usage"].get("is_byok").is_none(), "{name}");
                assert!(last["usage"].get("cost_details").is_none(), "{name}");
                assert!(last["usage"]["prompt_tokens_details"]["cached_tokens"].is_u64());
                assert!(last["usage"]["completion_tokens_details"]["reasoning_tokens"].is_u64());
            }
        }
    }
}

#[test]
fn every_cut_gives_the_same_bytes() {
    for (name, bytes) in streams() {
        let asked = ask(choices_asked(&name), true);
        let whole = run([bytes.as_slice()], asked.clone()).out;
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(run([head, tail], asked.clone()).out, whole, "{name} cut at {cut}");
        }
        assert_eq!(run(bytes.chunks(1), asked).out, whole, "{name} byte by byte");
    }
}

#[test]
fn a_regular_stream_keeps_its_bytes_but_for_the_splices() {
    for name in ["openai", "openai_tools", "openai_n2"] {
        let bytes = String::from_utf8(stream(name)).unwrap();
        let out = run([bytes.as_bytes()], ask(choices_asked(name), false)).out;
        let spliced = format!(",\"p402_metadata\":{}", std::str::from_utf8(METADATA).unwrap());
        let usage_frame =
            bytes.split_inclusive("\n\n").find(|frame| frame.contains("\"choices\":[]")).unwrap();
        assert_eq!(out.replace(&spliced, ""), bytes.replace(usage_frame, ""), "{name}");
    }
}

#[test]
fn a_stream_that_stops_anywhere_never_ends_cleanly() {
    for (name, bytes) in streams() {
        let asked = ask(choices_asked(&name), true);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // From the last finish word on the answer is whole.
        let until_done = text.split("[DONE]").next().unwrap();
        let word = ["\"finish_reason\":\"", "\"finish_reason\": \""];
        let finish = word.iter().filter_map(|word| until_done.rfind(word)).max().unwrap();
        // Its every chunk says it is the last one: no cut shows.
        if name == "gemini_stop_everywhere" {
            continue;
        }
        for cut in 0..finish {
            let run = run([&bytes[..cut]], asked.clone());
            assert!(!run.sealed, "{name} cut at {cut}");
            assert!(run.ended.is_err(), "{name} cut at {cut}");
            assert!(!run.out.contains("[DONE]"), "{name} cut at {cut}");
            assert!(!run.out.contains("p402_metadata"), "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_cut_mid_frame_is_a_cut() {
    let bytes = stream("openai");
    let ended = run([&bytes[..bytes.len() / 2]], ask(1, false)).ended;
    assert_eq!(ended, Err(StreamFault::Cut));
}

#[test]
fn done_without_a_finish_is_a_cut() {
    let text = String::from_utf8(stream("openai")).unwrap();
    let text: String = text
        .split_inclusive("\n\n")
        .filter(|frame| !frame.contains("\"finish_reason\":\"stop\""))
        .collect();
    let run = run([text.as_bytes()], ask(1, false));
    assert_eq!(run.ended, Err(StreamFault::Cut));
    assert!(run.stream.committed());
    assert_eq!(run.stream.reported().unwrap().usage.output, 10, "what was used is still known");
}

#[test]
fn nothing_leaves_before_the_first_content() {
    let role = br#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

"#;
    let text = br#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}

"#;
    let mut stream = ChatStream::new(ask(1, false));
    stream.push(b": ping\n\n").unwrap();
    stream.push(role).unwrap();
    assert!(!stream.committed());
    assert_eq!(stream.take_output(), None);
    stream.push(text).unwrap();
    assert!(stream.committed());
    assert_eq!(stream.take_output().unwrap(), [role.as_slice(), text].concat());
    assert_eq!(stream.text_bytes(), 1);
}

#[test]
fn quiet_frames_beyond_the_bound_commit() {
    let quiet = br#"data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}

"#;
    let mut stream = ChatStream::new(ask(1, false));
    for _ in 0..64 {
        stream.push(quiet).unwrap();
    }
    assert!(stream.committed(), "64 frames are more than 4 KiB");
    assert!(stream.take_output().unwrap().len() > 4096);
}

#[test]
fn errors_inside_a_stream() {
    let rows: [(&str, UpstreamErrorKind, Option<&str>); 8] = [
        ("event: error\ndata: {\"message\":\"boom\"}\n\n", UpstreamErrorKind::Server, None),
        ("data: {\"error\":\"text\"}\n\n", UpstreamErrorKind::Server, None),
        (
            "data: {\"error\":{\"message\":\"slow down\",\"code\":429}}\n\n",
            UpstreamErrorKind::RateLimit,
            Some("429"),
        ),
        (
            r#"data: {"id":"g","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":"server_error","message":"Provider disconnected"}}

"#,
            UpstreamErrorKind::Server,
            Some("server_error"),
        ),
        (
            r#"data: {"id":"g","choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"message":"gone","code":502}}]}

"#,
            UpstreamErrorKind::Server,
            Some("502"),
        ),
        (
            r#"data: {"object":"error","message":"maximum context length is 4096","type":"BadRequestError","code":400}

"#,
            UpstreamErrorKind::ContextLength,
            Some("400"),
        ),
        (
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            UpstreamErrorKind::Billing,
            Some("insufficient_quota"),
        ),
        (
            r#"[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]"#,
            UpstreamErrorKind::Server,
            Some("503"),
        ),
    ];
    for (text, kind, code) in rows {
        for before in ["", "openai"] {
            if before == "openai" && !text.starts_with("data") && !text.starts_with("event") {
                continue;
            }
            let head = if before.is_empty() { Vec::new() } else { stream(before)[..640].to_vec() };
            let head = match String::from_utf8(head).unwrap().rsplit_once("\n\n") {
                Some((whole, _)) => format!("{whole}\n\n"),
                None => String::new(),
            };
            let run = run([head.as_bytes(), text.as_bytes()], ask(1, true));
            let Err(StreamFault::Upstream(error)) = run.ended else {
                panic!("{text}: {:?}", run.ended)
            };
            assert_eq!((error.kind, error.code.as_deref()), (kind, code), "{text}");
            assert!(error.possibly_billed && !error.message.is_empty(), "{text}");
            assert_eq!(run.stream.committed(), !before.is_empty());
            assert_eq!(run.out, head, "what came before the error is whole");
        }
    }
}

#[test]
fn what_is_no_stream() {
    let page = run([b"<html><body>502</body></html>".as_slice()], ask(1, false));
    assert!(matches!(page.ended, Err(StreamFault::Malformed(_))));
    let garbage = run([b"data: {\"choices\":[nonsense\n\n".as_slice()], ask(1, false));
    assert!(matches!(garbage.ended, Err(StreamFault::Malformed(_))));
    let nothing = run([b"".as_slice()], ask(1, false));
    assert_eq!(nothing.ended, Err(StreamFault::Cut));
    let long = [b"data: ".as_slice(), &vec![b'a'; (1 << 20) + 1]].concat();
    assert_eq!(run([long.as_slice()], ask(1, false)).ended, Err(StreamFault::TooLarge));
}

#[test]
fn finishing_waits_for_usage_and_the_seal_writes_what_was_billed() {
    let text = String::from_utf8(stream("openai")).unwrap();
    let until_finish = text.find("data: {\"id\":\"chatcmpl-B9\",\"object\":\"chat.completion.chunk\",\"created\":1741570283,\"model\":\"gpt-5.4-2026-03\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_fc9f1d7035\",\"choices\":[],").unwrap();
    let mut stream = ChatStream::new(ask(1, true));
    stream.push(&text.as_bytes()[..until_finish]).unwrap();
    assert!(stream.finishing() && !stream.ready() && stream.reported().is_none());
    stream.take_output().unwrap();
    let usage = Usage { fresh: 9, output: 2, ..Usage::default() };
    let seal =
        Seal { metadata: b"{}", metadata_again: b"{}", cost: Usd::from_nano(5), usage: &usage };
    let sealed = String::from_utf8(stream.seal(&seal)).unwrap();
    let all = frames(&sealed);
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["usage"]["prompt_tokens"], 9);
    assert_eq!(all[1]["usage"]["total_tokens"], 11);
    assert!(sealed.contains("\"cost\":0.000000005"));
    assert!(!stream.finishing() && !stream.ready());
    stream.push(&text.as_bytes()[until_finish..]).unwrap();
    stream.end().unwrap();
    assert_eq!(stream.take_output(), None, "nothing after [DONE]");
}

#[test]
fn unbelievable_usage_is_not_passed_on() {
    let text = String::from_utf8(stream("openai")).unwrap();
    let text = text.replace("\"completion_tokens\":10", "\"completion_tokens\":-10");
    let run = run([text.as_bytes()], ask(1, true));
    assert!(run.stream.usage_fault() && run.stream.reported().is_none());
    assert_eq!(frames(&run.out).last().unwrap()["usage"]["completion_tokens"], 4);
}

#[test]
fn an_error_frame_ends_a_stream() {
    let frame = ChatStream::error_frame(br#"{"message":"m","code":"upstream_stream_cut"}"#, None);
    assert_eq!(
        String::from_utf8(frame).unwrap(),
        "data: {\"error\":{\"message\":\"m\",\"code\":\"upstream_stream_cut\"}}\n\n"
    );
    let with = ChatStream::error_frame(b"{}", Some(METADATA));
    assert!(frames(std::str::from_utf8(&with).unwrap())[0].get("p402_metadata").is_some());
}

#[test]
fn metadata_of_another_gateway_is_replaced() {
    let text = String::from_utf8(stream("openai")).unwrap();
    let text = text.replace("\"obfuscation\"", "\"p402_metadata\":{\"a\":1},\"obfuscation\"");
    let out = run([text.as_bytes()], ask(1, true)).out;
    assert_eq!(out.matches("p402_metadata").count(), 2);
    assert!(!out.contains("{\"a\":1}"));
}

proptest! {
    #[test]
    fn no_input_panics(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
    ) {
        run(chunks.iter().map(Vec::as_slice), ask(1, true));
    }

    #[test]
    fn no_damage_panics(
        at in 0usize..4_000, byte in any::<u8>(), which in 0usize..20, cut in 1usize..50,
    ) {
        let (name, mut bytes) = streams().swap_remove(which);
        let at = at % bytes.len();
        bytes[at] = byte;
        let asked = ask(choices_asked(&name), true);
        let whole = run([bytes.as_slice()], asked.clone());
        let parts = run(bytes.chunks(cut), asked);
        prop_assert_eq!(whole.out, parts.out);
        prop_assert_eq!(whole.ended, parts.ended);
    }
}
