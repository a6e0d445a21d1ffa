//! Decides how one output item reads: while it is written, and when it is whole.
//! Does not know in which events it leaves (events.rs).

use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array};
use std::borrow::Cow;

/// One item of the output.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    /// Its place in the output.
    pub(super) index: usize,
    /// What was said so far: text, thoughts, or a call's arguments.
    pub(super) said: String,
    /// How likely its tokens are, as items of a list; mostly nobody asked.
    pub(super) likely: Vec<u8>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Refusal,
    /// Whole thoughts as they came, to be sealed.
    Reasoning(Vec<Vec<u8>>),
    Call {
        /// Which of the chat's calls it is.
        number: u64,
        /// Both as JSON strings.
        call_id: Vec<u8>,
        name: Vec<u8>,
    },
    /// A call of a custom tool, whose input is text.
    Custom {
        number: u64,
        call_id: Vec<u8>,
        name: Vec<u8>,
    },
}

impl Item {
    /// The item as JSON; a client that asked gets thoughts sealed.
    pub(super) fn write(&self, whole: bool, seals: bool) -> Vec<u8> {
        let mut item = Object::default();
        let status = quoted(if whole { "completed" } else { "in_progress" });
        item.set("id", quoted(&self.id));
        let part = if whole { array([self.part().as_slice()]) } else { b"[]".to_vec() };
        match &self.kind {
            Kind::Text | Kind::Refusal => {
                item.set("type", b"\"message\"".as_slice());
                item.set("status", status);
                item.set("role", b"\"assistant\"".as_slice());
                item.set("content", part);
            }
            Kind::Reasoning(thoughts) => {
                item.set("type", b"\"reasoning\"".as_slice());
                item.set("status", status);
                item.set("summary", b"[]".as_slice());
                item.set("content", part);
                if seals && whole && !thoughts.is_empty() {
                    let list = array(thoughts.iter().map(Vec::as_slice));
                    let sealed = quoted(&String::from_utf8_lossy(&list));
                    item.set("encrypted_content", sealed);
                }
            }
            Kind::Call { call_id, name, .. } => {
                item.set("type", b"\"function_call\"".as_slice());
                item.set("status", status);
                item.set("call_id", call_id.as_slice());
                item.set("name", name.as_slice());
                item.set("arguments", quoted(self.arguments(whole)));
            }
            Kind::Custom { call_id, name, .. } => {
                item.set("type", b"\"custom_tool_call\"".as_slice());
                item.set("status", status);
                item.set("call_id", call_id.as_slice());
                item.set("name", name.as_slice());
                item.set("input", quoted(&self.said));
            }
        }
        item.write()
    }

    /// A call without arguments has empty ones when it is whole.
    fn arguments(&self, whole: bool) -> &str {
        if whole && self.said.is_empty() { "{}" } else { &self.said }
    }

    /// What was said, as the one part of its item.
    pub(super) fn part(&self) -> Vec<u8> {
        let said = quoted(&self.said);
        match self.kind {
            Kind::Refusal => [b"{\"type\":\"refusal\",\"refusal\":", &said[..], b"}"].concat(),
            Kind::Reasoning(_) => {
                [b"{\"type\":\"reasoning_text\",\"text\":", &said[..], b"}"].concat()
            }
            Kind::Text | Kind::Call { .. } | Kind::Custom { .. } => {
                let head = b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":";
                [head, &self.likelihoods()[..], b",\"text\":", &said, b"}"].concat()
            }
        }
    }

    fn likelihoods(&self) -> Vec<u8> {
        [b"[", &self.likely[..], b"]"].concat()
    }

    /// Goes on with what is known of the tokens of its text.
    pub(super) fn add_likely(&mut self, items: &[u8]) {
        if !matches!(self.kind, Kind::Text) || items.is_empty() {
            return;
        }
        if !self.likely.is_empty() {
            self.likely.push(b',');
        }
        self.likely.extend_from_slice(items);
    }

    /// The stem of its events, and the key of the whole in the last of them.
    pub(super) const fn words(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Text => ("response.output_text", "text"),
            Kind::Refusal => ("response.refusal", "refusal"),
            Kind::Reasoning(_) => ("response.reasoning_text", "text"),
            Kind::Call { .. } => ("response.function_call_arguments", "arguments"),
            Kind::Custom { .. } => ("response.custom_tool_call_input", "input"),
        }
    }

    /// The name of its deltas, and what stands before and after their tokens' likelihoods.
    pub(super) const fn delta_words(&self) -> (&'static str, &'static str, &'static str) {
        const PART: &str = r#","content_index":0,"logprobs":["#;
        match self.kind {
            Kind::Text => ("response.output_text.delta", PART, "]"),
            Kind::Refusal => ("response.refusal.delta", PART, "]"),
            Kind::Reasoning(_) => ("response.reasoning_text.delta", PART, "]"),
            Kind::Call { .. } => ("response.function_call_arguments.delta", "", ""),
            Kind::Custom { .. } => ("response.custom_tool_call_input.delta", "", ""),
        }
    }

    pub(super) fn whole_text(&self) -> &str {
        if matches!(self.kind, Kind::Call { .. }) { self.arguments(true) } else { &self.said }
    }

    /// One more member of its events: what was called, or how likely what was said is.
    pub(super) fn besides(&self) -> Option<(&'static str, Cow<'_, [u8]>)> {
        match &self.kind {
            Kind::Call { name, .. } => Some(("name", name.into())),
            Kind::Custom { .. } => None,
            Kind::Text | Kind::Refusal | Kind::Reasoning(_) => {
                Some(("logprobs", self.likelihoods().into()))
            }
        }
    }

    pub(super) const fn is_call(&self) -> bool {
        self.number().is_some()
    }

    /// Which of the chat's calls it is.
    pub(super) const fn number(&self) -> Option<u64> {
        match self.kind {
            Kind::Call { number, .. } | Kind::Custom { number, .. } => Some(number),
            Kind::Text | Kind::Refusal | Kind::Reasoning(_) => None,
        }
    }
}
