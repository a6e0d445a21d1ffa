//! Decides what of a delivered answer is plain text that can be told again, and what is more.
//! Does not decide whether it is kept: that is the cache's business.

use super::StreamAsk;
use super::answer::{AnswerFault, read_answer};
use crate::catalog::UsageShape;
use crate::dialect::wire::object::{Object, items};
use crate::id::RequestId;

/// Keys of a message that are read here, or that say nothing to a second reader.
const READ: [&str; 7] = [
    "role",
    "content",
    "refusal",
    "tool_calls",
    "annotations",
    "reasoning_details",
    "function_call",
];
const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];

/// A delivered answer, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    pub model: String,
    pub content: String,
    /// The key it came under, and the text.
    pub reasoning: Option<(String, String)>,
    pub finish_reason: &'static str,
    pub choices: u32,
    pub tool_calls: bool,
    pub refused: bool,
    /// Something that a replay of text would leave out.
    pub extras: bool,
}

/// Reads an answer as its client got it: a body, or all frames of a stream to its `[DONE]`.
///
/// # Errors
/// It is not whole, or no answer.
pub fn plain(delivered: &[u8]) -> Result<Plain, AnswerFault> {
    let ask = StreamAsk {
        n: 1,
        client_wants_usage: true,
        offer_model: String::new(),
        usage_shape: UsageShape::OpenAi,
        created: 0,
        request_id: RequestId::from_bits(0),
    };
    let answer = read_answer(delivered, &ask)?;
    let bad = || AnswerFault::Malformed("the answer has no message".to_owned());
    let top = Object::parse(&answer.body).ok_or_else(bad)?;
    let list = top.get("choices").and_then(items).ok_or_else(bad)?;
    let choice = list.first().and_then(|item| Object::parse(item)).ok_or_else(bad)?;
    let message = choice.get("message").and_then(Object::parse).ok_or_else(bad)?;
    let reasoning = REASONING.iter().find_map(|key| Some(((*key).to_owned(), message.name(key)?)));
    let filled = |key: &str| message.present(key).is_some_and(|value| value != b"[]");
    let mut unread = false;
    message.each(|key, value| {
        let silent = matches!(value, b"null" | b"[]" | b"{}" | b"\"\"");
        unread |= !READ.contains(&key) && !REASONING.contains(&key) && !silent;
    });
    let content = message.text("content").unwrap_or_default().into_owned();
    Ok(Plain {
        content,
        reasoning,
        finish_reason: answer.finish_reason.map_or("", |reason| reason.name()),
        choices: u32::try_from(list.len()).unwrap_or(u32::MAX),
        tool_calls: filled("tool_calls") || filled("function_call"),
        refused: message.name("refusal").is_some(),
        extras: unread || filled("annotations") || choice.present("logprobs").is_some(),
        model: answer.model,
    })
}
