//! Decides what transcripts in alternating languages have in common: merged turns, results first.
//! Does not know the form of a block: each language brings its own.

use super::translate::Unsaid;
use crate::chat::{Part, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    User,
    Assistant,
}

/// One turn, in the blocks of its language.
#[derive(Debug)]
pub(super) struct Turn<B> {
    pub(super) side: Side,
    pub(super) blocks: Vec<B>,
}

/// One turn as most languages write it.
#[derive(Debug, Serialize)]
pub(super) struct Written<B> {
    role: &'static str,
    content: Vec<B>,
}

/// Turns that alternate.
#[derive(Debug)]
pub(super) struct Turns<B>(Vec<Turn<B>>);

impl<B> Default for Turns<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<B> Turns<B> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Equal sides in a row are one turn; a turn without blocks is none.
    pub(super) fn add(&mut self, side: Side, blocks: Vec<B>) {
        if blocks.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(turn) if turn.side == side => turn.blocks.extend(blocks),
            _ => self.0.push(Turn { side, blocks }),
        }
    }

    /// The results of one turn's calls stand together, before anything else the user says.
    pub(super) fn result(&mut self, block: B, is_result: fn(&B) -> bool) {
        match self.0.last_mut().filter(|turn| turn.side == Side::User) {
            Some(turn) => {
                let at = turn.blocks.iter().take_while(|block| is_result(block)).count();
                turn.blocks.insert(at, block);
            }
            None => self.0.push(Turn { side: Side::User, blocks: vec![block] }),
        }
    }

    /// The turns as most languages write them, where the user has the last word.
    pub(super) fn written(self) -> Result<Vec<Written<B>>, Unsaid> {
        let written = |turn: Turn<B>| Written {
            role: if turn.side == Side::User { "user" } else { "assistant" },
            content: turn.blocks,
        };
        Ok(self.ended()?.into_iter().map(written).collect())
    }

    /// The turns, where the user has the last word.
    pub(super) fn ended(self) -> Result<Vec<Turn<B>>, Unsaid> {
        match self.0.last().map(|turn| turn.side) {
            None => Err(Unsaid::parameter("messages", "every message is empty")),
            Some(Side::Assistant) => Err(Unsaid::parameter(
                "messages",
                "this provider does not continue an assistant message: end with the user's",
            )),
            Some(Side::User) => Ok(self.0),
        }
    }
}

/// What a part says, where it says something: empty text is refused wherever blocks are typed.
pub(super) fn said<'a>(part: &'a Part<'_>) -> Option<&'a str> {
    let text = part.refusal.as_deref().unwrap_or(&part.text);
    says(text).then_some(text)
}

pub(super) fn says(text: &str) -> bool {
    !text.trim().is_empty()
}

/// How a system message reads that stands amid the transcript.
pub(super) fn late_system(text: &str) -> String {
    format!("<system>{text}</system>")
}

/// A call's arguments as JSON.
pub(super) fn input<'a>(call: &'a ToolCall<'_>) -> Result<&'a RawValue, Unsaid> {
    serde_json::from_str(call.arguments())
        .map_err(|_| Unsaid::parameter("messages", "a call's arguments are not JSON"))
}

pub(super) fn function_role() -> Unsaid {
    let text = "messages of the role \"function\": use \"tool\" and tool_call_id";
    Unsaid::parameter("messages", text)
}

pub(super) fn foreign_part(kind: &str) -> Unsaid {
    let text = format!("this provider takes no content part of the type {kind:?}");
    Unsaid::content("messages", &text)
}

pub(super) fn link_part() -> Unsaid {
    Unsaid::content("messages", "this provider takes files as bytes, not as links")
}
