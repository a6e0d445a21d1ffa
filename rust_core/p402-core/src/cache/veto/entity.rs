//! Decides that two texts speak of different things by name: names, identifiers, quotations, code.
//! Does not know any name; a name that one side lacks is enough.

use super::reading::Reading;
use super::token::Token;
use super::{Veto, same_multiset};

pub(super) fn entity(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    let known = |names: &[Token], other: &Reading<'_>| {
        names.iter().all(|name| other.content.contains(name))
    };
    let same = same_multiset(&a.exact, &b.exact) && known(&a.names, b) && known(&b.names, a);
    (!same).then_some(Veto::Entity)
}
