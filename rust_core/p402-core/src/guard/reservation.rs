//! Decides layers 5 and 6: the most one request may cost, and whether the budget bears its hold.
//! Does not price: the claim comes in, from the catalogue's one function.

use super::AMOUNT_MAX;
use super::limits::{Limits, UnknownPrice};
use super::state::Header;
use crate::money::Usd;

/// Why layer 5 refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapRefusal {
    /// No attempt of the plan has a price.
    PriceUnknown,
    /// The claim exceeds the cap.
    OverCap { claim: Usd, cap: Usd },
}

/// Layer 5: what the request will claim, or why it may not run. `None` is an unknown price; where
/// the tenant allows those they claim nothing (and their rows are marked).
pub fn request_cap(claim: Option<Usd>, limits: &Limits) -> Result<Usd, CapRefusal> {
    let Some(claim) = claim else {
        return match limits.unknown_price {
            UnknownPrice::Allow => Ok(Usd::ZERO),
            UnknownPrice::Refuse => Err(CapRefusal::PriceUnknown),
        };
    };
    let cap = limits.request_cap;
    if claim <= cap { Ok(claim) } else { Err(CapRefusal::OverCap { claim, cap }) }
}

/// The most output tokens, up to `most`, whose claim stays within `cap`; `None` if not even one
/// does. Claims rise with the tokens.
pub fn tokens_within(cap: Usd, most: u64, claim: impl Fn(u64) -> Usd) -> Option<u64> {
    if most == 0 || claim(1) > cap {
        return None;
    }
    let (mut fits, mut over) = (1, most.saturating_add(1));
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        if claim(middle) <= cap { fits = middle } else { over = middle }
    }
    Some(fits)
}

impl Header {
    /// Layer 6: the budget bears this hold on top of what it spent and what is held. Nothing
    /// always fits.
    pub(super) fn fits_budget(&self, nano: i64, limits: &Limits) -> bool {
        // Without a budget the only bound is what can be counted.
        let (spent, budget) =
            limits.budget.map_or((0, AMOUNT_MAX), |budget| (self.budget_spent, budget.nano()));
        nano == 0 || spent + self.held + nano <= budget
    }
}
