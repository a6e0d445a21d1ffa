//! Decides how a generateContent answer becomes a chat completion: parts, finish words, usage.
//! Does not stream (stream.rs), which ends in the same `stop` and `usage` functions.

use super::THOUGHTS;
use crate::chat::FinishReason;
use crate::dialect::openai::{AnswerFault, StreamAsk, in_stream};
use crate::dialect::render::{Call, Completion};
use crate::dialect::thoughts::sealed;
use crate::dialect::wire::object::{Object, first, items};
use crate::usage::{Usage, UsageShape, read_usage};

/// One piece of an answer.
pub(super) enum Said<'a> {
    /// As JSON, quotes included.
    Text(&'a [u8]),
    Thought(&'a [u8]),
    Call(Call),
}

/// Reads a whole answer.
pub(super) fn answer(body: &[u8], ask: &StreamAsk) -> Result<Completion, AnswerFault> {
    let bad = |why: &str| AnswerFault::Malformed(why.to_owned());
    let top = Object::parse(body).filter(|_| std::str::from_utf8(body).is_ok());
    let top = top.ok_or_else(|| bad("the upstream's answer is not JSON"))?;
    if top.present("error").is_some() {
        return Err(AnswerFault::Upstream(Box::new(in_stream(body))));
    }
    let mut completion = Completion {
        id: top.name("responseId"),
        model: top.name("modelVersion"),
        usage: top.present("usageMetadata").and_then(usage),
        ..Completion::default()
    };
    let Some(candidate) = candidate(&top) else {
        if !is_blocked(&top) {
            return Err(bad("the upstream's answer has no candidate"));
        }
        completion.finish = Some(FinishReason::ContentFilter);
        return Ok(completion);
    };
    for part in parts(&content(&candidate)) {
        let part = Object::parse(part).ok_or_else(|| bad("a part is not an object"))?;
        match said(&part, ask, completion.calls.len()) {
            Some(Said::Text(_)) => completion.text.push_str(&part.text("text").unwrap_or_default()),
            Some(Said::Thought(_)) => {
                completion.reasoning.push_str(&part.text("text").unwrap_or_default());
            }
            Some(Said::Call(call)) => {
                completion.calls.push(call);
                if let Some(signature) = part.text("thoughtSignature") {
                    let index = completion.silent.len();
                    completion.silent.push(sealed(&signature, THOUGHTS, index));
                }
            }
            None => {}
        }
    }
    let word = candidate.text("finishReason").unwrap_or_default();
    let finish = stop(&word, !completion.calls.is_empty());
    completion.finish = Some(finish.map_err(|why| bad(&why))?);
    Ok(completion)
}

/// The one candidate that was asked for.
pub(super) fn candidate<'a>(top: &'a Object<'_>) -> Option<Object<'a>> {
    top.get("candidates").and_then(first).and_then(Object::parse)
}

pub(super) fn content<'a>(candidate: &'a Object<'_>) -> Object<'a> {
    candidate.get("content").and_then(Object::parse).unwrap_or_default()
}

pub(super) fn parts<'a>(content: &'a Object<'_>) -> Vec<&'a [u8]> {
    content.get("parts").and_then(items).unwrap_or_default()
}

/// What a part says; calls are numbered over the whole answer.
pub(super) fn said<'a>(part: &'a Object<'_>, ask: &StreamAsk, calls: usize) -> Option<Said<'a>> {
    if let Some(call) = part.get("functionCall").and_then(Object::parse) {
        let serial = ask.request_id.bits().wrapping_add(calls as u128);
        let signature = part.get("thoughtSignature").filter(|value| value.starts_with(b"\""));
        let extra = signature
            .map(|signature| [b"{\"google\":{\"thought_signature\":", signature, b"}}"].concat());
        let args = call.present("args").unwrap_or(b"{}");
        return Some(Said::Call(Call {
            id: call.name("id").unwrap_or_else(|| format!("call_{serial:032x}")),
            name: call.text("name").unwrap_or_default().into_owned(),
            arguments: String::from_utf8_lossy(args).into_owned(),
            extra,
        }));
    }
    let text = part.get("text").filter(|value| value.starts_with(b"\"") && *value != b"\"\"")?;
    let thought = part.get("thought") == Some(b"true");
    Some(if thought { Said::Thought(text) } else { Said::Text(text) })
}

/// A prompt that was turned away says why; an empty word says nothing.
pub(super) fn is_blocked(top: &Object<'_>) -> bool {
    let feedback = top.get("promptFeedback").and_then(Object::parse).unwrap_or_default();
    feedback.name("blockReason").is_some()
}

/// Why it stopped; the error is a word that means no end of an answer.
pub(super) fn stop(word: &str, has_calls: bool) -> Result<FinishReason, String> {
    Ok(match word {
        "STOP" if has_calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE"
        | "MODEL_ARMOR" => FinishReason::ContentFilter,
        word if word.starts_with("IMAGE_") => FinishReason::ContentFilter,
        word => return Err(format!("the answer ended in {word:?}")),
    })
}

/// The counts, where they can be believed.
pub(super) fn usage(json: &[u8]) -> Option<Usage> {
    let read = read_usage(json, UsageShape::GeminiExclThoughts);
    read.ok().map(|reported| reported.usage)
}
