//! Decides how Gemini contents become a chat's messages: roles, pictures, calls and their results.
//! Does not choose parameters (ask.rs).

use crate::dialect::Unsaid;
use crate::dialect::wire::object::Object;
use crate::door::written::{Call, Content, Extra, File, Image, Message, Part, Signed, Sound};
use crate::door::{missing, read};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    parts: Vec<Piece<'a>>,
}

/// Any part; what a kind does not have stays empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(default)]
    thought: bool,
    #[serde(borrow, default)]
    thought_signature: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "inline_data")]
    inline_data: Option<Blob<'a>>,
    #[serde(borrow, default, alias = "file_data")]
    file_data: Option<Link<'a>>,
    #[serde(borrow, default, alias = "function_call")]
    function_call: Option<Asking<'a>>,
    #[serde(borrow, default, alias = "function_response")]
    function_response: Option<Outcome<'a>>,
    #[serde(borrow, default)]
    executable_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code_execution_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    #[serde(borrow, alias = "mime_type")]
    mime_type: Cow<'a, str>,
    #[serde(borrow, rename = "data")]
    base64: Cow<'a, str>,
    #[serde(borrow, default, alias = "display_name")]
    display_name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    #[serde(borrow, default, alias = "mime_type")]
    mime_type: Cow<'a, str>,
    #[serde(borrow, alias = "file_uri")]
    file_uri: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Asking<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

/// Calls that wait for their results: what they are called, and by which name.
#[derive(Default)]
struct Open<'a> {
    calls: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Calls so far, for those that came without an id.
    made: usize,
}

/// The transcript of a chat.
pub(super) fn messages<'a>(top: &'a Object<'_>) -> Result<Vec<Message<'a>>, Unsaid> {
    let mut messages = Vec::new();
    let system = top.present("systemInstruction").or_else(|| top.present("system_instruction"));
    if let Some(system) = system {
        let turn: Turn<'a> = read("systemInstruction", system)?;
        let said = turn.parts.into_iter().filter_map(|piece| piece.text);
        let said: Vec<Part<'a>> = said.filter(|text| !text.is_empty()).map(Part::text).collect();
        messages.extend((!said.is_empty()).then(|| Message::of("system", said)));
    }
    let contents = top.present("contents").ok_or_else(|| missing("contents"))?;
    let turns: Vec<Turn<'a>> = match contents.first() {
        Some(b'[') => read("contents", contents)?,
        _ => vec![read("contents", contents)?],
    };
    let mut open = Open::default();
    for turn in turns {
        match &*turn.role {
            "model" => messages.extend(model(turn.parts, &mut open)?),
            "" | "user" | "function" | "tool" => user(turn.parts, &mut open, &mut messages)?,
            _ => return Err(Unsaid::parameter("contents", "a role is user or model")),
        }
    }
    Ok(messages)
}

/// The text of one content, which has nothing but text.
pub(super) fn text(content: &[u8]) -> Result<String, Unsaid> {
    if content.starts_with(b"\"") {
        return read("content", content);
    }
    let turn: Turn<'_> = read("content", content)?;
    let mut texts: Vec<Cow<'_, str>> = Vec::new();
    for piece in turn.parts {
        match part(piece)? {
            Some(Part::Text { text, .. }) => texts.push(text),
            Some(Part::ImageUrl { .. } | Part::File { .. } | Part::InputAudio { .. }) => {
                return Err(Unsaid::content("content", "vectors are made of text alone here"));
            }
            None => {}
        }
    }
    if texts.is_empty() { Err(missing("content")) } else { Ok(texts.join("\n")) }
}

/// Results of calls are messages of their own and come first; what the user says follows.
fn user<'a>(
    pieces: Vec<Piece<'a>>,
    open: &mut Open<'a>,
    messages: &mut Vec<Message<'a>>,
) -> Result<(), Unsaid> {
    let mut said = Vec::new();
    for piece in pieces {
        let Some(outcome) = piece.function_response else {
            said.extend(part(piece)?);
            continue;
        };
        let id = open.answered(&outcome).ok_or_else(|| {
            let text = format!("no call of {:?} waits for this result", outcome.name);
            Unsaid::parameter("contents", &text)
        })?;
        let text = outcome.response.map_or("{}", RawValue::get);
        messages.push(Message {
            role: "tool",
            content: Some(Content::Text(text.into())),
            tool_call_id: Some(id),
            ..Message::default()
        });
    }
    if !said.is_empty() {
        messages.push(Message::of("user", said));
    }
    Ok(())
}

/// What one turn of the model's says; thoughts are shown to a client, not sent back.
fn model<'a>(pieces: Vec<Piece<'a>>, open: &mut Open<'a>) -> Result<Option<Message<'a>>, Unsaid> {
    let (mut message, mut said) = (Message { role: "assistant", ..Message::default() }, Vec::new());
    for mut piece in pieces {
        if piece.thought {
            continue;
        }
        let Some(asking) = piece.function_call.take() else {
            said.extend(part(piece)?);
            continue;
        };
        let id = open.asked(&asking);
        let mut call = Call::new(id, asking.name, asking.args.map_or("{}", RawValue::get));
        let signed = |thought_signature| Extra { google: Signed { thought_signature } };
        call.extra_content = piece.thought_signature.map(signed);
        message.tool_calls.push(call);
    }
    message.content = Content::of(said);
    let says = message.content.is_some() || !message.tool_calls.is_empty();
    Ok(says.then_some(message))
}

impl<'a> Open<'a> {
    fn asked(&mut self, asking: &Asking<'a>) -> Cow<'a, str> {
        self.made += 1;
        let id = asking.id.clone().filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("call_{}", self.made).into());
        self.calls.push((id.clone(), asking.name.clone()));
        id
    }

    /// The call this result answers: by its id, else the first open one of its name.
    fn answered(&mut self, outcome: &Outcome<'a>) -> Option<Cow<'a, str>> {
        let id = outcome.id.as_deref().filter(|id| !id.is_empty());
        let at = self.calls.iter().position(|(known, name)| match id {
            Some(id) => known == id,
            None => *name == outcome.name,
        })?;
        Some(self.calls.remove(at).0)
    }
}

/// Text, a picture or a document; an empty text is none.
fn part(piece: Piece<'_>) -> Result<Option<Part<'_>>, Unsaid> {
    if let Some(text) = piece.text {
        return Ok((!text.is_empty()).then(|| Part::text(text)));
    }
    let foreign = |kind: &str| {
        let text = format!("a part of the type {kind:?} cannot be told to every provider");
        Err(Unsaid::content("contents", &text))
    };
    if let Some(blob) = piece.inline_data {
        let url = format!("data:{};base64,{}", blob.mime_type, blob.base64);
        return match &*blob.mime_type {
            kind if kind.starts_with("image/") => Ok(Some(picture(url.into()))),
            "application/pdf" => {
                let file = File { filename: blob.display_name, file_data: url };
                Ok(Some(Part::File { file, cache_control: None }))
            }
            kind => match format(kind) {
                Some(format) => {
                    let input_audio = Sound { base64: blob.base64, format: format.into() };
                    Ok(Some(Part::InputAudio { input_audio }))
                }
                None => foreign(kind),
            },
        };
    }
    match piece.file_data {
        Some(link) if link.file_uri.starts_with("http") && is_picture(&link) => {
            Ok(Some(picture(link.file_uri)))
        }
        Some(_) => foreign("fileData"),
        None if piece.executable_code.is_some() || piece.code_execution_result.is_some() => {
            foreign("codeExecution")
        }
        None => Ok(None),
    }
}

/// A chat's word for a sound that Google's models hear.
fn format(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/mp3" | "audio/mpeg" => "mp3",
        "audio/aac" => "aac",
        "audio/aiff" => "aiff",
        "audio/flac" => "flac",
        "audio/ogg" => "ogg",
        _ => return None,
    })
}

fn is_picture(link: &Link<'_>) -> bool {
    link.mime_type.is_empty() || link.mime_type.starts_with("image/")
}

fn picture(url: Cow<'_, str>) -> Part<'_> {
    Part::ImageUrl { image_url: Image { url, detail: None }, cache_control: None }
}
