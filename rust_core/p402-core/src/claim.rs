//! Decides what a request claims before it is sent: the dearest attempt of its plan, fee included.
//! Does not price tokens itself and does not hold anything (guard/).

use crate::catalog::Catalog;
use crate::money::Usd;
use crate::route::{Attempt, Plan};
use crate::usage::Usage;

const PPM: i128 = 1_000_000;
const PPM_PER_BPS: i128 = 100;

/// What beside the plan decides a claim.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub catalog: &'a Catalog,
    pub fee_bps: u32,
    /// Choices asked for.
    pub choices: u64,
    pub service: Option<&'a str>,
}

/// The bound of an amount once the platform fee is on it, rounded up.
pub fn with_fee(amount: Usd, fee_bps: u32) -> Usd {
    let factor = PPM + i128::from(fee_bps) * PPM_PER_BPS;
    let nano = (i128::from(amount.nano()) * factor + PPM - 1) / PPM;
    Usd::from_nano(i64::try_from(nano).unwrap_or(i64::MAX))
}

impl Terms<'_> {
    /// What an attempt may cost its tenant.
    pub fn of(&self, attempt: &Attempt) -> Usd {
        with_fee(attempt.claim, self.fee_bps)
    }

    /// The plan's claim; `None` if no attempt of it has a price.
    pub fn of_plan(&self, plan: &Plan) -> Option<Usd> {
        let priced = |attempt: &&Attempt| self.catalog.is_priced(attempt.offer);
        plan.attempts.iter().filter(priced).map(|attempt| self.of(attempt)).max()
    }

    /// The plan's claim if each choice had at most `tokens`; `writes_cache`: prefixes are marked
    /// for the upstream's cache, and their write may be billed.
    pub fn at(&self, plan: &Plan, tokens: u64, writes_cache: bool) -> Usd {
        let claims = plan.attempts.iter().map(|attempt| {
            let output = tokens.saturating_mul(self.choices);
            let fresh = Usage { fresh: attempt.input_bound, output, ..Usage::default() };
            let written = Usage { fresh: 0, cache_write_1h: attempt.input_bound, ..fresh };
            let peak = |usage| self.catalog.price_peak_at(attempt.offer, usage, self.service);
            let written = if writes_cache { peak(&written) } else { Usd::ZERO };
            with_fee(peak(&fresh).max(written), self.fee_bps)
        });
        claims.max().unwrap_or_default()
    }

    /// The most output tokens an attempt's claim covers, all choices together.
    pub fn output_bound(&self, attempt: &Attempt) -> u64 {
        attempt.output_bound.saturating_mul(self.choices)
    }
}
