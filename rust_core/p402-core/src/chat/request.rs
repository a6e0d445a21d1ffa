//! Decides the canonical request: what a dialect is asked to say in its own language.
//! Does not refuse anything: what a dialect cannot say, it names.

use super::message::{Message, ToolCall};
use crate::catalog::Effort;
use crate::envelope::Scan;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One chat request, read once for all dialects; numbers and schemas keep their bytes.
#[derive(Debug, Default)]
pub struct Request<'a> {
    pub messages: Vec<Message<'a>>,
    pub tools: Vec<Tool<'a>>,
    pub tool_choice: Option<ToolChoice>,
    pub parallel_tool_calls: Option<bool>,
    pub response_format: Option<ResponseFormat<'a>>,
    pub temperature: Option<&'a RawValue>,
    pub top_p: Option<&'a RawValue>,
    pub top_k: Option<&'a RawValue>,
    pub frequency_penalty: Option<&'a RawValue>,
    pub presence_penalty: Option<&'a RawValue>,
    pub seed: Option<&'a RawValue>,
    pub stop: Vec<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    /// The client's output bound, whichever of the two names it used.
    pub max_tokens: Option<u64>,
    pub effort: Option<Effort>,
    pub n: u32,
    /// Every other member that has a value, by name: nobody translates it.
    pub rest: Vec<&'a str>,
}

#[derive(Debug, Deserialize)]
pub struct Tool<'a> {
    #[serde(rename = "type", borrow, default)]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub function: Option<Function<'a>>,
    #[serde(borrow, default)]
    pub cache_control: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub struct Function<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    pub description: Option<String>,
    #[serde(borrow, default)]
    pub parameters: Option<&'a RawValue>,
    pub strict: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    Auto,
    None,
    Required,
    Function(String),
}

#[derive(Debug, Deserialize)]
pub struct ResponseFormat<'a> {
    #[serde(rename = "type", borrow, default)]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub json_schema: Option<JsonSchema<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct JsonSchema<'a> {
    pub name: Option<String>,
    #[serde(borrow, default)]
    pub schema: Option<&'a RawValue>,
}

/// `stop` is one text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stop<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(Vec<String>),
}

/// `tool_choice` is a word or names a function.
#[derive(Deserialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(#[serde(borrow)] Cow<'a, str>),
    Named { function: Named },
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Members that P402 itself reads or that ask for nothing to be said upstream.
const OWN: [&str; 8] = [
    "model",
    "stream",
    "stream_options",
    "p402",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "reasoning_effort",
];

impl<'a> Request<'a> {
    /// Reads a scanned body; the error names the member that has another form than OpenAI's.
    pub fn read(body: &'a [u8], scan: &'a Scan) -> Result<Self, &'a str> {
        let mut request = Self {
            max_tokens: scan.output_bound(),
            effort: scan.reasoning_effort,
            n: scan.n.max(1),
            ..Self::default()
        };
        for (name, field) in &scan.fields {
            let json = field.value.of(body);
            if json != b"null" && !OWN.contains(&name.as_str()) {
                request.member(name, json).map_err(|_| name.as_str())?;
            }
        }
        Ok(request)
    }

    fn member(&mut self, name: &'a str, json: &'a [u8]) -> Result<(), serde_json::Error> {
        match name {
            "messages" => self.messages = serde_json::from_slice(json)?,
            "tools" => self.tools = serde_json::from_slice(json)?,
            "tool_choice" => self.tool_choice = choice(json)?,
            "parallel_tool_calls" => self.parallel_tool_calls = serde_json::from_slice(json)?,
            "response_format" => self.response_format = serde_json::from_slice(json)?,
            "temperature" => self.temperature = serde_json::from_slice(json)?,
            "top_p" => self.top_p = serde_json::from_slice(json)?,
            "top_k" => self.top_k = serde_json::from_slice(json)?,
            "frequency_penalty" => self.frequency_penalty = serde_json::from_slice(json)?,
            "presence_penalty" => self.presence_penalty = serde_json::from_slice(json)?,
            "seed" => self.seed = serde_json::from_slice(json)?,
            "user" => self.user = Some(serde_json::from_slice(json)?),
            "stop" => {
                self.stop = match serde_json::from_slice(json)? {
                    Stop::One(text) => vec![text],
                    Stop::Many(texts) => texts.into_iter().map(Cow::Owned).collect(),
                };
            }
            // What is switched off asks for nothing.
            _ if json == b"false" => {}
            _ => self.rest.push(name),
        }
        Ok(())
    }

    /// The one call of this id in the transcript, and so the name a result answers to.
    pub fn called(&self, id: &str) -> Option<&str> {
        let calls = self.messages.iter().rev().flat_map(Message::calls);
        calls.into_iter().find(|call| call.id == id).map(ToolCall::name)
    }

    /// Some part or tool is marked for one vendor's cache.
    pub fn marks_caches(&self) -> bool {
        let mut parts = self.messages.iter().flat_map(|message| &message.content.0);
        parts.any(|part| part.cache_control.is_some())
            || self.tools.iter().any(|tool| tool.cache_control.is_some())
    }

    /// Some turn calls a tool or answers a call.
    pub fn has_tool_turns(&self) -> bool {
        let turn =
            |message: &Message<'_>| message.tool_call_id.is_some() || !message.calls().is_empty();
        self.messages.iter().any(turn)
    }
}

fn choice(json: &[u8]) -> Result<Option<ToolChoice>, serde_json::Error> {
    Ok(match serde_json::from_slice(json)? {
        Choice::Named { function } => Some(ToolChoice::Function(function.name)),
        Choice::Word(word) => match &*word {
            "none" => Some(ToolChoice::None),
            "required" => Some(ToolChoice::Required),
            _ => Some(ToolChoice::Auto),
        },
    })
}
