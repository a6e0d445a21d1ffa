//! Decides how a Converse answer becomes a chat completion: blocks, stop reasons, usage.
//! Does not stream (stream.rs), which ends in the same `stop` and `usage` functions.

use super::THOUGHTS;
use crate::chat::FinishReason;
use crate::dialect::openai::AnswerFault;
use crate::dialect::render::{Call, Completion};
use crate::dialect::thoughts::{sealed, signed};
use crate::dialect::wire::object::{Object, items};
use crate::usage::{Usage, UsageShape, read_usage};

/// Reads a whole answer.
pub(super) fn answer(body: &[u8]) -> Result<Completion, AnswerFault> {
    let bad = |why: &str| AnswerFault::Malformed(why.to_owned());
    let top = Object::parse(body).filter(|_| std::str::from_utf8(body).is_ok());
    let top = top.ok_or_else(|| bad("the upstream's answer is not JSON"))?;
    let output = top.get("output").and_then(Object::parse).unwrap_or_default();
    let message = output.get("message").and_then(Object::parse).unwrap_or_default();
    let blocks = message.get("content").and_then(items);
    let blocks = blocks.ok_or_else(|| bad("the upstream's answer has no content"))?;
    let mut completion = Completion::default();
    for block in blocks {
        let block = Object::parse(block).ok_or_else(|| bad("a block is not an object"))?;
        take(&mut completion, &block);
    }
    let word = top.text("stopReason").unwrap_or_default();
    completion.finish = Some(stop(&word).ok_or_else(|| bad("the answer did not come to an end"))?);
    completion.usage = usage(&top);
    completion.service_tier = service_tier(&top);
    Ok(completion)
}

fn take(completion: &mut Completion, block: &Object<'_>) {
    if let Some(text) = block.text("text") {
        completion.text.push_str(&text);
    } else if let Some(call) = block.get("toolUse").and_then(Object::parse) {
        let input = call.present("input").unwrap_or(b"{}");
        completion.calls.push(Call {
            id: call.text("toolUseId").unwrap_or_default().into_owned(),
            name: call.text("name").unwrap_or_default().into_owned(),
            arguments: String::from_utf8_lossy(input).into_owned(),
            extra: None,
        });
    } else if let Some(thought) = block.get("reasoningContent").and_then(Object::parse) {
        let index = completion.details.len();
        let open = thought.get("reasoningText").and_then(Object::parse);
        if let Some(open) = open {
            let text = open.text("text").unwrap_or_default();
            let signature = open.text("signature").unwrap_or_default();
            completion.details.push(signed(&text, &signature, THOUGHTS, index));
            completion.reasoning.push_str(&text);
        } else if let Some(blob) = thought.text("redactedContent") {
            completion.details.push(sealed(&blob, THOUGHTS, index));
        }
    } else if let Some(cited) = block.get("citationsContent").and_then(Object::parse) {
        // The cited text itself; what it rests on has no word in OpenAI's language.
        for part in cited.get("content").and_then(items).unwrap_or_default() {
            let part = Object::parse(part).unwrap_or_default();
            completion.text.push_str(&part.text("text").unwrap_or_default());
        }
    }
}

/// Why it stopped; `None` where the word means no end of an answer.
pub(super) fn stop(word: &str) -> Option<FinishReason> {
    match word {
        "end_turn" | "stop_sequence" => Some(FinishReason::Stop),
        "tool_use" => Some(FinishReason::ToolCalls),
        "max_tokens" | "model_context_window_exceeded" => Some(FinishReason::Length),
        "guardrail_intervened" | "content_filtered" => Some(FinishReason::ContentFilter),
        _ => None,
    }
}

/// The counts, where they can be believed. They are Anthropic's under other names.
pub(super) fn usage(top: &Object<'_>) -> Option<Usage> {
    let told = top.get("usage").and_then(Object::parse)?;
    let names = [
        ("input_tokens", "inputTokens"),
        ("output_tokens", "outputTokens"),
        ("cache_read_input_tokens", "cacheReadInputTokens"),
        ("cache_creation_input_tokens", "cacheWriteInputTokens"),
    ];
    let mut counts = Object::default();
    for (ours, theirs) in names {
        if let Some(count) = told.present(theirs) {
            counts.put(ours, count);
        }
    }
    if let Some(hour) = hour_writes(&told) {
        let split = format!("{{\"ephemeral_1h_input_tokens\":{hour}}}");
        counts.put("cache_creation", split.as_bytes());
    }
    let read = read_usage(&counts.write(), UsageShape::AnthropicExclCache);
    read.ok().map(|reported| reported.usage)
}

/// Writes that last an hour, where the split says so.
fn hour_writes(told: &Object<'_>) -> Option<u64> {
    let details = told.get("cacheDetails").and_then(items)?;
    let details = details.into_iter().filter_map(Object::parse);
    let hours = details.filter(|detail| detail.text("ttl").is_some_and(|ttl| ttl == "1h"));
    Some(hours.filter_map(|detail| detail.whole("inputTokens")).sum())
}

pub(super) fn service_tier(top: &Object<'_>) -> Option<String> {
    top.get("serviceTier").and_then(Object::parse)?.name("type")
}
