//! Decides how a chat completion reads as a Messages answer: blocks, stop reason, counts.
//! Does not stream (events.rs), which ends in the same `stop` and `usage`.

use super::marks::marked;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array};
use crate::door::ending::Ending;
use crate::door::gathered::{Call, Gathered};
use crate::usage::Usage;

/// The whole answer.
pub(super) fn message(completion: &[u8]) -> Vec<u8> {
    let top = Object::parse(completion).unwrap_or_default();
    let (ending, gathered) = (Ending::of(&top), Gathered::of(&top));
    let mut blocks: Vec<Vec<u8>> =
        gathered.thoughts.iter().filter_map(|json| thought(json)).collect();
    if blocks.is_empty() && !gathered.reasoning.is_empty() {
        blocks.push(thinking(&gathered.reasoning, ""));
    }
    let said = [&gathered.text, &gathered.refusal];
    blocks.extend(said.into_iter().filter(|text| !text.is_empty()).map(|text| text_block(text)));
    blocks.extend(gathered.calls.iter().map(tool_use));
    let mut message = opening(&ending);
    message.set("content", array(blocks.iter().map(Vec::as_slice)));
    message.set("stop_reason", quoted(stop(&ending.finish)));
    message.set("usage", usage(&ending.usage));
    if let Some(metadata) = ending.metadata {
        message.set("p402_metadata", metadata);
    }
    message.write()
}

/// A message before anything was said.
pub(super) fn opening(ending: &Ending) -> Object<'static> {
    let mut message = Object::default();
    message.set("id", quoted(&ending.named("msg_")));
    message.set("type", b"\"message\"".as_slice());
    message.set("role", b"\"assistant\"".as_slice());
    message.set("model", quoted(&ending.model));
    message.set("content", b"[]".as_slice());
    message.set("stop_reason", b"null".as_slice());
    message.set("stop_sequence", b"null".as_slice());
    message.set("stop_details", b"null".as_slice());
    message.set("container", b"null".as_slice());
    message.set("usage", usage(&Usage::default()));
    message
}

/// Anthropic's word for the end of an answer.
pub(super) fn stop(finish: &str) -> &'static str {
    match finish {
        "length" => "max_tokens",
        "tool_calls" | "function_call" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    }
}

/// Counts as Anthropic has them: what caches served and took is not in `input_tokens`.
pub(super) fn usage(usage: &Usage) -> Vec<u8> {
    let Usage { fresh, cache_read, cache_write, cache_write_1h, output, reasoning } = *usage;
    let written = cache_write.saturating_add(cache_write_1h);
    format!(
        "{{\"input_tokens\":{fresh},\"cache_creation_input_tokens\":{written},\
         \"cache_read_input_tokens\":{cache_read},\"cache_creation\":\
         {{\"ephemeral_5m_input_tokens\":{cache_write},\
         \"ephemeral_1h_input_tokens\":{cache_write_1h}}},\"output_tokens\":{output},\
         \"output_tokens_details\":{{\"thinking_tokens\":{reasoning}}},\
         \"server_tool_use\":null,\"service_tier\":null,\"inference_geo\":null}}"
    )
    .into_bytes()
}

/// A whole thought as a block; `None` where there is nothing to show or to send back.
pub(super) fn thought(detail: &[u8]) -> Option<Vec<u8>> {
    let detail = Object::parse(detail)?;
    if let Some(sealed) = marked(&detail, "data") {
        return Some(redacted(&sealed));
    }
    let signature = marked(&detail, "signature").unwrap_or_default();
    Some(thinking(&detail.text("text")?, &signature))
}

pub(super) fn redacted(sealed: &str) -> Vec<u8> {
    [b"{\"type\":\"redacted_thinking\",\"data\":", &quoted(sealed)[..], b"}"].concat()
}

fn thinking(text: &str, signature: &str) -> Vec<u8> {
    let [text, signature] = [text, signature].map(quoted);
    let parts: [&[u8]; 5] =
        [b"{\"type\":\"thinking\",\"thinking\":", &text, b",\"signature\":", &signature, b"}"];
    parts.concat()
}

fn text_block(text: &str) -> Vec<u8> {
    [b"{\"type\":\"text\",\"citations\":null,\"text\":", &quoted(text)[..], b"}"].concat()
}

fn tool_use(call: &Call) -> Vec<u8> {
    let whole = Object::parse(call.arguments.as_bytes()).is_some();
    let input = if whole { call.arguments.as_bytes() } else { b"{}" };
    called(&quoted(&call.id), &quoted(&call.name), input)
}

/// A call's block; id and name are JSON strings.
pub(super) fn called(id: &[u8], name: &[u8], input: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 7] = [
        b"{\"type\":\"tool_use\",\"caller\":{\"type\":\"direct\"},\"id\":",
        id,
        b",\"name\":",
        name,
        b",\"input\":",
        input,
        b"}",
    ];
    parts.concat()
}
