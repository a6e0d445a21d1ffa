//! Decides how input items become a chat's messages: what one turn holds stands in one message.
//! Does not choose parameters (ask.rs).

use crate::dialect::Unsaid;
use crate::dialect::wire::object::Object;
use crate::door::read;
use crate::door::written::{Call, Content, File, Image, Message, Part, Sound};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Any item; what a kind does not have stays empty.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    call_id: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Cow<'a, str>,
    #[serde(borrow, default)]
    input: Cow<'a, str>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(borrow, default)]
    encrypted_content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    refusal: Cow<'a, str>,
    #[serde(borrow, default)]
    image_url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    detail: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    file_data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    filename: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    input_audio: Option<Sound<'a>>,
}

/// The transcript of a chat.
pub(super) fn messages<'a>(top: &'a Object<'_>) -> Result<Vec<Message<'a>>, Unsaid> {
    let mut messages = Vec::new();
    if let Some(text) = top.text("instructions").filter(|text| !text.is_empty()) {
        messages.push(Message::of("system", vec![Part::text(text)]));
    }
    let input = top.get("input").unwrap_or_default();
    if input.starts_with(b"\"") {
        messages.push(Message::of("user", vec![Part::text(read::<Cow<'_, str>>("input", input)?)]));
        return Ok(messages);
    }
    for item in read::<Vec<Item<'_>>>("input", input)? {
        take(item, &mut messages)?;
    }
    Ok(messages)
}

fn take<'a>(item: Item<'a>, messages: &mut Vec<Message<'a>>) -> Result<(), Unsaid> {
    match &*item.kind {
        "" | "message" => {
            let parts = parts(item.content)?;
            let role = match &*item.role {
                "assistant" => {
                    open(messages).content = Content::of(parts);
                    return Ok(());
                }
                "system" => "system",
                "developer" => "developer",
                _ => "user",
            };
            messages.push(Message::of(role, parts));
        }
        "function_call" => {
            open(messages).tool_calls.push(Call::new(item.call_id, item.name, item.arguments));
        }
        "custom_tool_call" => {
            open(messages).tool_calls.push(Call::custom(item.call_id, item.name, item.input));
        }
        "function_call_output" | "custom_tool_call_output" => {
            let parts = parts(item.output)?;
            let (texts, shown): (Vec<_>, Vec<_>) =
                parts.into_iter().partition(|part| matches!(part, Part::Text { .. }));
            let text: String = texts.iter().map(Part::said).collect();
            messages.push(Message {
                role: "tool",
                content: Some(Content::Text(text.into())),
                tool_call_id: Some(item.call_id),
                ..Message::default()
            });
            if !shown.is_empty() {
                messages.push(Message::of("user", shown));
            }
        }
        "reasoning" => {
            // What was sealed for the client is the list of thoughts as it left.
            let sealed = item.encrypted_content.unwrap_or_default();
            if let Ok(thoughts) = serde_json::from_str::<Vec<Box<RawValue>>>(&sealed) {
                let message = Message { role: "assistant", ..Message::default() };
                messages.push(Message { reasoning_details: thoughts, ..message });
            }
        }
        kind => {
            let text = format!("an item of the type {kind:?} cannot be told to every provider");
            return Err(Unsaid::content("input", &text));
        }
    }
    Ok(())
}

/// The assistant's message that is being written: thoughts, text and calls of one turn are one.
fn open<'m, 'a>(messages: &'m mut Vec<Message<'a>>) -> &'m mut Message<'a> {
    let open = match messages.pop() {
        Some(last) if last.role == "assistant" => last,
        other => {
            messages.extend(other);
            Message { role: "assistant", ..Message::default() }
        }
    };
    messages.push_mut(open)
}

/// Content is one text or a list of parts; an empty text is none.
fn parts(content: Option<&RawValue>) -> Result<Vec<Part<'_>>, Unsaid> {
    let Some(content) = content.map(|raw| raw.get().as_bytes()) else { return Ok(Vec::new()) };
    if content.starts_with(b"\"") {
        return Ok(vec![Part::text(read::<Cow<'_, str>>("input", content)?)]);
    }
    let mut parts = Vec::new();
    for piece in read::<Vec<Piece<'_>>>("input", content)? {
        if let ("input_audio", Some(input_audio)) = (&*piece.kind, piece.input_audio) {
            parts.push(Part::InputAudio { input_audio });
            continue;
        }
        match (&*piece.kind, piece.image_url, piece.file_data) {
            ("input_text" | "output_text" | "text", ..) => parts.push(Part::text(piece.text)),
            ("refusal", ..) => parts.push(Part::text(piece.refusal)),
            ("input_image", Some(url), _) => {
                let image_url = Image { url, detail: piece.detail };
                parts.push(Part::ImageUrl { image_url, cache_control: None });
            }
            ("input_file", _, Some(data)) => {
                let file = File { filename: piece.filename, file_data: data.into_owned() };
                parts.push(Part::File { file, cache_control: None });
            }
            (kind, ..) => {
                let text = format!("a part of the type {kind:?} cannot be told to every provider");
                return Err(Unsaid::content("input", &text));
            }
        }
    }
    Ok(parts)
}
