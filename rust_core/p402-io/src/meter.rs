//! Counts what the guard does, for whoever scrapes it.
//! Does not decide with a number and keeps none per tenant or model (traffic.rs).

mod cache;

use crate::exposition::{Exposition, Kind};
use crate::histogram::Histogram;
pub use cache::CacheMeter;
use p402_core::guard::Code;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counters of one process. All are exact; none is read back by a decision.
#[derive(Debug, Default)]
pub struct Meter {
    /// By the account's code, in the order of `DECISIONS`.
    decisions: [AtomicU64; DECISIONS.len()],
    /// How long an admission takes, and its trip to the account alone.
    pub decision: Histogram,
    pub trip: Histogram,
    pub request_cap: AtomicU64,
    pub anomaly_blocked: AtomicU64,
    /// By series: claims and bills, spending per minute.
    pub anomaly_cost: AtomicU64,
    pub anomaly_rate: AtomicU64,
    pub held_nano: AtomicI64,
    pub degraded: AtomicU64,
    pub degraded_spend_nano: AtomicI64,
    pub late_settle: AtomicU64,
    pub settle_unknown: AtomicU64,
    pub slots_retaken: AtomicU64,
    /// Accounts that counted other than the ledger at a start.
    pub mismatched: AtomicU64,
    pub shortfall_nano: AtomicI64,
    pub implausible: AtomicU64,
    pub ledger_refused: AtomicU64,
    pub ledger_failed: AtomicU64,
    pub alarms: AtomicU64,
}

/// What an admission came to: (layer, word).
const DECISIONS: [(&str, &str); 6] = [
    ("all", "admitted"),
    ("rate_limit", "refused"),
    ("daily_cap", "refused"),
    ("concurrency", "refused"),
    ("reservation", "refused"),
    ("store", "unavailable"),
];

impl Meter {
    pub fn decided(&self, code: Code) {
        let at = match code {
            Code::Done => 0,
            Code::Rate => 1,
            Code::DailyCap => 2,
            Code::Concurrency => 3,
            Code::Budget => 4,
            _ => 5,
        };
        count(&self.decisions[at]);
    }

    pub fn expose(&self, out: &mut Exposition) {
        let name = "guard_decisions_total";
        out.begin(name, Kind::Counter, "Admissions, by the layer that decided and how.");
        let layered = [
            (("request_cap", "refused"), &self.request_cap),
            (("anomaly", "blocked"), &self.anomaly_blocked),
            (("ledger", "refused"), &self.ledger_refused),
        ];
        let decided = DECISIONS.into_iter().zip(&self.decisions);
        for ((layer, code), number) in decided.chain(layered) {
            out.sample(name, &[("layer", layer), ("code", code)], unsigned(number));
        }
        for (name, help, told) in [
            (
                "guard_decision_seconds",
                "Time of one admission, its store included.",
                &self.decision,
            ),
            ("guard_store_trip_seconds", "Time of an admission's trip to its account.", &self.trip),
        ] {
            out.begin(name, Kind::Histogram, help);
            out.histogram(name, &[], told);
        }
        let name = "guard_anomaly_total";
        out.begin(name, Kind::Counter, "What was unlike a tenant's past, by series.");
        out.sample(name, &[("series", "cost")], unsigned(&self.anomaly_cost));
        out.sample(name, &[("series", "rate")], unsigned(&self.anomaly_rate));
        out.single(("guard_held_nano", Kind::Gauge, HELD), signed(&self.held_nano));
        for (name, help, number) in [
            ("degraded_total", "Admitted while the store was away.", unsigned(&self.degraded)),
            ("degraded_spend_nano_total", "Spent of that.", signed(&self.degraded_spend_nano)),
            ("late_settle_total", "Settled after the lease lapsed.", unsigned(&self.late_settle)),
            ("settle_unknown_total", "Settled twice, or lost.", unsigned(&self.settle_unknown)),
            ("slots_retaken_total", "Slots that had lapsed.", unsigned(&self.slots_retaken)),
            ("mismatched_total", "Counters unlike the ledger.", unsigned(&self.mismatched)),
            ("estimate_shortfall_nano_total", "Beyond holds.", signed(&self.shortfall_nano)),
            ("implausible_usage_total", "Usage not believed.", unsigned(&self.implausible)),
            ("ledger_failed_total", "Rows the ledger did not take.", unsigned(&self.ledger_failed)),
            ("alarms_total", "Alarms raised.", unsigned(&self.alarms)),
        ] {
            out.single((&format!("guard_{name}"), Kind::Counter, help), number);
        }
    }
}

const HELD: &str = "Nano-dollars held for this process's requests on their way.";

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// More, or less, of an amount.
pub fn sum(counter: &AtomicI64, nano: i64) {
    counter.fetch_add(nano, Ordering::Relaxed);
}

fn unsigned(counter: &AtomicU64) -> i64 {
    counter.load(Ordering::Relaxed) as i64
}

fn signed(counter: &AtomicI64) -> i64 {
    counter.load(Ordering::Relaxed)
}
