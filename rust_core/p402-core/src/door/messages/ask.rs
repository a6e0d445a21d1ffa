//! Decides what a Messages request asks for, in a chat's words: bounds, tools, thinking, format.
//! Does not lay out the transcript (turns.rs).

use super::turns;
use crate::dialect::customs::chosen;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::Object;
use crate::dialect::{Dropped, Unsaid};
use crate::door::written::{Function, Tool, json};
use crate::door::{effort, missing, mistyped, read};
use serde::Deserialize;
use serde_json::value::RawValue;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::borrow::Cow;
use std::hash::Hasher;

/// A conversation that the server keeps.
pub(super) const THREAD: &str = "thread";

/// What OpenAI takes as a user.
const USER_BYTES_MAX: usize = 64;

#[derive(Deserialize)]
struct Definition<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(default)]
    disable_parallel_tool_use: bool,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    budget_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    effort: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    format: Option<Format<'a>>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(borrow)]
    schema: &'a RawValue,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    user_id: Option<Cow<'a, str>>,
}

/// The chat, and the names of what it does not say.
pub(super) fn chat(top: &Object<'_>) -> Result<(Vec<u8>, Vec<String>), Unsaid> {
    for name in ["model", "max_tokens", "messages"] {
        if top.present(name).is_none() {
            return Err(missing(name));
        }
    }
    // A thread's next request leaves out what the server is to remember.
    if top.present(THREAD).is_some() {
        let text = "this gateway keeps no threads: send the whole history";
        return Err(Unsaid::parameter(THREAD, text));
    }
    let mut chat = Object::default();
    let mut dropped = Dropped::default();
    for (name, value) in top.iter().filter(|(_, value)| *value != b"null") {
        match name {
            "model" | "max_tokens" | "temperature" | "top_p" | "top_k" | "p402" => {
                chat.put(name, value);
            }
            "stop_sequences" => chat.put("stop", value),
            "stream" => {
                chat.put(name, value);
                if value == b"true" {
                    chat.put("stream_options", b"{\"include_usage\":true}");
                }
            }
            "tools" => chat.put(name, &tools(value)?),
            "tool_choice" => tool_choice(value, &mut chat)?,
            "metadata" => {
                if let Some(user) = read::<Metadata<'_>>(name, value)?.user_id {
                    chat.put("user", &quoted(&short(user)));
                }
            }
            // Both tiers there are what every provider does where nothing is asked.
            "messages" | "system" | "thinking" | "output_config" | "service_tier" => {}
            _ if value == b"false" => {}
            _ => dropped.name(name),
        }
    }
    mind(top, &mut chat)?;
    chat.put("messages", &json(&turns::messages(top, &mut dropped)?));
    Ok((chat.write(), dropped.0))
}

/// A user that no provider finds too long: agents write whole paths of ids there.
fn short(user: Cow<'_, str>) -> Cow<'_, str> {
    if user.len() <= USER_BYTES_MAX {
        return user;
    }
    let mut hasher = SipHasher13::new();
    hasher.write(user.as_bytes());
    format!("user-{:032x}", hasher.finish128().as_u128()).into()
}

fn tools(value: &[u8]) -> Result<Vec<u8>, Unsaid> {
    let definitions: Vec<Definition<'_>> = read("tools", value)?;
    let mut tools = Vec::with_capacity(definitions.len());
    for definition in definitions {
        if let Some(kind) = definition.kind.filter(|kind| kind != "custom") {
            let name = definition.name.unwrap_or(kind);
            let text = format!("the tool {name:?} runs at one provider alone");
            return Err(Unsaid::parameter("tools", &text));
        }
        let function = Function {
            name: definition.name.ok_or_else(|| mistyped("tools"))?,
            description: definition.description,
            parameters: definition.input_schema,
            strict: definition.strict,
        };
        let cache_control = definition.cache_control;
        tools.push(Tool { r#type: "function", function, cache_control });
    }
    Ok(json(&tools))
}

fn tool_choice(value: &[u8], chat: &mut Object<'_>) -> Result<(), Unsaid> {
    let choice: Choice<'_> = read("tool_choice", value)?;
    let word = match &*choice.kind {
        "any" => quoted("required"),
        "none" => quoted("none"),
        "tool" => chosen(&quoted(&choice.name.unwrap_or_default())),
        _ => quoted("auto"),
    };
    chat.put("tool_choice", &word);
    if choice.disable_parallel_tool_use {
        chat.put("parallel_tool_calls", b"false");
    }
    Ok(())
}

/// Effort and format. Without thinking nothing is said: a model's own way is left to it.
fn mind(top: &Object<'_>, chat: &mut Object<'_>) -> Result<(), Unsaid> {
    let output: Output<'_> = match top.present("output_config") {
        Some(value) => read("output_config", value)?,
        None => Output::default(),
    };
    let thinking: Option<Thinking<'_>> =
        top.present("thinking").map(|value| read("thinking", value)).transpose()?;
    let asked = thinking.filter(|thinking| thinking.kind != "disabled");
    let weighed = asked.map(|thinking| thinking.budget_tokens.map_or("high", effort));
    if let Some(word) = output.effort.as_deref().or(weighed) {
        chat.put("reasoning_effort", &quoted(word));
    }
    if let Some(format) = output.format {
        let schema = format.schema.get().as_bytes();
        let named = [b"{\"name\":\"answer\",\"strict\":true,\"schema\":", schema, b"}"].concat();
        let json = [b"{\"type\":\"json_schema\",\"json_schema\":", &named[..], b"}"].concat();
        chat.put("response_format", &json);
    }
    Ok(())
}
