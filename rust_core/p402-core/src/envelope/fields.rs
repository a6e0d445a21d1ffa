//! Decides the type and the limits of each single field that is read (compat.md § 2.1).
//! Does not walk messages and does not keep places.

use super::cursor::{Cursor, Kind, Quoted};
use super::error::ScanError;
use super::types::{ResponseFormat, ToolChoice};
use crate::catalog::Effort;
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::RangeInclusive;

pub const N_MAX: u32 = 8;
pub const TOP_LOGPROBS_MAX: u32 = 20;
pub const STOP_MAX: u32 = 4;
pub const TOOLS_MAX: u32 = 128;
/// Longest model name that is looked up; the longest real ones have about 100 bytes.
pub const MODEL_BYTES_MAX: usize = 512;
/// Members of `p402` and of `stream_options`.
const MEMBERS_MAX: usize = 64;

/// The kind at the cursor, `None` for a null, which is walked over.
fn given(cursor: &mut Cursor<'_>) -> Result<Option<Kind>, ScanError> {
    match cursor.kind()? {
        Kind::Null => cursor.literal().map(|_| None).map_err(ScanError::from),
        kind => Ok(Some(kind)),
    }
}

pub(super) fn model(cursor: &mut Cursor<'_>) -> Result<String, ScanError> {
    match cursor.kind()? {
        Kind::Text => {}
        kind => return Err(ScanError::mistyped("model", "a string", kind)),
    }
    let name = cursor.string(None)?.text(cursor.body);
    if name.len() > MODEL_BYTES_MAX {
        return Err(ScanError::invalid("model", "a model's name has at most 512 bytes"));
    }
    Ok(name.into_owned())
}

pub(super) fn flag(cursor: &mut Cursor<'_>, name: &str) -> Result<Option<bool>, ScanError> {
    match given(cursor)? {
        None => Ok(None),
        Some(Kind::Bool) => Ok(cursor.literal()?),
        Some(kind) => Err(ScanError::mistyped(name, "a boolean", kind)),
    }
}

/// A whole number ≥ 0; beyond 64 bits it stays at their top.
pub(super) fn count(cursor: &mut Cursor<'_>, name: &str) -> Result<Option<u64>, ScanError> {
    let Some(digits) = number(cursor, name)? else { return Ok(None) };
    if digits.starts_with('-') {
        return Err(ScanError::invalid(name, "it must not be negative"));
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ScanError::mistyped(name, "a whole number without a point", Kind::Number));
    }
    Ok(Some(digits.parse().unwrap_or(u64::MAX)))
}

pub(super) fn count_within(
    cursor: &mut Cursor<'_>,
    name: &str,
    range: RangeInclusive<u32>,
) -> Result<Option<u32>, ScanError> {
    let Some(value) = count(cursor, name)? else { return Ok(None) };
    match u32::try_from(value) {
        Ok(value) if range.contains(&value) => Ok(Some(value)),
        _ => {
            let rule = format!("it must be {} to {}", range.start(), range.end());
            Err(ScanError::invalid(name, &rule))
        }
    }
}

/// A number's own text.
pub(super) fn number<'a>(
    cursor: &mut Cursor<'a>,
    name: &str,
) -> Result<Option<&'a str>, ScanError> {
    match given(cursor)? {
        None => Ok(None),
        Some(Kind::Number) => {
            let span = cursor.number()?;
            Ok(std::str::from_utf8(span.of(cursor.body)).ok())
        }
        Some(kind) => Err(ScanError::mistyped(name, "a number", kind)),
    }
}

/// Tenths, rounded, floored at 0: enough to tell a deterministic request from a creative one.
pub(super) fn tenths(cursor: &mut Cursor<'_>, name: &str) -> Result<Option<u16>, ScanError> {
    let value = number(cursor, name)?.and_then(|text| text.parse::<f64>().ok());
    Ok(value.map(|value| (value * 10.0).round() as u16))
}

fn quoted(cursor: &mut Cursor<'_>, name: &str) -> Result<Option<Quoted>, ScanError> {
    match given(cursor)? {
        None => Ok(None),
        Some(Kind::Text) => Ok(Some(cursor.string(None)?)),
        Some(kind) => Err(ScanError::mistyped(name, "a string", kind)),
    }
}

pub(super) fn text(cursor: &mut Cursor<'_>, name: &str) -> Result<Option<String>, ScanError> {
    Ok(quoted(cursor, name)?.map(|text| text.text(cursor.body).into_owned()))
}

pub(super) fn effort(cursor: &mut Cursor<'_>) -> Result<Option<Effort>, ScanError> {
    let name = "reasoning_effort";
    let Some(word) = quoted(cursor, name)? else { return Ok(None) };
    match Effort::parse(&word.text(cursor.body)) {
        Some(effort) => Ok(Some(effort)),
        None => Err(ScanError::invalid(
            name,
            "it must be none, minimal, low, medium, high, xhigh, max or default",
        )),
    }
}

/// How many elements an array of one kind has; 0 for null.
pub(super) fn list(
    cursor: &mut Cursor<'_>,
    name: &str,
    max: u32,
    wanted: Kind,
) -> Result<u32, ScanError> {
    let mut count = 0;
    each(cursor, name, |cursor| {
        count += 1;
        if count > max {
            return Err(ScanError::invalid(name, &format!("it must have at most {max} entries")));
        }
        match cursor.kind()? {
            kind if kind == wanted => cursor.skip().map(drop).map_err(ScanError::from),
            kind => {
                let param = format!("{name}[{}]", count - 1);
                Err(ScanError::mistyped(param, wanted.name(), kind))
            }
        }
    })?;
    Ok(count)
}

/// Walks an array element by element; a null has none.
fn each<'a>(
    cursor: &mut Cursor<'a>,
    name: &str,
    mut element: impl FnMut(&mut Cursor<'a>) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    match given(cursor)? {
        None => return Ok(()),
        Some(Kind::Array) => {}
        Some(kind) => return Err(ScanError::mistyped(name, "an array", kind)),
    }
    let mut first = true;
    cursor.enter()?;
    while cursor.next_item(&mut first)? {
        element(cursor)?;
    }
    Ok(())
}

pub(super) fn stop(cursor: &mut Cursor<'_>) -> Result<(), ScanError> {
    match cursor.kind()? {
        Kind::Text => cursor.string(None).map(drop).map_err(ScanError::from),
        Kind::Array | Kind::Null => list(cursor, "stop", STOP_MAX, Kind::Text).map(drop),
        kind => Err(ScanError::mistyped("stop", "a string or an array of strings", kind)),
    }
}

/// Whether audio is asked for as output.
pub(super) fn modalities(cursor: &mut Cursor<'_>) -> Result<bool, ScanError> {
    let mut audio = false;
    each(cursor, "modalities", |cursor| match cursor.kind()? {
        Kind::Text => {
            audio |= cursor.string(None)?.text(cursor.body) == "audio";
            Ok(())
        }
        kind => Err(ScanError::mistyped("modalities", "an array of strings", kind)),
    })?;
    Ok(audio)
}

/// A choice, and whether only OpenAI has words for it.
pub(super) fn tool_choice(cursor: &mut Cursor<'_>) -> Result<(ToolChoice, bool), ScanError> {
    match given(cursor)? {
        None => Ok((ToolChoice::Absent, false)),
        Some(Kind::Object) => {
            let span = cursor.skip()?;
            Ok(chosen(span.of(cursor.body)))
        }
        Some(Kind::Text) => match &*cursor.string(None)?.text(cursor.body) {
            "auto" => Ok((ToolChoice::Auto, false)),
            "none" => Ok((ToolChoice::None, false)),
            "required" => Ok((ToolChoice::Required, false)),
            _ => {
                let rule = "it must be auto, none, required or an object that names a function";
                Err(ScanError::invalid("tool_choice", rule))
            }
        },
        Some(kind) => Err(ScanError::mistyped("tool_choice", "a string or an object", kind)),
    }
}

/// One tool by its name, or one of some.
fn chosen(json: &[u8]) -> (ToolChoice, bool) {
    #[derive(Deserialize)]
    struct Chosen<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        allowed_tools: Option<Allowed<'a>>,
    }
    #[derive(Deserialize)]
    struct Allowed<'a> {
        #[serde(borrow)]
        mode: Cow<'a, str>,
    }
    let Ok(Chosen { kind, allowed_tools }) = serde_json::from_slice(json) else {
        return (ToolChoice::Function, false);
    };
    match allowed_tools.filter(|_| kind == "allowed_tools") {
        Some(allowed) if allowed.mode == "required" => (ToolChoice::Required, true),
        Some(_) => (ToolChoice::Auto, true),
        None => (ToolChoice::Function, kind == "custom"),
    }
}

/// Whether there is a custom tool, and one that takes no other input than its grammar knows.
pub(super) fn customs(tools: &[u8]) -> (bool, bool) {
    #[derive(Deserialize)]
    struct Tool<'a> {
        #[serde(borrow, default)]
        custom: Option<Custom<'a>>,
    }
    #[derive(Deserialize)]
    struct Custom<'a> {
        #[serde(borrow, default)]
        format: Option<Format<'a>>,
    }
    #[derive(Deserialize)]
    struct Format<'a> {
        #[serde(rename = "type", borrow, default)]
        kind: Cow<'a, str>,
    }
    impl Format<'_> {
        fn is_grammar(&self) -> bool {
            self.kind == "grammar"
        }
    }
    let Ok(tools) = serde_json::from_slice::<Vec<Tool<'_>>>(tools) else { return (true, false) };
    let customs: Vec<Custom<'_>> = tools.into_iter().filter_map(|tool| tool.custom).collect();
    let binds = |custom: &Custom<'_>| custom.format.as_ref().is_some_and(Format::is_grammar);
    (!customs.is_empty(), customs.iter().any(binds))
}

pub(super) fn response_format(cursor: &mut Cursor<'_>) -> Result<ResponseFormat, ScanError> {
    match given(cursor)? {
        None => return Ok(ResponseFormat::Absent),
        Some(Kind::Object) => {}
        Some(kind) => return Err(ScanError::mistyped("response_format", "an object", kind)),
    }
    let name = "response_format.type";
    let mut format = None;
    members(cursor, "response_format", |cursor, key| {
        if key != "type" {
            return cursor.skip().map(drop).map_err(ScanError::from);
        }
        format = match quoted(cursor, name)?.map(|word| word.text(cursor.body)).as_deref() {
            Some("text") => Some(ResponseFormat::Text),
            Some("json_object") => Some(ResponseFormat::JsonObject),
            Some("json_schema") => Some(ResponseFormat::JsonSchema),
            Some(_) => {
                let rule = "it must be text, json_object or json_schema";
                return Err(ScanError::invalid(name, rule));
            }
            None => None,
        };
        Ok(())
    })?;
    format.ok_or_else(|| ScanError::missing(name, "it says which format is meant"))
}

/// Whether `include_usage` is true.
pub(super) fn stream_options(cursor: &mut Cursor<'_>) -> Result<bool, ScanError> {
    match given(cursor)? {
        None => return Ok(false),
        Some(Kind::Object) => {}
        Some(kind) => return Err(ScanError::mistyped("stream_options", "an object", kind)),
    }
    let mut include_usage = false;
    members(cursor, "stream_options", |cursor, key| {
        if key == "include_usage" {
            include_usage = flag(cursor, "stream_options.include_usage")?.unwrap_or(false);
            return Ok(());
        }
        cursor.skip().map(drop).map_err(ScanError::from)
    })?;
    Ok(include_usage)
}

/// Only its shape: what the keys mean is route/options.rs's.
pub(super) fn p402(cursor: &mut Cursor<'_>) -> Result<(), ScanError> {
    match given(cursor)? {
        None => Ok(()),
        Some(Kind::Object) => {
            members(cursor, "p402", |cursor, _| cursor.skip().map(drop).map_err(ScanError::from))
        }
        Some(kind) => {
            let mistyped = ScanError::mistyped("p402", "an object", kind);
            Err(ScanError { code: "p402_field_invalid", ..mistyped })
        }
    }
}

/// Walks an object member by member; a key may stand in it only once.
fn members<'a>(
    cursor: &mut Cursor<'a>,
    parent: &str,
    mut member: impl FnMut(&mut Cursor<'a>, &str) -> Result<(), ScanError>,
) -> Result<(), ScanError> {
    let mut seen: Vec<Cow<'a, str>> = Vec::new();
    let mut first = true;
    cursor.enter()?;
    while let Some(key) = cursor.next_key(&mut first)? {
        let name = key.text(cursor.body);
        if seen.contains(&name) {
            return Err(ScanError::duplicate(parent, &name));
        }
        if seen.len() >= MEMBERS_MAX {
            return Err(ScanError::invalid(parent, "it has too many members"));
        }
        member(cursor, &name)?;
        seen.push(name);
    }
    Ok(())
}
