//! Decides the facts that one scan of a chat body yields.
//! Does not hold text: spans point into the body that was scanned.

use crate::catalog::Effort;

/// A byte range of the scanned body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// A top-level member: its key's opening quote to its value's last byte, and the value alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    pub whole: Span,
    pub value: Span,
}

/// A count that may be rewritten in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub field: Field,
    pub value: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    #[default]
    Absent,
    Auto,
    None,
    Required,
    Function,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFormat {
    #[default]
    Absent,
    Text,
    JsonObject,
    JsonSchema,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    System,
    Developer,
    #[default]
    User,
    Assistant,
    Tool,
    Function,
}

/// What kinds of content stand anywhere in the transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub images: u32,
    pub audio: u32,
    pub files: u32,
    /// A picture or file is a link, wherever it points.
    pub linked: bool,
    /// A link part whose host is loopback, private or link-local (compat.md § 9.1 `local_url`).
    pub local_url: bool,
}

/// Byte counts of all text in the transcript, for the token estimate (catalog.md § 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextBytes {
    /// All bytes of strings counted as text.
    pub total: u64,
    pub ascii_letters: u64,
    pub ascii_digits: u64,
    /// `{}[]":,` inside text.
    pub structure: u64,
    pub non_ascii: u64,
}

/// Everything the gateway knows of a chat body. Spans are raw JSON (quotes and escapes inside).
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, none a state")]
pub struct Scan {
    /// The model's name, unescaped; may be empty.
    pub model: String,
    pub model_field: Field,
    pub p402: Option<Field>,
    pub stream: bool,
    pub stream_options: Option<Field>,
    /// `stream_options.include_usage` is true.
    pub include_usage: bool,
    pub max_tokens: Option<Bound>,
    pub max_completion_tokens: Option<Bound>,
    /// Number of choices, 1 where absent.
    pub n: u32,
    pub tools: u32,
    /// Bytes of the tools array: the schemas count as input.
    pub tools_bytes: u64,
    pub tools_field: Option<Field>,
    /// Custom tools, a call of one, or a choice among some tools: words that OpenAI alone knows.
    pub own_tools: bool,
    /// A custom tool's input is bound by a grammar.
    pub grammar: bool,
    pub tool_choice: ToolChoice,
    pub tool_choice_field: Option<Field>,
    pub response_format: ResponseFormat,
    pub response_format_bytes: u64,
    pub reasoning_effort: Option<Effort>,
    pub reasoning_effort_field: Option<Field>,
    pub logprobs: bool,
    /// `modalities` asks for audio out.
    pub audio_out: bool,
    pub service_tier: Option<String>,
    /// Temperature in tenths, rounded; `None` where absent.
    pub temperature_tenths: Option<u16>,
    pub messages: u32,
    pub system: Option<Span>,
    /// The raw content values of the last three user messages, latest first.
    pub user_texts: Vec<Span>,
    pub first_user: Option<Span>,
    pub user_turns: u32,
    /// Role values (quotes inside) that say `developer`: some upstreams know only `system`.
    pub developer_roles: Vec<Span>,
    pub last_role: Role,
    /// The last assistant message has tool calls that no tool message has answered, or the last
    /// message is a tool result.
    pub in_tool_loop: bool,
    pub tool_turns: u32,
    /// The transcript carries `reasoning_content`, `reasoning_details` or thought signatures.
    pub reasoning_state: bool,
    pub parts: Parts,
    pub text: TextBytes,
    /// Every top-level member in order: (unescaped key, field).
    pub fields: Vec<(String, Field)>,
}

impl Span {
    /// The bytes of this span; empty where it does not lie inside `body`.
    pub fn of<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

impl Scan {
    /// The member of this (unescaped) name.
    pub fn field(&self, name: &str) -> Option<Field> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, field)| *field)
    }
    /// The client's output bound, whichever of the two names it used.
    pub fn output_bound(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens).map(|bound| bound.value)
    }
}
