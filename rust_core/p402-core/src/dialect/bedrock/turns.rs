//! Decides how a transcript becomes Converse messages: alternation, results, documents, thoughts.
//! Does not choose parameters (encode.rs).

use super::THOUGHTS;
use crate::chat::{Message, Part, Request, Role, ToolCall};
use crate::dialect::media::Medium;
use crate::dialect::thoughts::{Thought, returned};
use crate::dialect::translate::{Dropped, Recall, Unsaid};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The transcript in the upstream's form.
#[derive(Debug, Default)]
pub(super) struct Transcript<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) messages: Vec<Turn<'a>>,
    /// A call of the tool loop at the end has lost the thoughts before it.
    pub(super) thoughts_lost: bool,
    /// Without tools no tool block may stand anywhere: calls and results are told as text.
    as_text: bool,
    documents: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    role: Side,
    content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    User,
    Assistant,
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
        if transcript.messages.is_empty() {
            dropped.if_any("messages.system", !transcript.system.is_empty());
            let system = std::mem::take(&mut transcript.system);
            transcript.add(Side::User, system);
        }
        match transcript.messages.last().map(|turn| turn.role) {
            None => Err(Unsaid::parameter("messages", "every message is empty")),
            Some(Side::Assistant) => Err(Unsaid::parameter(
                "messages",
                "this provider does not continue an assistant message: end with the user's",
            )),
            Some(Side::User) => Ok(transcript),
        }
    }

    fn message(&mut self, message: &'a Message<'_>, recall: &dyn Recall) -> Result<(), Unsaid> {
        match message.role {
            Role::System | Role::Developer if self.messages.is_empty() => {
                self.system.extend(message.content.0.iter().flat_map(text_blocks));
            }
            Role::System | Role::Developer => {
                let text = message.text();
                let late = Block::Text(format!("<system>{text}</system>").into());
                let none = text.trim().is_empty();
                self.add(Side::User, if none { Vec::new() } else { vec![late] });
            }
            Role::User => {
                self.thoughts_lost = false;
                let blocks = self.blocks(message)?;
                self.add(Side::User, blocks);
            }
            Role::Assistant => self.assistant(message, recall)?,
            Role::Tool => self.result(message)?,
            Role::Function => {
                let text = "messages of the role \"function\": use \"tool\" and tool_call_id";
                return Err(Unsaid::parameter("messages", text));
            }
        }
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message<'_>, recall: &dyn Recall) -> Result<(), Unsaid> {
        let thoughts = returned(message, THOUGHTS, recall);
        let calls = message.calls();
        self.thoughts_lost |= !calls.is_empty() && thoughts.is_empty();
        let mut blocks: Vec<Block<'a>> = thoughts.into_iter().map(reasoning).collect();
        blocks.extend(message.content.0.iter().flat_map(text_blocks));
        blocks.extend(message.refusal.as_deref().and_then(text));
        for call in calls {
            blocks.push(if self.as_text { told_call(call) } else { tool_use(call)? });
        }
        self.add(Side::Assistant, blocks);
        Ok(())
    }

    /// The results of one turn's calls stand together, before anything else the user says.
    fn result(&mut self, message: &'a Message<'_>) -> Result<(), Unsaid> {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        if self.as_text {
            let told = format!("[result of {id}] {}", message.text());
            self.add(Side::User, vec![Block::Text(told.into())]);
            return Ok(());
        }
        let mut content = self.blocks(message)?;
        if content.is_empty() {
            // The list must hold something, and an empty text is refused.
            content.push(Block::Text("(empty)".into()));
        }
        let block = Block::ToolResult { tool_use_id: id, content };
        match self.messages.last_mut().filter(|turn| turn.role == Side::User) {
            Some(turn) => {
                let is_result = |block: &&Block<'_>| matches!(block, Block::ToolResult { .. });
                let at = turn.content.iter().take_while(is_result).count();
                turn.content.insert(at, block);
            }
            None => self.add(Side::User, vec![block]),
        }
        Ok(())
    }

    /// Equal roles in a row are one turn; a turn without blocks is none.
    fn add(&mut self, role: Side, blocks: Vec<Block<'a>>) {
        if blocks.is_empty() {
            return;
        }
        match self.messages.last_mut() {
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => self.messages.push(Turn { role, content: blocks }),
        }
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
                (kind, ..) => {
                    let text = format!("this provider takes no content part of the type {kind:?}");
                    return Err(Unsaid::content("messages", &text));
                }
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
    let input = serde_json::from_str(call.arguments())
        .map_err(|_| Unsaid::parameter("messages", "a call's arguments are not JSON"))?;
    Ok(Block::ToolUse { tool_use_id: &call.id, name: call.name(), input })
}

fn told_call<'a>(call: &ToolCall<'_>) -> Block<'a> {
    Block::Text(format!("[call {} of {}] {}", call.id, call.name(), call.arguments()).into())
}

/// A part's text, and the cache point behind it.
fn text_blocks<'a>(part: &'a Part<'_>) -> impl Iterator<Item = Block<'a>> {
    let said = text(part.refusal.as_deref().unwrap_or(&part.text));
    let point = part
        .cache_control
        .filter(|_| said.is_some())
        .map(|_| Block::CachePoint(CachePoint::default()));
    said.into_iter().chain(point)
}

fn text(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(Cow::Borrowed(text)))
}

fn inline<'a>(text: &'a str, otherwise: &'a str) -> Result<(&'a str, &'a str), Unsaid> {
    match Medium::read(text, otherwise) {
        Medium::Inline { media_type, base64 } => Ok((media_type, base64)),
        Medium::Link(_) => {
            Err(Unsaid::content("messages", "this provider takes files as bytes, not as links"))
        }
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
