//! Decides whether each shape of usage report becomes the same six classes, and lies none.
//! Does not price them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::catalog::UsageShape;
use p402_core::money::Usd;
use p402_core::usage::{Usage, UsageFault, read_usage};
use proptest::prelude::*;

const SHAPES: [UsageShape; 6] = [
    UsageShape::OpenAi,
    UsageShape::AnthropicExclCache,
    UsageShape::GeminiExclThoughts,
    UsageShape::XaiExclReasoning,
    UsageShape::DeepseekHitMiss,
    UsageShape::OpenRouterCost,
];

/// Shapes that may state cached and reasoning tokens inside prompt and completion.
const INCLUSIVE: [UsageShape; 3] =
    [UsageShape::OpenAi, UsageShape::XaiExclReasoning, UsageShape::OpenRouterCost];

fn read(json: &str, shape: UsageShape) -> Usage {
    read_usage(json.as_bytes(), shape).unwrap().usage
}

fn usage(fresh: u64, cache_read: u64, cache_write: u64, output: u64, reasoning: u64) -> Usage {
    Usage { fresh, cache_read, cache_write, cache_write_1h: 0, output, reasoning }
}

#[test]
fn openai_cached_tokens_are_inside_the_prompt() {
    let json = r#"{"prompt_tokens":1200,"completion_tokens":400,"total_tokens":1600,
        "prompt_tokens_details":{"cached_tokens":1000,"audio_tokens":0},
        "completion_tokens_details":{"reasoning_tokens":320,"accepted_prediction_tokens":0}}"#;
    assert_eq!(read(json, UsageShape::OpenAi), usage(200, 1_000, 0, 400, 320));
    let bare = r#"{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":null}"#;
    assert_eq!(read(bare, UsageShape::OpenAi), usage(7, 0, 0, 2, 0));
    let moonshot = r#"{"prompt_tokens":10,"completion_tokens":1,"cached_tokens":4}"#;
    assert_eq!(read(moonshot, UsageShape::OpenAi), usage(6, 4, 0, 1, 0));
}

#[test]
fn openai_counts_that_leave_reasoning_out_are_told_by_the_total() {
    let beside = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":65,
        "completion_tokens_details":{"reasoning_tokens":50}}"#;
    assert_eq!(read(beside, UsageShape::OpenAi), usage(10, 0, 0, 55, 50));
    let unclear = r#"{"prompt_tokens":10,"completion_tokens":5,
        "completion_tokens_details":{"reasoning_tokens":50}}"#;
    assert_eq!(read(unclear, UsageShape::OpenAi), usage(10, 0, 0, 5, 5));
}

#[test]
fn anthropic_input_excludes_both_cache_classes() {
    let json = r#"{"input_tokens":10,"output_tokens":50,"cache_read_input_tokens":9000,
        "cache_creation_input_tokens":1000,
        "cache_creation":{"ephemeral_5m_input_tokens":400,"ephemeral_1h_input_tokens":600}}"#;
    let expected = Usage { cache_write_1h: 600, ..usage(10, 9_000, 400, 50, 0) };
    assert_eq!(read(json, UsageShape::AnthropicExclCache), expected);
    assert_eq!(expected.input(), 10_010);
    let flat = r#"{"input_tokens":10,"output_tokens":50,"cache_creation_input_tokens":7}"#;
    assert_eq!(read(flat, UsageShape::AnthropicExclCache), usage(10, 0, 7, 50, 0));
    let split = r#"{"input_tokens":1,"output_tokens":1,"cache_creation_input_tokens":5,
        "cache_creation":{"ephemeral_1h_input_tokens":6}}"#;
    let fault = read_usage(split.as_bytes(), UsageShape::AnthropicExclCache);
    assert_eq!(fault, Err(UsageFault::Contradiction));
}

#[test]
fn gemini_thoughts_are_output_and_tool_prompts_are_prompt() {
    let json = r#"{"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":20,
        "thoughtsTokenCount":300,"toolUsePromptTokenCount":30,"totalTokenCount":420}"#;
    assert_eq!(read(json, UsageShape::GeminiExclThoughts), usage(60, 40, 0, 320, 300));
    let no_answer = r#"{"promptTokenCount":100,"thoughtsTokenCount":5}"#;
    assert_eq!(read(no_answer, UsageShape::GeminiExclThoughts), usage(100, 0, 0, 5, 5));
}

#[test]
fn xai_reasoning_stands_beside_unless_the_total_says_inside() {
    let beside = r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":420,
        "prompt_tokens_details":{"cached_tokens":64},
        "completion_tokens_details":{"reasoning_tokens":300},"cost_in_usd_ticks":12345671}"#;
    let read_whole = read_usage(beside.as_bytes(), UsageShape::XaiExclReasoning).unwrap();
    assert_eq!(read_whole.usage, usage(36, 64, 0, 320, 300));
    assert_eq!(read_whole.reported_cost, Some(Usd::from_nano(1_234_568)), "ticks round up");
    let inside = r#"{"prompt_tokens":100,"completion_tokens":320,"total_tokens":420,
        "completion_tokens_details":{"reasoning_tokens":300}}"#;
    assert_eq!(read(inside, UsageShape::XaiExclReasoning), usage(100, 0, 0, 320, 300));
    let silent = r#"{"prompt_tokens":100,"completion_tokens":20,
        "completion_tokens_details":{"reasoning_tokens":300}}"#;
    assert_eq!(read(silent, UsageShape::XaiExclReasoning), usage(100, 0, 0, 320, 300));
}

#[test]
fn deepseek_hits_and_misses_are_the_prompt() {
    let json = r#"{"prompt_tokens":100,"completion_tokens":5,"prompt_cache_hit_tokens":64,
        "prompt_cache_miss_tokens":36,"total_tokens":105}"#;
    assert_eq!(read(json, UsageShape::DeepseekHitMiss), usage(36, 64, 0, 5, 0));
    let halves = r#"{"completion_tokens":5,"prompt_cache_hit_tokens":64,
        "prompt_cache_miss_tokens":36}"#;
    assert_eq!(read(halves, UsageShape::DeepseekHitMiss), usage(36, 64, 0, 5, 0));
    let plain = r#"{"prompt_tokens":100,"completion_tokens":5}"#;
    assert_eq!(read(plain, UsageShape::DeepseekHitMiss), usage(100, 0, 0, 5, 0));
}

#[test]
fn openrouter_adds_writes_and_its_bill() {
    let json = r#"{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1050,
        "prompt_tokens_details":{"cached_tokens":600,"cache_write_tokens":300},
        "cost":0.00123456789012,"cost_details":{"upstream_inference_cost":null}}"#;
    let report = read_usage(json.as_bytes(), UsageShape::OpenRouterCost).unwrap();
    assert_eq!(report.usage, usage(100, 600, 300, 50, 0));
    assert_eq!(report.reported_cost, Some(Usd::from_nano(1_234_568)));
}

#[test]
fn bills_read_as_number_text_or_object_and_never_break_the_counts() {
    for (cost, nano) in [
        ("0.006", Some(6_000_000)),
        ("\"0.006\"", Some(6_000_000)),
        ("1.2e-05", Some(12_000)),
        ("{\"input_tokens_cost\":0.001,\"total_cost\":0.006}", Some(6_000_000)),
        ("-1", None),
        ("null", None),
        ("true", None),
        ("{}", None),
        ("1e300", None),
    ] {
        let json = format!(r#"{{"prompt_tokens":1,"completion_tokens":2,"cost":{cost}}}"#);
        let report = read_usage(json.as_bytes(), UsageShape::OpenAi).unwrap();
        assert_eq!(report.reported_cost, nano.map(Usd::from_nano), "{cost}");
        assert_eq!(report.usage, usage(1, 0, 0, 2, 0));
    }
}

#[test]
fn lies_are_not_believed() {
    let openai = |json: &str| read_usage(json.as_bytes(), UsageShape::OpenAi).err();
    for bad in ["-1", "1.5", "1e3", "\"7\"", "true", "[]", "18446744073709551616", "9999999999999"]
    {
        let prompt = format!(r#"{{"prompt_tokens":{bad},"completion_tokens":2}}"#);
        let answer = format!(r#"{{"prompt_tokens":2,"completion_tokens":{bad}}}"#);
        let details = format!(r#""prompt_tokens_details":{{"cached_tokens":{bad}}}"#);
        let cached = format!(r#"{{"prompt_tokens":2,"completion_tokens":2,{details}}}"#);
        for json in [prompt, answer, cached] {
            assert_eq!(openai(&json), Some(UsageFault::NotACount), "{json}");
        }
    }
    let above =
        r#"{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":6}}"#;
    assert_eq!(openai(above), Some(UsageFault::Contradiction));
    for empty in ["{}", r#"{"total_tokens":5}"#, r#"{"prompt_tokens":null}"#] {
        for shape in SHAPES {
            let fault = read_usage(empty.as_bytes(), shape).err();
            assert_eq!(fault, Some(UsageFault::Absent), "{empty} as {shape:?}");
        }
    }
    for broken in ["", "[]", "null", "{\"prompt_tokens\":1", "7", "{\"prompt_tokens_details\":3}"] {
        assert_eq!(openai(broken), Some(UsageFault::Malformed), "{broken}");
    }
    let writes = r#"{"prompt_tokens":9,"completion_tokens":1,
        "prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":5}}"#;
    let fault = read_usage(writes.as_bytes(), UsageShape::OpenRouterCost);
    assert_eq!(fault, Err(UsageFault::Contradiction));
}

#[test]
fn passes_that_the_outer_counts_leave_out_are_billed() {
    let json = r#"{"input_tokens":224,"output_tokens":22,"iterations":[
        {"type":"compaction","input_tokens":83555,"output_tokens":154,"cache_read_input_tokens":7},
        {"type":"message","input_tokens":224,"output_tokens":22}]}"#;
    let usage = read(json, UsageShape::AnthropicExclCache);
    assert_eq!((usage.fresh, usage.cache_read, usage.output), (83_779, 7, 176));
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for shape in SHAPES {
            let _ = read_usage(&bytes, shape);
        }
    }

    #[test]
    fn classes_add_up_to_what_was_reported(
        prompt in 0_u64..1_000_000, cached in 0_u64..1_000_000, completion in 0_u64..100_000,
        reasoning in 0_u64..100_000,
    ) {
        let (cached, reasoning) = (cached.min(prompt), reasoning.min(completion));
        let json = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},
            "total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{cached}}},
            "completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#,
            prompt + completion
        );
        for shape in INCLUSIVE {
            let read = read(&json, shape);
            prop_assert_eq!(read.input(), prompt);
            prop_assert_eq!(read.cache_read, cached);
            prop_assert_eq!((read.output, read.reasoning), (completion, reasoning));
        }
    }
}
