//! Decides how a chat's chunks become pieces of a generateContent answer.
//! Does not hold text back; a call leaves whole, for Google's clients know no half ones.

use super::answer::{around, call, response, text, whole};
use super::failed;
use crate::dialect::wire::object::Object;
use crate::door::ending::Ending;
use crate::door::gathered::Gathered;
use crate::door::listen::{Listen, Tell};
use crate::reply::Code;

/// A broken stream of an unknown kind is the upstream's fault.
const BROKEN: u16 = 502;

/// One stream on its way out.
#[derive(Debug)]
pub(super) struct Events {
    out: Vec<u8>,
    shows_thoughts: bool,
    /// What stands before and after the part of each piece: known once the stream has begun.
    around: (Vec<u8>, Vec<u8>),
    calls: Gathered,
}

impl Events {
    pub(super) fn new(shows_thoughts: bool) -> Self {
        let calls = Gathered::default();
        Self { out: Vec::new(), shows_thoughts, around: Default::default(), calls }
    }

    fn event(&mut self, json: &[u8]) {
        self.out.extend_from_slice(b"data: ");
        self.out.extend_from_slice(json);
        self.out.extend_from_slice(b"\n\n");
    }

    fn piece(&mut self, json: &[u8], is_thought: bool) {
        let (before, after) = &self.around;
        self.out.extend_from_slice(b"data: ");
        self.out.extend_from_slice(before);
        text(&mut self.out, json, is_thought);
        self.out.extend_from_slice(after);
        self.out.extend_from_slice(b"\n\n");
    }
}

impl Listen for Events {
    fn text(&mut self, json: &[u8]) {
        self.piece(json, false);
    }

    fn refusal(&mut self, json: &[u8]) {
        self.text(json);
    }

    fn reasoning(&mut self, json: &[u8]) {
        if self.shows_thoughts {
            self.piece(json, true);
        }
    }

    /// Google's clients send none back but with a call; the gateway remembers the others.
    fn thought(&mut self, _: &Object<'_>) {}

    fn call(&mut self, index: u64, id: &[u8], name: &[u8]) {
        self.calls.call(index, id, name);
    }

    fn arguments(&mut self, index: u64, json: &[u8]) {
        self.calls.arguments(index, json);
    }

    fn signature(&mut self, index: u64, json: &[u8]) {
        self.calls.signature(index, json);
    }
}

impl Tell for Events {
    fn begin(&mut self, ending: &Ending) {
        self.around = around(ending);
    }

    fn end(&mut self, ending: &Ending) {
        let calls: Vec<Vec<u8>> = self.calls.calls.iter().map(call).collect();
        let json = response(ending, &calls, true);
        self.event(&json);
    }

    fn fail(&mut self, error: &[u8], _: &Ending) {
        let code = Object::parse(error).and_then(|error| Code::parse(&error.text("code")?));
        let status = code.map_or(BROKEN, |code| code.row().status);
        self.event(&failed(status, error));
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn whole(&self, completion: &[u8]) -> Vec<u8> {
        whole(completion, self.shows_thoughts)
    }
}
