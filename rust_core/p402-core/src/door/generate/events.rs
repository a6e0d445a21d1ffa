//! Decides how a chat's chunks become pieces of a generateContent answer.
//! Does not hold text back; a call leaves whole, for Google's clients know no half ones.

use super::answer::{call, response, text, whole};
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
    /// What names each piece: known once the stream has begun.
    known: Ending,
    calls: Gathered,
}

impl Events {
    pub(super) fn new(shows_thoughts: bool) -> Self {
        let (known, calls) = (Ending::default(), Gathered::default());
        Self { out: Vec::new(), shows_thoughts, known, calls }
    }

    fn event(&mut self, json: &[u8]) {
        for piece in [b"data: ".as_slice(), json, b"\n\n"] {
            self.out.extend_from_slice(piece);
        }
    }

    fn piece(&mut self, part: Vec<u8>) {
        let json = response(&self.known, &[part], false);
        self.event(&json);
    }
}

impl Listen for Events {
    fn text(&mut self, json: &[u8]) {
        self.piece(text(json, false));
    }

    fn refusal(&mut self, json: &[u8]) {
        self.text(json);
    }

    fn reasoning(&mut self, json: &[u8]) {
        if self.shows_thoughts {
            self.piece(text(json, true));
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
        self.known = ending.clone();
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
