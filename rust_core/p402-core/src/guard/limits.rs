//! Decides what a tenant may do: every limit of the guard, its default and its bounds.
//! Does not read files; config.rs says how limits are written down.

use super::bucket::Bucket;
use super::series::Watch;
use crate::money::Usd;
use crate::time::Day;

/// The largest `in_flight_max`.
pub const IN_FLIGHT_MAX: i64 = 256;

/// The rate as it is told to people; `Limits::bucket` is what layer 1 computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub limit: i64,
    pub per_s: i64,
    pub burst: i64,
}

/// What a budget lasts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Period {
    /// A calendar month, UTC.
    #[default]
    Month,
    /// For ever.
    Total,
}

/// What becomes of a hold whose owner does not renew it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// Still held, until its owner or the ledger says what it cost; at the hold after a day.
    #[default]
    Suspense,
    /// Settled at the hold at once.
    Charge,
    /// Given back: the literal reading, which overspends when the owner was alive.
    Release,
}

/// What layer 5 does with a plan that has no price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownPrice {
    #[default]
    Refuse,
    Allow,
}

/// What layer 6 does while the store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Spend what was leased while the store answered, and no more.
    #[default]
    Escrow,
    FailClosed,
    FailOpen,
}

/// All limits of one tenant, validated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub rate: Rate,
    pub daily_cap: Usd,
    pub in_flight_max: i64,
    pub anomaly: Watch,
    pub request_cap: Usd,
    pub budget: Option<Usd>,
    pub period: Period,
    pub hold_lease_ms: i64,
    pub slot_lease_ms: i64,
    pub renew_every_ms: i64,
    pub on_expiry: OnExpiry,
    pub suspense_ms: i64,
    pub unknown_price: UnknownPrice,
    /// Injected upstream where a request names no bound; `None` claims the model's own maximum.
    pub default_max_tokens: Option<u64>,
    pub outage: OutagePolicy,
    pub slice_max: Usd,
    pub outage_overdraft: Usd,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: Rate { limit: 1_000, per_s: 3_600, burst: 1_000 },
            daily_cap: Usd::from_nano(1_000_000_000_000),
            in_flight_max: 10,
            anomaly: Watch {
                z: 3.0,
                samples_min: 30,
                alpha: 0.02,
                floor: Usd::from_nano(10_000_000),
                block: false,
            },
            request_cap: Usd::from_nano(50_000_000_000),
            budget: None,
            period: Period::Month,
            hold_lease_ms: 300_000,
            slot_lease_ms: 15_000,
            renew_every_ms: 5_000,
            on_expiry: OnExpiry::Suspense,
            suspense_ms: 24 * 3_600_000,
            unknown_price: UnknownPrice::Refuse,
            default_max_tokens: None,
            outage: OutagePolicy::Escrow,
            slice_max: Usd::from_nano(5_000_000_000),
            outage_overdraft: Usd::ZERO,
        }
    }
}

impl Limits {
    /// Layer 1 in microseconds: the interval is rounded up, so that no window admits one more.
    pub const fn bucket(&self) -> Bucket {
        let interval_us = self.rate.interval_us();
        Bucket { interval_us, tolerance_us: self.rate.burst * interval_us }
    }

    /// One node's part of layers 1 and 3 while the store is away.
    #[must_use]
    pub fn shared_among(&self, nodes: u32) -> Self {
        let nodes = i64::from(nodes.max(1));
        let part = |whole: i64| (whole / nodes).max(1);
        let rate = Rate {
            limit: part(self.rate.limit),
            per_s: self.rate.per_s,
            burst: part(self.rate.burst),
        };
        let in_flight_max = ((self.in_flight_max + nodes - 1) / nodes).min(IN_FLIGHT_MAX);
        Self { rate, in_flight_max, ..*self }
    }
}

impl OutagePolicy {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Escrow => "escrow",
            Self::FailClosed => "fail_closed",
            Self::FailOpen => "fail_open",
        }
    }
}

impl Rate {
    pub(super) const fn interval_us(&self) -> i64 {
        (self.per_s * 1_000_000 + self.limit - 1) / self.limit
    }
}

impl Period {
    /// First day of the period that `day` lies in.
    pub const fn from(self, day: Day) -> Day {
        match self {
            Self::Month => {
                let (_, _, of_month) = day.civil();
                Day::from_days(day.days() - (of_month as i32 - 1))
            }
            Self::Total => Day::from_days(0),
        }
    }

    /// First day of the next period, if there will be one.
    pub const fn end(self, day: Day) -> Option<Day> {
        match self {
            Self::Month => Some(self.from(Day::from_days(self.from(day).days() + 31))),
            Self::Total => None,
        }
    }
}
