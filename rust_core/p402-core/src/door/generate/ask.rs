//! Decides what a generateContent request asks for, in a chat's words: bounds, tools, thinking.
//! Does not lay out the transcript (turns.rs).

use super::{schema, turns};
use crate::dialect::customs::chosen;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array};
use crate::dialect::{Dropped, Unsaid};
use crate::door::written::{Function, Tool, json};
use crate::door::{effort, mistyped, read};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A request told as a chat.
pub(super) struct Asked {
    pub(super) body: Vec<u8>,
    pub(super) dropped: Vec<String>,
    pub(super) shows_thoughts: bool,
}

#[derive(Deserialize)]
struct Declaration<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "parametersJsonSchema")]
    schema: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    #[serde(borrow, default)]
    mode: Cow<'a, str>,
    #[serde(default)]
    allowed_function_names: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thinking<'a> {
    #[serde(rename = "thinkingBudget")]
    budget: Option<i64>,
    #[serde(borrow, default, rename = "thinkingLevel")]
    level: Option<Cow<'a, str>>,
    #[serde(default)]
    include_thoughts: bool,
}

/// The chat, and the names of what it does not say.
pub(super) fn chat(top: &Object<'_>) -> Result<Asked, Unsaid> {
    let mut chat = Object::default();
    let mut dropped = Dropped::default();
    let mut shows_thoughts = false;
    for (name, value) in top.iter().filter(|(_, value)| *value != b"null") {
        match name {
            "model" | "p402" => chat.put(name, value),
            "stream" => {
                chat.put(name, value);
                if value == b"true" {
                    chat.put("stream_options", b"{\"include_usage\":true}");
                }
            }
            "tools" => tools(value, &mut chat)?,
            "toolConfig" | "tool_config" => choice(value, &mut chat)?,
            "generationConfig" | "generation_config" => {
                shows_thoughts = config(value, &mut chat, &mut dropped)?;
            }
            "cachedContent" => {
                return Err(Unsaid::parameter(name, "nothing is kept between requests"));
            }
            "contents" | "systemInstruction" | "system_instruction" => {}
            _ => dropped.name(name),
        }
    }
    chat.put("messages", &json(&turns::messages(top)?));
    Ok(Asked { body: chat.write(), dropped: dropped.0, shows_thoughts })
}

fn tools(value: &[u8], chat: &mut Object<'_>) -> Result<(), Unsaid> {
    let groups: Vec<&RawValue> = read("tools", value)?;
    let mut declared: Vec<Declaration<'_>> = Vec::new();
    for group in &groups {
        let group = Object::parse(group.get().as_bytes()).ok_or_else(|| mistyped("tools"))?;
        if let Some((name, _)) = group.iter().find(|(name, _)| !is_functions(name)) {
            let text = format!("the tool {name:?} runs at one provider alone");
            return Err(Unsaid::parameter("tools", &text));
        }
    }
    for group in groups {
        let inside: Functions<'_> = read("tools", group.get().as_bytes())?;
        declared.extend(inside.function_declarations);
    }
    let mut schemas = Vec::with_capacity(declared.len());
    for function in &declared {
        let own = function.parameters.map(|own| schema::standard(own.get().as_bytes()));
        let own = own.flatten().and_then(|own| String::from_utf8(own).ok());
        schemas.push(own.and_then(|own| RawValue::from_string(own).ok()));
    }
    let tools: Vec<Tool<'_>> = declared
        .into_iter()
        .zip(&schemas)
        .map(|(function, own)| Tool {
            r#type: "function",
            function: Function {
                name: function.name,
                description: function.description,
                parameters: function.schema.or(own.as_deref()),
                strict: None,
            },
            cache_control: None,
        })
        .collect();
    if !tools.is_empty() {
        chat.put("tools", &json(&tools));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Functions<'a> {
    #[serde(borrow, default, rename = "functionDeclarations", alias = "function_declarations")]
    function_declarations: Vec<Declaration<'a>>,
}

fn is_functions(name: &str) -> bool {
    matches!(name, "functionDeclarations" | "function_declarations")
}

fn choice(value: &[u8], chat: &mut Object<'_>) -> Result<(), Unsaid> {
    let top = Object::parse(value).ok_or_else(|| mistyped("toolConfig"))?;
    let Some(calling) = top.present("functionCallingConfig") else { return Ok(()) };
    let calling: Calling<'_> = read("toolConfig", calling)?;
    let word = match (&*calling.mode, calling.allowed_function_names.as_slice()) {
        ("ANY", [only]) => chosen(&quoted(only)),
        ("ANY", []) => quoted("required"),
        ("ANY", several) => {
            let named: Vec<Vec<u8>> = several.iter().map(|name| chosen(&quoted(name))).collect();
            let tools = array(named.iter().map(Vec::as_slice));
            let inner = [b"{\"mode\":\"required\",\"tools\":", &tools[..], b"}"].concat();
            [b"{\"type\":\"allowed_tools\",\"allowed_tools\":", &inner[..], b"}"].concat()
        }
        ("NONE", _) => quoted("none"),
        _ => quoted("auto"),
    };
    chat.put("tool_choice", &word);
    Ok(())
}

/// What is said of the answer; whether its thoughts are to be shown.
fn config(value: &[u8], chat: &mut Object<'_>, dropped: &mut Dropped) -> Result<bool, Unsaid> {
    let config = Object::parse(value).ok_or_else(|| mistyped("generationConfig"))?;
    let mut shows_thoughts = false;
    for (name, value) in config.iter().filter(|(_, value)| *value != b"null") {
        match name {
            "temperature" | "seed" => chat.put(name, value),
            "topP" => chat.put("top_p", value),
            "topK" => chat.put("top_k", &whole(value)),
            "maxOutputTokens" => chat.put("max_tokens", value),
            "stopSequences" => chat.put("stop", value),
            "presencePenalty" => chat.put("presence_penalty", value),
            "frequencyPenalty" => chat.put("frequency_penalty", value),
            "candidateCount" if value == b"1" => {}
            "candidateCount" => {
                return Err(Unsaid::parameter(name, "this path gives one candidate"));
            }
            "responseModalities" if text_alone(value) => {}
            "responseModalities" | "speechConfig" | "imageConfig" => {
                return Err(Unsaid::parameter(name, "this path answers in text"));
            }
            "thinkingConfig" => {
                let thinking: Thinking<'_> = read(name, value)?;
                shows_thoughts = thinking.include_thoughts;
                if let Some(word) = thinking.effort() {
                    chat.put("reasoning_effort", &quoted(&word));
                }
            }
            "responseMimeType" | "responseSchema" | "responseJsonSchema" => {}
            _ => dropped.name(name),
        }
    }
    format(&config, chat)?;
    Ok(shows_thoughts)
}

/// `topK` is a whole number that Google's clients send as 40.0.
fn whole(value: &[u8]) -> Vec<u8> {
    value.strip_suffix(b".0").unwrap_or(value).to_vec()
}

fn text_alone(value: &[u8]) -> bool {
    read::<Vec<Cow<'_, str>>>("", value).is_ok_and(|kinds| kinds.iter().all(|kind| kind == "TEXT"))
}

fn format(config: &Object<'_>, chat: &mut Object<'_>) -> Result<(), Unsaid> {
    let own = config.present("responseSchema").and_then(schema::standard);
    let schema = config.present("responseJsonSchema").map(<[u8]>::to_vec).or(own);
    let kind = config.text("responseMimeType").unwrap_or_default();
    let format = match (schema, &*kind) {
        (Some(schema), _) => {
            let named = [b"{\"name\":\"answer\",\"schema\":", &schema[..], b"}"].concat();
            [b"{\"type\":\"json_schema\",\"json_schema\":", &named[..], b"}"].concat()
        }
        (None, "application/json") => b"{\"type\":\"json_object\"}".to_vec(),
        (None, "" | "text/plain") => return Ok(()),
        (None, _) => {
            let text = "an answer is text/plain or application/json";
            return Err(Unsaid::parameter("responseMimeType", text));
        }
    };
    chat.put("response_format", &format);
    Ok(())
}

impl Thinking<'_> {
    /// A level by its name, a budget by the effort nearest to it; -1 leaves it to the model.
    fn effort(&self) -> Option<Cow<'_, str>> {
        if let Some(level) = &self.level {
            let level = level.to_ascii_lowercase();
            return (level != "thinking_level_unspecified").then(|| level.into());
        }
        match self.budget? {
            0 => Some("none".into()),
            budget => u64::try_from(budget).ok().map(|budget| effort(budget).into()),
        }
    }
}
