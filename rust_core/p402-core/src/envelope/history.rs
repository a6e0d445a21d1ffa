//! Decides how a transcript reads where an upstream takes it in one form alone.
//! Does not change what is said: equal roles in a row become one message, and nothing is left out.

use super::edits::{Edits, elements, inner};
use super::types::{Scan, Span};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Stands where a client has lost the thoughts that led to a call.
const LOST: &[u8] = b"\"reasoning_content\":\"\",";

/// A message that two in a row can become.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    role: &'a str,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Every call goes back with the thoughts before it, though they be lost.
pub(super) fn echo(body: &[u8], scan: &Scan, edits: &mut Edits<'_>) {
    let messages = scan.field("messages").map(|field| elements(body, field.value.start));
    for at in messages.unwrap_or_default() {
        let calls = inner(body, at, "tool_calls").is_some();
        if calls && inner(body, at, "reasoning_content").is_none() {
            let inside = Span { start: at + 1, end: at + 1 };
            edits.replace(inside, LOST);
        }
    }
}

/// Messages of equal roles in a row become one, where they hold nothing but what is said.
pub(super) fn alternate(body: Vec<u8>) -> Vec<u8> {
    let start = body.iter().position(|byte| *byte == b'{').unwrap_or_default();
    let Some(list) = inner(&body, start, "messages").map(|found| found.value) else { return body };
    let Ok(messages) = serde_json::from_slice::<Vec<&RawValue>>(list.of(&body)) else {
        return body;
    };
    let mut merged: Vec<String> = Vec::with_capacity(messages.len());
    for message in &messages {
        let next = message.get();
        match merged.last().and_then(|last| joined(last, next)) {
            Some(both) => {
                merged.pop();
                merged.push(both);
            }
            None => merged.push(next.to_owned()),
        }
    }
    if merged.len() == messages.len() {
        return body;
    }
    let written = format!("[{}]", merged.join(","));
    let (head, tail) = (body.get(..list.start), body.get(list.end..));
    [head.unwrap_or_default(), written.as_bytes(), tail.unwrap_or_default()].concat()
}

/// Both in one message; `None` where one has more than a role and what is said, or they differ.
fn joined(last: &str, next: &str) -> Option<String> {
    let [last, next]: [Plain<'_>; 2] =
        [serde_json::from_str(last).ok()?, serde_json::from_str(next).ok()?];
    let alike = last.role == next.role && matches!(last.role, "user" | "assistant" | "system");
    let content = together(last.content.get(), next.content.get()).filter(|_| alike)?;
    Some(format!("{{\"role\":\"{}\",\"content\":{content}}}", last.role))
}

/// Two texts are one with a blank line between; of two lists, or one, a list.
fn together(last: &str, next: &str) -> Option<String> {
    if let (Some(head), Some(tail)) = (last.strip_suffix('"'), next.strip_prefix('"')) {
        return Some(format!("{head}\\n\\n{tail}"));
    }
    let parts = [parts(last)?, parts(next)?];
    let said: Vec<String> = parts.into_iter().filter(|parts| !parts.is_empty()).collect();
    Some(format!("[{}]", said.join(",")))
}

/// What stands between the brackets of a list of parts.
fn parts(content: &str) -> Option<String> {
    if content.starts_with('"') {
        return Some(format!("{{\"type\":\"text\",\"text\":{content}}}"));
    }
    let inside = content.strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.trim().to_owned())
}
