//! Decides the chat form in which doors write what a client said: messages, parts, calls, tools.
//! Does not read any language: each door's own room does.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One message of the chat.
#[derive(Debug, Default, Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    ImageUrl {
        image_url: Image<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    File {
        file: File<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    InputAudio {
        input_audio: Sound<'a>,
    },
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Sound<'a> {
    #[serde(borrow, rename = "data")]
    pub(super) base64: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) format: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Image<'a> {
    pub(super) url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize)]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<Cow<'a, str>>,
    pub(super) file_data: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<Called<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom: Option<Told<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<Extra<'a>>,
}

/// What one maker wants back with its call.
#[derive(Debug, Serialize)]
pub(super) struct Extra<'a> {
    pub(super) google: Signed<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Signed<'a> {
    pub(super) thought_signature: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Called<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Cow<'a, str>,
}

/// What a custom tool was told.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) input: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Tool<'a> {
    pub(super) r#type: &'static str,
    pub(super) function: Function<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
pub(super) struct Function<'a> {
    pub(super) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
}

impl<'a> Message<'a> {
    pub(super) fn of(role: &'static str, parts: Vec<Part<'a>>) -> Self {
        Self { role, content: Content::of(parts), ..Self::default() }
    }
}

impl<'a> Content<'a> {
    /// Parts as a chat writes them: text alone, without a mark, is a string.
    pub(super) fn of(mut parts: Vec<Part<'a>>) -> Option<Self> {
        match parts.as_mut_slice() {
            [] => None,
            [Part::Text { text, cache_control: None }] => Some(Self::Text(std::mem::take(text))),
            _ => Some(Self::Parts(parts)),
        }
    }
}

impl<'a> Part<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text { text: text.into(), cache_control: None }
    }

    /// The text of a part that is text.
    pub(super) fn said(&self) -> &str {
        match self {
            Self::Text { text, .. } => text,
            Self::ImageUrl { .. } | Self::File { .. } | Self::InputAudio { .. } => "",
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(
        id: impl Into<Cow<'a, str>>,
        name: impl Into<Cow<'a, str>>,
        arguments: impl Into<Cow<'a, str>>,
    ) -> Self {
        let function = Some(Called { name: name.into(), arguments: arguments.into() });
        Self { id: id.into(), r#type: "function", function, custom: None, extra_content: None }
    }

    /// A call of a custom tool.
    pub(super) fn custom(id: Cow<'a, str>, name: Cow<'a, str>, input: Cow<'a, str>) -> Self {
        let custom = Some(Told { name, input });
        Self { id, r#type: "custom", function: None, custom, extra_content: None }
    }
}

/// Any of these as JSON; what was made of valid JSON can be written.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}
