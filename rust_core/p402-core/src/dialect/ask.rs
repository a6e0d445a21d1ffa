//! Decides what encoders ask of a request alike: one choice, function tools, a schema, a body.
//! Does not know how any language writes them.

use super::translate::Unsaid;
use crate::chat::{Function, JsonSchema, Request, Tool};
use serde::Serialize;
use serde_json::value::RawValue;

/// Schema of a function without parameters.
const BARE_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;
/// What stands for `json_object` where a language has no such switch.
pub(super) const ONLY_JSON: &str = "Answer with one JSON object and nothing else.";

pub(super) fn one_choice(request: &Request<'_>) -> Result<(), Unsaid> {
    match request.n {
        0 | 1 => Ok(()),
        _ => Err(Unsaid::parameter("n", "this provider gives one choice")),
    }
}

/// Every tool with its function; other kinds of tools have no words elsewhere.
pub(super) fn functions<'a, 'r>(
    request: &'a Request<'r>,
) -> Result<Vec<(&'a Tool<'r>, &'a Function<'r>)>, Unsaid> {
    let function = |tool: &'a Tool<'r>| {
        let function = tool.function.as_ref().filter(|_| tool.kind != "custom");
        let function = function
            .ok_or_else(|| Unsaid::parameter("tools", "this provider takes function tools only"))?;
        Ok((tool, function))
    };
    request.tools.iter().map(function).collect()
}

/// A function's parameters, where a language demands a schema.
pub(super) fn parameters<'a>(function: &'a Function<'_>) -> Result<&'a RawValue, Unsaid> {
    let bare = || serde_json::from_str(BARE_SCHEMA);
    let schema = function.parameters.map_or_else(bare, Ok);
    schema.map_err(|_| Unsaid::parameter("tools", "a bad schema"))
}

/// The schema that the answer must keep to, and its name.
pub(super) fn answer_schema<'a>(
    request: &'a Request<'_>,
) -> Result<Option<(&'a JsonSchema<'a>, &'a RawValue)>, Unsaid> {
    let asked = request.response_format.as_ref().filter(|format| format.kind == "json_schema");
    let Some(asked) = asked else { return Ok(None) };
    let named = asked.json_schema.as_ref();
    match named.and_then(|named| Some((named, named.schema?))) {
        Some(schema) => Ok(Some(schema)),
        None => Err(Unsaid::parameter("response_format", "json_schema without a schema")),
    }
}

pub(super) fn wants_json_object(request: &Request<'_>) -> bool {
    request.response_format.as_ref().is_some_and(|format| format.kind == "json_object")
}

pub(super) fn written(body: &impl Serialize) -> Result<Vec<u8>, Unsaid> {
    serde_json::to_vec(body)
        .map_err(|_| Unsaid::parameter("messages", "the request cannot be written"))
}
