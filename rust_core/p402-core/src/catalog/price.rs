//! Decides what usage costs at an offer at an instant: the one pricing function of the house.
//! Does not estimate tokens (estimate.rs) and rounds exactly once.

use super::types::{Band, Catalog, Offer, PriceRow};
use crate::money::Usd;
use crate::time::Timestamp;
use crate::usage::Usage;

/// What is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    pub usage: &'a Usage,
    /// When the request was sent: price history and windows read it.
    pub at: Timestamp,
    /// The tier the response names; the tier asked where it names none.
    pub service: Option<&'a str>,
    /// Platform fee in parts per million of upstream (1 basis point = 100).
    pub fee_ppm: u32,
}

/// A price and its parts; the parts add up to `upstream` exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priced {
    /// What is charged: upstream and fee, rounded up once.
    pub total: Usd,
    /// The same at fee 0.
    pub upstream: Usd,
    /// Fresh input.
    pub input: Usd,
    pub cache_read: Usd,
    /// Both kinds of cache write.
    pub cache_write: Usd,
    pub output: Usd,
    /// Flat fees of the provider.
    pub fees: Usd,
    /// The holiday table of the offer's window had ended.
    pub estimated: bool,
}

const PICO_PER_NANO: i128 = 1_000;
const PPM: i128 = 1_000_000;
/// A claim takes the dearer band from this share of its threshold on, percent.
const NEAR_BAND_PERCENT: u128 = 95;
impl Catalog {
    /// Prices usage: history by date, window by hour, band by total input, one rounding up.
    /// A free or unpriced offer costs nothing (`is_priced` tells them apart).
    pub fn price(&self, offer: usize, charge: &Charge) -> Priced {
        let Some(offer) = self.offers.get(offer) else { return Priced::default() };
        let Some(row) = row_at(offer, charge.at) else { return Priced::default() };
        let (bands, estimated) = self.bands(offer, row, charge);
        let Some(band) = band_for(bands, charge.usage.input()) else { return Priced::default() };
        Parts::of(band, charge.usage, row.per_request).priced(charge.fee_ppm, estimated)
    }

    /// The most this usage can cost: list rates, the dearer band from 95 % of a threshold.
    pub fn price_peak(&self, offer: usize, usage: &Usage) -> Usd {
        self.price_peak_at(offer, usage, None)
    }

    /// `price_peak` for a request that asks for a service tier: the dearer of it and standard.
    pub fn price_peak_at(&self, offer: usize, usage: &Usage, service: Option<&str>) -> Usd {
        let Some(offer) = self.offers.get(offer) else { return Usd::ZERO };
        // Rows of the past cannot come back; those still to come may.
        let current = offer.prices.iter().rposition(|row| row.from <= self.built).unwrap_or(0);
        let rows = offer.prices.get(current..).unwrap_or_default();
        let costs = rows.iter().flat_map(|row| {
            let tier = service.and_then(|tier| service_bands(row, tier)).unwrap_or_default();
            let lists = [row.bands.as_slice(), tier];
            lists.into_iter().map(|bands| dearest(bands, usage, row.per_request))
        });
        if offer.free { Usd::ZERO } else { costs.max().unwrap_or_default() }
    }

    /// The offer has a price of its own, or is declared free. Zero rates are no price.
    pub fn is_priced(&self, offer: usize) -> bool {
        self.offers.get(offer).is_some_and(|offer| offer.free || has_price(offer))
    }

    /// The standard tier's bands in force at an instant, and the flat fee: what routing lays out.
    pub fn bands_at(&self, offer: usize, at: Timestamp) -> (&[Band], Usd) {
        let usage = Usage::default();
        let charge = Charge { usage: &usage, at, service: None, fee_ppm: 0 };
        let Some(offer) = self.offers.get(offer) else { return (&[], Usd::ZERO) };
        let Some(row) = row_at(offer, at) else { return (&[], Usd::ZERO) };
        (self.bands(offer, row, &charge).0, row.per_request)
    }

    fn bands<'a>(
        &'a self,
        offer: &Offer,
        row: &'a PriceRow,
        charge: &Charge,
    ) -> (&'a [Band], bool) {
        if let Some(bands) = charge.service.and_then(|tier| service_bands(row, tier)) {
            return (bands, false);
        }
        let window = offer.window.filter(|_| !row.off.is_empty());
        let Some(window) = window.and_then(|window| self.windows.get(window)) else {
            return (&row.bands, false);
        };
        let hour = window.hour(charge.at);
        (if hour.peak { &row.bands } else { &row.off }, hour.assumed)
    }
}

fn has_price(offer: &Offer) -> bool {
    let charged = |band: &Band| band.input.pico() > 0 || band.output.pico() > 0;
    offer.prices.iter().any(|row| row.bands.iter().any(charged))
}

/// The row in force; before the first known one, that one.
pub(super) fn row_at(offer: &Offer, at: Timestamp) -> Option<&PriceRow> {
    if offer.free {
        return None;
    }
    offer.prices.iter().rev().find(|row| row.from <= at).or_else(|| offer.prices.first())
}

fn service_bands<'a>(row: &'a PriceRow, tier: &str) -> Option<&'a [Band]> {
    row.service.iter().find(|(name, _)| **name == *tier).map(|(_, bands)| bands.as_slice())
}

/// The last band whose threshold the input exceeds.
fn band_for(bands: &[Band], input: u64) -> Option<&Band> {
    bands.iter().rev().find(|band| band.above < input).or_else(|| bands.first())
}

/// The dearest reading of a claim: output at the reasoning rate where that is dearer.
fn dearest(bands: &[Band], usage: &Usage, per_request: Usd) -> Usd {
    let input = usage.input();
    let near = |band: &&Band| {
        band.above == 0 || u128::from(band.above) * NEAR_BAND_PERCENT < u128::from(input) * 100
    };
    let last = bands.iter().rposition(|band| near(&band)).unwrap_or(0);
    let own = bands.iter().rposition(|band| band.above < input).unwrap_or(0);
    let range = bands.get(own..=last.max(own)).unwrap_or_default();
    let cost = |band: &Band| {
        let reasoning = band.reasoning.unwrap_or(band.output).max(band.output);
        let band = Band { output: reasoning, reasoning: None, ..*band };
        Parts::of(&band, usage, per_request).priced(0, false).upstream
    };
    range.iter().map(cost).max().unwrap_or_default()
}

/// Exact pico-dollars by class.
struct Parts {
    input: i128,
    cache_read: i128,
    cache_write: i128,
    output: i128,
    fees: i128,
}

impl Parts {
    fn of(band: &Band, usage: &Usage, per_request: Usd) -> Self {
        // An absent cache rate is the input rate: the dear side.
        let read = band.cache_read.unwrap_or(band.input);
        let write = band.cache_write.unwrap_or(band.input);
        let write_1h = band.cache_write_1h.unwrap_or(write);
        let reasoning = usage.reasoning.min(usage.output);
        let thought = band.reasoning.unwrap_or(band.output);
        let cost =
            |tokens: u64, rate: crate::money::Rate| i128::from(tokens) * i128::from(rate.pico());
        Self {
            input: cost(usage.fresh, band.input),
            cache_read: cost(usage.cache_read, read),
            cache_write: cost(usage.cache_write, write)
                .saturating_add(cost(usage.cache_write_1h, write_1h)),
            output: cost(usage.output - reasoning, band.output)
                .saturating_add(cost(reasoning, thought)),
            fees: i128::from(per_request.nano()) * PICO_PER_NANO,
        }
    }

    fn priced(&self, fee_ppm: u32, estimated: bool) -> Priced {
        let mut pico = 0_i128;
        let mut booked = Usd::ZERO;
        // Each part is what it adds to the rounded sum, so the parts add up to it.
        let mut part = |amount: i128| {
            if amount == 0 {
                return Usd::ZERO;
            }
            pico = pico.saturating_add(amount);
            let sum = nano_usd(ceil_div(pico, PICO_PER_NANO));
            let added = sum.saturating_sub(booked);
            booked = sum;
            added
        };
        let (input, cache_read) = (part(self.input), part(self.cache_read));
        let (cache_write, output) = (part(self.cache_write), part(self.output));
        let fees = part(self.fees);
        let upstream = booked;
        let total = if fee_ppm == 0 {
            upstream
        } else {
            let marked_up = pico.saturating_mul(PPM + i128::from(fee_ppm));
            nano_usd(ceil_div(marked_up, PPM * PICO_PER_NANO))
        };
        Priced { total, upstream, input, cache_read, cache_write, output, fees, estimated }
    }
}

/// Rounds a sum that is not negative up; the short way where it fits in 64 bits.
fn ceil_div(sum: i128, by: i128) -> i128 {
    match (u64::try_from(sum), u64::try_from(by)) {
        (Ok(sum), Ok(by)) => i128::from(sum.div_ceil(by)),
        _ => sum / by + i128::from(sum % by > 0),
    }
}

fn nano_usd(nano: i128) -> Usd {
    Usd::from_nano(i64::try_from(nano).unwrap_or(i64::MAX))
}
