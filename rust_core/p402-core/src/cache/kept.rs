//! Decides what is kept of an answer, and how it lies in a home: text, counts, who gave it.
//! Does not decide whether it may be kept (policy.rs) or how it is replayed (dialect/).

use super::canon::canonical;
use crate::usage::Usage;
use serde::{Deserialize, Serialize};

/// Raised when a field changes its meaning: other forms read as nothing.
const FORM: u32 = 2;

/// An answer without anything of the request that it was given to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The catalogue's names of the offer that served it.
    pub provider: String,
    pub model: String,
    /// The served model as the upstream named it.
    pub named: String,
    pub content: String,
    /// The key that reasoning came under, and the text.
    pub reasoning: Option<(String, String)>,
    pub usage: Usage,
    pub service_tier: Option<String>,
    /// How long it once took.
    pub took_ms: u64,
    /// Who asked, as long as nobody else was given an answer that agrees.
    pub asker: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    form: u32,
    provider: String,
    model: String,
    named: String,
    content: String,
    reasoning: Option<(String, String)>,
    /// fresh, cache_read, cache_write, cache_write_1h, output, reasoning
    counts: [u64; 6],
    service_tier: Option<String>,
    took_ms: u64,
    asker: Option<u64>,
}

impl Kept {
    /// Whether it may be told to this asker, where an answer needs two who were given it.
    pub fn is_confirmed_to(&self, asker: u64) -> bool {
        self.asker.is_none_or(|first| first == asker)
    }

    /// Whether another answer says the same, but for spelling.
    pub fn agrees(&self, content: &str) -> bool {
        canonical(&self.content) == canonical(content)
    }

    /// The bytes a home keeps.
    pub fn pack(&self) -> Vec<u8> {
        let usage = &self.usage;
        let stored = Stored {
            form: FORM,
            provider: self.provider.clone(),
            model: self.model.clone(),
            named: self.named.clone(),
            content: self.content.clone(),
            reasoning: self.reasoning.clone(),
            counts: [
                usage.fresh,
                usage.cache_read,
                usage.cache_write,
                usage.cache_write_1h,
                usage.output,
                usage.reasoning,
            ],
            service_tier: self.service_tier.clone(),
            took_ms: self.took_ms,
            asker: self.asker,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// What `pack` wrote; nothing where the bytes are another form's.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let [fresh, cache_read, cache_write, cache_write_1h, output, reasoning] = stored.counts;
        let usage = Usage { fresh, cache_read, cache_write, cache_write_1h, output, reasoning };
        (stored.form == FORM).then_some(Self {
            provider: stored.provider,
            model: stored.model,
            named: stored.named,
            content: stored.content,
            reasoning: stored.reasoning,
            usage,
            service_tier: stored.service_tier,
            took_ms: stored.took_ms,
            asker: stored.asker,
        })
    }
}
