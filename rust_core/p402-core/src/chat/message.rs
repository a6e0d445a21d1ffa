//! Decides the form in which dialects read one message: role, parts, calls, thoughts.
//! Does not judge what a provider can take; unknown part types keep their name.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Who speaks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

/// One message of the transcript.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    pub role: Role,
    #[serde(borrow, default)]
    pub content: Content<'a>,
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<ToolCall<'a>>>,
    pub tool_call_id: Option<String>,
    /// The name of the function whose result this is, where a client says it.
    pub name: Option<String>,
    pub refusal: Option<String>,
    /// Thoughts as this gateway gave them out, signatures included.
    #[serde(borrow, default)]
    pub reasoning_details: Option<Vec<&'a RawValue>>,
}

/// A message's content: a string is one text part, null is none.
#[derive(Debug, Default)]
pub struct Content<'a>(pub Vec<Part<'a>>);

/// One part of a message's content.
#[derive(Debug, Default, Deserialize)]
pub struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    pub kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub text: Cow<'a, str>,
    pub refusal: Option<String>,
    #[serde(borrow, default)]
    pub image_url: Option<ImagePart<'a>>,
    #[serde(borrow, default)]
    pub file: Option<FilePart<'a>>,
    #[serde(borrow, default)]
    pub input_audio: Option<AudioPart<'a>>,
    /// The mark of one vendor's cache, kept where that vendor is asked.
    #[serde(borrow, default)]
    pub cache_control: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub struct ImagePart<'a> {
    /// A `data:` address or a link; a link is handed on as text and never fetched.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct FilePart<'a> {
    pub filename: Option<String>,
    /// A `data:` address, or bare base64.
    #[serde(borrow, default)]
    pub file_data: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct AudioPart<'a> {
    /// Base64.
    #[serde(borrow)]
    pub data: Cow<'a, str>,
    pub format: Option<String>,
}

/// A call the assistant made.
#[derive(Debug, Deserialize)]
pub struct ToolCall<'a> {
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub function: Option<CalledFunction<'a>>,
    /// What a vendor wants back with the call (`google.thought_signature`).
    #[serde(borrow, default)]
    pub extra_content: Option<ExtraContent<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct CalledFunction<'a> {
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// JSON in a string.
    #[serde(borrow, default)]
    pub arguments: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
pub struct ExtraContent<'a> {
    #[serde(borrow, default)]
    pub google: Option<GoogleExtra<'a>>,
}

#[derive(Debug, Deserialize)]
pub struct GoogleExtra<'a> {
    #[serde(borrow, default)]
    pub thought_signature: Option<Cow<'a, str>>,
}

impl Message<'_> {
    /// All text of the message, refusals included.
    pub fn text(&self) -> String {
        let mut all = String::new();
        for part in &self.content.0 {
            all.push_str(&part.text);
            all.push_str(part.refusal.as_deref().unwrap_or_default());
        }
        all.push_str(self.refusal.as_deref().unwrap_or_default());
        all
    }

    pub fn calls(&self) -> &[ToolCall<'_>] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}

impl ToolCall<'_> {
    pub fn name(&self) -> &str {
        self.function.as_ref().map_or("", |function| &function.name)
    }

    /// The arguments as a JSON object: what is none becomes the empty one.
    pub fn arguments(&self) -> &str {
        let text = self.function.as_ref().map_or("", |function| function.arguments.trim());
        let object = text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok();
        if object { text } else { "{}" }
    }

    pub fn thought_signature(&self) -> Option<&str> {
        self.extra_content.as_ref()?.google.as_ref()?.thought_signature.as_deref()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a list of parts, or null")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::of(Cow::Borrowed(text)))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::of(Cow::Owned(text.to_owned())))
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Content(parts))
    }
}

impl<'a> Content<'a> {
    fn of(text: Cow<'a, str>) -> Self {
        Self(vec![Part { kind: Cow::Borrowed("text"), text, ..Part::default() }])
    }
}
