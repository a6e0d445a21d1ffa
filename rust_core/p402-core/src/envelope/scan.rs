//! Decides what a chat body says, in one forward pass: the top level and the order of its members.
//! Does not read messages (messages.rs) or single fields (fields.rs) itself.

use super::cursor::{Cursor, Kind};
use super::error::ScanError;
use super::link::contains;
use super::types::{Bound, Field, Scan, Span};
use super::{fields, messages};

/// Members of the body's outermost object; duplicates are looked for among them.
pub const FIELDS_MAX: usize = 256;

/// A cheap first look before keys are compared: one bit per hash of a key seen.
#[derive(Default)]
struct Seen(u64);

/// Reads a chat body once, whole: every byte is validated, every field of `Scan` is filled.
pub fn scan(body: &[u8]) -> Result<Scan, ScanError> {
    let mut cursor = Cursor::new(body)?;
    let kind = cursor.kind()?;
    if kind != Kind::Object {
        cursor.skip()?;
        cursor.end()?;
        let message = format!("The body must be a JSON object, but it is {}.", kind.name());
        return Err(ScanError { code: "invalid_type", param: None, message });
    }
    let mut scan = Scan { n: 1, fields: Vec::with_capacity(16), ..Scan::default() };
    let mut seen = Seen::default();
    let mut first = true;
    cursor.enter()?;
    while let Some(key) = cursor.next_key(&mut first)? {
        let name = key.text(body);
        if seen.maybe(&name) && scan.field(&name).is_some() {
            return Err(ScanError::duplicate("", &name));
        }
        if scan.fields.len() >= FIELDS_MAX {
            let message = format!("The body has more than {FIELDS_MAX} top-level fields.");
            return Err(ScanError { code: "invalid_value", param: None, message });
        }
        let start = cursor.at;
        read(&mut cursor, &name, &mut scan)?;
        let value = Span { start, end: cursor.at };
        let whole = Span { start: key.span.start, end: cursor.at };
        place(&mut scan, &name, Field { whole, value }, body);
        scan.fields.push((name.into_owned(), Field { whole, value }));
    }
    cursor.end()?;
    require(&scan)?;
    Ok(scan)
}

/// Reads one member's value by its name; what P402 does not read is walked over.
fn read(cursor: &mut Cursor<'_>, name: &str, scan: &mut Scan) -> Result<(), ScanError> {
    match name {
        "model" => scan.model = fields::model(cursor)?,
        "messages" => messages::read(cursor, scan)?,
        "stream" => scan.stream = fields::flag(cursor, name)?.unwrap_or(false),
        "stream_options" => scan.include_usage = fields::stream_options(cursor)?,
        "p402" => fields::p402(cursor)?,
        "max_tokens" => scan.max_tokens = bound(fields::count(cursor, name)?),
        "max_completion_tokens" => {
            scan.max_completion_tokens = bound(fields::count(cursor, name)?);
        }
        "n" => scan.n = fields::count_within(cursor, name, 1..=fields::N_MAX)?.unwrap_or(1),
        "top_logprobs" => {
            fields::count_within(cursor, name, 0..=fields::TOP_LOGPROBS_MAX)?;
        }
        "tools" => scan.tools += fields::list(cursor, name, fields::TOOLS_MAX, Kind::Object)?,
        "functions" => {
            scan.tools += fields::list(cursor, name, fields::TOOLS_MAX, Kind::Object)?;
        }
        "tool_choice" => {
            let (choice, own) = fields::tool_choice(cursor)?;
            scan.tool_choice = choice;
            scan.own_tools |= own;
        }
        "response_format" => scan.response_format = fields::response_format(cursor)?,
        "reasoning_effort" => scan.reasoning_effort = fields::effort(cursor)?,
        "logprobs" => scan.logprobs = fields::flag(cursor, name)?.unwrap_or(false),
        "modalities" => scan.audio_out = fields::modalities(cursor)?,
        "service_tier" => scan.service_tier = fields::text(cursor, name)?,
        "temperature" => scan.temperature_tenths = fields::tenths(cursor, name)?,
        "seed" => fields::number(cursor, name).map(drop)?,
        "stop" => fields::stop(cursor)?,
        _ => {
            cursor.skip()?;
        }
    }
    Ok(())
}

/// A bound whose place is filled in when its member has ended.
fn bound(value: Option<u64>) -> Option<Bound> {
    value.map(|value| Bound { field: Field::default(), value })
}

/// Keeps the places that are rewritten or measured later; a null is no place.
fn place(scan: &mut Scan, name: &str, field: Field, body: &[u8]) {
    let present = field.value.of(body) != b"null";
    let kept = present.then_some(field);
    match name {
        "model" => scan.model_field = field,
        "p402" => scan.p402 = kept,
        "stream_options" => scan.stream_options = kept,
        "max_tokens" => {
            scan.max_tokens = scan.max_tokens.map(|bound| Bound { field, ..bound });
        }
        "max_completion_tokens" => {
            let given = scan.max_completion_tokens;
            scan.max_completion_tokens = given.map(|bound| Bound { field, ..bound });
        }
        "tools" if present => {
            scan.tools_bytes += field.value.len() as u64;
            scan.tools_field = Some(field);
            let tools = field.value.of(body);
            // Few have the word, and fewer the tool: it may stand in any function's schema.
            if contains(tools, b"\"custom\"") {
                let (own, grammar) = fields::customs(tools);
                scan.own_tools |= own;
                scan.grammar = grammar;
            }
        }
        // The older name of the same schemas; they are input all the same.
        "functions" if present => scan.tools_bytes += field.value.len() as u64,
        "tool_choice" => scan.tool_choice_field = kept,
        "response_format" if present => scan.response_format_bytes = field.value.len() as u64,
        "reasoning_effort" => scan.reasoning_effort_field = kept,
        _ => {}
    }
}

/// What must be there once all members are read.
fn require(scan: &Scan) -> Result<(), ScanError> {
    if scan.field("model").is_none() {
        let why = "name a model, or send \"auto\" to let the router choose";
        return Err(ScanError::missing("model", why));
    }
    if scan.messages == 0 {
        return Err(ScanError::missing("messages", "send at least one message"));
    }
    Ok(())
}

impl Seen {
    /// False where the key is certainly new; remembers it.
    fn maybe(&mut self, key: &str) -> bool {
        let bytes = key.as_bytes();
        let ends = [bytes.first(), bytes.last()].map(|b| u64::from(b.copied().unwrap_or(0)));
        let [head, tail] = ends;
        let bit = 1u64 << ((bytes.len() as u64 * 7 + head * 3 + tail) % 64);
        let before = self.0;
        self.0 |= bit;
        before & bit != 0
    }
}
