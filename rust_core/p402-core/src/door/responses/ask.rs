//! Decides what a Responses request asks for, in a chat's words: bounds, format, effort.
//! Does not lay out the transcript (items.rs) or the tools (tools.rs).

use super::{items, response, tools};
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;
use crate::dialect::{Dropped, Unsaid};
use crate::door::written::json;
use crate::door::{missing, read};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What would need a response that was kept, or a thread of ours.
const KEPT: [&str; 4] = ["previous_response_id", "conversation", "prompt", "background"];

/// The one switch whose `false` says something.
const ONE_BY_ONE: &str = "parallel_tool_calls";

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(borrow, default)]
    effort: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    format: Option<&'a RawValue>,
    #[serde(borrow, default)]
    verbosity: Option<&'a RawValue>,
}

/// The chat, and the names of what it does not say.
pub(super) fn chat(top: &Object<'_>) -> Result<(Vec<u8>, Vec<String>), Unsaid> {
    for name in ["model", "input"] {
        if top.present(name).is_none() {
            return Err(missing(name));
        }
    }
    let mut chat = Object::default();
    let mut dropped = Dropped::default();
    for (name, value) in top.iter() {
        let off = value == b"null" || (value == b"false" && name != ONE_BY_ONE);
        if !off {
            member((name, value), &mut chat, &mut dropped)?;
        }
    }
    chat.put("messages", &json(&items::messages(top)?));
    Ok((chat.write(), dropped.0))
}

fn member(
    (name, value): (&str, &[u8]),
    chat: &mut Object<'_>,
    dropped: &mut Dropped,
) -> Result<(), Unsaid> {
    match name {
        "model" | "temperature" | "top_p" | "user" | "service_tier" | "safety_identifier"
        | "prompt_cache_key" | "metadata" | "p402" | ONE_BY_ONE => chat.put(name, value),
        "max_output_tokens" => chat.put("max_completion_tokens", value),
        "stream" => {
            chat.put(name, value);
            chat.put("stream_options", b"{\"include_usage\":true}");
        }
        "tools" => chat.put(name, &tools::told(value)?),
        "tool_choice" => chat.put(name, &tools::choice(value)?),
        "reasoning" => {
            if let Some(effort) = read::<Reasoning<'_>>(name, value)?.effort {
                chat.put("reasoning_effort", &quoted(&effort));
            }
        }
        "top_logprobs" if value == b"0" => {}
        "top_logprobs" => {
            chat.put(name, value);
            chat.put("logprobs", b"true");
        }
        "include" if response::wants(value, response::LIKELY) => chat.put("logprobs", b"true"),
        "text" => text(value, chat)?,
        "truncation" if value == b"\"disabled\"" => {}
        // What is included is there anyway, or is said to be missing by its absence.
        "input" | "instructions" | "include" | "stream_options" => {}
        name if KEPT.contains(&name) => {
            let text = format!("this gateway keeps no responses: {name:?} cannot be answered");
            return Err(Unsaid::parameter(name, &text));
        }
        _ => dropped.name(name),
    }
    Ok(())
}

/// The format stands flat here, and under its own name in a chat.
fn text(value: &[u8], chat: &mut Object<'_>) -> Result<(), Unsaid> {
    let text: Text<'_> = read("text", value)?;
    if let Some(verbosity) = text.verbosity {
        chat.put("verbosity", verbosity.get().as_bytes());
    }
    let Some(format) = text.format else { return Ok(()) };
    let mut format = Object::parse(format.get().as_bytes()).unwrap_or_default();
    let kind = format.name("type").unwrap_or_default();
    match kind.as_str() {
        "text" => {}
        "json_schema" => {
            format.remove("type");
            let inner = format.write();
            let json = [b"{\"type\":\"json_schema\",\"json_schema\":", &inner[..], b"}"].concat();
            chat.put("response_format", &json);
        }
        _ => {
            let json = [b"{\"type\":", &quoted(&kind)[..], b"}"].concat();
            chat.put("response_format", &json);
        }
    }
    Ok(())
}
