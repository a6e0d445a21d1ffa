//! Decides how an answer that is heard piece by piece is put together again.
//! Does not write it in any language.

use super::ending::choice;
use super::listen::{Listen, hear};
use crate::dialect::wire::json::text_of;
use crate::dialect::wire::object::Object;
use std::borrow::Cow;

/// One answer, put together.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) reasoning: String,
    /// Whole thoughts as they came, in the form of `reasoning_details`.
    pub(super) thoughts: Vec<Vec<u8>>,
    pub(super) text: String,
    pub(super) refusal: String,
    pub(super) calls: Vec<Call>,
}

#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON in a string, as a chat has it.
    pub(super) arguments: String,
    /// What a maker of calls wants back with it; mostly empty.
    pub(super) signature: String,
    index: u64,
}

impl Gathered {
    /// The first choice of a whole completion.
    pub(super) fn of(completion: &Object<'_>) -> Self {
        let mut gathered = Self::default();
        let choice = choice(completion).unwrap_or_default();
        hear(&choice, "message", &mut gathered);
        gathered
    }
}

fn text(json: &[u8]) -> String {
    text_of(json).map(Cow::into_owned).unwrap_or_default()
}

impl Listen for Gathered {
    fn text(&mut self, json: &[u8]) {
        self.text.push_str(&text(json));
    }
    fn refusal(&mut self, json: &[u8]) {
        self.refusal.push_str(&text(json));
    }
    fn reasoning(&mut self, json: &[u8]) {
        self.reasoning.push_str(&text(json));
    }
    fn thought(&mut self, detail: &Object<'_>) {
        self.thoughts.push(detail.write());
    }
    fn call(&mut self, index: u64, id: &[u8], name: &[u8]) {
        let [id, name] = [id, name].map(text);
        self.calls.push(Call { id, name, index, ..Call::default() });
    }
    fn arguments(&mut self, index: u64, json: &[u8]) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.index == index) {
            call.arguments.push_str(&text(json));
        }
    }
    fn signature(&mut self, index: u64, json: &[u8]) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.index == index) {
            call.signature = text(json);
        }
    }
}
