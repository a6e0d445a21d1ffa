//! Decides the form in which thoughts go out to a client and come back: `reasoning_details`.
//! Does not read their text: signatures hold only for thoughts that return unchanged.

use super::translate::Recall;
use super::wire::json::quoted;
use crate::chat::Message;
use serde::Deserialize;

/// One thought, or its sealed form.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Thought {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) signature: Option<String>,
    /// Sealed thoughts: nothing but their maker can read them.
    #[serde(default)]
    pub(super) data: Option<String>,
    /// Who can read it back.
    #[serde(default)]
    format: String,
}

/// An open thought with its signature.
pub(super) fn signed(text: &str, signature: &str, format: &str, index: usize) -> Vec<u8> {
    let [text, signature, format] = [text, signature, format].map(quoted);
    let mut out = b"{\"type\":\"reasoning.text\",\"text\":".to_vec();
    out.extend_from_slice(&text);
    out.extend_from_slice(b",\"signature\":");
    out.extend_from_slice(&signature);
    close(out, &format, index)
}

/// A thought that its maker sealed.
pub(super) fn sealed(blob: &str, format: &str, index: usize) -> Vec<u8> {
    let mut out = b"{\"type\":\"reasoning.encrypted\",\"data\":".to_vec();
    out.extend_from_slice(&quoted(blob));
    close(out, &quoted(format), index)
}

fn close(mut out: Vec<u8>, format: &[u8], index: usize) -> Vec<u8> {
    out.extend_from_slice(b",\"format\":");
    out.extend_from_slice(format);
    out.extend_from_slice(format!(",\"index\":{index}}}").as_bytes());
    out
}

/// The thoughts of one assistant message that this language can say again: the client's own, else
/// what is remembered of the calls in it.
pub(super) fn returned(message: &Message<'_>, format: &str, recall: &dyn Recall) -> Vec<Thought> {
    let told = message.reasoning_details.as_deref().unwrap_or_default();
    let read = told.iter().filter_map(|raw| serde_json::from_str::<Thought>(raw.get()).ok());
    let told: Vec<Thought> = read.filter(|thought| thought.is_whole(format)).collect();
    if !told.is_empty() {
        return told;
    }
    let known = message.calls().iter().find_map(|call| recall.thoughts(&call.id));
    let known: Vec<Thought> =
        known.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    known.into_iter().filter(|thought| thought.is_whole(format)).collect()
}

impl Thought {
    fn is_whole(&self, format: &str) -> bool {
        let whole = match self.kind.as_str() {
            "reasoning.text" => self.signature.is_some(),
            "reasoning.encrypted" => self.data.is_some(),
            _ => false,
        };
        // A foreign signature would be refused, and with it the whole request.
        whole && self.format == format
    }
}
