//! Decides how clients of Anthropic's Messages API are served: the rooms of this door.
//! Does not serve Anthropic's own models otherwise than any other's.

mod answer;
mod ask;
mod events;
mod marks;
mod turns;

use super::listen::Told;
use super::{Entered, top};
use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;

/// By this Anthropic's own clients know to send the whole history instead.
const UNTHREADED: &[u8] = br#"{"error_code":"thread_unsupported_request"}"#;

/// Tells a Messages request as a chat.
pub(super) fn enter(body: &[u8]) -> Result<Entered, Unsaid> {
    let (body, dropped) = ask::chat(&top(body)?)?;
    Ok(Entered { body, dropped, reply: Some(Box::new(Told::new(events::Events::default()))) })
}

/// The same where only its length is asked for: it need not say how long an answer may be.
pub(super) fn measured(body: &[u8]) -> Result<Entered, Unsaid> {
    let mut top = top(body)?;
    top.ensure("max_tokens", b"1");
    let (body, dropped) = ask::chat(&top)?;
    Ok(Entered { body, dropped, reply: None })
}

/// An error of ours in Anthropic's shape: our codes, its types.
pub(super) fn error(body: &[u8]) -> Vec<u8> {
    let top = Object::parse(body).unwrap_or_default();
    failed(top.get("error").unwrap_or(b"{}"), None)
}

/// `{"type":"error","error":{…}}` around the inside of an error of ours.
fn failed(error: &[u8], metadata: Option<&[u8]>) -> Vec<u8> {
    let mut inner = Object::parse(error).unwrap_or_default();
    let kind = kind(&inner.text("type").unwrap_or_default(), inner.name("code").as_deref());
    let request_id = inner.share("request_id");
    inner.set_first("type", quoted(kind));
    if inner.text("param").as_deref() == Some(ask::THREAD) {
        inner.put("details", UNTHREADED);
    }
    let mut outer = Object::default();
    outer.set("type", b"\"error\"".as_slice());
    outer.set("error", inner.write());
    if let Some(id) = request_id {
        outer.set("request_id", id);
    }
    if let Some(metadata) = metadata {
        outer.set("p402_metadata", metadata);
    }
    outer.write()
}

/// Anthropic's word for an error of this type and code.
fn kind(kind: &str, code: Option<&str>) -> &'static str {
    match (kind, code.unwrap_or_default()) {
        (_, "model_not_found" | "unknown_url" | "request_not_found") => "not_found_error",
        (_, "request_too_large") => "request_too_large",
        (_, "upstream_timeout" | "latency_exceeded") => "timeout_error",
        ("authentication_error", _) => "authentication_error",
        ("permission_error", _) => "permission_error",
        ("rate_limit_error" | "insufficient_quota", _) => "rate_limit_error",
        ("service_unavailable_error", _) => "overloaded_error",
        ("server_error" | "upstream_error", _) => "api_error",
        _ => "invalid_request_error",
    }
}
