//! Is what a lookup leaves behind: why it missed, and under what the new answer may be stored.
//! Does not look anything up (lookup.rs) and does not store (keeping.rs).

use crate::flights::Leader;
use p402_core::cache::kept::Kept;
use p402_core::cache::key::Key;
use p402_core::cache::verdict::Miss;
use serde_json::json;

/// How a lookup ended that found nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Looked {
    /// The request wanted to be looked up, and could be.
    pub on: bool,
    pub miss: Option<Miss>,
    /// Of the nearest candidate, where one was near enough to be looked at.
    pub similarity: Option<f32>,
}

/// Under what an answer may be stored.
#[derive(Debug)]
pub struct Shelve {
    pub key: Key,
    pub ttl_s: u64,
    /// Equal requests wait for this one's answer.
    pub leader: Option<Leader>,
    pub asker: u64,
    /// What another asker was given to it: an answer that agrees is anyone's from then on.
    pub unconfirmed: Option<Box<Kept>>,
}

impl Looked {
    pub const OFF: Self = Self { on: false, miss: None, similarity: None };

    /// The cache would have been asked, but not for this request.
    pub const fn barred() -> Self {
        Self { on: false, miss: Some(Miss::Policy), similarity: None }
    }

    pub const fn missed(miss: Miss, similarity: Option<f32>) -> Self {
        Self { on: true, miss: Some(miss), similarity }
    }

    /// The word of `x-p402-cache`.
    pub const fn word(&self) -> &'static str {
        if self.on { "miss" } else { "off" }
    }

    /// `p402_metadata.cache` of a miss; nothing where the cache was not wanted.
    pub fn to_json(self) -> Option<Vec<u8>> {
        let reason = self.miss?.reason();
        let mut told = json!({"tier": null, "reason": reason});
        if let Some(similarity) = self.similarity {
            told["similarity"] = rounded(similarity);
        }
        Some(told.to_string().into_bytes())
    }
}

/// Four decimals: what differs behind them says nothing.
pub fn rounded(figure: f32) -> serde_json::Value {
    ((f64::from(figure) * 10_000.0).round() / 10_000.0).into()
}
