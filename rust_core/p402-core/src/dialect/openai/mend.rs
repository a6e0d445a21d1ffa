//! Decides what becomes of an irregular chunk: the regular chunks that say the same.
//! Does not decide when they leave (stream.rs), and never looks at who sent them.

use super::choices::{Choice, Choices};
use super::finish::{Finish, read_finish};
use super::identity::Identity;
use crate::chat::FinishReason;
use crate::dialect::wire::json::{quoted, text_of};
use crate::dialect::wire::object::{Object, array, items};

/// One chunk that may leave.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) json: Vec<u8>,
    pub(super) choice: u32,
    pub(super) kind: PartKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// Nothing of the answer is in it.
    Quiet,
    Content,
    Finish(FinishReason),
}

/// Why a chunk cannot be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hopeless {
    Malformed(&'static str),
    /// The choice says `error`.
    Error,
}

/// One choice taken apart.
struct Piece<'a> {
    choice: Object<'a>,
    delta: Object<'a>,
    bearing: bool,
    text_bytes: u64,
}

pub(super) struct Mender<'m> {
    pub(super) identity: &'m Identity,
    pub(super) choices: &'m mut Choices,
    pub(super) text_bytes: u64,
}

const TOO_MANY: Hopeless = Hopeless::Malformed("more choices or tool calls than anybody sends");
const NO_OBJECT: Hopeless = Hopeless::Malformed("a chunk is not an object of the expected form");

impl Mender<'_> {
    /// The parts of one chunk, in the order they may leave.
    pub(super) fn mend(&mut self, frame: &[u8]) -> Result<Vec<Part>, Hopeless> {
        let top = Object::parse(frame).ok_or(NO_OBJECT)?;
        let Some(list) = top.get("choices").and_then(items) else {
            return Ok(Vec::new());
        };
        let mut parts = Vec::new();
        for (at, item) in list.into_iter().enumerate() {
            let choice = Object::parse(item).ok_or(NO_OBJECT)?;
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            let index = choice.whole("index").and_then(|index| u32::try_from(index).ok());
            self.choice(&top, choice, index.unwrap_or(at), &mut parts)?;
        }
        Ok(parts)
    }

    fn choice(
        &mut self,
        top: &Object<'_>,
        choice: Object<'_>,
        index: u32,
        parts: &mut Vec<Part>,
    ) -> Result<(), Hopeless> {
        let word = choice.text("finish_reason").unwrap_or_default().into_owned();
        let broken = choice.present("error").is_some();
        let state = self.choices.slot(index).ok_or(TOO_MANY)?;
        let mut piece = Piece::open(choice, state)?;
        let has_calls = !state.calls.is_empty();
        if broken {
            return Err(Hopeless::Error);
        }
        let finish = match read_finish(&word, has_calls, &mut self.choices.unknown_finishes) {
            Finish::Error => return Err(Hopeless::Error),
            Finish::Reason(reason) => Some(reason),
            Finish::None => None,
        };
        self.text_bytes += piece.text_bytes;
        let state = self.choices.slot(index).ok_or(TOO_MANY)?;
        let Some(reason) = finish else {
            piece.greet(state);
            let kind = if piece.bearing { PartKind::Content } else { PartKind::Quiet };
            let inner = piece.choice_json(index, None);
            parts.push(Part { json: whole_chunk(top, self.identity, &inner), choice: index, kind });
            return Ok(());
        };
        if piece.bearing || !state.role_sent {
            piece.greet(state);
            let kind = if piece.bearing { PartKind::Content } else { PartKind::Quiet };
            let inner = piece.split_content(index);
            parts.push(Part { json: bare_chunk(self.identity, &inner), choice: index, kind });
        }
        for fragment in bare_calls(state) {
            let inner = format!(
                "{{\"index\":{index},\"delta\":{{\"tool_calls\":[{fragment}]}},\
                 \"logprobs\":null,\"finish_reason\":null}}"
            );
            let json = bare_chunk(self.identity, inner.as_bytes());
            parts.push(Part { json, choice: index, kind: PartKind::Content });
            self.text_bytes += 2;
        }
        let inner = piece.choice_json(index, Some(reason));
        let json = whole_chunk(top, self.identity, &inner);
        parts.push(Part { json, choice: index, kind: PartKind::Finish(reason) });
        Ok(())
    }
}

impl<'a> Piece<'a> {
    /// Takes a choice apart and puts its delta right.
    fn open(mut choice: Object<'a>, state: &mut Choice) -> Result<Self, Hopeless> {
        let delta = choice.remove("delta");
        let message = choice.remove("message");
        let source = delta.or(message).filter(|value| value.as_ref() != b"null");
        let mut delta = match source {
            Some(value) => Object::parse_taken(value).ok_or(NO_OBJECT)?,
            None => Object::default(),
        };
        if let Some(text) = choice.remove("text") {
            delta.set("content", text);
        }
        delta.remove("role");
        let mut piece = Self { choice, delta, bearing: false, text_bytes: 0 };
        flat_content(&mut piece.delta);
        piece.tools(state)?;
        piece.lists(state)?;
        piece.weigh();
        Ok(piece)
    }

    fn tools(&mut self, state: &mut Choice) -> Result<(), Hopeless> {
        let Some(list) = self.delta.get("tool_calls").and_then(items) else {
            return Ok(());
        };
        let (mut fragments, mut bytes) = (Vec::with_capacity(list.len()), 0);
        for item in list {
            let (fragment, argument_bytes) = tool(item, state)?;
            fragments.push(fragment);
            bytes += argument_bytes;
        }
        if fragments.is_empty() {
            self.delta.remove("tool_calls");
        } else {
            self.bearing = true;
            self.text_bytes += bytes;
            self.delta.set("tool_calls", array(fragments.iter().map(Vec::as_slice)));
        }
        Ok(())
    }

    /// Every other list gets an index on each of its objects, counted over the stream.
    fn lists(&mut self, state: &mut Choice) -> Result<(), Hopeless> {
        let keys: Vec<String> = self
            .delta
            .iter()
            .filter(|(key, value)| *key != "tool_calls" && value.starts_with(b"[{"))
            .map(|(key, _)| key.to_owned())
            .collect();
        for key in keys {
            let list = self.delta.get(&key).and_then(items).unwrap_or_default();
            let mut indexed = Vec::with_capacity(list.len());
            for item in list {
                let mut object = match Object::parse(item) {
                    Some(object) if object.whole("index").is_none() => object,
                    _ => {
                        indexed.push(item.to_vec());
                        continue;
                    }
                };
                let index = state.list_index(&key).ok_or(TOO_MANY)?;
                object.set("index", index.to_string().into_bytes());
                indexed.push(object.write());
            }
            let value = array(indexed.iter().map(Vec::as_slice));
            self.delta.replace(&key, value);
            self.bearing = true;
        }
        Ok(())
    }

    /// How much of the answer the delta holds, tool arguments apart.
    fn weigh(&mut self) {
        let length = |key: &str| self.delta.text(key).map_or(0, |text| text.len() as u64);
        let reasoning = length("reasoning_content").max(length("reasoning"));
        let text = length("content") + length("refusal") + reasoning;
        let called = self.delta.present("function_call").map_or(0, |call| call.len() as u64);
        let sounds = self.delta.present("audio").is_some_and(|audio| audio != b"{}");
        self.text_bytes += text + called;
        self.bearing |= text > 0 || called > 0 || sounds;
    }

    /// The first chunk of a choice says who speaks.
    fn greet(&mut self, state: &mut Choice) {
        if std::mem::replace(&mut state.role_sent, true) {
            return;
        }
        if !self.bearing && self.delta.present("content").is_none() {
            self.delta.set_first("content", b"\"\"".as_slice());
        }
        self.delta.set_first("role", b"\"assistant\"".as_slice());
    }

    /// The choice's content alone, before its finish; what was given away is not said again.
    fn split_content(&mut self, index: u32) -> Vec<u8> {
        let delta = std::mem::take(&mut self.delta).write();
        let mut inner = Object::default();
        inner.set("index", index.to_string().into_bytes());
        inner.set("delta", delta);
        let logprobs = self.choice.remove("logprobs").unwrap_or(b"null".as_slice().into());
        inner.set("logprobs", logprobs);
        inner.set("finish_reason", b"null".as_slice());
        inner.write()
    }

    fn choice_json(&mut self, index: u32, finish: Option<FinishReason>) -> Vec<u8> {
        let word = finish.map_or(b"null".to_vec(), |reason| quoted(reason.name()));
        let logprobs = self.choice.remove("logprobs").unwrap_or(b"null".as_slice().into());
        let mut inner = Object::default();
        inner.set("index", index.to_string().into_bytes());
        inner.set("delta", self.delta.write());
        inner.set("logprobs", logprobs);
        inner.set("finish_reason", word);
        inner.append_missing(&self.choice);
        inner.write()
    }
}

/// Content as a list of parts becomes text, its thinking parts reasoning; true where it was one.
pub(super) fn flat_content(message: &mut Object<'_>) -> bool {
    let Some(list) = message.get("content").and_then(items) else {
        return false;
    };
    let (mut text, mut thinking) = (String::new(), String::new());
    for item in list {
        if let Some(plain) = text_of(item) {
            text.push_str(&plain);
        } else if let Some(part) = Object::parse(item) {
            text.push_str(&part.text("text").unwrap_or_default());
            let thoughts = part.get("thinking").unwrap_or_default();
            thinking.push_str(&text_of(thoughts).unwrap_or_default());
            for thought in items(thoughts).unwrap_or_default() {
                let thought = Object::parse(thought).unwrap_or_default();
                thinking.push_str(&thought.text("text").unwrap_or_default());
            }
        }
    }
    message.set("content", quoted(&text));
    if !thinking.is_empty() {
        message.set("reasoning_content", quoted(&thinking));
    }
    true
}

/// One tool-call fragment with its place in the stream; gives its argument bytes too.
fn tool(item: &[u8], state: &mut Choice) -> Result<(Vec<u8>, u64), Hopeless> {
    let mut call = Object::parse(item).ok_or(NO_OBJECT)?;
    let function = call.remove("function").filter(|value| value.as_ref() != b"null");
    let mut function = match &function {
        Some(value) => Object::parse(value).ok_or(NO_OBJECT)?,
        None => Object::default(),
    };
    let custom = call.present("custom").is_some();
    let known_name = call.get("custom").and_then(Object::parse).and_then(|it| it.name("name"));
    let name = function.name("name").or(known_name);
    let place = state.place(call.whole("index"), call.name("id"), name).ok_or(TOO_MANY)?;
    // Arguments as an object, not as text: their JSON is the text.
    if let Some(value) = function.present("arguments").filter(|value| value.starts_with(b"{")) {
        let text = quoted(&String::from_utf8_lossy(value));
        function.set("arguments", text);
    }
    let argument_bytes = function.text("arguments").map_or(0, |text| text.len() as u64);
    if place.name.is_none() {
        function.remove("name");
    }
    call.remove("type");
    match &place.id {
        Some(id) => {
            let kind: &[u8] = if custom { b"\"custom\"" } else { b"\"function\"" };
            call.set_first("type", kind);
            call.set_first("id", quoted(id));
        }
        None => drop(call.remove("id")),
    }
    call.set_first("index", place.index.to_string().into_bytes());
    if !custom {
        call.set("function", function.write());
    }
    if let Some(booked) = state.calls.get_mut(place.index) {
        booked.custom |= custom;
        booked.argument_bytes += argument_bytes;
    }
    Ok((call.write(), argument_bytes))
}

/// The fragments that calls without arguments still owe.
fn bare_calls(state: &mut Choice) -> Vec<String> {
    let owing = state.calls.iter_mut().enumerate();
    owing
        .filter(|(_, call)| call.argument_bytes == 0 && !call.custom)
        .map(|(at, call)| {
            call.argument_bytes = 2;
            format!("{{\"index\":{at},\"function\":{{\"arguments\":\"{{}}\"}}}}")
        })
        .collect()
}

/// A chunk with nothing but its identity and one choice.
pub(super) fn bare_chunk(identity: &Identity, choice: &[u8]) -> Vec<u8> {
    opening(identity, choice).write()
}

/// A chunk with everything its top level said, usage and foreign metadata apart.
fn whole_chunk<'a>(top: &Object<'a>, identity: &'a Identity, choice: &[u8]) -> Vec<u8> {
    let mut out = opening(identity, choice);
    let usage = top.get("usage").is_some_and(|usage| usage == b"null");
    out.append_missing(top);
    out.remove("p402_metadata");
    out.remove("error");
    if !usage {
        out.remove("usage");
    }
    out.write()
}

fn opening<'a>(identity: &'a Identity, choice: &[u8]) -> Object<'a> {
    let mut out = Object::default();
    out.set("id", identity.id.as_slice());
    out.set("object", b"\"chat.completion.chunk\"".as_slice());
    out.set("created", identity.created.as_slice());
    out.set("model", identity.model.as_slice());
    out.set("choices", array([choice]));
    out
}
