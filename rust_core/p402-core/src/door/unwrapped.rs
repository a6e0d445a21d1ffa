//! Decides what of a call's arguments, as they come in pieces, is the one text inside them.
//! Does not hold text back but where a piece cuts a letter in two.

use crate::dialect::wire::json::text_of;
use crate::dialect::wire::object::Object;
use std::borrow::Cow;

/// What begins otherwise within this many bytes does not begin with the text.
const OPENING_BYTES_MAX: usize = 64;

/// The arguments of one call: `{"input":"…"}`, or whatever its maker wrote instead.
#[derive(Debug, Default)]
pub(super) struct Unwrapped {
    state: State,
    /// JSON that has not been told yet.
    rest: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The text has not begun.
    #[default]
    Before,
    Inside,
    After,
    /// It is no object with this one text: all of it is told as it comes.
    Bare,
}

impl Unwrapped {
    /// What more of the text is known after this piece of the arguments.
    pub(super) fn push(&mut self, piece: &str) -> String {
        self.rest.push_str(piece);
        if self.state == State::Before {
            match opening(&self.rest) {
                Some(at) => {
                    self.rest.drain(..at);
                    self.state = State::Inside;
                }
                None if self.rest.len() > OPENING_BYTES_MAX => self.state = State::Bare,
                None => return String::new(),
            }
        }
        match self.state {
            State::Bare => return std::mem::take(&mut self.rest),
            State::Before | State::Inside => {}
            State::After => {
                self.rest.clear();
                return String::new();
            }
        }
        let (known, ended) = settled(&self.rest);
        let text: String = self.rest.drain(..known).collect();
        let text = decoded(&text).unwrap_or(text);
        if ended {
            self.state = State::After;
        }
        text
    }

    /// What is left when no more comes: all of it, where it is no object with this one text.
    pub(super) fn end(&mut self) -> String {
        let rest = std::mem::take(&mut self.rest);
        match std::mem::replace(&mut self.state, State::After) {
            State::Before => whole(&rest),
            State::Inside | State::After | State::Bare => String::new(),
        }
    }
}

/// The text inside arguments that came whole.
pub(super) fn whole(arguments: &str) -> String {
    let object = Object::parse(arguments.as_bytes()).unwrap_or_default();
    object.text("input").map_or_else(|| arguments.to_owned(), Cow::into_owned)
}

/// Where the text begins, once `{"input":"` has come.
fn opening(json: &str) -> Option<usize> {
    let mut left = json;
    for mark in ["{", "\"input\"", ":", "\""] {
        left = left.trim_start().strip_prefix(mark)?;
    }
    Some(json.len() - left.len())
}

/// Bytes whose letters are all whole, and whether the text ends behind them.
fn settled(json: &str) -> (usize, bool) {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let length = match byte {
            b'"' => return (at, true),
            b'\\' => match escape(bytes.get(at..).unwrap_or_default()) {
                Some(length) => length,
                None => return (at, false),
            },
            _ => 1,
        };
        at += length;
    }
    (at, false)
}

/// The length of the escape that begins here; `None` while a part of it is missing. A letter
/// beyond the first plane is two of them.
fn escape(bytes: &[u8]) -> Option<usize> {
    if *bytes.get(1)? != b'u' {
        return Some(2);
    }
    let high = bytes.get(2..6)?.get(..2)?;
    let is_first = high.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'd'))
        && high.get(1).is_some_and(|byte| b"89abAB".contains(byte));
    if !is_first {
        return Some(6);
    }
    let next = bytes.get(6..).unwrap_or_default();
    match (next.first(), next.get(1)) {
        (None, _) | (Some(b'\\'), None) => None,
        (Some(b'\\'), Some(b'u')) => next.get(..6).map(|_| 12),
        _ => Some(6),
    }
}

fn decoded(json: &str) -> Option<String> {
    text_of(format!("\"{json}\"").as_bytes()).map(Cow::into_owned)
}
