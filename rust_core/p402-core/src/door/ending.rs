//! Decides what is known of a chat answer beside its content: its name, its end, its counts.
//! Does not hold content.

use crate::dialect::wire::object::{Object, items};
use crate::usage::{Usage, UsageShape, read_usage};

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
    pub(super) fn note(&mut self, top: &Object<'_>) {
        self.id = top.name("id").unwrap_or(std::mem::take(&mut self.id));
        self.model = top.name("model").unwrap_or(std::mem::take(&mut self.model));
        self.created = top.whole("created").unwrap_or(self.created);
        self.service_tier = top.name("service_tier").or(self.service_tier.take());
        if let Some(metadata) = top.present("p402_metadata") {
            self.metadata = Some(metadata.to_vec());
        }
        let usage = top.present("usage").map(|json| read_usage(json, UsageShape::Canonical));
        if let Some(Ok(reported)) = usage {
            self.usage = reported.usage;
        }
        let choices = top.get("choices").and_then(items).unwrap_or_default();
        let choice = choices.first().copied().and_then(Object::parse);
        if let Some(word) = choice.and_then(|choice| choice.name("finish_reason")) {
            self.finish = word;
        }
    }

    /// The answer's id under a prefix of another language.
    pub(super) fn named(&self, prefix: &str) -> String {
        let bare = self.id.split_once(['-', '_']).map_or(&*self.id, |(_, bare)| bare);
        format!("{prefix}{bare}")
    }
}
