//! Decides what an upstream's failure means: kind, retryable, possibly billed, how long to wait.
//! Does not decide what is done about it (dispatch), nor what the client is told (reply).

use crate::dialect::wire::json::{text_of, whole_of};
use crate::dialect::wire::object::{Object, items};
use crate::time::{Day, Timestamp};

/// How much of an upstream's error body is kept.
const BODY_BYTES_MAX: usize = 16 * 1024;
const MESSAGE_CHARS_MAX: usize = 1_000;

/// What kind of failure it was; routing.md § 5.2 has a row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamErrorKind {
    Server,
    RateLimit,
    /// 401, or a text that says the key is bad.
    Auth,
    /// 402, quota, credit and key-limit texts.
    Billing,
    Forbidden,
    ModelGone,
    ContextLength,
    BadRequest,
    ContentFilter,
    Timeout,
    Connect,
    Malformed,
    Cut,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamError {
    pub kind: UpstreamErrorKind,
    /// The upstream's status; 0 where there was no response.
    pub status: u16,
    /// Another attempt may succeed (for `ContextLength`: one with a larger window).
    pub retryable: bool,
    pub possibly_billed: bool,
    pub retry_after_ms: Option<u64>,
    /// The upstream's own words, not scrubbed.
    pub message: String,
    pub code: Option<String>,
    pub param: Option<String>,
    /// The first 16 KiB of the body.
    pub body: Vec<u8>,
}

/// What an error body says, whatever its form.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// `code`, else `type`, else `status`, as text.
    code: Option<String>,
    kind: String,
    param: Option<String>,
    /// A status inside the body.
    status: Option<u16>,
}

impl UpstreamErrorKind {
    /// Another attempt may be made where nothing was committed.
    pub const fn retryable(self) -> bool {
        !matches!(self, Self::BadRequest | Self::ContentFilter)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::RateLimit => "rate_limit",
            Self::Auth => "auth",
            Self::Billing => "billing",
            Self::Forbidden => "forbidden",
            Self::ModelGone => "model_gone",
            Self::ContextLength => "context_length",
            Self::BadRequest => "bad_request",
            Self::ContentFilter => "content_filter",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Malformed => "malformed",
            Self::Cut => "cut",
        }
    }
}

impl UpstreamError {
    /// A failure that no response tells of: no connection, time-out, cut, bad bytes.
    /// `written` = the request had been written when it happened.
    pub fn without_response(kind: UpstreamErrorKind, written: bool, message: &str) -> Self {
        Self {
            kind,
            status: 0,
            retryable: kind.retryable(),
            possibly_billed: written,
            retry_after_ms: None,
            message: message.to_owned(),
            code: None,
            param: None,
            body: Vec::new(),
        }
    }
}

/// Reads an answer that is no success. `retry_after` is the header's text: seconds, an HTTP date,
/// or (from `retry-after-ms`) milliseconds with the suffix `ms`.
pub fn classify(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> UpstreamError {
    let said = read_body(body);
    let kind = kind_of(status, &said);
    let wait = retry_after.and_then(|text| wait_ms(text, now)).or_else(|| delay_in(body));
    build(kind, status, said, (wait, body))
}

/// Reads an error that came with status 200: in a stream, or as the whole body. Work had begun,
/// so it may be billed.
pub(in crate::dialect) fn in_stream(body: &[u8]) -> UpstreamError {
    let said = read_body(body);
    let status = said.status.unwrap_or_else(|| status_of(&said));
    let kind = kind_of(status, &said);
    let mut error = build(kind, status, said, (delay_in(body), body));
    error.possibly_billed = true;
    error
}

fn build(
    kind: UpstreamErrorKind,
    status: u16,
    said: Said,
    rest: (Option<u64>, &[u8]),
) -> UpstreamError {
    let (retry_after_ms, body) = rest;
    UpstreamError {
        kind,
        status,
        retryable: kind.retryable(),
        // A time-out behind the upstream's own front: the model may have run.
        possibly_billed: kind == UpstreamErrorKind::Timeout && status >= 500,
        retry_after_ms,
        message: said.message,
        code: said.code,
        param: said.param,
        body: body.get(..BODY_BYTES_MAX).unwrap_or(body).to_vec(),
    }
}

const BILLING: [&str; 13] = [
    "insufficient_quota",
    "insufficient balance",
    "insufficient credit",
    "insufficient funds",
    "exceeded your current quota",
    "credit balance",
    "out of credits",
    "billing",
    "payment required",
    "key limit",
    "spending limit",
    "spend limit",
    "arrearage",
];
const CONTEXT: [&str; 11] = [
    "context_length",
    "context length",
    "context window",
    "maximum context",
    "context size",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "input token count",
    "tokens exceed",
    "request_too_large",
];
const FILTER: [&str; 9] = [
    "content_filter",
    "content filter",
    "content_policy",
    "content management policy",
    "content policy",
    "moderation",
    "flagged",
    "safety system",
    "data_inspection_failed",
];
const KEY: [&str; 6] = [
    "invalid_api_key",
    "invalid api key",
    "incorrect api key",
    "api key not valid",
    "api_key_invalid",
    "authentication_error",
];
const GONE: [&str; 8] = [
    "model_not_found",
    "model_decommissioned",
    "decommissioned",
    "model not found",
    "model does not exist",
    "no endpoints found",
    "deploymentnotfound",
    "invalid model",
];

/// Which row of routing.md § 5.2 holds.
fn kind_of(status: u16, said: &Said) -> UpstreamErrorKind {
    use UpstreamErrorKind as Kind;
    let code = said.code.as_deref().unwrap_or_default();
    let words = format!("{code} {} {}", said.kind, said.message).to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    match status {
        401 => Kind::Auth,
        403 if says(&FILTER) => Kind::ContentFilter,
        402 => Kind::Billing,
        403 | 429 if says(&BILLING) => Kind::Billing,
        403 => Kind::Forbidden,
        404 | 410 => Kind::ModelGone,
        408 | 504 | 524 => Kind::Timeout,
        429 => Kind::RateLimit,
        // A limit of tokens a minute, told as a size.
        413 if words.contains("rate_limit") => Kind::RateLimit,
        400 | 413 | 422 => match () {
            () if says(&CONTEXT) => Kind::ContextLength,
            () if says(&FILTER) => Kind::ContentFilter,
            () if says(&KEY) => Kind::Auth,
            () if says(&GONE) => Kind::ModelGone,
            () if status == 400 && says(&BILLING) => Kind::Billing,
            () => Kind::BadRequest,
        },
        405..=407 | 411 | 412 | 414..=421 | 426 | 428 | 431 | 451 => Kind::BadRequest,
        _ => Kind::Server,
    }
}

/// The status that an error in a stream stands for.
fn status_of(said: &Said) -> u16 {
    let code = said.code.as_deref().unwrap_or_default();
    let words = format!("{code} {}", said.kind).to_lowercase();
    let rows: [(&str, u16); 13] = [
        ("insufficient_quota", 402),
        ("billing", 402),
        ("rate_limit", 429),
        ("resource_exhausted", 429),
        ("authentication", 401),
        ("invalid_api_key", 401),
        ("permission", 403),
        ("not_found", 404),
        ("overloaded", 529),
        ("timeout", 504),
        ("context_length", 400),
        ("content_filter", 400),
        ("invalid_request", 400),
    ];
    rows.iter().find(|(word, _)| words.contains(word)).map_or(502, |(_, status)| *status)
}

/// Finds message, code, type and param in any form upstreams use.
fn read_body(body: &[u8]) -> Said {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let first = items(body).and_then(|list| list.first().copied()).unwrap_or(body);
    let Some(top) = Object::parse(first) else {
        return Said { message: plain(first), ..Said::default() };
    };
    let inner = top.present("error").or_else(|| nested_error(&top));
    let mut said = match inner {
        Some(error) => match Object::parse(error) {
            Some(error) => read_error(&error),
            None => Said { message: shown(error), ..Said::default() },
        },
        None => read_error(&top),
    };
    if said.message.is_empty() {
        said.message = ["message", "detail", "msg"]
            .into_iter()
            .find_map(|key| top.present(key))
            .map(shown)
            .unwrap_or_default();
    }
    if said.message.is_empty() {
        "the upstream gave no reason".clone_into(&mut said.message);
    }
    said
}

/// An error inside a choice, or in the one vendor object that carries them.
fn nested_error<'a>(top: &'a Object<'_>) -> Option<&'a [u8]> {
    let member = |object: &'a [u8]| -> Option<&'a [u8]> {
        let mut walk = crate::dialect::wire::json::Walk::new(object);
        walk.eat(b'{')?;
        let mut first = true;
        while let Some(key) = walk.key(&mut first)? {
            let value = walk.value()?;
            if key.raw == b"error" && value != b"null" {
                return Some(value);
            }
        }
        None
    };
    let choices = top.get("choices").and_then(items).unwrap_or_default();
    choices.into_iter().find_map(member).or_else(|| top.get("x_groq").and_then(member))
}

fn read_error(error: &Object<'_>) -> Said {
    let number = |key: &str| error.whole(key).and_then(|code| u16::try_from(code).ok());
    let status = number("code").or_else(|| number("status")).or_else(|| number("status_code"));
    let kind = error.name("type").or_else(|| error.name("status")).unwrap_or_default();
    let code = error.present("code").map(shown).filter(|code| !code.is_empty());
    let message = ["message", "detail", "msg"].into_iter().find_map(|key| error.present(key));
    Said {
        message: message.map(shown).unwrap_or_default(),
        code: code.or_else(|| Some(kind.clone()).filter(|kind| !kind.is_empty())),
        kind,
        param: error.name("param"),
        status: status.filter(|status| (400..600).contains(status)),
    }
}

/// A value as words: a string's text, anything else as it is written.
fn shown(value: &[u8]) -> String {
    match text_of(value) {
        Some(text) => text.chars().take(MESSAGE_CHARS_MAX).collect(),
        None => plain(value),
    }
}

fn plain(text: &[u8]) -> String {
    if text.starts_with(b"<") {
        return "the upstream answered with a page, not with JSON".to_owned();
    }
    String::from_utf8_lossy(text).chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Milliseconds to wait: `20`, `1.5`, `250ms`, or until an HTTP date.
fn wait_ms(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    if let Some(ms) = text.strip_suffix("ms") {
        return thousandths(ms.trim()).map(|micros| micros.div_ceil(1_000));
    }
    thousandths(text).or_else(|| {
        let until = http_date(text)?;
        u64::try_from(until.millis() - now.millis()).ok().or(Some(0))
    })
}

/// A decimal number times 1,000, rounded up.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let whole = whole_of(whole.as_bytes()).filter(|_| digits)?;
    let mut part = 0;
    for place in 0..3 {
        let digit = fraction.as_bytes().get(place).map_or(0, |byte| u64::from(byte - b'0'));
        part = part * 10 + digit;
    }
    let finer = fraction.bytes().skip(3).any(|byte| byte != b'0');
    whole.checked_mul(1_000)?.checked_add(part + u64::from(finer))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.find(month).filter(|at| at % 3 == 0 && month.len() == 3)? / 3 + 1;
    let day = Day::parse(&format!("{year}-{month:02}-{day:0>2}"))?;
    let clock = words.next()?;
    Timestamp::parse_rfc3339(&format!("{day}T{clock}Z"))
}

/// The delay that one vendor writes into the body: `"retryDelay": "34s"`.
fn delay_in(body: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(body, b"\"retryDelay\"")?;
    let rest = body.get(at + b"\"retryDelay\"".len()..)?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = memchr::memchr(b'"', rest)?;
    let text = std::str::from_utf8(rest.get(..end)?).ok()?;
    thousandths(text.strip_suffix('s')?)
}
