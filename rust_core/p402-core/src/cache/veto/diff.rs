//! Decides that a content word of one text has no counterpart in the other.
//! Does not forgive an addition but praise: a word more is a narrower question.

use super::Veto;
use super::matching::Both;

pub(super) fn diff(both: &Both<'_>) -> Option<Veto> {
    both.alone().any(|word| !word.is_weak()).then_some(Veto::Diff)
}
