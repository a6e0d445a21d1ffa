//! Decides that two texts name different quantities, units or dates.
//! Does not read them (quantity.rs).

use super::reading::Reading;
use super::{Veto, same_multiset};

/// Values first; where they agree, their units.
pub(super) fn number(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    if same_multiset(&a.quantities, &b.quantities) {
        return None;
    }
    let values = |reading: &Reading<'_>| -> Vec<String> {
        reading.quantities.iter().map(|quantity| quantity.value.clone()).collect()
    };
    let same_values = same_multiset(&values(a), &values(b));
    Some(if same_values { Veto::Unit } else { Veto::Number })
}

pub(super) fn date(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    (!same_multiset(&a.dates, &b.dates)).then_some(Veto::Date)
}
