//! Shows that a kept answer is told again as it was given, as one body and as a stream alike.
//! Does not decide what is kept.

use p402_core::cache::kept::Kept;
use p402_core::dialect::openai::{Replay, plain};
use p402_core::id::RequestId;
use p402_core::usage::Usage;
use proptest::prelude::*;
use serde_json::Value;

const USAGE: Usage =
    Usage { fresh: 10, cache_read: 2, cache_write: 0, cache_write_1h: 0, output: 5, reasoning: 1 };

fn replay<'a>(content: &'a str, reasoning: Option<(&'a str, &'a str)>) -> Replay<'a> {
    Replay {
        request_id: RequestId::from_bits(7),
        created: 1_795_158_000,
        model: "m \"quoted\"",
        content,
        reasoning,
        usage: &USAGE,
        metadata: b"{\"cached\":true}",
    }
}

#[test]
fn a_body_has_all_that_a_client_may_ask_for() {
    let body: Value = serde_json::from_slice(&replay("Hi", None).whole()).unwrap();
    assert_eq!(body["id"], "chatcmpl-00000000000000000000000000000007");
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "m \"quoted\"");
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["refusal"], Value::Null);
    assert_eq!(choice["message"]["annotations"], serde_json::json!([]));
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 12);
    assert_eq!(body["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    assert_eq!(body["usage"]["cost"].to_string(), "0");
    assert_eq!(body["p402_metadata"]["cached"], true);
}

proptest! {
    #[test]
    fn a_stream_says_what_the_body_says(
        content in ".{1,2000}", reasoning in prop::option::of(".{1,300}"), wants in any::<bool>()
    ) {
        let reasoning = reasoning.as_deref().map(|text| ("reasoning_content", text));
        let replay = replay(&content, reasoning);
        let (body, stream) = (replay.whole(), replay.stream(wants));
        let (whole, told) = (plain(&body).unwrap(), plain(&stream).unwrap());
        prop_assert_eq!(&whole, &told);
        prop_assert_eq!(&whole.content, &content);
        prop_assert_eq!(whole.finish_reason, "stop");
        prop_assert!(!whole.extras && !whole.refused && !whole.tool_calls);
        prop_assert!(stream.ends_with(b"data: [DONE]\n\n"));
        let text = String::from_utf8(stream).unwrap();
        for frame in text.split("\n\n").filter(|frame| frame.starts_with("data: {")) {
            let event: Value = serde_json::from_str(&frame[6..]).unwrap();
            let piece = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            prop_assert!(piece.len() <= 256);
        }
    }

    #[test]
    fn what_is_packed_is_unpacked(content in ".*", named in ".*", took_ms: u64, asker: Option<u64>) {
        let (provider, model) = ("p".to_owned(), "m".to_owned());
        let (usage, rest) = (USAGE, Kept::default());
        let kept = Kept { provider, model, named, content, usage, took_ms, asker, ..rest };
        prop_assert_eq!(Kept::unpack(&kept.pack()), Some(kept));
    }
}

#[test]
fn another_form_reads_as_nothing() {
    let packed = String::from_utf8(Kept::default().pack()).unwrap();
    assert!(packed.starts_with("{\"form\":2,"));
    assert_eq!(Kept::unpack(packed.replacen("\"form\":2", "\"form\":1", 1).as_bytes()), None);
    assert_eq!(Kept::unpack(&packed.as_bytes()[1..]), None);
}

#[test]
fn a_stream_that_was_cut_is_no_answer() {
    let stream = replay("Hello there", None).stream(false);
    let cut = stream.len() - b"data: [DONE]\n\n".len();
    assert!(plain(&stream[..cut - 10]).is_err());
}
