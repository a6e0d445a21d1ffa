//! Decides that a content word of one text has no counterpart in the other.
//! Does not forgive an addition but praise: a word more is a narrower question.

use super::lexicon::lexicon;
use super::reading::Reading;
use super::{Veto, matching};

pub(super) fn diff(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let partners = matching::partners(a, b);
    let alone_a = a.content.iter().zip(&partners).filter(|(_, partner)| partner.is_none());
    let alone_b = b.content.iter().enumerate().filter(|(at, _)| !partners.contains(&Some(*at)));
    let mut alone = alone_a.map(|(word, _)| word).chain(alone_b.map(|(_, word)| word));
    alone.any(|word| !lexicon().is_weak(word)).then_some(Veto::Diff)
}
