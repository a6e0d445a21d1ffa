//! Decides which pairs may never share an answer, however near their vectors are: the hard rules.
//! Does not weigh evidence; a rule that does not understand refuses, which costs a miss.

mod diff;
mod entity;
pub(super) mod frame;
mod lexicon;
pub(super) mod matching;
pub(super) mod negation;
mod number;
mod order;
mod phrase;
mod quantity;
mod reading;
mod shape;
pub(super) mod token;

use matching::Both;
pub use reading::Reading;

/// Raised when a rule or a list of this folder changes.
pub const VERSION: u32 = 3;

/// Why a pair was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Veto {
    Number,
    Unit,
    Date,
    Negation,
    Antonym,
    Order,
    Entity,
    Diff,
    Shape,
}

type Rule = fn(&Both<'_>) -> Option<Veto>;

/// Cheap and telling rules first: the first reason found is the one reported.
const RULES: [Rule; 8] = [
    |both| shape::shape(both.a, both.b),
    |both| number::number(both.a, both.b),
    |both| number::date(both.a, both.b),
    |both| negation::negation(both.a, both.b),
    |both| negation::antonym(both.a, both.b),
    |both| entity::entity(both.a, both.b),
    diff::diff,
    order::order,
];

impl Veto {
    pub const ALL: [Self; 9] = [
        Self::Number,
        Self::Unit,
        Self::Date,
        Self::Negation,
        Self::Antonym,
        Self::Order,
        Self::Entity,
        Self::Diff,
        Self::Shape,
    ];

    /// The name in replies and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Unit => "unit",
            Self::Date => "date",
            Self::Negation => "negation",
            Self::Antonym => "antonym",
            Self::Order => "order",
            Self::Entity => "entity",
            Self::Diff => "diff",
            Self::Shape => "shape",
        }
    }
}

/// The first rule that keeps the two apart. Symmetric; a text is never kept from itself.
pub fn veto(a: &Reading<'_>, b: &Reading<'_>) -> Option<Veto> {
    found(&Both::of(a, b))
}

/// The same where the two are at hand together.
pub(super) fn found(both: &Both<'_>) -> Option<Veto> {
    RULES.iter().find_map(|rule| rule(both))
}

/// Whether two lists hold the same items, each as often.
fn same_multiset<T: Ord>(a: &[T], b: &[T]) -> bool {
    let sorted = |list| -> Vec<&T> {
        let mut items: Vec<&T> = <[T]>::iter(list).collect();
        items.sort();
        items
    };
    a.len() == b.len() && sorted(a) == sorted(b)
}
