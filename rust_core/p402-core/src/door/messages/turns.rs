//! Decides how Messages turns become a chat's: results before words, calls, pictures, thoughts.
//! Does not choose parameters (ask.rs).

use super::marks::unmarked;
use crate::dialect::wire::object::Object;
use crate::dialect::{Dropped, Unsaid};
use crate::door::read;
use crate::door::written::{Call, Content, File, Image, Message, Part};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Any block; what a kind does not have stays empty.
#[derive(Default, Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_id: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    is_error: Option<bool>,
    #[serde(borrow, default)]
    thinking: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Cow<'a, str>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Source<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    media_type: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Cow<'a, str>,
    #[serde(borrow, default)]
    url: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// A thought as this gateway takes it back.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Thought<'a> {
    #[serde(rename = "reasoning.text")]
    Open { text: &'a str, signature: &'a str, format: Cow<'a, str>, index: usize },
    #[serde(rename = "reasoning.encrypted")]
    Sealed { data: &'a str, format: Cow<'a, str>, index: usize },
}

/// The transcript of a chat.
pub(super) fn messages<'a>(
    top: &'a Object<'_>,
    dropped: &mut Dropped,
) -> Result<Vec<Message<'a>>, Unsaid> {
    let turns: Vec<Turn<'a>> = read("messages", top.get("messages").unwrap_or_default())?;
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = top.present("system") {
        let said = parts(blocks("system", system)?)?;
        messages.extend((!said.is_empty()).then(|| Message::of("system", said)));
    }
    for turn in turns {
        let blocks = blocks("messages", turn.content.get().as_bytes())?;
        match &*turn.role {
            "user" => user(blocks, &mut messages)?,
            "assistant" => messages.extend(assistant(blocks, dropped)?),
            "system" => messages.push(Message::of("system", parts(blocks)?)),
            _ => return Err(Unsaid::parameter("messages", "a role is user or assistant")),
        }
    }
    Ok(messages)
}

/// Content is one text or a list of blocks.
fn blocks<'a>(name: &str, json: &'a [u8]) -> Result<Vec<Block<'a>>, Unsaid> {
    if json.starts_with(b"\"") {
        let text = read(name, json)?;
        return Ok(vec![Block { kind: "text".into(), text, ..Block::default() }]);
    }
    read(name, json)
}

/// Results of calls are messages of their own and come first; what the user says follows, and
/// so do the pictures in results, which a chat's tool message cannot hold.
fn user<'a>(blocks: Vec<Block<'a>>, messages: &mut Vec<Message<'a>>) -> Result<(), Unsaid> {
    let (mut shown, mut said) = (Vec::new(), Vec::new());
    for block in blocks {
        if block.kind == "tool_result" {
            messages.push(result(block, &mut shown)?);
        } else {
            said.push(block);
        }
    }
    shown.extend(parts(said)?);
    if !shown.is_empty() {
        messages.push(Message::of("user", shown));
    }
    Ok(())
}

fn result<'a>(block: Block<'a>, shown: &mut Vec<Part<'a>>) -> Result<Message<'a>, Unsaid> {
    let inside = match block.content {
        Some(json) => parts(blocks("messages", json.get().as_bytes())?)?,
        None => Vec::new(),
    };
    let mut text = String::from(if block.is_error == Some(true) { "Error: " } else { "" });
    let mut pictures = 0;
    for part in inside {
        if let Part::Text { text: more, .. } = &part {
            text.push_str(more);
        } else {
            pictures += 1;
            shown.push(part);
        }
    }
    if text.is_empty() && pictures > 0 {
        text.push_str("The result is attached below.");
    }
    Ok(Message {
        role: "tool",
        content: Some(Content::Text(text.into())),
        tool_call_id: Some(block.tool_use_id),
        ..Message::default()
    })
}

/// What one turn of the assistant's says; nothing where all of it was another provider's own.
fn assistant<'a>(
    blocks: Vec<Block<'a>>,
    dropped: &mut Dropped,
) -> Result<Option<Message<'a>>, Unsaid> {
    let (mut message, mut said) = (Message { role: "assistant", ..Message::default() }, Vec::new());
    for block in blocks {
        let index = message.reasoning_details.len();
        match &*block.kind {
            "thinking" => {
                let (format, signature) = unmarked(&block.signature);
                // Without a signature nobody takes a thought back.
                if !signature.is_empty() {
                    let text = &block.thinking;
                    let thought = Thought::Open { text, signature, format, index };
                    message.reasoning_details.extend(to_raw_value(&thought));
                }
            }
            "redacted_thinking" => {
                let (format, data) = unmarked(&block.data);
                let thought = Thought::Sealed { data, format, index };
                message.reasoning_details.extend(to_raw_value(&thought));
            }
            "tool_use" => {
                let input = block.input.map_or("{}", RawValue::get);
                message.tool_calls.push(Call::new(block.id, block.name, input));
            }
            // What a provider's own tools did is not another provider's to read.
            kind if kind.starts_with("server_tool_") || kind.ends_with("_tool_result") => {
                dropped.name(&format!("messages.{kind}"));
            }
            _ => said.push(block),
        }
    }
    message.content = Content::of(parts(said)?);
    let says = message.content.is_some() || !message.tool_calls.is_empty();
    Ok(says.then_some(message))
}

/// Texts, pictures and documents; an empty text is none.
fn parts(blocks: Vec<Block<'_>>) -> Result<Vec<Part<'_>>, Unsaid> {
    let mut parts = Vec::with_capacity(blocks.len());
    for block in blocks {
        if block.kind != "text" {
            parts.push(shown(block)?);
        } else if !block.text.is_empty() {
            parts.push(Part::Text { text: block.text, cache_control: block.cache_control });
        }
    }
    Ok(parts)
}

/// A block that is more than text.
fn shown(block: Block<'_>) -> Result<Part<'_>, Unsaid> {
    let cache_control = block.cache_control;
    let source = block.source.map_or("{}", RawValue::get).as_bytes();
    if block.kind == "search_result" {
        return Ok(Part::Text { text: found(&block, source)?.into(), cache_control });
    }
    let source: Source<'_> = read("messages", source)?;
    Ok(match (&*block.kind, &*source.kind) {
        ("image", _) => {
            let image_url = Image { url: address(source)?, detail: None };
            Part::ImageUrl { image_url, cache_control }
        }
        ("document", "text") => Part::Text { text: source.data, cache_control },
        ("document", "content") => {
            Part::Text { text: words(source.content)?.into(), cache_control }
        }
        ("document", "base64") => {
            let file_data = address(source)?.into_owned();
            Part::File { file: File { filename: block.title, file_data }, cache_control }
        }
        (kind, _) => {
            let text = format!("a block of the type {kind:?} cannot be told to every provider");
            return Err(Unsaid::content("messages", &text));
        }
    })
}

/// What a search found, as a model reads it: title, where, and the words.
fn found(block: &Block<'_>, source: &[u8]) -> Result<String, Unsaid> {
    let address: Cow<'_, str> = read("messages", source)?;
    let title = block.title.as_deref().unwrap_or_default();
    Ok(format!("{title}\n{address}\n{}", words(block.content)?))
}

/// The texts of a content, a line each.
fn words(content: Option<&RawValue>) -> Result<String, Unsaid> {
    let blocks = blocks("messages", content.map_or("[]", RawValue::get).as_bytes())?;
    let texts: Vec<&str> = blocks.iter().map(|block| &*block.text).collect();
    Ok(texts.join("\n"))
}

fn address(source: Source<'_>) -> Result<Cow<'_, str>, Unsaid> {
    match &*source.kind {
        "base64" => Ok(format!("data:{};base64,{}", source.media_type, source.data).into()),
        "url" => Ok(source.url),
        _ => Err(Unsaid::content("messages", "a source is base64 or url")),
    }
}
