//! Decides what every codec of a foreign language offers.
//! Does not know any language: each stands in a folder of its own.

use super::openai::{AnswerFault, StreamAsk, StreamFault, UpstreamError, UpstreamErrorKind};
use crate::catalog::{Effort, Efforts, Quirks};
use crate::chat::Request;
use crate::dialect::wire::json::quoted;
use std::sync::Arc;

/// What one attempt asks, beside what the client said.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The offer's own id.
    pub model: &'a str,
    pub stream: bool,
    /// Output bound that P402 sets or clamps to.
    pub output_cap: Option<u64>,
    /// The most this model writes; languages that demand a bound get it where nobody set one.
    pub max_output: Option<u64>,
    /// Effort that P402 chose; `None` leaves the client's.
    pub effort: Option<Effort>,
    pub efforts: Efforts,
    pub quirks: &'a Quirks,
    /// The client's `user`, hashed under a key: providers tell abusers apart, not people.
    pub user: Option<&'a str>,
    pub recall: &'a dyn Recall,
}

/// What is remembered of thoughts that a client did not send back with the calls they led to.
pub trait Recall {
    /// The thoughts before this call: a JSON array in the form of `reasoning_details`.
    fn thoughts(&self, call_id: &str) -> Option<Arc<str>>;
}

/// Nothing is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Forgetful;

impl Recall for Forgetful {
    fn thoughts(&self, _: &str) -> Option<Arc<str>> {
        None
    }
}

/// A request in the upstream's language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// What follows the provider's base address.
    pub path: String,
    pub body: Vec<u8>,
    /// Names of what the upstream is not told, for `x-p402-warnings`.
    pub dropped: Vec<String>,
}

/// Thoughts and the calls they led to: what a provider wants back, should the client lose it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub call_ids: Vec<String>,
    /// A JSON array in the form of `reasoning_details`.
    pub thoughts: String,
}

/// A whole answer, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// A chat completion.
    pub body: Vec<u8>,
    pub kept: Option<Kept>,
}

/// What a language has no words for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaid {
    pub code: &'static str,
    pub param: String,
    pub message: String,
}

/// A foreign language, both ways.
pub trait Codec: Sync + std::fmt::Debug {
    /// Headers of every request, beside the key's.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    fn encode(&self, request: &Request<'_>, target: &Target<'_>) -> Result<Encoded, Unsaid>;
    /// A whole answer as a chat completion.
    fn read(&self, body: &[u8], ask: &StreamAsk) -> Result<Translated, AnswerFault>;
    /// A stream as chat chunks.
    fn decoder(&self, ask: &StreamAsk) -> Box<dyn Decode>;
}

/// A foreign stream on its way: bytes in, frames of chat chunks out, ended by `[DONE]`.
pub trait Decode: Send + Sync + std::fmt::Debug {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), StreamFault>;
    /// The bytes have ended.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), StreamFault>;
    /// What is to be remembered of the stream so far.
    fn kept(&self) -> Option<Kept>;
}

impl Target<'_> {
    /// The effort that goes upstream: P402's choice, else the client's; the default is silence.
    pub(super) fn effort(&self, request: &Request<'_>) -> Option<Effort> {
        self.effort.or(request.effort).filter(|effort| *effort != Effort::Default)
    }

    /// The output bound, where anybody set one.
    pub(super) fn bound(&self, request: &Request<'_>) -> Option<u64> {
        let cap = self.output_cap;
        request.max_tokens.map(|asked| asked.min(cap.unwrap_or(u64::MAX))).or(cap)
    }

    pub(super) fn refuses(&self, field: &str) -> bool {
        self.quirks.drop.iter().any(|dropped| &**dropped == field)
    }
}

impl Unsaid {
    pub(crate) fn parameter(param: &str, message: &str) -> Self {
        Self { code: "unsupported_parameter", param: param.into(), message: message.into() }
    }

    pub(crate) fn content(param: &str, message: &str) -> Self {
        Self { code: "unsupported_content", param: param.into(), message: message.into() }
    }

    /// The refusal as if the upstream had said it, in OpenAI's form.
    pub fn error(&self) -> UpstreamError {
        let json = [
            ("message", quoted(&self.message)),
            ("type", quoted("invalid_request_error")),
            ("param", quoted(&self.param)),
            ("code", quoted(self.code)),
        ];
        let members = json.map(|(key, value)| [&quoted(key)[..], b":", &value].concat());
        let body = [b"{\"error\":{", members.join(&b","[..]).as_slice(), b"}}"].concat();
        UpstreamError {
            kind: UpstreamErrorKind::BadRequest,
            status: 400,
            retryable: false,
            possibly_billed: false,
            retry_after_ms: None,
            message: self.message.clone(),
            code: Some(self.code.to_owned()),
            param: Some(self.param.clone()),
            body,
        }
    }
}

/// Names of dropped fields, each once.
#[derive(Debug, Default)]
pub(crate) struct Dropped(pub(crate) Vec<String>);

impl Dropped {
    pub(crate) fn name(&mut self, field: &str) {
        if !self.0.iter().any(|known| known == field) {
            self.0.push(field.to_owned());
        }
    }

    pub(crate) fn if_any(&mut self, field: &str, there: bool) {
        if there {
            self.name(field);
        }
    }
}
