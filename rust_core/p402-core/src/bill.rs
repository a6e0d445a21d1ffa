//! Decides what one answer costs and what going direct would have cost (catalog.md § 12).
//! Does not price tokens itself: `Catalog::price` is the one function that does.

use crate::catalog::{Catalog, Charge, Priced};
use crate::money::Usd;
use crate::time::Timestamp;
use crate::usage::Usage;
use std::sync::Arc;

/// What `direct_cost` was computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirectBasis {
    /// The model the client named, at its home provider.
    RequestedModel,
    /// The served offer itself.
    #[default]
    ServedModel,
}

/// Where the token counts came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageSource {
    #[default]
    Provider,
    Estimated,
}

/// Where the upstream's price came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriceSource {
    #[default]
    Catalog,
    /// The provider's own figure, believed within ten times of ours.
    Reported,
}

/// The facts a bill is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Index of the served offer.
    pub served: usize,
    pub usage: &'a Usage,
    pub usage_source: UsageSource,
    /// The instant the served attempt was sent.
    pub at: Timestamp,
    /// The tier the response names, else the tier asked for.
    pub service: Option<&'a str>,
    /// The tier the client asked for: the baseline's.
    pub service_asked: Option<&'a str>,
    /// Cost as the upstream stated it.
    pub reported: Option<Usd>,
    pub fee_bps: u32,
    /// Index of the baseline offer, `None` for the served one.
    pub baseline: Option<usize>,
    /// The session's previous turn: its offer and the input tokens still warm there.
    pub warm: Option<(usize, u64)>,
    /// Failed attempts that may have been billed.
    pub wasted: Usd,
}

/// One answer's money, in integers; `savings` is always `direct − cost`, signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    pub cost: Usd,
    pub direct: Usd,
    pub upstream: Usd,
    pub fee: Usd,
    pub overhead: Usd,
    pub wasted: Usd,
    pub basis: DirectBasis,
    pub direct_provider: Arc<str>,
    pub direct_model: Arc<str>,
    pub requested_known: bool,
    pub estimated: bool,
    pub usage_source: UsageSource,
    pub price_source: PriceSource,
    pub price_as_of: Arc<str>,
    pub price_confidence: &'static str,
    pub service_tier: Option<Box<str>>,
    pub input: Usd,
    pub cache_read: Usd,
    pub cache_write: Usd,
    pub output: Usd,
    pub fees: Usd,
    /// What the provider's own prompt cache took off the upstream price.
    pub cache_discount: Usd,
    /// The provider stated a cost that was not believed.
    pub reported_rejected: bool,
}

/// A provider's own figure is believed within this factor of ours.
const REPORTED_FACTOR_MAX: i64 = 10;

impl Bill {
    /// Prices the served offer and the baseline on the same counts at the same instant.
    pub fn of(catalog: &Catalog, facts: &Facts<'_>) -> Self {
        let fee_ppm = facts.fee_bps.saturating_mul(100);
        let charge = Charge { usage: facts.usage, at: facts.at, service: facts.service, fee_ppm };
        let ours = catalog.price(facts.served, &charge);
        let (upstream, cost, reported_rejected) = believed(&ours, facts, fee_ppm);
        let price_source = match facts.reported {
            Some(_) if !reported_rejected => PriceSource::Reported,
            _ => PriceSource::Catalog,
        };
        let baseline = facts.baseline.filter(|offer| catalog.is_priced(*offer));
        let direct = match baseline {
            Some(offer) if offer != facts.served => direct_price(catalog, offer, facts),
            _ => upstream,
        };
        let basis = match baseline {
            Some(_) => DirectBasis::RequestedModel,
            None => DirectBasis::ServedModel,
        };
        let named = baseline.unwrap_or(facts.served);
        let all_fresh = Usage {
            fresh: facts.usage.input(),
            output: facts.usage.output,
            reasoning: facts.usage.reasoning,
            ..Usage::default()
        };
        let uncached =
            catalog.price(facts.served, &Charge { usage: &all_fresh, fee_ppm: 0, ..charge });
        let offer = catalog.offers.get(facts.served);
        let direct_offer = catalog.offers.get(named);
        Self {
            cost,
            direct,
            upstream,
            fee: cost.saturating_sub(upstream),
            overhead: Usd::ZERO,
            wasted: facts.wasted,
            basis,
            direct_provider: direct_offer
                .map_or_else(Arc::<str>::default, |_| catalog.provider(named).id.clone()),
            direct_model: direct_offer
                .map_or_else(Arc::<str>::default, |offer| offer.model.clone()),
            requested_known: true,
            estimated: facts.usage_source == UsageSource::Estimated
                || ours.estimated
                || baseline.is_some_and(|offer| offer != facts.served),
            usage_source: facts.usage_source,
            price_source,
            price_as_of: offer.map_or_else(Arc::<str>::default, |offer| offer.as_of.clone()),
            price_confidence: offer.map_or("", |offer| offer.confidence.name()),
            service_tier: facts.service.map(Into::into),
            input: ours.input,
            cache_read: ours.cache_read,
            cache_write: ours.cache_write,
            output: ours.output,
            fees: ours.fees,
            cache_discount: uncached.upstream.saturating_sub(ours.upstream),
            reported_rejected,
        }
    }

    /// The same bill where the upstream's counts are not believed: it costs what was held for it,
    /// and going direct would have cost the same.
    #[must_use]
    pub fn at_hold(mut self, held: Usd) -> Self {
        let counted = [self.input, self.cache_read, self.cache_write, self.output];
        let counted = counted.into_iter().fold(Usd::ZERO, Usd::saturating_add);
        (self.cost, self.upstream, self.direct) = (held, held, held);
        (self.fee, self.overhead) = (Usd::ZERO, Usd::ZERO);
        self.fees = held.saturating_sub(counted);
        self.estimated = true;
        self
    }

    /// The same bill where the answer came from the cache: nobody was paid, and nothing is owed.
    #[must_use]
    pub fn from_cache(self) -> Self {
        Self {
            direct: self.direct,
            basis: self.basis,
            direct_provider: self.direct_provider,
            direct_model: self.direct_model,
            requested_known: self.requested_known,
            estimated: self.estimated,
            usage_source: self.usage_source,
            price_source: self.price_source,
            price_as_of: self.price_as_of,
            price_confidence: self.price_confidence,
            service_tier: self.service_tier,
            ..Self::default()
        }
    }

    /// `direct_cost − cost_usd`, signed, never clamped.
    pub const fn savings(&self) -> Usd {
        Usd::from_nano(self.direct.nano() - self.cost.nano())
    }
}

/// (upstream, cost with fee, reported figure rejected).
fn believed(ours: &Priced, facts: &Facts<'_>, fee_ppm: u32) -> (Usd, Usd, bool) {
    let Some(reported) = facts.reported else {
        return (ours.upstream, ours.total, false);
    };
    let ceiling = ours.upstream.nano().saturating_mul(REPORTED_FACTOR_MAX);
    let floor = ours.upstream.nano() / REPORTED_FACTOR_MAX;
    if reported.nano() < floor || reported.nano() > ceiling {
        return (ours.upstream, ours.total, true);
    }
    let scaled = i128::from(reported.nano()) * i128::from(1_000_000 + i64::from(fee_ppm));
    // Rounded up once, as every price is.
    let cost = (scaled + 999_999) / 1_000_000;
    (reported, Usd::from_nano(i64::try_from(cost).unwrap_or(i64::MAX)), false)
}

/// The baseline on the same counts; what is warm there from the last turn is read from its cache.
fn direct_price(catalog: &Catalog, offer: usize, facts: &Facts<'_>) -> Usd {
    let warm = match facts.warm {
        Some((held, tokens)) if held == offer => tokens.min(facts.usage.input()),
        _ => 0,
    };
    let mut usage = *facts.usage;
    if warm > 0 {
        usage = Usage {
            fresh: facts.usage.input() - warm,
            cache_read: warm,
            cache_write: 0,
            cache_write_1h: 0,
            ..*facts.usage
        };
    }
    let charge = Charge { usage: &usage, at: facts.at, service: facts.service_asked, fee_ppm: 0 };
    catalog.price(offer, &charge).upstream
}
