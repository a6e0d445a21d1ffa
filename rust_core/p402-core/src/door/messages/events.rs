//! Decides how a chat's chunks become the events of a Messages stream, block by block.
//! Does not hold content back; only the end waits, until the counts are known.

use super::answer::{called, message, opening, redacted, stop, usage};
use super::failed;
use super::marks::marked;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;
use crate::door::ending::Ending;
use crate::door::listen::{Listen, Tell};

/// One stream on its way out.
#[derive(Debug, Default)]
pub(super) struct Events {
    out: Vec<u8>,
    /// Blocks begun so far.
    blocks: usize,
    open: Option<Open>,
    /// Which block holds the arguments of which call.
    calls: Vec<(u64, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call,
}

impl Events {
    fn event(&mut self, name: &str, json: &[u8]) {
        self.out.extend_from_slice(b"event: ");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\ndata: ");
        self.out.extend_from_slice(json);
        self.out.extend_from_slice(b"\n\n");
    }

    fn start(&mut self, open: Open, block: &[u8]) {
        self.close();
        let head = format!("{{\"type\":\"content_block_start\",\"index\":{}", self.blocks);
        let json = [head.as_bytes(), b",\"content_block\":", block, b"}"].concat();
        self.event("content_block_start", &json);
        self.open = Some(open);
        self.blocks += 1;
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            let index = self.blocks.saturating_sub(1);
            let json = format!("{{\"type\":\"content_block_stop\",\"index\":{index}}}");
            self.event("content_block_stop", json.as_bytes());
        }
    }

    fn ensure(&mut self, open: Open, block: &[u8]) {
        if self.open != Some(open) {
            self.start(open, block);
        }
    }

    fn delta(&mut self, index: usize, (kind, key): (&str, &str), json: &[u8]) {
        let head = format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\
             \"index\":{index},\"delta\":{{\"type\":\"{kind}\",\"{key}\":"
        );
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(json);
        self.out.extend_from_slice(b"}}\n\n");
    }

    fn last(&self) -> usize {
        self.blocks.saturating_sub(1)
    }
}

impl Listen for Events {
    fn text(&mut self, json: &[u8]) {
        self.ensure(Open::Text, b"{\"type\":\"text\",\"citations\":null,\"text\":\"\"}");
        self.delta(self.last(), ("text_delta", "text"), json);
    }

    fn refusal(&mut self, json: &[u8]) {
        self.text(json);
    }

    fn reasoning(&mut self, json: &[u8]) {
        let empty = b"{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}";
        self.ensure(Open::Thinking, empty);
        self.delta(self.last(), ("thinking_delta", "thinking"), json);
    }

    /// The thought whose text has been told gets its signature; a sealed one is a block.
    fn thought(&mut self, detail: &Object<'_>) {
        if let Some(sealed) = marked(detail, "data") {
            self.start(Open::Thinking, &redacted(&sealed));
            return self.close();
        }
        if self.open != Some(Open::Thinking) {
            self.reasoning(detail.literal("text"));
        }
        let signature = quoted(&marked(detail, "signature").unwrap_or_default());
        self.delta(self.last(), ("signature_delta", "signature"), &signature);
        self.close();
    }

    fn call(&mut self, index: u64, id: &[u8], name: &[u8]) {
        self.start(Open::Call, &called(id, name, b"{}"));
        self.calls.push((index, self.last()));
    }

    fn arguments(&mut self, index: u64, json: &[u8]) {
        let block = self.calls.iter().rev().find(|(call, _)| *call == index);
        if let Some((_, block)) = block.copied() {
            self.delta(block, ("input_json_delta", "partial_json"), json);
        }
    }
}

impl Tell for Events {
    fn begin(&mut self, ending: &Ending) {
        let message = opening(ending).write();
        let json = [b"{\"type\":\"message_start\",\"message\":", &message[..], b"}"].concat();
        self.event("message_start", &json);
    }

    fn end(&mut self, ending: &Ending) {
        self.close();
        let mut delta = Object::default();
        delta.set("type", b"\"message_delta\"".as_slice());
        let word = quoted(stop(&ending.finish));
        let why = [b"{\"stop_reason\":", &word[..], b",\"stop_sequence\":null}"].concat();
        delta.set("delta", why);
        delta.set("usage", usage(&ending.usage));
        if let Some(metadata) = &ending.metadata {
            delta.set("p402_metadata", metadata.as_slice());
        }
        self.event("message_delta", &delta.write());
        self.event("message_stop", b"{\"type\":\"message_stop\"}");
    }

    fn fail(&mut self, error: &[u8], ending: &Ending) {
        self.event("error", &failed(error, ending.metadata.as_deref()));
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn whole(&self, completion: &[u8]) -> Vec<u8> {
        message(completion)
    }
}
