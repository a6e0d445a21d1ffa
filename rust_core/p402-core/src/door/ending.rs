//! Decides what is known of a chat answer beside its content: its name, its end, its counts.
//! Does not hold content.

use crate::dialect::wire::object::{Object, first};
use crate::usage::{Usage, UsageShape, read_usage};

/// The one choice of an answer, or of a chunk of it.
pub(super) fn choice<'a>(top: &'a Object<'_>) -> Option<Object<'a>> {
    top.get("choices").and_then(first).and_then(Object::parse)
}

/// What the chunks of a stream, or a whole answer, say of themselves; the last word counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) created: u64,
    /// One of the five finish words; empty before the end.
    pub(super) finish: String,
    pub(super) usage: Usage,
    pub(super) service_tier: Option<String>,
    /// `p402_metadata`, as JSON.
    pub(super) metadata: Option<Vec<u8>>,
}

impl Ending {
    /// What a whole answer says of itself.
    pub(super) fn of(top: &Object<'_>) -> Self {
        let mut ending = Self::default();
        ending.note(top);
        if let Some(choice) = choice(top) {
            ending.note_choice(&choice);
        }
        ending
    }

    pub(super) fn note(&mut self, top: &Object<'_>) {
        // All chunks of a stream say the same of themselves.
        if self.id.is_empty() {
            self.id = top.name("id").unwrap_or_default();
            self.model = top.name("model").unwrap_or_default();
            self.created = top.whole("created").unwrap_or_default();
        }
        self.service_tier = top.name("service_tier").or(self.service_tier.take());
        if let Some(metadata) = top.present("p402_metadata") {
            self.metadata = Some(metadata.to_vec());
        }
        let usage = top.present("usage").map(|json| read_usage(json, UsageShape::Canonical));
        if let Some(Ok(reported)) = usage {
            self.usage = reported.usage;
        }
    }

    pub(super) fn note_choice(&mut self, choice: &Object<'_>) {
        if let Some(word) = choice.name("finish_reason") {
            self.finish = word;
        }
    }

    /// The answer's id under a prefix of another language, in letters that need no escape.
    pub(super) fn named(&self, prefix: &str) -> String {
        let bare = self.id.split_once(['-', '_']).map_or(&*self.id, |(_, bare)| bare);
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        prefix.chars().chain(bare.chars().filter(plain)).collect()
    }
}
