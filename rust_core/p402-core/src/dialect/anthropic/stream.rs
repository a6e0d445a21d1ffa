//! Decides how the events of a Messages stream become chat chunks, one by one.
//! Does not hold text back: only thoughts are kept, since their signature comes last.

use super::THOUGHTS;
use super::decode::{Counts, annotation, refusal, stop};
use crate::chat::FinishReason;
use crate::dialect::events::{Events, malformed};
use crate::dialect::openai::{StreamAsk, StreamFault, in_stream};
use crate::dialect::render::{Chunks, DONE, Opening};
use crate::dialect::thoughts::{sealed, signed};
use crate::dialect::translate::Kept;
use crate::dialect::wire::json::{quoted, text_of};
use crate::dialect::wire::object::Object;

/// The longest thought that is kept until its signature comes.
const THOUGHT_BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Messages {
    chunks: Chunks,
    block: Block,
    counts: Counts,
    finish: Option<FinishReason>,
}

/// The block that is being written.
#[derive(Debug)]
enum Block {
    Text,
    Thinking {
        text: String,
        signature: String,
    },
    Redacted(String),
    Call {
        index: usize,
        /// The arguments where they stand whole at the beginning, and nothing follows.
        input: Vec<u8>,
        silent: bool,
    },
    /// Tools of the provider's own.
    Foreign,
}

impl Messages {
    pub(super) fn new(ask: &StreamAsk) -> Self {
        Self {
            chunks: Chunks::new(ask),
            block: Block::Foreign,
            counts: Counts::default(),
            finish: None,
        }
    }
}

impl Events for Messages {
    fn event(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let event = Object::parse(json).filter(|_| std::str::from_utf8(json).is_ok());
        let event = event.ok_or_else(|| malformed("an event is not a JSON object"))?;
        match &*event.text("type").unwrap_or_default() {
            "content_block_delta" => self.delta(&event, out)?,
            "content_block_start" => self.open(&event, out)?,
            "content_block_stop" => self.close(out),
            "message_start" => self.start(&event, out)?,
            "message_delta" => self.message(&event, out)?,
            "message_stop" if self.finish.is_some() => {
                self.chunks.usage(out, self.counts.usage().as_ref());
                out.extend_from_slice(DONE);
            }
            "message_stop" => return Err(StreamFault::Cut),
            "error" => return Err(StreamFault::Upstream(Box::new(in_stream(json)))),
            // `ping`, and whatever is invented later.
            _ => {}
        }
        Ok(())
    }

    fn kept(&self) -> Option<Kept> {
        self.chunks.kept()
    }
}

impl Messages {
    fn start(&mut self, event: &Object<'_>, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let message = event.get("message").and_then(Object::parse);
        let message = message.ok_or_else(|| malformed("a message without a beginning"))?;
        self.chunks.identify(message.literal("id"), message.literal("model"));
        self.counts.note(message.get("usage"));
        self.chunks.role(out);
        Ok(())
    }

    fn open(&mut self, event: &Object<'_>, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let block = event.get("content_block").and_then(Object::parse);
        let block = block.ok_or_else(|| malformed("a block without a beginning"))?;
        let text = |key: &str| block.text(key).unwrap_or_default().into_owned();
        self.block = match &*text("type") {
            "text" => {
                self.text(out, b"\"content\":", block.literal("text"));
                Block::Text
            }
            "thinking" => Block::Thinking { text: text("thinking"), signature: text("signature") },
            "redacted_thinking" => Block::Redacted(text("data")),
            "tool_use" => {
                let (id, name) = (block.literal("id"), block.literal("name"));
                let index = self.chunks.calls();
                self.chunks.call(out, index, Opening { id, name, extra: b"" });
                let input = block.present("input").unwrap_or(b"{}").to_vec();
                Block::Call { index, input, silent: true }
            }
            _ => Block::Foreign,
        };
        Ok(())
    }

    fn delta(&mut self, event: &Object<'_>, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let delta = event.get("delta").and_then(Object::parse);
        let delta = delta.ok_or_else(|| malformed("a delta that holds nothing"))?;
        match (&*delta.text("type").unwrap_or_default(), &mut self.block) {
            ("text_delta", _) => self.text(out, b"\"content\":", delta.literal("text")),
            ("thinking_delta", Block::Thinking { text, .. }) => {
                let more = delta.literal("thinking");
                text.push_str(&text_of(more).unwrap_or_default());
                if text.len() > THOUGHT_BYTES_MAX {
                    return Err(StreamFault::TooLarge);
                }
                self.text(out, b"\"reasoning_content\":", more);
            }
            ("signature_delta", Block::Thinking { signature, .. }) => {
                signature.push_str(&delta.text("signature").unwrap_or_default());
            }
            ("input_json_delta", Block::Call { index, silent, .. }) => {
                let more = delta.literal("partial_json");
                if more != b"\"\"" {
                    *silent = false;
                    self.chunks.arguments(out, *index, more);
                }
            }
            ("citations_delta", _) => {
                if let Some(made) = delta.get("citation").and_then(|raw| annotation(raw, None)) {
                    self.chunks.delta(out, &[b"\"annotations\":[", &made, b"]"]);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&self, out: &mut Vec<u8>, key: &[u8], json: &[u8]) {
        if json != b"\"\"" {
            self.chunks.delta(out, &[key, json]);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.block, Block::Foreign) {
            Block::Thinking { text, signature } => {
                let detail = signed(&text, &signature, THOUGHTS, self.chunks.thoughts());
                self.chunks.thought(out, detail);
            }
            Block::Redacted(blob) => {
                let detail = sealed(&blob, THOUGHTS, self.chunks.thoughts());
                self.chunks.thought(out, detail);
            }
            Block::Call { index, input, silent: true } => {
                let text = quoted(&String::from_utf8_lossy(&input));
                self.chunks.arguments(out, index, &text);
            }
            Block::Text | Block::Call { .. } | Block::Foreign => {}
        }
    }

    fn message(&mut self, event: &Object<'_>, out: &mut Vec<u8>) -> Result<(), StreamFault> {
        self.counts.note(event.get("usage"));
        let delta = event.get("delta").and_then(Object::parse).unwrap_or_default();
        let Some(word) = delta.name("stop_reason") else { return Ok(()) };
        let reason = stop(&word).ok_or_else(|| malformed("the answer did not come to an end"))?;
        if let Some(refusal) = refusal(&word, self.counts.usage().as_ref()) {
            self.text(out, b"\"refusal\":", &quoted(refusal));
        }
        if self.finish.replace(reason).is_none() {
            self.chunks.finish(out, reason, self.counts.service_tier().as_deref());
        }
        Ok(())
    }
}
