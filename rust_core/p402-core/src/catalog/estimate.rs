//! Decides how many tokens bytes will be, before anyone has counted them (catalog.md § 10).
//! Does not tokenise: one table of factors over byte counts, corrected by calibrate.rs.

use super::types::Tokenizer;
use crate::envelope::TextBytes;

/// The columns of the factor table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    Prose,
    Code,
    Json,
    /// Mostly not ASCII.
    Other,
}

/// What a request holds, as counts.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub text: &'a TextBytes,
    pub messages: u32,
    pub tools: u32,
    /// Bytes of all tool schemas, and of a response format's schema.
    pub schema_bytes: u64,
    pub images: u32,
}

/// Tokens of an image whose tiles nobody counted.
const IMAGE_TOKENS: u64 = 1_600;
/// Bytes of one o200k token, times a thousand: factors are in thousandths.
const BYTES_PER_TOKEN_MILLI: u64 = 4_000;

/// Fixed costs of a chat request beyond its text.
struct Overhead {
    base: u64,
    message: u64,
    tools: u64,
    tool: u64,
}

const OPENAI: Overhead = Overhead { base: 6, message: 4, tools: 24, tool: 6 };
const CLAUDE: Overhead = Overhead { base: 6, message: 2, tools: 549, tool: 53 };

impl Script {
    pub const ALL: [Self; 4] = [Self::Prose, Self::Code, Self::Json, Self::Other];

    /// The column a text belongs to, by the shares of its bytes.
    pub const fn of(text: &TextBytes) -> Self {
        let tenths = text.total / 10;
        if text.non_ascii > tenths.saturating_mul(3) {
            Self::Other
        } else if text.structure > tenths + tenths / 2 {
            Self::Json
        } else if text.ascii_letters + text.non_ascii < tenths.saturating_mul(7) {
            // Prose is letters and spaces: about four bytes in five are letters.
            Self::Code
        } else {
            Self::Prose
        }
    }
}

impl Tokenizer {
    /// The family of a canonical model name.
    pub fn of(canonical: &str) -> Self {
        let name = canonical.rsplit('/').next().unwrap_or(canonical);
        let starts = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        if starts(&["claude"]) {
            return if claude_version(name) >= (4, 7) {
                Self::ClaudeFrom47
            } else {
                Self::ClaudeTo46
            };
        }
        if starts(&["gpt-", "chatgpt", "o1", "o3", "o4", "codex"]) {
            Self::OpenAi
        } else if starts(&["gemini", "gemma"]) {
            Self::Gemini
        } else if starts(&["deepseek"]) {
            Self::DeepSeek
        } else {
            Self::Unknown
        }
    }

    /// Tokens relative to o200k, in thousandths.
    pub const fn factor_milli(self, script: Script) -> u64 {
        let (prose, code, json, other) = match self {
            Self::OpenAi => (1_000, 1_000, 1_000, 1_000),
            Self::ClaudeTo46 => (1_140, 1_170, 1_250, 2_200),
            Self::ClaudeFrom47 => (1_370, 1_550, 1_690, 2_200),
            Self::Gemini => (1_080, 1_080, 1_080, 1_080),
            Self::DeepSeek => (1_020, 1_070, 1_050, 1_180),
            Self::Unknown => (1_150, 1_150, 1_150, 1_300),
        };
        match script {
            Script::Prose => prose,
            Script::Code => code,
            Script::Json => json,
            Script::Other => other,
        }
    }

    const fn overhead(self) -> Overhead {
        match self {
            Self::ClaudeTo46 | Self::ClaudeFrom47 => CLAUDE,
            _ => OPENAI,
        }
    }
}

/// Expected input tokens: text and schemas by the factor table, plus the overheads.
pub fn estimate_input(input: &Input, tokenizer: Tokenizer) -> u64 {
    let text = tokens(input.text.total, tokenizer.factor_milli(Script::of(input.text)));
    let schema = tokens(input.schema_bytes, tokenizer.factor_milli(Script::Json));
    text.saturating_add(schema).saturating_add(overheads(input, &tokenizer.overhead()))
}

/// A bound that no byte-level vocabulary exceeds: a token is at least one byte.
pub fn bound_input(input: &Input, tokenizer: Tokenizer) -> u64 {
    input
        .text
        .total
        .saturating_add(input.schema_bytes)
        .saturating_add(overheads(input, &tokenizer.overhead()))
}

/// Tokens of delivered text, where an upstream ended without saying.
pub const fn estimate_output(text_bytes: u64, tokenizer: Tokenizer) -> u64 {
    tokens(text_bytes, tokenizer.factor_milli(Script::Prose))
}

const fn tokens(bytes: u64, factor_milli: u64) -> u64 {
    bytes.saturating_mul(factor_milli).div_ceil(BYTES_PER_TOKEN_MILLI)
}

fn overheads(input: &Input, overhead: &Overhead) -> u64 {
    let tools = match input.tools {
        0 => 0,
        count => overhead.tools + overhead.tool * u64::from(count),
    };
    overhead.base
        + overhead.message * u64::from(input.messages)
        + tools
        + IMAGE_TOKENS * u64::from(input.images)
}

/// (major, minor) of `claude-opus-4-6`, `claude-3-5-sonnet`, `claude-haiku-4.5-20251001`;
/// an unreadable one counts as the newest, which is the dear side.
fn claude_version(name: &str) -> (u32, u32) {
    let mut parts = name
        .split(['-', '.', '@', ':'])
        .filter(|part| part.len() <= 2)
        .filter_map(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), minor) => (major, minor.unwrap_or(0)),
        (None, _) => (u32::MAX, 0),
    }
}
