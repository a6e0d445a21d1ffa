//! Decides whether limits as written are limits: words, decimal dollars, bounds.
//! Does not correct: what is out of its bounds is named and refused.

use super::limits::{IN_FLIGHT_MAX, Limits, OnExpiry, OutagePolicy, Period, UnknownPrice};
use super::{AMOUNT_MAX, INSTANT_MAX};
use crate::config::{Guard, GuardAnomaly, MaxTokens};
use crate::money::{MoneyError, Usd};
use std::fmt;
use std::ops::RangeInclusive;

/// Which key is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitError {
    pub key: &'static str,
    pub why: Why,
}

/// What is wrong with a written limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not an amount of dollars.
    Amount(MoneyError),
    /// More dollars than a store that counts in doubles can count exactly.
    AboveMost,
    /// A number outside its bounds.
    Range { least: i64, most: i64 },
    /// A fraction outside its bounds.
    Fraction,
    /// None of the words there are.
    Word { known: &'static [&'static str] },
    /// The bucket would fill for longer than can be counted.
    Bucket,
    /// A lease must outlive two missed renewals.
    Renewal,
}

const RATE_MAX: i64 = 1_000_000_000;
const PER_S_MAX: i64 = 31 * 86_400;
const LEASE_S_MAX: i64 = 86_400;
const SUSPENSE_H_MAX: i64 = 31 * 24;
const SAMPLES_MAX: u64 = 1_000_000;
/// Renewals that a lease must be good for.
const RENEWALS_MIN: i64 = 2;

impl Limits {
    /// These limits with what is written put over them: the defaults, then all tenants', then one
    /// tenant's own.
    pub fn with(mut self, written: &Guard) -> Result<Self, LimitError> {
        self.read_rate(written)?;
        self.read_amounts(written)?;
        self.read_leases(written)?;
        self.read_anomaly(&written.anomaly)?;
        self.read_words(written)?;
        Ok(self)
    }

    fn read_rate(&mut self, written: &Guard) -> Result<(), LimitError> {
        let rate = &written.rate;
        put(&mut self.rate.limit, number("rate.limit", rate.limit, 1..=RATE_MAX)?);
        put(&mut self.rate.per_s, number("rate.per_s", rate.per_s, 1..=PER_S_MAX)?);
        // Not written, the burst is the limit.
        let burst = rate.burst.or(rate.limit);
        put(&mut self.rate.burst, number("rate.burst", burst, 1..=RATE_MAX)?);
        let longest = i128::from(self.rate.burst) * i128::from(self.rate.interval_us());
        if longest > i128::from(INSTANT_MAX) {
            return Err(LimitError { key: "rate.burst", why: Why::Bucket });
        }
        let slots = number("in_flight_max", written.in_flight_max, 1..=IN_FLIGHT_MAX)?;
        put(&mut self.in_flight_max, slots);
        Ok(())
    }

    fn read_amounts(&mut self, written: &Guard) -> Result<(), LimitError> {
        let of =
            |key, text: &Option<String>| text.as_deref().map(|text| usd(key, text)).transpose();
        put(&mut self.daily_cap, of("daily_cap_usd", &written.daily_cap_usd)?);
        put(&mut self.request_cap, of("request_cap_usd", &written.request_cap_usd)?);
        put(&mut self.slice_max, of("slice_max_usd", &written.slice_max_usd)?);
        put(&mut self.outage_overdraft, of("outage_overdraft_usd", &written.outage_overdraft_usd)?);
        match written.budget_usd.as_deref() {
            None => {}
            Some("none") => self.budget = None,
            Some(text) => self.budget = Some(usd("budget_usd", text)?),
        }
        Ok(())
    }

    fn read_leases(&mut self, written: &Guard) -> Result<(), LimitError> {
        let seconds = |key, value| {
            number(key, value, 1..=LEASE_S_MAX).map(|found| found.map(|seconds| seconds * 1_000))
        };
        put(&mut self.hold_lease_ms, seconds("hold_lease_s", written.hold_lease_s)?);
        put(&mut self.slot_lease_ms, seconds("slot_lease_s", written.slot_lease_s)?);
        put(&mut self.renew_every_ms, seconds("renew_every_s", written.renew_every_s)?);
        let hours = number("suspense_settle_h", written.suspense_settle_h, 1..=SUSPENSE_H_MAX)?;
        put(&mut self.suspense_ms, hours.map(|hours| hours * 3_600_000));
        if self.slot_lease_ms.min(self.hold_lease_ms) < RENEWALS_MIN * self.renew_every_ms {
            return Err(LimitError { key: "renew_every_s", why: Why::Renewal });
        }
        Ok(())
    }

    fn read_anomaly(&mut self, written: &GuardAnomaly) -> Result<(), LimitError> {
        let watch = &mut self.anomaly;
        put(&mut watch.z, fraction("anomaly.z", written.z, 0.1..=100.0)?);
        put(&mut watch.alpha, fraction("anomaly.alpha", written.alpha, 0.000_1..=1.0)?);
        match written.samples_min {
            Some(samples) if !(2..=SAMPLES_MAX).contains(&samples) => {
                let why = Why::Range { least: 2, most: SAMPLES_MAX as i64 };
                return Err(LimitError { key: "anomaly.samples_min", why });
            }
            samples => put(&mut watch.samples_min, samples),
        }
        let floor = written.floor_usd.as_deref();
        put(&mut watch.floor, floor.map(|text| usd("anomaly.floor_usd", text)).transpose()?);
        let modes = (&["soft", "block"], &[false, true]);
        put(&mut watch.block, word("anomaly.mode", written.mode.as_deref(), modes)?);
        Ok(())
    }

    fn read_words(&mut self, written: &Guard) -> Result<(), LimitError> {
        let periods = (&["month", "total"], &[Period::Month, Period::Total]);
        put(&mut self.period, word("budget_period", written.budget_period.as_deref(), periods)?);
        let ends = (
            &["suspense", "charge", "release"],
            &[OnExpiry::Suspense, OnExpiry::Charge, OnExpiry::Release],
        );
        put(&mut self.on_expiry, word("on_expiry", written.on_expiry.as_deref(), ends)?);
        let prices = (&["refuse", "allow"], &[UnknownPrice::Refuse, UnknownPrice::Allow]);
        let unknown = word("unknown_price", written.unknown_price.as_deref(), prices)?;
        put(&mut self.unknown_price, unknown);
        let policies = (
            &["escrow", "fail_closed", "fail_open"],
            &[OutagePolicy::Escrow, OutagePolicy::FailClosed, OutagePolicy::FailOpen],
        );
        put(&mut self.outage, word("outage_policy", written.outage_policy.as_deref(), policies)?);
        match &written.default_max_tokens {
            None => {}
            Some(MaxTokens::Tokens(tokens)) if *tokens > 0 => {
                self.default_max_tokens = Some(*tokens);
            }
            Some(MaxTokens::Word(word)) if word == "model" => self.default_max_tokens = None,
            Some(_) => {
                let why = Why::Word { known: &["model", "a number of tokens"] };
                return Err(LimitError { key: "default_max_tokens", why });
            }
        }
        Ok(())
    }
}

/// What is written replaces what was.
fn put<T>(place: &mut T, written: Option<T>) {
    if let Some(value) = written {
        *place = value;
    }
}

/// Decimal dollars, not negative (not even a negative zero), that can be counted.
fn usd(key: &'static str, text: &str) -> Result<Usd, LimitError> {
    let refused = |why| LimitError { key, why };
    if text.starts_with('-') {
        return Err(refused(Why::Amount(MoneyError::Negative)));
    }
    match Usd::parse(text) {
        Ok(amount) if amount.nano() <= AMOUNT_MAX => Ok(amount),
        Ok(_) | Err(MoneyError::TooLarge) => Err(refused(Why::AboveMost)),
        Err(error) => Err(refused(Why::Amount(error))),
    }
}

fn number(
    key: &'static str,
    written: Option<i64>,
    bounds: RangeInclusive<i64>,
) -> Result<Option<i64>, LimitError> {
    match written {
        Some(value) if !bounds.contains(&value) => {
            let why = Why::Range { least: *bounds.start(), most: *bounds.end() };
            Err(LimitError { key, why })
        }
        within => Ok(within),
    }
}

fn fraction(
    key: &'static str,
    written: Option<f64>,
    bounds: RangeInclusive<f64>,
) -> Result<Option<f64>, LimitError> {
    match written {
        Some(value) if !bounds.contains(&value) => Err(LimitError { key, why: Why::Fraction }),
        within => Ok(within),
    }
}

/// One of the words, as what stands at its place.
fn word<T: Copy, const N: usize>(
    key: &'static str,
    written: Option<&str>,
    (words, meanings): (&'static [&'static str; N], &[T; N]),
) -> Result<Option<T>, LimitError> {
    let Some(written) = written else { return Ok(None) };
    match words.iter().zip(meanings).find(|(word, _)| **word == written) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => Err(LimitError { key, why: Why::Word { known: words } }),
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guard.{}: ", self.key)?;
        match &self.why {
            Why::Amount(error) => write!(f, "{error}"),
            Why::AboveMost => write!(
                f,
                "above {} USD, the most that a shared store counts to the nano-dollar",
                Usd::from_nano(AMOUNT_MAX)
            ),
            Why::Range { least, most } => write!(f, "not from {least} to {most}"),
            Why::Fraction => f.write_str("out of range"),
            Why::Word { known } => write!(f, "not one of {}", known.join(", ")),
            Why::Bucket => f.write_str("the bucket would take longer than 140 years to fill"),
            Why::Renewal => f.write_str("a lease must outlive two renewals"),
        }
    }
}

impl std::error::Error for LimitError {}
