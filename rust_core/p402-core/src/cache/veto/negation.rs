//! Decides that one text turns the other round: a negator, a word of modality, an opposite.
//! Does not follow the scope of a negator: where counts agree, words and their order must, too.

use super::reading::Reading;
use super::token::Token;
use super::{Veto, same_multiset};

pub(super) fn negation(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    // A past on one side excludes a present on the other; a text without a verb is of any time.
    let same_time = a.past == b.past || !(a.present || b.present);
    let same = a.negators == b.negators && same_multiset(&a.modals, &b.modals) && same_time;
    (!same).then_some(Veto::Negation)
}

/// An opposite stands among the words that only one side says.
pub(super) fn antonym(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let only_b: Vec<&Token> = only(&b.said, &a.said).collect();
    let opposite = |one: &Token| only_b.iter().any(|other| one.is_opposite_of(other));
    only(&a.said, &b.said).any(opposite).then_some(Veto::Antonym)
}

/// The words of one sorted list that the other has not, each as often as it stands.
pub(in crate::cache) fn only<'a>(
    said: &'a [Token],
    other: &'a [Token],
) -> impl Iterator<Item = &'a Token> {
    let mut rest = other;
    said.iter().filter(move |word| {
        let before = rest.partition_point(|next| next < word);
        rest = rest.get(before..).unwrap_or_default();
        rest.first() != Some(word)
    })
}
