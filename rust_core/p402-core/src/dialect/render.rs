//! Decides how a decoded answer is written on OpenAI's wire: chunks of a stream, or one completion.
//! Does not decide what leaves when, nor metadata: both go through the code that serves OpenAI.

use super::openai::StreamAsk;
use super::translate::{Kept, Translated};
use super::wire::json::{quoted, text_of, write_quoted};
use super::wire::object::{Object, array};
use crate::chat::FinishReason;
use crate::usage::Usage;
use std::borrow::Cow;

/// Writes the chunks of one stream; all carry the same identity.
#[derive(Debug)]
pub(super) struct Chunks {
    created: i64,
    /// Everything before the delta.
    head: Vec<u8>,
    call_ids: Vec<String>,
    thoughts: Vec<Vec<u8>>,
}

/// A call that was read whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// The JSON of the arguments, not yet a string.
    pub(super) arguments: String,
    /// A vendor's own member, as JSON (`extra_content`).
    pub(super) extra: Option<Vec<u8>>,
}

/// One answer that was read whole.
#[derive(Debug, Default)]
pub(super) struct Completion {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) text: String,
    pub(super) reasoning: String,
    /// Whole thoughts as JSON objects, to be sent back as they are.
    pub(super) details: Vec<Vec<u8>>,
    /// Signatures that go out on their calls, to be remembered like thoughts.
    pub(super) silent: Vec<Vec<u8>>,
    pub(super) annotations: Vec<Vec<u8>>,
    pub(super) refusal: Option<String>,
    pub(super) calls: Vec<Call>,
    pub(super) finish: Option<FinishReason>,
    pub(super) usage: Option<Usage>,
    pub(super) service_tier: Option<String>,
}

/// How a call begins: id and name as JSON strings, and more members with their comma.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    pub(super) id: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) extra: &'a [u8],
}

/// The end of a stream.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

impl Chunks {
    pub(super) fn new(ask: &StreamAsk) -> Self {
        let mut chunks = Self {
            created: ask.created,
            head: Vec::new(),
            call_ids: Vec::new(),
            thoughts: Vec::new(),
        };
        let id = format!("\"chatcmpl-{:032x}\"", ask.request_id.bits());
        chunks.identify(id.as_bytes(), &quoted(&ask.offer_model));
        chunks
    }

    /// Both as JSON strings.
    pub(super) fn identify(&mut self, id: &[u8], model: &[u8]) {
        self.head.clear();
        self.head.extend_from_slice(b"data: {\"id\":");
        self.head.extend_from_slice(id);
        let created = self.created.to_string();
        let parts: [&[u8]; 5] = [
            b",\"object\":\"chat.completion.chunk\",\"created\":",
            created.as_bytes(),
            b",\"model\":",
            model,
            b",\"choices\":[",
        ];
        self.head.extend_from_slice(&parts.concat());
    }

    /// One chunk with this delta, the inside of an object.
    pub(super) fn delta(&self, out: &mut Vec<u8>, parts: &[&[u8]]) {
        self.chunk(out, parts, b"null", &[]);
    }

    pub(super) fn role(&self, out: &mut Vec<u8>) {
        self.delta(out, &[b"\"role\":\"assistant\",\"content\":\"\""]);
    }

    /// The opening of a call: everything but its arguments.
    pub(super) fn call(&mut self, out: &mut Vec<u8>, index: usize, opening: Opening<'_>) {
        let Opening { id, name, extra } = opening;
        self.call_ids.extend(text_of(id).map(Cow::into_owned));
        let index = index.to_string();
        self.delta(
            out,
            &[
                b"\"tool_calls\":[{\"index\":",
                index.as_bytes(),
                b",\"id\":",
                id,
                b",\"type\":\"function\",\"function\":{\"name\":",
                name,
                b",\"arguments\":\"\"}",
                extra,
                b"}]",
            ],
        );
    }

    /// A whole thought, which goes out and is remembered.
    pub(super) fn thought(&mut self, out: &mut Vec<u8>, detail: Vec<u8>) {
        self.delta(out, &[b"\"reasoning_details\":[", &detail, b"]"]);
        self.remember(detail);
    }

    pub(super) fn remember(&mut self, detail: Vec<u8>) {
        self.thoughts.push(detail);
    }

    pub(super) const fn thoughts(&self) -> usize {
        self.thoughts.len()
    }

    pub(super) const fn calls(&self) -> usize {
        self.call_ids.len()
    }

    pub(super) fn kept(&self) -> Option<Kept> {
        kept(self.call_ids.iter(), &self.thoughts)
    }

    /// More of a call's arguments, as a JSON string.
    pub(super) fn arguments(&self, out: &mut Vec<u8>, index: usize, json: &[u8]) {
        let index = index.to_string();
        self.delta(
            out,
            &[
                b"\"tool_calls\":[{\"index\":",
                index.as_bytes(),
                b",\"function\":{\"arguments\":",
                json,
                b"}}]",
            ],
        );
    }

    pub(super) fn finish(&self, out: &mut Vec<u8>, reason: FinishReason, tier: Option<&str>) {
        let word = quoted(reason.name());
        let tier = tier.map(|tier| [b",\"service_tier\":", &quoted(tier)[..]].concat());
        self.chunk(out, &[], &word, tier.as_deref().unwrap_or_default());
    }

    /// The usage chunk; where it comes twice the last one counts.
    pub(super) fn usage(&self, out: &mut Vec<u8>, usage: Option<&Usage>) {
        let Some(usage) = usage else { return };
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],\"usage\":");
        out.extend_from_slice(&usage_json(usage));
        out.extend_from_slice(b"}\n\n");
    }

    /// A chunk that says nothing but at which tier the answer was served.
    pub(super) fn tier(&self, out: &mut Vec<u8>, tier: &str) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],\"service_tier\":");
        write_quoted(out, tier);
        out.extend_from_slice(b"}\n\n");
    }

    fn chunk(&self, out: &mut Vec<u8>, delta: &[&[u8]], finish: &[u8], top: &[u8]) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"{\"index\":0,\"delta\":{");
        for part in delta {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":");
        out.extend_from_slice(finish);
        out.extend_from_slice(b"}]");
        out.extend_from_slice(top);
        out.extend_from_slice(b"}\n\n");
    }
}

/// Thoughts without a call need not come back.
fn kept<'a>(calls: impl Iterator<Item = &'a String>, thoughts: &[Vec<u8>]) -> Option<Kept> {
    let call_ids: Vec<String> = calls.cloned().collect();
    if call_ids.is_empty() || thoughts.is_empty() {
        return None;
    }
    let list = array(thoughts.iter().map(Vec::as_slice));
    Some(Kept { call_ids, thoughts: String::from_utf8(list).ok()? })
}

impl Completion {
    pub(super) fn translated(&self, ask: &StreamAsk) -> Translated {
        let calls = self.calls.iter().map(|call| &call.id);
        let thoughts = if self.silent.is_empty() { &self.details } else { &self.silent };
        Translated { body: self.write(ask), kept: kept(calls, thoughts) }
    }

    fn write(&self, ask: &StreamAsk) -> Vec<u8> {
        let mut top = Object::default();
        if let Some(id) = &self.id {
            top.set("id", quoted(id));
        }
        top.set("object", b"\"chat.completion\"".as_slice());
        top.set("created", ask.created.to_string().into_bytes());
        top.set("model", quoted(self.model.as_deref().unwrap_or(&ask.offer_model)));
        let mut choice = Object::default();
        choice.set("index", b"0".as_slice());
        choice.set("message", self.message());
        choice.set("logprobs", b"null".as_slice());
        if let Some(finish) = self.finish {
            choice.set("finish_reason", quoted(finish.name()));
        }
        top.set("choices", array([choice.write().as_slice()]));
        if let Some(usage) = &self.usage {
            top.set("usage", usage_json(usage));
        }
        if let Some(tier) = &self.service_tier {
            top.set("service_tier", quoted(tier));
        }
        top.write()
    }

    fn message(&self) -> Vec<u8> {
        let null = || b"null".to_vec();
        let mut message = Object::default();
        message.set("role", b"\"assistant\"".as_slice());
        let silent = self.text.is_empty() && !self.calls.is_empty();
        message.set("content", if silent { null() } else { quoted(&self.text) });
        if !self.reasoning.is_empty() {
            message.set("reasoning_content", quoted(&self.reasoning));
        }
        if !self.details.is_empty() {
            message.set("reasoning_details", array(self.details.iter().map(Vec::as_slice)));
        }
        message.set("refusal", self.refusal.as_deref().map_or_else(null, quoted));
        message.set("annotations", array(self.annotations.iter().map(Vec::as_slice)));
        if !self.calls.is_empty() {
            let calls: Vec<Vec<u8>> = self.calls.iter().map(Call::write).collect();
            message.set("tool_calls", array(calls.iter().map(Vec::as_slice)));
        }
        message.write()
    }
}

impl Call {
    fn write(&self) -> Vec<u8> {
        let mut out = b"{\"id\":".to_vec();
        write_quoted(&mut out, &self.id);
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        write_quoted(&mut out, &self.name);
        out.extend_from_slice(b",\"arguments\":");
        write_quoted(&mut out, if self.arguments.is_empty() { "{}" } else { &self.arguments });
        out.push(b'}');
        if let Some(extra) = &self.extra {
            out.extend_from_slice(b",\"extra_content\":");
            out.extend_from_slice(extra);
        }
        out.push(b'}');
        out
    }
}

/// Counts in the form that `UsageShape::Canonical` reads back.
pub(super) fn usage_json(usage: &Usage) -> Vec<u8> {
    let Usage { cache_read, cache_write, cache_write_1h, output, reasoning, .. } = *usage;
    let (input, total) = (usage.input(), usage.input().saturating_add(output));
    format!(
        "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{total},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{cache_read},\
         \"cache_write_tokens\":{cache_write},\"cache_write_1h_tokens\":{cache_write_1h}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}}}"
    )
    .into_bytes()
}
