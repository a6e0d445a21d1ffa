//! Decides whether byte estimates follow the factor table, bound what they must, and learn.
//! Does not compare with a real tokenizer: none is shipped.

use p402_core::catalog::{
    Calibration, Input, Script, Tokenizer, bound_input, estimate_input, estimate_output,
};
use p402_core::envelope::TextBytes;
use proptest::prelude::*;

const FAMILIES: [Tokenizer; 6] = [
    Tokenizer::OpenAi,
    Tokenizer::ClaudeTo46,
    Tokenizer::ClaudeFrom47,
    Tokenizer::Gemini,
    Tokenizer::DeepSeek,
    Tokenizer::Unknown,
];

fn bytes(text: &str) -> TextBytes {
    let count = |keep: fn(&u8) -> bool| text.bytes().filter(keep).count() as u64;
    TextBytes {
        total: text.len() as u64,
        ascii_letters: count(u8::is_ascii_alphabetic),
        ascii_digits: count(u8::is_ascii_digit),
        structure: count(|byte| b"{}[]\":,".contains(byte)),
        non_ascii: count(|byte| !byte.is_ascii()),
    }
}

fn plain(text: &TextBytes) -> Input<'_> {
    Input { text, messages: 0, tools: 0, schema_bytes: 0, images: 0 }
}

#[test]
fn scripts_are_told_by_their_bytes() {
    for (text, script) in [
        ("The quick brown fox jumps over the lazy dog, and nobody minds it at all.", Script::Prose),
        ("Où est la bibliothèque, s'il vous plaît? Elle était là hier soir.", Script::Prose),
        ("for (i = 0; i < 10; i++) { a[i] = b[i] * 3 + (c >> 2); }  // 42", Script::Code),
        (r#"{"id":1,"tags":["a","b"],"ok":true,"next":{"id":2}}"#, Script::Json),
        ("人工智能正在改变世界,我们需要谨慎地使用它。", Script::Other),
        ("Где находится библиотека?", Script::Other),
        ("", Script::Prose),
    ] {
        assert_eq!(Script::of(&bytes(text)), script, "{text}");
    }
}

#[test]
fn factors_stand_on_four_bytes_a_token() {
    let prose = TextBytes { total: 4_000, ascii_letters: 3_300, ..TextBytes::default() };
    let json =
        TextBytes { total: 4_000, ascii_letters: 2_000, structure: 900, ..TextBytes::default() };
    let other = TextBytes { total: 4_000, non_ascii: 3_900, ..TextBytes::default() };
    for (text, family, tokens) in [
        (&prose, Tokenizer::OpenAi, 1_000 + 6),
        (&prose, Tokenizer::ClaudeTo46, 1_140 + 6),
        (&prose, Tokenizer::ClaudeFrom47, 1_370 + 6),
        (&json, Tokenizer::ClaudeFrom47, 1_690 + 6),
        (&json, Tokenizer::DeepSeek, 1_050 + 6),
        (&other, Tokenizer::ClaudeTo46, 2_200 + 6),
        (&other, Tokenizer::Unknown, 1_300 + 6),
    ] {
        assert_eq!(estimate_input(&plain(text), family), tokens, "{family:?}");
    }
}

#[test]
fn overheads_count_messages_tools_and_images() {
    let text = TextBytes::default();
    let input = Input { text: &text, messages: 3, tools: 2, schema_bytes: 400, images: 1 };
    assert_eq!(estimate_input(&input, Tokenizer::OpenAi), 6 + 3 * 4 + 24 + 2 * 6 + 100 + 1_600);
    assert_eq!(
        estimate_input(&input, Tokenizer::ClaudeTo46),
        6 + 3 * 2 + 549 + 2 * 53 + 125 + 1_600
    );
    let bare = Input { tools: 0, schema_bytes: 0, images: 0, ..input };
    assert_eq!(estimate_input(&bare, Tokenizer::Gemini), 6 + 12);
}

#[test]
fn delivered_text_is_counted_rounding_up() {
    assert_eq!(estimate_output(0, Tokenizer::OpenAi), 0);
    assert_eq!(estimate_output(1, Tokenizer::OpenAi), 1);
    assert_eq!(estimate_output(4_000, Tokenizer::ClaudeTo46), 1_140);
    assert!(estimate_output(u64::MAX, Tokenizer::ClaudeTo46) > 0);
}

/// Twenty prompts of the shipped kind, whose true count is 1.4 times the estimate.
#[test]
fn calibration_reaches_five_percent_after_twenty_samples() {
    let mut table = Calibration::new(3);
    let truth = |estimated: u64, sample: u64| estimated * (1_380 + sample * 37 % 41) / 1_000;
    for sample in 0..20 {
        let estimated = 500 + sample * 211;
        assert_eq!(table.correct(1, Script::Prose, estimated), estimated, "too early to know");
        assert_eq!(table.bound(1, Script::Prose, estimated, 9_999), 9_999);
        table.record(1, Script::Prose, estimated, truth(estimated, sample));
    }
    let mut error = 0.0;
    for sample in 20..40 {
        let estimated = 500 + sample * 211;
        let actual = truth(estimated, sample);
        let corrected = table.correct(1, Script::Prose, estimated);
        error += corrected.abs_diff(actual) as f64 / actual as f64 / 20.0;
        let bound = table.bound(1, Script::Prose, estimated, estimated * 4);
        assert!(bound >= actual && bound < estimated * 2, "{bound} for {actual}");
    }
    assert!(error <= 0.05, "mean error {error}");
    assert_eq!(table.correct(1, Script::Code, 100), 100, "another script has its own cell");
    assert_eq!(table.correct(2, Script::Prose, 100), 100, "another offer has its own cell");
}

#[test]
fn calibration_is_bounded_against_nonsense() {
    let mut table = Calibration::new(1);
    for _ in 0..1_000 {
        table.record(0, Script::Json, 1, u64::MAX);
        table.record(7, Script::Json, 10, 10);
        table.record(0, Script::Json, 0, 10);
    }
    assert_eq!(table.correct(0, Script::Json, 100), 300, "clamped to three");
    for _ in 0..1_000 {
        table.record(0, Script::Json, u64::MAX, 1);
    }
    assert_eq!(table.correct(0, Script::Json, 100), 51, "clamped to a half, and rounded up");
    assert_eq!(table.correct(7, Script::Json, 100), 100);
}

proptest! {
    #[test]
    fn no_estimate_of_plain_text_exceeds_its_bound(
        text in "\\PC{0,400}", messages in 0_u32..50, tools in 0_u32..20, images in 0_u32..5,
    ) {
        let text = bytes(&text);
        let schema_bytes = u64::from(tools) * 80;
        let input = Input { text: &text, messages, tools, schema_bytes, images };
        for family in FAMILIES {
            prop_assert!(estimate_input(&input, family) <= bound_input(&input, family) + 1);
        }
    }

    #[test]
    fn more_text_is_never_fewer_tokens(total in 0_u64..u64::MAX / 2, more in 0_u64..1_000_000) {
        for family in FAMILIES {
            prop_assert!(estimate_output(total + more, family) >= estimate_output(total, family));
        }
    }
}
