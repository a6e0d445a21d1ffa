//! Decides how one whole answer is read, put right and sealed.
//! Does not touch a regular body but for the splices of compat.md § 2.2.

use super::StreamAsk;
use super::choices::Choices;
use super::error::{UpstreamError, in_stream};
use super::finish::whole_finish;
use super::identity::Identity;
use super::mend::flat_content;
use super::seal::{Seal, append_metadata, replace_usage, usage_json};
use super::whole::collect;
use crate::chat::FinishReason;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array, items};
use crate::usage::{ReportedUsage, read_usage};
use std::borrow::Cow;

/// Why a body with status 200 is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerFault {
    /// HTML, bad JSON, no choices: what was wrong, in words that hold nothing of the answer.
    Malformed(String),
    Upstream(Box<UpstreamError>),
}

/// One whole answer, mended and ready to be priced.
#[derive(Clone, Debug)]
pub struct Answer {
    pub reported: Option<ReportedUsage>,
    /// Usage was reported, but it cannot be right.
    pub usage_fault: bool,
    /// It states counts that no request can have.
    pub usage_absurd: bool,
    pub finish_reason: Option<FinishReason>,
    /// Bytes of answer text, reasoning and tool arguments.
    pub text_bytes: u64,
    pub service_tier: Option<String>,
    /// The served model as the upstream names it, else the offer's.
    pub model: String,
    pub upstream_id: Option<String>,
    /// The body without cost and metadata.
    pub body: Vec<u8>,
    usage_raw: Option<Vec<u8>>,
    form: Form,
}

/// What is written into an answer when it is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Its usage, with the cost, and the metadata.
    Counted,
    /// The metadata: it counts in no tokens.
    Uncounted,
    /// Nothing, for it is no JSON but of this type.
    Raw(String),
}

/// What putting the choices right has found.
#[derive(Default)]
struct Found {
    changed: bool,
    text_bytes: u64,
    finish_reason: Option<FinishReason>,
}

/// Reads the body of a 200. An SSE body that nobody asked for is collected first.
pub fn read_answer(body: &[u8], ask: &StreamAsk) -> Result<Answer, AnswerFault> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    match text.first() {
        Some(b'{') => read_object(text, ask),
        // A list is how one vendor wraps its errors.
        Some(b'[') => Err(AnswerFault::Upstream(Box::new(in_stream(text)))),
        Some(b'd' | b'e' | b':' | b'i' | b'r') => read_object(&collect(text, ask)?, ask),
        Some(b'<') => Err(malformed("the upstream sent a page instead of an answer")),
        Some(_) | None => Err(malformed("the upstream's answer is not JSON")),
    }
}

impl Answer {
    /// The body as the client gets it: `usage.cost` and `p402_metadata` added.
    pub fn seal(mut self, seal: &Seal<'_>) -> Vec<u8> {
        match self.form {
            Form::Raw(_) => return self.body,
            Form::Uncounted => {
                append_metadata(&mut self.body, seal.metadata);
                return self.body;
            }
            Form::Counted => {}
        }
        let raw = self.usage_raw.as_deref().filter(|_| !self.usage_fault);
        let usage = usage_json(raw, seal.usage, seal.cost);
        let mut sealed = replace_usage(&self.body, &usage, seal.metadata.len());
        append_metadata(&mut sealed, seal.metadata);
        sealed
    }

    pub fn content_type(&self) -> &str {
        match &self.form {
            Form::Raw(kind) => kind,
            Form::Counted | Form::Uncounted => "application/json",
        }
    }

    /// An answer that is no completion.
    pub(super) fn passed(
        body: Vec<u8>,
        (form, reported): (Form, Option<ReportedUsage>),
        model: &str,
    ) -> Self {
        Self {
            reported,
            usage_fault: false,
            usage_absurd: false,
            finish_reason: None,
            text_bytes: 0,
            service_tier: None,
            model: model.to_owned(),
            upstream_id: None,
            body,
            usage_raw: None,
            form,
        }
    }
}

fn malformed(why: &str) -> AnswerFault {
    AnswerFault::Malformed(why.to_owned())
}

fn read_object(text: &[u8], ask: &StreamAsk) -> Result<Answer, AnswerFault> {
    let top = Object::parse(text).filter(|_| std::str::from_utf8(text).is_ok());
    let mut top = top.ok_or_else(|| malformed("the upstream's answer is not JSON"))?;
    let failed = top.present("error").is_some() || top.text("object").is_some_and(|o| o == "error");
    if failed {
        return Err(AnswerFault::Upstream(Box::new(in_stream(text))));
    }
    let list = top.get("choices").and_then(items).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| malformed("the upstream's answer has no choices"))?;
    let mut found = Found::default();
    let mut choices = Choices::new(ask.request_id);
    let mut mended = Vec::with_capacity(list.len());
    for (at, item) in list.into_iter().enumerate() {
        match choice(item, at, &mut choices, &mut found)? {
            Some(choice) => mended.push(choice),
            None => return Err(AnswerFault::Upstream(Box::new(in_stream(text)))),
        }
    }
    if found.changed {
        top.set("choices", array(mended.iter().map(AsRef::as_ref)));
    }
    let mut identity = Identity::new(ask);
    identity.note(top.get("id"), top.get("created"), top.get("model"));
    let changed = found.changed | identify(&mut top, &identity);
    let usage_raw = top.present("usage").map(<[u8]>::to_vec);
    let read = usage_raw.as_deref().map(|raw| read_usage(raw, ask.usage_shape));
    let usage_absurd = matches!(read, Some(Err(fault)) if fault.is_absurd());
    let reported = read.and_then(Result::ok).filter(|said| !said.denies(found.text_bytes));
    Ok(Answer {
        usage_absurd,
        usage_fault: usage_raw.is_some() && reported.is_none(),
        reported,
        finish_reason: found.finish_reason,
        text_bytes: found.text_bytes,
        service_tier: top.text("service_tier").map(Cow::into_owned),
        model: identity.model_text().to_owned(),
        upstream_id: identity.upstream_id().map(str::to_owned),
        body: if changed { top.write() } else { text.to_vec() },
        usage_raw,
        form: Form::Counted,
    })
}

/// The top-level facts that are always there; true where one had to be added or cut.
fn identify(top: &mut Object<'_>, identity: &Identity) -> bool {
    let object = b"\"chat.completion\"".as_slice();
    let facts = [
        ("model", identity.model.as_slice()),
        ("created", identity.created.as_slice()),
        ("object", object),
        ("id", identity.id.as_slice()),
    ];
    let mut changed = top.remove("p402_metadata").is_some() | top.remove("error").is_some();
    for (key, value) in facts {
        if top.get(key) != Some(value) {
            top.set_first(key, value.to_vec());
            changed = true;
        }
    }
    changed
}

/// One choice with everything that is always there; `None` where it says `error`.
fn choice<'a>(
    item: &'a [u8],
    at: usize,
    choices: &mut Choices,
    found: &mut Found,
) -> Result<Option<Cow<'a, [u8]>>, AnswerFault> {
    let bad = || malformed("a choice of the upstream's answer has no message");
    let mut choice = Object::parse(item).ok_or_else(bad)?;
    if choice.present("error").is_some() {
        return Ok(None);
    }
    let mut changed = false;
    if choice.whole("index").is_none() {
        choice.set_first("index", at.to_string().into_bytes());
        changed = true;
    }
    let message = match (choice.share("message"), choice.share("delta"), choice.get("text")) {
        (Some(message), _, _) | (None, Some(message), _) => message,
        (None, None, Some(text)) => Cow::Owned([b"{\"content\":", text, b"}"].concat()),
        (None, None, None) => return Err(bad()),
    };
    let mut message = Object::parse_taken(message).ok_or_else(bad)?;
    let slot = choices.slot(u32::try_from(at).unwrap_or(u32::MAX)).ok_or_else(bad)?;
    let mut inner_changed = flat_content(&mut message);
    inner_changed |= tools(&mut message, slot).ok_or_else(bad)?;
    let defaults: [(&str, &[u8]); 3] =
        [("content", b"null"), ("refusal", b"null"), ("annotations", b"[]")];
    if message.get("role") != Some(b"\"assistant\"") {
        message.set_first("role", b"\"assistant\"".as_slice());
        inner_changed = true;
    }
    for (key, value) in defaults {
        inner_changed |= message.ensure(key, value);
    }
    if inner_changed || choice.get("message").is_none() {
        choice.remove("delta");
        choice.remove("text");
        choice.set("message", message.write());
        changed = true;
    }
    changed |= choice.ensure("logprobs", b"null");
    let word = choice.text("finish_reason").unwrap_or_default().into_owned();
    let Some(reason) = whole_finish(&word, !slot.calls.is_empty()) else {
        return Ok(None);
    };
    if word != reason.name() {
        choice.set("finish_reason", quoted(reason.name()));
        changed = true;
    }
    found.changed |= changed;
    found.finish_reason = found.finish_reason.or(Some(reason));
    found.text_bytes += text_bytes(&message);
    Ok(Some(if changed { Cow::Owned(choice.write()) } else { Cow::Borrowed(item) }))
}

/// Puts the tool calls right: id, type, arguments as text. `None` where they are no objects.
fn tools(message: &mut Object<'_>, slot: &mut super::choices::Choice) -> Option<bool> {
    let Some(list) = message.get("tool_calls").and_then(items) else {
        return Some(false);
    };
    let (mut mended, mut changed) = (Vec::with_capacity(list.len()), false);
    for item in list {
        let mut call = Object::parse(item)?;
        let place = slot.open(None, call.name("id"), None)?;
        let custom = call.present("custom").is_some();
        if let (true, Some(id)) = (call.name("id").is_none(), place.id) {
            call.set_first("id", quoted(&id));
            changed = true;
        }
        if call.name("type").is_none() {
            let kind = if custom { "custom" } else { "function" };
            call.set("type", quoted(kind));
            changed = true;
        }
        let function = call.get("function").unwrap_or(b"{}").to_vec();
        let mut function = Object::parse(&function)?;
        let arguments = match function.get("arguments") {
            Some(value) if value.starts_with(b"\"") && value != b"\"\"" => None,
            Some(value) if value.starts_with(b"{") => Some(value.to_vec()),
            _ => Some(b"{}".to_vec()),
        };
        if let (Some(value), false) = (arguments, custom) {
            function.set("arguments", quoted(&String::from_utf8_lossy(&value)));
            call.set("function", function.write());
            changed = true;
        }
        mended.push(call.write());
    }
    if changed {
        message.set("tool_calls", array(mended.iter().map(Vec::as_slice)));
    }
    Some(changed)
}

fn text_bytes(message: &Object<'_>) -> u64 {
    let length = |key: &str| message.text(key).map_or(0, |text| text.len() as u64);
    let reasoning = length("reasoning_content").max(length("reasoning"));
    let arguments = |item: &[u8]| {
        let call = Object::parse(item)?;
        let function = Object::parse(call.get("function")?)?;
        function.text("arguments").map(|text| text.len() as u64)
    };
    let calls = message.get("tool_calls").and_then(items).unwrap_or_default();
    let called = message.present("function_call").map_or(0, |call| call.len() as u64);
    length("content")
        + length("refusal")
        + reasoning
        + called
        + calls.into_iter().filter_map(arguments).sum::<u64>()
}
