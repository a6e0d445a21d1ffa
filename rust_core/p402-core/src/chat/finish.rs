//! Decides why an answer ended, in the five words of the OpenAI wire.
//! Does not know where a word stood: each dialect reads its own field.

/// The five finish reasons of the OpenAI wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    FunctionCall,
}

impl FinishReason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::FunctionCall => "function_call",
        }
    }

    /// Maps any vendor's word to the five (compat.md § 4.4); unknown words are `Stop`.
    pub fn from_vendor(word: &str) -> Self {
        match word {
            "length"
            | "max_tokens"
            | "MAX_TOKENS"
            | "max_output_tokens"
            | "model_context_window_exceeded" => Self::Length,
            "tool_calls" | "tool_use" | "tool_call" => Self::ToolCalls,
            "content_filter" | "safety" | "SAFETY" | "refusal" | "RECITATION" | "BLOCKLIST"
            | "PROHIBITED_CONTENT" | "SPII" => Self::ContentFilter,
            "function_call" => Self::FunctionCall,
            _ => Self::Stop,
        }
    }
}
