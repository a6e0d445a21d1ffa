//! Decides how an error reads on the wire: the OpenAI shape, and the headers SDKs obey.
//! Does not hold the table of codes (code.rs) and does not decide when an error is due.

use super::code::Code;
use super::json;
use super::scrub::scrub;
use crate::cache::wish::WishError;
use crate::dialect::Unsaid;
use crate::envelope::ScanError;
use crate::money::Usd;
use crate::route::FieldError;
use serde_json::Value;

/// Longer waits are told in the body alone: SDKs would hammer or sleep (guard.md § 10).
pub const RETRY_HEADER_MS_MAX: u64 = 60_000;
/// An upstream's error body is read up to here.
pub const UPSTREAM_ERROR_BYTES_MAX: usize = 64 << 10;
/// An upstream's sentence is repeated up to here.
const MESSAGE_CHARS_MAX: usize = 2_000;
/// The object inside an upstream's error is repeated up to here, or left out.
const INNER_BYTES_MAX: usize = 4_096;
/// An upstream's type, code and param are repeated up to here.
const WORD_CHARS_MAX: usize = 128;

/// An error as the downstream sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub code: Code,
    /// Stands in for the table's status.
    pub status: Option<u16>,
    pub message: String,
    pub param: Option<String>,
    /// More fields, inside `error`.
    pub extra: Vec<(&'static str, Extra)>,
    pub retry_after_ms: Option<u64>,
    /// Stands in for the table's hint.
    pub should_retry: Option<bool>,
    /// An upstream's own type and code, where its refusal is passed on.
    foreign: Option<Foreign>,
}

/// One more field: money is written from its integer, never through a float.
#[derive(Clone, Debug, PartialEq)]
pub enum Extra {
    Json(Value),
    Usd(Usd),
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Foreign {
    kind: Option<String>,
    code: Option<String>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            status: None,
            message: message.into(),
            param: None,
            extra: Vec::new(),
            retry_after_ms: None,
            should_retry: None,
            foreign: None,
        }
    }

    /// An upstream's 400, 413, 422 or filter answer: status kept, body in our shape, scrubbed.
    pub fn from_upstream(status: u16, body: &[u8]) -> Self {
        // A body that is cut here is no JSON any more, and then our own sentence stands in.
        let head = body.get(..UPSTREAM_ERROR_BYTES_MAX).unwrap_or(body);
        let parsed = serde_json::from_slice::<Value>(head).unwrap_or_default();
        // Google's compatible endpoint wraps its error in a list.
        let outer = parsed.get(0).unwrap_or(&parsed);
        let inner = outer.get("error").filter(|error| error.is_object()).unwrap_or(outer);
        let said = ["message", "detail", "error"].into_iter().find_map(|key| sentence(inner, key));
        let fallback = || format!("The provider refused the request with status {status}.");
        let message = said.map_or_else(fallback, |said| cut(&scrub(&said), MESSAGE_CHARS_MAX));
        let kind = word(inner, "type").or_else(|| Some("invalid_request_error".to_owned()));
        let foreign = Foreign { kind, code: word(inner, "code") };
        Self {
            status: Some(status),
            param: word(inner, "param"),
            extra: filtered(inner)
                .map(|json| ("innererror", Extra::Json(json)))
                .into_iter()
                .collect(),
            should_retry: Some(false),
            foreign: Some(foreign),
            ..Self::new(Code::UpstreamError, message)
        }
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }
    #[must_use]
    pub fn with_extra(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((name, Extra::Json(value.into())));
        self
    }
    #[must_use]
    pub fn with_usd(mut self, name: &'static str, amount: Usd) -> Self {
        self.extra.push((name, Extra::Usd(amount)));
        self
    }
    #[must_use]
    pub fn with_retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
    #[must_use]
    pub fn with_should_retry(mut self, retry: bool) -> Self {
        self.should_retry = Some(retry);
        self
    }

    pub fn status(&self) -> u16 {
        self.status.unwrap_or(self.code.row().status)
    }

    /// The code as the body says it; an upstream's own where its refusal is passed on.
    pub fn code_text(&self) -> Option<&str> {
        match &self.foreign {
            Some(foreign) => foreign.code.as_deref(),
            None => Some(self.code.name()),
        }
    }

    /// The type as the body says it.
    pub fn kind(&self) -> &str {
        let foreign = self.foreign.as_ref().and_then(|foreign| foreign.kind.as_deref());
        foreign.unwrap_or(self.code.row().kind)
    }

    /// `{"error":{…}}`
    pub fn body(&self, request_id: impl std::fmt::Display) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.message.len());
        out.extend_from_slice(b"{\"error\":");
        self.write(&mut out, request_id);
        out.push(b'}');
        out
    }

    /// The value of `error` alone: error frames of streams carry metadata beside it.
    pub fn write(&self, out: &mut Vec<u8>, request_id: impl std::fmt::Display) {
        out.push(b'{');
        json::text_member(out, "message", &self.message);
        json::text_member(out, "type", self.kind());
        self.write_fields(out, request_id);
    }

    /// The same as RFC 9457 has it, for clients that accept `application/problem+json`.
    pub fn problem(&self, request_id: impl std::fmt::Display) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.message.len());
        let name = self.code.name();
        out.push(b'{');
        json::text_member(&mut out, "type", &format!("urn:p402:error:{name}"));
        json::text_member(&mut out, "title", &name.replace('_', " "));
        json::member(&mut out, "status", self.status());
        json::text_member(&mut out, "detail", &self.message);
        self.write_fields(&mut out, request_id);
        out
    }

    fn write_fields(&self, out: &mut Vec<u8>, request_id: impl std::fmt::Display) {
        json::optional_member(out, "param", self.param.as_deref());
        json::optional_member(out, "code", self.code_text());
        json::text_member(out, "request_id", &request_id.to_string());
        for (name, value) in &self.extra {
            match value {
                Extra::Json(value) => json::member(out, name, value),
                Extra::Usd(amount) => json::member(out, name, amount),
            }
        }
        if let Some(ms) = self.retry_after_ms {
            json::member(out, "retry_after_ms", ms);
        }
        out.push(b'}');
    }

    /// What SDKs obey: `x-should-retry`, and the wait where it is short enough to be waited.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let hint = self.should_retry.unwrap_or(self.code.row().retry);
        let long = self.retry_after_ms.is_some_and(|ms| ms > RETRY_HEADER_MS_MAX);
        let mut headers = vec![("x-should-retry", (hint && !long).to_string())];
        if let Some(ms) = self.retry_after_ms.filter(|_| !long) {
            headers.push(("retry-after", ms.div_ceil(1_000).to_string()));
            headers.push(("retry-after-ms", ms.to_string()));
        }
        if self.status() == 401 {
            headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        headers
    }
}

impl From<ScanError> for ApiError {
    fn from(error: ScanError) -> Self {
        let code = Code::parse(error.code).unwrap_or(Code::InvalidValue);
        Self { param: error.param, ..Self::new(code, error.message) }
    }
}

impl From<Unsaid> for ApiError {
    fn from(unsaid: Unsaid) -> Self {
        let code = Code::parse(unsaid.code).unwrap_or(Code::InvalidValue);
        let param = Some(unsaid.param).filter(|param| !param.is_empty());
        Self { param, ..Self::new(code, unsaid.message) }
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        let code = Code::parse(error.code).unwrap_or(Code::P402FieldInvalid);
        Self { param: Some(error.param), ..Self::new(code, error.message) }
    }
}

impl From<WishError> for ApiError {
    fn from(error: WishError) -> Self {
        let code = if error.unknown { Code::P402FieldUnknown } else { Code::P402FieldInvalid };
        Self { param: Some(error.param.clone()), ..Self::new(code, error.to_string()) }
    }
}

/// What an upstream says under `key`: a string, or the first complaint of a list.
fn sentence(value: &Value, key: &str) -> Option<String> {
    let said = value.get(key)?;
    let first = said.get(0).unwrap_or(said);
    let text = first.as_str().or_else(|| first.get("msg").and_then(Value::as_str))?;
    let clean: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    (!clean.trim().is_empty()).then_some(clean)
}

/// What Azure's content filter found, where it says so: it goes on as it came, scrubbed.
fn filtered(inner: &Value) -> Option<Value> {
    let found = inner.get("innererror").filter(|found| found.is_object())?;
    let text = found.to_string();
    let fits = text.len() <= INNER_BYTES_MAX;
    fits.then(|| serde_json::from_str(&scrub(&text)).ok())?
}

/// A short string; numbers become one.
fn word(value: &Value, key: &str) -> Option<String> {
    let text = match value.get(key)? {
        Value::String(text) => scrub(text),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(cut(&text, WORD_CHARS_MAX))
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
