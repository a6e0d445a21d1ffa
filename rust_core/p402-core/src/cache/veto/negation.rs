//! Decides that one text turns the other round: a negator, a word of modality, an opposite.
//! Does not follow the scope of a negator: where counts agree, words and their order must, too.

use super::lexicon::lexicon;
use super::reading::Reading;
use super::{Veto, same_multiset};

pub(super) fn negation(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    // A past on one side excludes a present on the other; a text without a verb is of any time.
    let same_time = a.past == b.past || !(a.present || b.present);
    let same = a.negators == b.negators && same_multiset(&a.modals, &b.modals) && same_time;
    (!same).then_some(Veto::Negation)
}

/// An opposite stands among the words that only one side says.
pub(super) fn antonym(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let only_a = a.said.iter().filter(|word| !b.said.contains(word));
    let only_b: Vec<&String> = b.said.iter().filter(|word| !a.said.contains(word)).collect();
    let opposite = |one: &String| only_b.iter().any(|other| lexicon().are_opposite(one, other));
    only_a.into_iter().any(opposite).then_some(Veto::Antonym)
}
