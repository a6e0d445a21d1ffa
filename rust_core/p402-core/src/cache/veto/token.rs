//! Decides what one word is to the vetoes: its stem, and what the lists say of that.
//! Does not know where the word stands.

use super::lexicon::{Facts, lexicon};
use crate::text::stem::stem;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// A word's stem. Two are told apart by their marks, which are numbers; where these are equal the
/// stems are compared, so that a made-up collision makes nothing equal.
#[derive(Clone, Debug)]
pub(in crate::cache) struct Token {
    mark: u64,
    stem: Arc<str>,
    facts: &'static Facts,
}

impl Token {
    /// Of a folded word.
    pub(super) fn of(folded: &str) -> Self {
        Self::verbatim(&*stem(folded))
    }

    /// Of what has no stem: code, a name, a quantity.
    pub(super) fn verbatim(text: impl Into<Arc<str>>) -> Self {
        let stem = text.into();
        let mut quick = Quick::default();
        quick.write(stem.as_bytes());
        Self { mark: quick.finish(), facts: lexicon().facts(&stem), stem }
    }

    pub(in crate::cache) fn len(&self) -> usize {
        self.stem.len()
    }

    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// Carries no content of its own.
    pub(super) fn is_light(&self) -> bool {
        self.facts.light
    }

    /// Content that may be missing on one side.
    pub(in crate::cache) fn is_weak(&self) -> bool {
        self.facts.weak
    }

    pub(super) fn is_opposite_of(&self, other: &Self) -> bool {
        other.facts.number.is_some_and(|number| self.facts.opposites.contains(&number))
    }

    pub(super) fn is_synonym_of(&self, other: &Self) -> bool {
        self == other || self.facts.groups.iter().any(|group| other.facts.groups.contains(group))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark && self.stem == other.stem
    }
}

impl Eq for Token {}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// An order, and no more: it says nothing of the alphabet.
impl Ord for Token {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.mark.cmp(&other.mark).then_with(|| self.stem.cmp(&other.stem))
    }
}

/// FNV-1a: words are short. Nobody's words are put into a table under it, only looked up.
#[derive(Debug)]
pub(in crate::cache) struct Quick(u64);

pub(super) type Quickly = BuildHasherDefault<Quick>;

impl Default for Quick {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
