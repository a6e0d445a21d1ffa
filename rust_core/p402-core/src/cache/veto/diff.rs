//! Decides that a content word of one text has no counterpart in the other.
//! Does not forgive an addition: a word more is a narrower question, and a miss costs little.

use super::reading::Reading;
use super::{Veto, matching};

pub(super) fn diff(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let paired = || matching::partners(a, b).iter().all(Option::is_some);
    let same = a.content.len() == b.content.len() && paired();
    (!same).then_some(Veto::Diff)
}
