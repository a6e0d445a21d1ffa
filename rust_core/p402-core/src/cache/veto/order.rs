//! Decides that two texts put the same words in another order: from–to, comparisons, roles.
//! Does not know grammar; pairs joined by `and`, `or`, `vs` were put in one order when read.

use super::Veto;
use super::matching::Both;

pub(super) fn order(both: &Both<'_>) -> Option<Veto> {
    let telling = both.a.content.iter().zip(both.partners()).filter(|(word, _)| !word.is_weak());
    let kept = telling.filter_map(|(_, partner)| *partner).is_sorted();
    (!kept).then_some(Veto::Order)
}
