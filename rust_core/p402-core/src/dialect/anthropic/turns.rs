//! Decides how a transcript becomes Messages turns: alternation, tool results first, thoughts kept.
//! Does not choose parameters (encode.rs).

use super::THOUGHTS;
use crate::chat::{Message, Part, Request, Role, ToolCall};
use crate::dialect::media::Medium;
use crate::dialect::thoughts::{Thought, returned};
use crate::dialect::translate::{Recall, Unsaid};
use crate::dialect::turns::{self, Side, Turns, Written, said, says};
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
    /// There was nothing but system text, which then stands as the user's.
    pub(super) system_moved: bool,
}

type Mark<'a> = Option<&'a RawValue>;

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Mark<'a>,
    },
    Image {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Mark<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Mark<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

impl<'a> Transcript<'a> {
    pub(super) fn read(request: &'a Request<'_>, recall: &dyn Recall) -> Result<Self, Unsaid> {
        let mut transcript = Self::default();
        for message in &request.messages {
            transcript.message(message, recall)?;
        }
        if transcript.turns.is_empty() {
            transcript.system_moved = true;
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
            Role::System | Role::Developer => {
                let blocks = text_blocks(message);
                if self.turns.is_empty() {
                    self.system.extend(blocks);
                } else {
                    self.turns.add(Side::User, blocks.map(late_system).collect());
                }
            }
            Role::User => {
                let blocks = blocks_of(message)?;
                self.thoughts_lost = false;
                self.turns.add(Side::User, blocks);
            }
            Role::Assistant => self.assistant(message, recall)?,
            Role::Tool => {
                let id = call_id(message.tool_call_id.as_deref().unwrap_or_default());
                let content = blocks_of(message)?;
                let result = Block::ToolResult { tool_use_id: id, content };
                self.turns.result(result, |block| matches!(block, Block::ToolResult { .. }));
            }
            Role::Function => return Err(turns::function_role()),
        }
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message<'_>, recall: &dyn Recall) -> Result<(), Unsaid> {
        let thoughts = returned(message, THOUGHTS, recall);
        let calls = message.calls();
        self.thoughts_lost |= !calls.is_empty() && thoughts.is_empty();
        let mut blocks: Vec<Block<'a>> = thoughts.into_iter().map(thought).collect();
        blocks.extend(text_blocks(message));
        for call in calls {
            blocks.push(tool_use(call)?);
        }
        self.turns.add(Side::Assistant, blocks);
        Ok(())
    }
}

fn late_system(block: Block<'_>) -> Block<'_> {
    match block {
        Block::Text { text, cache_control } => {
            Block::Text { text: turns::late_system(&text).into(), cache_control }
        }
        other => other,
    }
}

fn thought<'a>(thought: Thought) -> Block<'a> {
    match thought.data {
        Some(data) => Block::RedactedThinking { data },
        None => Block::Thinking {
            thinking: thought.text,
            signature: thought.signature.unwrap_or_default(),
        },
    }
}

fn tool_use<'a>(call: &'a ToolCall<'_>) -> Result<Block<'a>, Unsaid> {
    let input = turns::input(call)?;
    Ok(Block::ToolUse { id: call_id(&call.id), name: call.name(), input })
}

/// The text parts that say something; the API refuses empty ones.
fn text_blocks<'a>(message: &'a Message<'_>) -> impl Iterator<Item = Block<'a>> {
    let parts = message.content.0.iter().filter_map(text_block);
    let refusal = message.refusal.as_deref().filter(|text| says(text));
    parts.chain(refusal.map(|text| block(text, None)))
}

fn text_block<'a>(part: &'a Part<'_>) -> Option<Block<'a>> {
    said(part).map(|text| block(text, part.cache_control))
}

const fn block<'a>(text: &'a str, cache_control: Mark<'a>) -> Block<'a> {
    Block::Text { text: Cow::Borrowed(text), cache_control }
}

fn blocks_of<'a>(message: &'a Message<'_>) -> Result<Vec<Block<'a>>, Unsaid> {
    let mut blocks = Vec::with_capacity(message.content.0.len());
    for part in &message.content.0 {
        let cache_control = part.cache_control;
        match (&*part.kind, &part.image_url, &part.file) {
            ("image_url", Some(image), _) => {
                let source = source(Medium::read(&image.url, "image/png"));
                blocks.push(Block::Image { source, cache_control });
            }
            ("file", _, Some(file)) if !file.file_data.is_empty() => {
                let medium = Medium::read(&file.file_data, "application/pdf");
                if let Medium::Inline { media_type, .. } = medium
                    && media_type != "application/pdf"
                {
                    return Err(Unsaid::content("messages", "this provider reads PDF files only"));
                }
                let title = file.filename.as_deref();
                blocks.push(Block::Document { source: source(medium), title, cache_control });
            }
            ("text" | "refusal", ..) => blocks.extend(text_block(part)),
            (kind, ..) => return Err(turns::foreign_part(kind)),
        }
    }
    Ok(blocks)
}

fn source(medium: Medium<'_>) -> Source<'_> {
    match medium {
        Medium::Inline { media_type, base64 } => Source::Base64 { media_type, data: base64 },
        Medium::Link(url) => Source::Url { url },
    }
}

/// Call ids are `[a-zA-Z0-9_-]+` there. Any other is spelt out, so that no two become one.
fn call_id(id: &str) -> Cow<'_, str> {
    const SPELT: &str = "p402x_";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !id.is_empty() && id.bytes().all(plain) && !id.starts_with(SPELT) {
        return Cow::Borrowed(id);
    }
    let hex = id.bytes().map(|byte| format!("{byte:02x}"));
    Cow::Owned(SPELT.chars().chain(hex.collect::<String>().chars()).collect())
}
