//! Decides in which words a lookup ends: the tier that answered, or why none did.
//! Does not look anything up.

use super::veto::Veto;

/// Which comparison found the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The same bytes.
    Exact,
    /// The same question in another spelling.
    Canonical,
    /// The same meaning.
    Semantic,
    /// The same bytes, asked while they were being answered.
    Coalesced,
}

/// Why a lookup found nothing that may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// Nothing of this scope is stored.
    Empty,
    /// Nothing is near enough.
    Similarity,
    Veto(Veto),
    Verifier,
    /// What is stored was given to one asker alone, who is another one.
    Unconfirmed,
    /// The request, or the stored answer, is not for this.
    Policy,
    Deadline,
    Overflow,
    /// The answers' home, or the encoder, is away.
    Store,
    Refresh,
}

impl Tier {
    pub const ALL: [Self; 4] = [Self::Exact, Self::Canonical, Self::Semantic, Self::Coalesced];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Canonical => "canonical",
            Self::Semantic => "semantic",
            Self::Coalesced => "coalesced",
        }
    }

    /// The word of `x-p402-cache`.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Exact | Self::Canonical | Self::Coalesced => "exact",
            Self::Semantic => "semantic",
        }
    }
}

impl Miss {
    /// All reasons, every veto as one.
    pub const NAMES: [&'static str; 10] = [
        "empty",
        "similarity",
        "veto",
        "verifier",
        "unconfirmed",
        "policy",
        "deadline",
        "overflow",
        "store",
        "refresh",
    ];

    /// The name in metrics, whose labels are few.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Similarity => "similarity",
            Self::Veto(_) => "veto",
            Self::Verifier => "verifier",
            Self::Unconfirmed => "unconfirmed",
            Self::Policy => "policy",
            Self::Deadline => "deadline",
            Self::Overflow => "overflow",
            Self::Store => "store",
            Self::Refresh => "refresh",
        }
    }

    /// The name in replies: `veto:number`.
    pub fn reason(self) -> String {
        match self {
            Self::Veto(veto) => format!("veto:{}", veto.name()),
            other => other.name().to_owned(),
        }
    }
}
