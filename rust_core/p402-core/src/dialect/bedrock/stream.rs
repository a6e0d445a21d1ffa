//! Decides how the events of a ConverseStream answer become chat chunks, one by one.
//! Does not hold text back: only thoughts are kept, since their signature comes last.

use super::THOUGHTS;
use super::decode::{service_tier, stop, usage};
use crate::chat::FinishReason;
use crate::dialect::events::malformed;
use crate::dialect::openai::{StreamAsk, StreamFault, in_stream};
use crate::dialect::render::{Chunks, DONE, Opening};
use crate::dialect::thoughts::{sealed, signed};
use crate::dialect::translate::{Decode, Kept};
use crate::dialect::wire::eventstream::{EventDecoder, EventFault, Message};
use crate::dialect::wire::json::{quoted, text_of};
use crate::dialect::wire::object::Object;

/// The longest thought that is kept until its signature comes.
const THOUGHT_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Decoder {
    frames: EventDecoder,
    chunks: Chunks,
    thought: Thought,
    /// The call that is being written has had no arguments yet.
    bare_call: bool,
    finish: Option<FinishReason>,
    done: bool,
}

/// The thought that is being written.
#[derive(Debug, Default)]
struct Thought {
    text: String,
    signature: Option<String>,
    blob: Option<String>,
}

impl Decoder {
    pub(super) fn new(ask: &StreamAsk) -> Self {
        Self {
            frames: EventDecoder::default(),
            chunks: Chunks::new(ask),
            thought: Thought::default(),
            bare_call: false,
            finish: None,
            done: false,
        }
    }
}

impl Decode for Decoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StreamFault> {
        self.frames.push(bytes);
        while let Some(message) = self.frames.next_message() {
            let message = message.map_err(|fault| match fault {
                EventFault::Damaged => malformed("a message's checksum does not hold"),
                EventFault::TooLong => StreamFault::TooLarge,
            })?;
            self.event(&message, out)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        if self.finish.is_some() && !self.done && !self.frames.is_amid() {
            out.extend_from_slice(DONE);
        }
        Ok(())
    }

    fn kept(&self) -> Option<Kept> {
        self.chunks.kept()
    }
}

impl Decoder {
    fn event(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        if message.exception {
            return Err(StreamFault::Upstream(Box::new(in_stream(&error(message)))));
        }
        let json = message.payload.as_slice();
        let event = Object::parse(json).filter(|_| std::str::from_utf8(json).is_ok());
        let event = event.ok_or_else(|| malformed("an event is not a JSON object"))?;
        match message.name.as_str() {
            "messageStart" => self.chunks.role(out),
            "contentBlockStart" => self.open(&event, out),
            "contentBlockDelta" => self.delta(&event, out)?,
            "contentBlockStop" => self.close(out),
            "messageStop" => {
                let word = event.text("stopReason").unwrap_or_default();
                let reason = stop(&word).ok_or_else(|| malformed("no end of an answer"))?;
                self.finish = Some(reason);
                // The tier is told behind the finish, too late for its chunk.
                self.chunks.finish(out, reason, None);
            }
            "metadata" if self.finish.is_some() => {
                self.chunks.usage(out, usage(&event).as_ref());
                if let Some(tier) = service_tier(&event) {
                    self.chunks.tier(out, &tier);
                }
                out.extend_from_slice(DONE);
                self.done = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, event: &Object<'_>, out: &mut Vec<u8>) {
        let start = event.get("start").and_then(Object::parse).unwrap_or_default();
        if let Some(call) = start.get("toolUse").and_then(Object::parse) {
            let (id, name) = (call.literal("toolUseId"), call.literal("name"));
            let index = self.chunks.calls();
            self.chunks.call(out, index, Opening { id, name, extra: b"" });
            self.bare_call = true;
        }
    }

    fn delta(&mut self, event: &Object<'_>, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let delta = event.get("delta").and_then(Object::parse);
        let delta = delta.ok_or_else(|| malformed("a delta that holds nothing"))?;
        if delta.get("text").is_some() {
            self.text(out, b"\"content\":", delta.literal("text"));
        } else if let Some(call) = delta.get("toolUse").and_then(Object::parse) {
            let more = call.literal("input");
            if let Some(index) = self.chunks.calls().checked_sub(1)
                && more != b"\"\""
            {
                self.bare_call = false;
                self.chunks.arguments(out, index, more);
            }
        } else if let Some(thought) = delta.get("reasoningContent").and_then(Object::parse) {
            self.think(&thought, out)?;
        }
        Ok(())
    }

    fn think(&mut self, delta: &Object<'_>, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let kept = &mut self.thought;
        if let Some(signature) = delta.text("signature") {
            kept.signature.get_or_insert_default().push_str(&signature);
        }
        if let Some(blob) = delta.text("redactedContent") {
            kept.blob.get_or_insert_default().push_str(&blob);
        }
        let more = delta.literal("text");
        kept.text.push_str(&text_of(more).unwrap_or_default());
        if kept.text.len() > THOUGHT_BYTES_MAX {
            return Err(StreamFault::TooLarge);
        }
        self.text(out, b"\"reasoning_content\":", more);
        Ok(())
    }

    fn text(&self, out: &mut Vec<u8>, key: &[u8], json: &[u8]) {
        if json != b"\"\"" {
            self.chunks.delta(out, &[key, json]);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Thought { text, signature, blob } = std::mem::take(&mut self.thought);
        let index = self.chunks.thoughts();
        let detail = match (signature, blob) {
            (_, Some(blob)) => Some(sealed(&blob, THOUGHTS, index)),
            (Some(signature), None) => Some(signed(&text, &signature, THOUGHTS, index)),
            (None, None) => None,
        };
        if let Some(detail) = detail {
            self.chunks.thought(out, detail);
        }
        if std::mem::take(&mut self.bare_call)
            && let Some(index) = self.chunks.calls().checked_sub(1)
        {
            self.chunks.arguments(out, index, b"\"{}\"");
        }
    }
}

/// An exception as an error in OpenAI's form.
fn error(message: &Message) -> Vec<u8> {
    let status = match message.name.as_str() {
        "throttlingException" => 429,
        "validationException" => 400,
        "modelTimeoutException" => 504,
        "serviceUnavailableException" => 503,
        _ => 500,
    };
    let told = Object::parse(&message.payload).unwrap_or_default();
    let text = told.text("message").unwrap_or_default();
    let (text, kind) = (quoted(&text), quoted(&message.name));
    let status = status.to_string();
    let parts: [&[u8]; 7] = [
        b"{\"error\":{\"message\":",
        &text,
        b",\"type\":",
        &kind,
        b",\"status\":",
        status.as_bytes(),
        b"}}",
    ];
    parts.concat()
}
