//! Decides how clients of Gemini's generateContent are served: the rooms of this door.
//! Does not serve Google's own models otherwise than any other's.

mod answer;
mod ask;
mod events;
mod schema;
mod turns;

use super::listen::Told;
use super::{Entered, top};
use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;

const WHOLE: &str = ":generateContent";
const STREAM: &str = ":streamGenerateContent";
const MODELS: &str = "/models/";

/// The model in this path and whether its answer streams; `None` where it asks for no content.
pub(super) fn named(path: &str) -> Option<(&str, bool)> {
    let rest = path.strip_prefix(MODELS)?;
    let whole = rest.strip_suffix(WHOLE).map(|model| (model, false));
    let found = whole.or_else(|| rest.strip_suffix(STREAM).map(|model| (model, true)));
    found.filter(|(model, _)| !model.is_empty())
}

/// What stands in the path joins the body, which is then all that was asked.
pub(super) fn joined(path: &str, body: &[u8]) -> Option<Vec<u8>> {
    let (model, streams) = named(path)?;
    let mut top = Object::parse(body)?;
    top.set("model", quoted(model));
    top.set("stream", if streams { b"true".as_slice() } else { b"false" });
    Some(top.write())
}

/// Tells a generateContent request as a chat.
pub(super) fn enter(body: &[u8]) -> Result<Entered, Unsaid> {
    let asked = ask::chat(&top(body)?)?;
    let events = events::Events::new(asked.shows_thoughts);
    let reply = Some(Box::new(Told::new(events)) as _);
    Ok(Entered { body: asked.body, dropped: asked.dropped, reply })
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
