//! Decides how a transcript reads where an upstream takes it in one form alone.
//! Does not change what is said: equal roles in a row become one message, and nothing is left out.

use super::edits::{Edits, elements, inner};
use super::types::Scan;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Stands for thoughts that the client has lost: vendors that ask for them take `""` for nothing.
const LOST: &[u8] = b"\" \"";
const ASSISTANT: &[u8] = b"\"assistant\",\"reasoning_content\":";

/// A message that two in a row can become: one with a name or calls is itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    role: &'a str,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// From the first call on, what the assistant said goes back with thoughts, though they be lost.
pub(super) fn echo(body: &[u8], scan: &Scan, edits: &mut Edits<'_>) {
    let messages = scan.field("messages").map(|field| elements(body, field.value.start));
    let turns = messages.unwrap_or_default().into_iter();
    for at in turns.skip_while(|at| inner(body, *at, "tool_calls").is_none()) {
        let role = inner(body, at, "role").map(|role| role.value);
        let Some(role) = role.filter(|role| role.of(body) == b"\"assistant\"") else { continue };
        let thoughts = inner(body, at, "reasoning_content").map(|thoughts| thoughts.value);
        match thoughts.map(|said| (said, said.of(body))) {
            Some((said, b"null" | b"\"\"")) => edits.replace(said, LOST),
            Some(_) => continue,
            // In the role's own place, where no other edit cuts.
            None => edits.replace(role, [ASSISTANT, LOST].concat()),
        };
    }
}

/// Messages of equal roles in a row become one, where they hold nothing but what is said.
pub(super) fn alternate(body: Vec<u8>) -> Vec<u8> {
    let start = body.iter().position(|byte| *byte == b'{').unwrap_or_default();
    let Some(list) = inner(&body, start, "messages").map(|found| found.value) else { return body };
    let Ok(messages) = serde_json::from_slice::<Vec<&RawValue>>(list.of(&body)) else {
        return body;
    };
    let plain = messages.iter().map(|raw| serde_json::from_str(raw.get()).ok());
    let plain: Vec<Option<Plain<'_>>> = plain.collect();
    let mut written: Vec<String> = Vec::with_capacity(messages.len());
    let mut at = 0;
    while let Some(message) = messages.get(at) {
        let run = run(plain.get(at..).unwrap_or_default());
        written.push(joined(&run).unwrap_or_else(|| message.get().to_owned()));
        at += run.len().max(1);
    }
    if written.len() == messages.len() {
        return body;
    }
    let (head, tail) = (body.get(..list.start), body.get(list.end..));
    let list = format!("[{}]", written.join(","));
    [head.unwrap_or_default(), list.as_bytes(), tail.unwrap_or_default()].concat()
}

/// The messages at the front that are of one role and can be told as one.
fn run<'a, 'b>(messages: &'b [Option<Plain<'a>>]) -> Vec<&'b Plain<'a>> {
    let alike = |first: &Plain<'_>, next: &Plain<'_>| first.role == next.role && next.is_said();
    let known = messages.iter().map_while(Option::as_ref);
    let Some(first) = known.clone().next().filter(|first| first.is_said()) else {
        return Vec::new();
    };
    known.take_while(|next| alike(first, next)).collect()
}

/// Several messages in one; `None` where there is nothing to join.
fn joined(run: &[&Plain<'_>]) -> Option<String> {
    let first = run.first().filter(|_| run.len() > 1)?;
    let texts: Option<Vec<&str>> = run.iter().map(|message| message.text()).collect();
    let content = if let Some(texts) = texts {
        format!("\"{}\"", texts.join("\\n\\n"))
    } else {
        let parts = run.iter().map(|message| message.parts());
        let said: Vec<String> = parts.filter(|parts| !parts.is_empty()).collect();
        format!("[{}]", said.join(","))
    };
    Some(format!("{{\"role\":\"{}\",\"content\":{content}}}", first.role))
}

impl Plain<'_> {
    /// A text or parts, of somebody who may say them together.
    fn is_said(&self) -> bool {
        let whole = self.content.get().starts_with(['"', '[']);
        whole && matches!(self.role, "user" | "assistant" | "system")
    }

    /// What stands between the quotes of a text.
    fn text(&self) -> Option<&str> {
        self.content.get().strip_prefix('"')?.strip_suffix('"')
    }

    /// What stands between the brackets of a list of parts; a text is one part.
    fn parts(&self) -> String {
        let content = self.content.get();
        let list = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match list {
            Some(inside) => inside.trim().to_owned(),
            None => format!("{{\"type\":\"text\",\"text\":{content}}}"),
        }
    }
}
