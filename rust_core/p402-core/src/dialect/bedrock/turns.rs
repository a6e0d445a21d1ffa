//! Decides how a transcript becomes Converse messages: alternation, results, documents, thoughts.
//! Does not choose parameters (encode.rs).

use super::THOUGHTS;
use crate::chat::{Message, Part, Request, Role, ToolCall};
use crate::dialect::media::Medium;
use crate::dialect::thoughts::{Thought, returned};
use crate::dialect::translate::{Dropped, Recall, Unsaid};
use crate::dialect::turns::{self, Side, Turns, Written, said};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The transcript in the upstream's form.
#[derive(Debug, Default)]
pub(super) struct Transcript<'a> {
    pub(super) system: Vec<Block<'a>>,
    turns: Turns<Block<'a>>,
    /// A call of the tool loop at the end has lost the thoughts before it.
    pub(super) thoughts_lost: bool,
    /// Without tools no tool block may stand anywhere: calls and results are told as text.
    as_text: bool,
    documents: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Image<'a>),
    Document(Document<'a>),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
    #[serde(rename_all = "camelCase")]
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<Block<'a>>,
    },
    ReasoningContent(Reasoning),
    CachePoint(CachePoint),
}

#[derive(Debug, Serialize)]
pub(super) struct Image<'a> {
    format: &'a str,
    source: Source<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    format: &'a str,
    name: String,
    source: Source<'a>,
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    bytes: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning {
    ReasoningText { text: String, signature: String },
    RedactedContent(String),
}

#[derive(Debug, Serialize)]
pub(super) struct CachePoint {
    r#type: &'static str,
}

impl<'a> Transcript<'a> {
    pub(super) fn read(
        request: &'a Request<'_>,
        recall: &dyn Recall,
        (as_text, dropped): (bool, &mut Dropped),
    ) -> Result<Self, Unsaid> {
        let mut transcript = Self { as_text, ..Self::default() };
        for message in &request.messages {
            transcript.message(message, recall)?;
        }
        if transcript.turns.is_empty() {
            dropped.if_any("messages.system", !transcript.system.is_empty());
            let system = std::mem::take(&mut transcript.system);
            transcript.turns.add(Side::User, system);
        }
        Ok(transcript)
    }

    pub(super) fn messages(self) -> Result<Vec<Written<Block<'a>>>, Unsaid> {
        self.turns.written()
    }

    fn message(&mut self, message: &'a Message<'_>, recall: &dyn Recall) -> Result<(), Unsaid> {
        match message.role {
            Role::System | Role::Developer if self.turns.is_empty() => {
                self.system.extend(message.content.0.iter().flat_map(text_blocks));
            }
            Role::System | Role::Developer => {
                let text = message.text();
                let late = || Block::Text(turns::late_system(&text).into());
                let said = turns::says(&text).then(late);
                self.turns.add(Side::User, said.into_iter().collect());
            }
            Role::User => {
                self.thoughts_lost = false;
                let blocks = self.blocks(message)?;
                self.turns.add(Side::User, blocks);
            }
            Role::Assistant => self.assistant(message, recall)?,
            Role::Tool => self.result(message)?,
            Role::Function => return Err(turns::function_role()),
        }
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message<'_>, recall: &dyn Recall) -> Result<(), Unsaid> {
        let thoughts = returned(message, THOUGHTS, recall);
        let calls = message.calls();
        self.thoughts_lost |= !calls.is_empty() && thoughts.is_empty();
        let mut blocks: Vec<Block<'a>> = thoughts.into_iter().map(reasoning).collect();
        blocks.extend(message.content.0.iter().flat_map(text_blocks));
        let refusal = message.refusal.as_deref().filter(|text| turns::says(text));
        blocks.extend(refusal.map(|text| Block::Text(Cow::Borrowed(text))));
        for call in calls {
            blocks.push(if self.as_text { told_call(call) } else { tool_use(call)? });
        }
        self.turns.add(Side::Assistant, blocks);
        Ok(())
    }

    fn result(&mut self, message: &'a Message<'_>) -> Result<(), Unsaid> {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        if self.as_text {
            let told = format!("[result of {id}] {}", message.text());
            self.turns.add(Side::User, vec![Block::Text(told.into())]);
            return Ok(());
        }
        let mut content = self.blocks(message)?;
        if content.is_empty() {
            // The list must hold something, and an empty text is refused.
            content.push(Block::Text("(empty)".into()));
        }
        let block = Block::ToolResult { tool_use_id: id, content };
        self.turns.result(block, |block| matches!(block, Block::ToolResult { .. }));
        Ok(())
    }

    fn blocks(&mut self, message: &'a Message<'_>) -> Result<Vec<Block<'a>>, Unsaid> {
        let mut blocks = Vec::with_capacity(message.content.0.len());
        let (mut speaks, mut shows) = (false, false);
        for part in &message.content.0 {
            match (&*part.kind, &part.image_url, &part.file) {
                ("image_url", Some(image), _) => {
                    let (media_type, bytes) = inline(&image.url, "image/png")?;
                    let format = media_type.strip_prefix("image/").unwrap_or("png");
                    blocks.push(Block::Image(Image { format, source: Source { bytes } }));
                }
                ("file", _, Some(file)) if !file.file_data.is_empty() => {
                    let (media_type, bytes) = inline(&file.file_data, "application/pdf")?;
                    self.documents += 1;
                    shows = true;
                    blocks.push(Block::Document(Document {
                        format: document_format(media_type)?,
                        // A client's file name may hold what the service, or the model, obeys.
                        name: format!("document-{}", self.documents),
                        source: Source { bytes },
                    }));
                }
                ("text" | "refusal", ..) => {
                    let texts: Vec<Block<'a>> = text_blocks(part).collect();
                    speaks |= !texts.is_empty();
                    blocks.extend(texts);
                    continue;
                }
                (kind, ..) => return Err(turns::foreign_part(kind)),
            }
            blocks.extend(part.cache_control.map(|_| Block::CachePoint(CachePoint::default())));
        }
        if shows && !speaks {
            // A document must have text beside it.
            blocks.push(Block::Text("The document is attached.".into()));
        }
        Ok(blocks)
    }
}

impl Default for CachePoint {
    fn default() -> Self {
        Self { r#type: "default" }
    }
}

fn reasoning<'a>(thought: Thought) -> Block<'a> {
    Block::ReasoningContent(match thought.data {
        Some(blob) => Reasoning::RedactedContent(blob),
        None => Reasoning::ReasoningText {
            text: thought.text,
            signature: thought.signature.unwrap_or_default(),
        },
    })
}

fn tool_use<'a>(call: &'a ToolCall<'_>) -> Result<Block<'a>, Unsaid> {
    let input = turns::input(call)?;
    Ok(Block::ToolUse { tool_use_id: &call.id, name: call.name(), input })
}

fn told_call<'a>(call: &ToolCall<'_>) -> Block<'a> {
    Block::Text(format!("[call {} of {}] {}", call.id, call.name(), call.arguments()).into())
}

/// A part's text, and the cache point behind it.
fn text_blocks<'a>(part: &'a Part<'_>) -> impl Iterator<Item = Block<'a>> {
    let said = said(part).map(|text| Block::Text(Cow::Borrowed(text)));
    let point = part
        .cache_control
        .filter(|_| said.is_some())
        .map(|_| Block::CachePoint(CachePoint::default()));
    said.into_iter().chain(point)
}

fn inline<'a>(text: &'a str, otherwise: &'a str) -> Result<(&'a str, &'a str), Unsaid> {
    match Medium::read(text, otherwise) {
        Medium::Inline { media_type, base64 } => Ok((media_type, base64)),
        Medium::Link(_) => Err(turns::link_part()),
    }
}

fn document_format(media_type: &str) -> Result<&'static str, Unsaid> {
    Ok(match media_type {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/markdown" => "md",
        "text/plain" => "txt",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        _ => return Err(Unsaid::content("messages", "this provider reads no such file")),
    })
}
