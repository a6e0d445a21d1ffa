//! Decides what the word means that an upstream ends an answer with.
//! Does not know the vendors' words themselves: `FinishReason` does.

use crate::chat::FinishReason;

/// What a finish word means.
pub(super) enum Finish {
    None,
    Reason(FinishReason),
    Error,
}

/// Words that mean an ordinary end; every other word nobody knows is counted.
const STOPS: [&str; 9] = [
    "stop",
    "STOP",
    "end_turn",
    "eos",
    "eos_token",
    "stop_sequence",
    "end",
    "completed",
    "COMPLETE",
];

/// Reads a finish word (compat.md § 4.4).
pub(super) fn read_finish(word: &str, has_calls: bool, unknown: &mut u32) -> Finish {
    let reason = match word {
        "" | "null" => return Finish::None,
        "error" => return Finish::Error,
        _ => FinishReason::from_vendor(word),
    };
    if reason == FinishReason::Stop && !STOPS.contains(&word) {
        *unknown = unknown.saturating_add(1);
    }
    Finish::Reason(match reason {
        FinishReason::Stop if has_calls => FinishReason::ToolCalls,
        other => other,
    })
}

/// The five words, `None` for any other.
pub(super) fn regular_finish(word: &[u8], has_calls: bool) -> Option<FinishReason> {
    match word {
        b"stop" if !has_calls => Some(FinishReason::Stop),
        b"length" => Some(FinishReason::Length),
        b"tool_calls" => Some(FinishReason::ToolCalls),
        b"content_filter" => Some(FinishReason::ContentFilter),
        b"function_call" => Some(FinishReason::FunctionCall),
        _ => None,
    }
}

/// The finish word of a whole answer's choice.
pub(super) fn whole_finish(word: &str, has_calls: bool) -> Option<FinishReason> {
    match read_finish(word, has_calls, &mut 0) {
        Finish::Error => None,
        Finish::Reason(reason) => Some(reason),
        Finish::None if has_calls => Some(FinishReason::ToolCalls),
        Finish::None => Some(FinishReason::Stop),
    }
}
