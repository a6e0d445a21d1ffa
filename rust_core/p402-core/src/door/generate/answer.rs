//! Decides how a chat completion reads as a generateContent answer: parts, finish word, counts.
//! Does not stream (events.rs), which ends in the same `end` and `response`.

use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array};
use crate::door::ending::Ending;
use crate::door::gathered::{Call, Gathered};
use crate::usage::Usage;

/// The whole answer.
pub(super) fn whole(completion: &[u8], shows_thoughts: bool) -> Vec<u8> {
    let top = Object::parse(completion).unwrap_or_default();
    let (ending, gathered) = (Ending::of(&top), Gathered::of(&top));
    let mut parts: Vec<Vec<u8>> = Vec::new();
    if shows_thoughts && !gathered.reasoning.is_empty() {
        parts.push(written(&gathered.reasoning, true));
    }
    let said = [&gathered.text, &gathered.refusal].into_iter().filter(|text| !text.is_empty());
    parts.extend(said.map(|said| written(said, false)));
    parts.extend(gathered.calls.iter().map(call));
    response(&ending, &parts, true)
}

/// One answer, or one piece of it; the last piece says how it ended and what it counted.
pub(super) fn response(ending: &Ending, parts: &[Vec<u8>], last: bool) -> Vec<u8> {
    let parts = array(parts.iter().map(Vec::as_slice));
    let mut candidate = Object::default();
    candidate.set("content", [b"{\"parts\":", &parts[..], b",\"role\":\"model\"}"].concat());
    if last {
        candidate.set("finishReason", quoted(end(&ending.finish)));
    }
    candidate.set("index", b"0".as_slice());
    let mut response = Object::default();
    response.set("candidates", [b"[", &candidate.write()[..], b"]"].concat());
    if last {
        response.set("usageMetadata", usage(&ending.usage));
    }
    response.set("modelVersion", quoted(&ending.model));
    response.set("responseId", quoted(&ending.named("")));
    if let Some(metadata) = ending.metadata.as_ref().filter(|_| last) {
        response.set("p402_metadata", metadata.as_slice());
    }
    response.write()
}

/// What stands before and after the one part of a piece that is not the last.
pub(super) fn around(ending: &Ending) -> (Vec<u8>, Vec<u8>) {
    const PARTS: &[u8] = b"\"parts\":[";
    let mut before = response(ending, &[], false);
    let at = before.windows(PARTS.len()).position(|some| some == PARTS);
    let after = before.split_off(at.map_or(0, |at| at + PARTS.len()));
    (before, after)
}

/// Google's word for the end of an answer.
fn end(finish: &str) -> &'static str {
    match finish {
        "length" => "MAX_TOKENS",
        "content_filter" => "SAFETY",
        _ => "STOP",
    }
}

/// Counts as Google has them: what was cached is in the prompt, thoughts are not in the answer.
fn usage(usage: &Usage) -> Vec<u8> {
    let (input, output) = (usage.input(), usage.output);
    format!(
        "{{\"promptTokenCount\":{input},\"cachedContentTokenCount\":{},\
         \"candidatesTokenCount\":{},\"thoughtsTokenCount\":{},\"totalTokenCount\":{}}}",
        usage.cache_read,
        output.saturating_sub(usage.reasoning),
        usage.reasoning,
        input.saturating_add(output),
    )
    .into_bytes()
}

/// Writes a part that is text, by its JSON.
pub(super) fn text(out: &mut Vec<u8>, json: &[u8], is_thought: bool) {
    out.extend_from_slice(b"{\"text\":");
    out.extend_from_slice(json);
    out.extend_from_slice(if is_thought { b",\"thought\":true}" } else { b"}" });
}

fn written(said: &str, is_thought: bool) -> Vec<u8> {
    let mut part = Vec::new();
    text(&mut part, &quoted(said), is_thought);
    part
}

/// A whole call, with the signature its maker wants back.
pub(super) fn call(call: &Call) -> Vec<u8> {
    let is_object = Object::parse(call.arguments.as_bytes()).is_some();
    let args = if is_object { call.arguments.as_bytes() } else { b"{}" };
    let mut function = Object::default();
    function.set("id", quoted(&call.id));
    function.set("name", quoted(&call.name));
    function.set("args", args);
    let mut part = Object::default();
    part.set("functionCall", function.write());
    if !call.signature.is_empty() {
        part.set("thoughtSignature", quoted(&call.signature));
    }
    part.write()
}
