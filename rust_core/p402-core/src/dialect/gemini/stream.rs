//! Decides how the pieces of a streamGenerateContent answer become chat chunks, one by one.
//! Does not end a stream that had no finish word: its bytes ending is then a cut.

use super::THOUGHTS;
use super::decode::{Said, candidate, content, is_blocked, parts, said, stop, usage};
use crate::chat::FinishReason;
use crate::dialect::events::{Events, malformed};
use crate::dialect::openai::{StreamAsk, StreamFault, in_stream};
use crate::dialect::render::{Chunks, DONE, Opening};
use crate::dialect::thoughts::sealed;
use crate::dialect::translate::Kept;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;

#[derive(Debug)]
pub(super) struct Pieces {
    ask: StreamAsk,
    chunks: Chunks,
    begun: bool,
    /// Repeated on every piece: the last one holds, and is read when it is asked for.
    usage: Vec<u8>,
    finish: Option<FinishReason>,
}

impl Pieces {
    pub(super) fn new(ask: &StreamAsk) -> Self {
        Self {
            chunks: Chunks::new(ask),
            ask: ask.clone(),
            begun: false,
            usage: Vec::new(),
            finish: None,
        }
    }
}

impl Events for Pieces {
    fn event(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), StreamFault> {
        let top = Object::parse(json).filter(|_| std::str::from_utf8(json).is_ok());
        let top = top.ok_or_else(|| malformed("a piece is not a JSON object"))?;
        if top.present("error").is_some() {
            return Err(StreamFault::Upstream(Box::new(in_stream(json))));
        }
        self.begin(&top, out);
        if let Some(json) = top.present("usageMetadata") {
            self.usage.clear();
            self.usage.extend_from_slice(json);
        }
        let Some(candidate) = candidate(&top) else {
            if is_blocked(&top) && self.finish.is_none() {
                self.end_with(FinishReason::ContentFilter, out);
            } else if self.finish.is_some() {
                self.chunks.usage(out, usage(&self.usage).as_ref());
            }
            return Ok(());
        };
        for part in parts(&content(&candidate)) {
            let part = Object::parse(part).ok_or_else(|| malformed("a part is no object"))?;
            self.part(&part, out);
        }
        if let Some(word) = candidate.name("finishReason")
            && word != "FINISH_REASON_UNSPECIFIED"
        {
            let reason = stop(&word, self.chunks.calls() > 0).map_err(StreamFault::Malformed)?;
            self.end_with(reason, out);
        }
        Ok(())
    }

    fn ended(&mut self, out: &mut Vec<u8>) {
        if self.finish.is_some() {
            out.extend_from_slice(DONE);
        }
    }

    fn kept(&self) -> Option<Kept> {
        self.chunks.kept()
    }
}

impl Pieces {
    fn begin(&mut self, top: &Object<'_>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let (Some(id), Some(model)) = (top.name("responseId"), top.name("modelVersion")) {
            self.chunks.identify(&quoted(&id), &quoted(&model));
        }
        self.chunks.role(out);
    }

    fn part(&mut self, part: &Object<'_>, out: &mut Vec<u8>) {
        match said(part, &self.ask, self.chunks.calls()) {
            Some(Said::Text(json)) => self.chunks.delta(out, &[b"\"content\":", json]),
            Some(Said::Thought(json)) => {
                self.chunks.delta(out, &[b"\"reasoning_content\":", json]);
            }
            Some(Said::Call(call)) => {
                let extra = call.extra.map(|extra| [b",\"extra_content\":", &extra[..]].concat());
                let opening = Opening {
                    id: &quoted(&call.id),
                    name: &quoted(&call.name),
                    extra: extra.as_deref().unwrap_or_default(),
                };
                let index = self.chunks.calls();
                self.chunks.call(out, index, opening);
                self.chunks.arguments(out, index, &quoted(&call.arguments));
                if let Some(signature) = part.text("thoughtSignature") {
                    let detail = sealed(&signature, THOUGHTS, self.chunks.thoughts());
                    self.chunks.remember(detail);
                }
            }
            None => {}
        }
    }

    /// Usage stands on the piece that ends the answer; nothing says that none follows.
    fn end_with(&mut self, reason: FinishReason, out: &mut Vec<u8>) {
        if self.finish.replace(reason).is_none() {
            self.chunks.finish(out, reason, None);
        }
        self.chunks.usage(out, usage(&self.usage).as_ref());
    }
}
