//! Decides how clients of Gemini's generateContent are served: the rooms of this door.
//! Does not serve Google's own models otherwise than any other's.

mod answer;
mod ask;
pub(super) mod embed;
mod events;
mod schema;
mod turns;

use super::listen::Told;
use super::{Door, Entered, mistyped, top};
use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;

const WHOLE: &str = "generateContentRequest";
const MODELS: &str = "/models/";
/// What is asked of a model, by the end of its path, and whether the answer streams.
const ASKED: [(&str, Door, bool); 5] = [
    (":generateContent", Door::Generate, false),
    (":streamGenerateContent", Door::Generate, true),
    (":countTokens", Door::Generate, false),
    (":embedContent", Door::EmbedContent, false),
    (":batchEmbedContents", Door::EmbedContent, false),
];

/// What stands in a path of this API.
pub(super) struct Named<'a> {
    pub(super) door: Door,
    model: &'a str,
    streams: bool,
}

/// Reads such a path; `None` where it asks nothing of a model.
pub(super) fn named(path: &str) -> Option<Named<'_>> {
    let rest = path.strip_prefix(MODELS)?;
    let named = |(end, door, streams)| {
        let model = rest.strip_suffix(end)?;
        Some(Named { door, model, streams })
    };
    ASKED.into_iter().find_map(named).filter(|named| !named.model.is_empty())
}

/// What stands in the path joins the body, which is then all that was asked.
pub(super) fn joined(path: &str, body: &[u8]) -> Option<Vec<u8>> {
    let named = named(path)?;
    let mut top = Object::parse(body)?;
    top.set("model", quoted(named.model));
    if named.door == Door::Generate {
        top.set("stream", if named.streams { b"true".as_slice() } else { b"false" });
    }
    Some(top.write())
}

/// Tells a generateContent request as a chat.
pub(super) fn enter(body: &[u8]) -> Result<Entered, Unsaid> {
    let asked = ask::chat(&top(body)?)?;
    let events = events::Events::new(asked.shows_thoughts);
    let reply = Some(Box::new(Told::new(events)) as _);
    Ok(Entered { body: asked.body, dropped: asked.dropped, reply })
}

/// The same where only its length is asked for: the request may stand whole under one name.
pub(super) fn measured(body: &[u8]) -> Result<Entered, Unsaid> {
    let top = top(body)?;
    let Some(inner) = top.share(WHOLE) else { return enter(body) };
    let mut inner = Object::parse_taken(inner).ok_or_else(|| mistyped(WHOLE))?;
    inner.replace("model", top.literal("model").to_vec());
    enter(&inner.write())
}

/// An error of ours in Google's shape: our code is its reason.
pub(super) fn error(status: u16, body: &[u8]) -> Vec<u8> {
    let top = Object::parse(body).unwrap_or_default();
    failed(status, top.get("error").unwrap_or(b"{}"))
}

fn failed(status: u16, error: &[u8]) -> Vec<u8> {
    let inner = Object::parse(error).unwrap_or_default();
    let mut metadata = Object::default();
    for name in ["param", "request_id"] {
        if let Some(text) = inner.text(name) {
            metadata.put(name, &quoted(&text));
        }
    }
    let mut detail = Object::default();
    detail.set("@type", b"\"type.googleapis.com/google.rpc.ErrorInfo\"".as_slice());
    detail.set("reason", quoted(&inner.text("code").unwrap_or_default()));
    detail.set("domain", b"\"p402\"".as_slice());
    detail.set("metadata", metadata.write());
    let mut told = Object::default();
    told.set("code", status.to_string().into_bytes());
    told.set("message", inner.literal("message"));
    told.set("status", quoted(word(status)));
    told.set("details", [b"[", &detail.write()[..], b"]"].concat());
    [b"{\"error\":", &told.write()[..], b"}"].concat()
}

/// Google's word for an error of this status.
const fn word(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        400..500 => "INVALID_ARGUMENT",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}
