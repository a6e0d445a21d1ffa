//! Decides that two texts put the same words in another order: from–to, comparisons, roles.
//! Does not know grammar; pairs joined by `and`, `or`, `vs` were put in one order when read.

use super::lexicon::lexicon;
use super::reading::Reading;
use super::{Veto, matching};

pub(super) fn order(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let partners = matching::partners(a, b);
    let telling = a.content.iter().zip(partners).filter(|(word, _)| !lexicon().is_weak(word));
    let places: Vec<usize> = telling.filter_map(|(_, partner)| partner).collect();
    (!places.is_sorted()).then_some(Veto::Order)
}
