//! Decides that two texts put the same words in another order: from–to, comparisons, roles.
//! Does not know grammar; pairs joined by `and`, `or`, `vs` were put in one order when read.

use super::reading::Reading;
use super::{Veto, matching};

pub(super) fn order(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let places: Vec<usize> = matching::partners(a, b).into_iter().flatten().collect();
    (!places.is_sorted()).then_some(Veto::Order)
}
