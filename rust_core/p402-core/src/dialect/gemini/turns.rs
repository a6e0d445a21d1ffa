//! Decides how a transcript becomes Gemini contents: roles, results by name, signatures of calls.
//! Does not choose parameters (encode.rs).

use super::THOUGHTS;
use crate::chat::{Message, Request, Role, ToolCall};
use crate::dialect::media::Medium;
use crate::dialect::thoughts::returned;
use crate::dialect::translate::{Dropped, Target, Unsaid};
use crate::dialect::turns::{self, Side, Turns, said};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What Google's documentation has clients send for calls that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The transcript in the upstream's form.
#[derive(Debug, Default)]
pub(super) struct Transcript<'a> {
    pub(super) system: Vec<Piece<'a>>,
    turns: Turns<Piece<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    role: &'static str,
    parts: Vec<Piece<'a>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Piece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    mime_type: Cow<'a, str>,
    #[serde(rename = "data")]
    base64: &'a str,
}

#[derive(Debug, Serialize)]
struct Call<'a> {
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    name: &'a str,
    response: Outcome<'a>,
}

/// A result must be an object; text that is none is wrapped.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome<'a> {
    Object(Box<RawValue>),
    Text { result: Cow<'a, str> },
}

impl<'a> Transcript<'a> {
    pub(super) fn read(
        request: &'a Request<'_>,
        target: &Target<'_>,
        dropped: &mut Dropped,
    ) -> Result<Self, Unsaid> {
        let mut transcript = Self::default();
        for message in &request.messages {
            match message.role {
                Role::System | Role::Developer => transcript.system(message),
                Role::User => transcript.turns.add(Side::User, pieces(message)?),
                Role::Assistant => transcript.assistant(message, target, dropped)?,
                Role::Tool | Role::Function => transcript.result(request, message)?,
            }
        }
        if transcript.turns.is_empty() {
            dropped.if_any("messages.system", !transcript.system.is_empty());
            let system = std::mem::take(&mut transcript.system);
            transcript.turns.add(Side::User, system);
        }
        Ok(transcript)
    }

    pub(super) fn contents(self) -> Result<Vec<Turn<'a>>, Unsaid> {
        let written = |turn: turns::Turn<Piece<'a>>| Turn {
            role: if turn.side == Side::User { "user" } else { "model" },
            parts: turn.blocks,
        };
        Ok(self.turns.ended()?.into_iter().map(written).collect())
    }

    fn system(&mut self, message: &'a Message<'_>) {
        let texts = message.content.0.iter().filter_map(said).map(Piece::text);
        if self.turns.is_empty() {
            self.system.extend(texts);
        } else {
            let text = message.text();
            let late = || Piece::text(turns::late_system(&text));
            let said = turns::says(&text).then(late);
            self.turns.add(Side::User, said.into_iter().collect());
        }
    }

    fn assistant(
        &mut self,
        message: &'a Message<'_>,
        target: &Target<'_>,
        dropped: &mut Dropped,
    ) -> Result<(), Unsaid> {
        let texts = message.content.0.iter().filter_map(said);
        let refusal = message.refusal.as_deref().filter(|text| turns::says(text));
        let mut parts: Vec<Piece<'a>> = texts.chain(refusal).map(Piece::text).collect();
        let kept = returned(message, THOUGHTS, target.recall);
        let mut kept = kept.into_iter().filter_map(|thought| thought.data);
        for (at, call) in message.calls().iter().enumerate() {
            let own = call.thought_signature().map(Cow::Borrowed);
            // One signature stands for all calls of a step, on the first of them.
            let lost = || (at == 0).then(|| kept.next().map(Cow::Owned)).flatten();
            let mut signature = own.or_else(lost);
            // Models that count a budget do without; the others refuse a call that has none.
            if signature.is_none() && at == 0 && !target.efforts.budget {
                dropped.name("thought_signature");
                signature = Some(Cow::Borrowed(NO_SIGNATURE));
            }
            parts.push(function_call(call, signature)?);
        }
        self.turns.add(Side::Assistant, parts);
        Ok(())
    }

    /// Results answer by name.
    fn result(&mut self, request: &'a Request<'_>, message: &'a Message<'_>) -> Result<(), Unsaid> {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let name = request.called(id).or(message.name.as_deref());
        let name = name.ok_or_else(|| {
            Unsaid::parameter("messages", "a tool result answers to no call before it")
        })?;
        if message.content.0.iter().any(|part| part.kind != "text") {
            return Err(Unsaid::content("messages", "this provider's tool results are text"));
        }
        let response = Response { name, response: outcome(message.text()) };
        let piece = Piece { function_response: Some(response), ..Piece::default() };
        self.turns.result(piece, |piece| piece.function_response.is_some());
        Ok(())
    }
}

impl<'a> Piece<'a> {
    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

fn outcome<'a>(text: String) -> Outcome<'a> {
    let object = text.trim_start().starts_with('{').then(|| RawValue::from_string(text.clone()));
    if let Some(Ok(object)) = object {
        return Outcome::Object(object);
    }
    Outcome::Text { result: Cow::Owned(text) }
}

fn function_call<'a>(
    call: &'a ToolCall<'_>,
    thought_signature: Option<Cow<'a, str>>,
) -> Result<Piece<'a>, Unsaid> {
    let args = turns::input(call)?;
    let function_call = Some(Call { name: call.name(), args });
    Ok(Piece { function_call, thought_signature, ..Piece::default() })
}

fn pieces<'a>(message: &'a Message<'_>) -> Result<Vec<Piece<'a>>, Unsaid> {
    let mut parts = Vec::with_capacity(message.content.0.len());
    for part in &message.content.0 {
        let medium = match (&*part.kind, &part.image_url, &part.file, &part.input_audio) {
            ("image_url", Some(image), ..) => Medium::read(&image.url, "image/png"),
            ("file", _, Some(file), _) if !file.file_data.is_empty() => {
                Medium::read(&file.file_data, "application/pdf")
            }
            ("input_audio", _, _, Some(audio)) => {
                let format = audio.format.as_deref().unwrap_or("wav");
                let mime_type = Cow::Owned(format!("audio/{format}"));
                parts.push(blob(mime_type, &audio.data));
                continue;
            }
            ("text" | "refusal", ..) => {
                parts.extend(said(part).map(Piece::text));
                continue;
            }
            (kind, ..) => return Err(turns::foreign_part(kind)),
        };
        match medium {
            Medium::Inline { media_type, base64 } => parts.push(blob(media_type.into(), base64)),
            Medium::Link(_) => return Err(turns::link_part()),
        }
    }
    Ok(parts)
}

fn blob<'a>(mime_type: Cow<'a, str>, base64: &'a str) -> Piece<'a> {
    Piece { inline_data: Some(Blob { mime_type, base64 }), ..Piece::default() }
}
