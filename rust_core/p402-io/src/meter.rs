//! Counts what the guard does, for whoever scrapes it.
//! Does not decide with a number and keeps none per tenant: a label must not grow with callers.

mod cache;

pub use cache::CacheMeter;

use p402_core::guard::Code;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counters of one process. All are exact; none is read back by a decision.
#[derive(Debug, Default)]
pub struct Meter {
    /// By the account's code, in the order of `DECISIONS`.
    decisions: [AtomicU64; DECISIONS.len()],
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

    /// Prometheus' text format.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(2_048);
        head(&mut out, "decisions_total", "counter");
        for ((layer, code), number) in DECISIONS.iter().zip(&self.decisions) {
            line(&mut out, "decisions_total", &labels(layer, code), unsigned(number));
        }
        let layered = [
            (labels("request_cap", "refused"), &self.request_cap),
            (labels("anomaly", "blocked"), &self.anomaly_blocked),
            (labels("ledger", "refused"), &self.ledger_refused),
        ];
        for (labels, number) in &layered {
            line(&mut out, "decisions_total", labels, unsigned(number));
        }
        head(&mut out, "anomaly_total", "counter");
        line(&mut out, "anomaly_total", "{series=\"cost\"}", unsigned(&self.anomaly_cost));
        line(&mut out, "anomaly_total", "{series=\"rate\"}", unsigned(&self.anomaly_rate));
        for (name, kind, number) in [
            ("held_nano", "gauge", signed(&self.held_nano)),
            ("degraded_total", "counter", unsigned(&self.degraded)),
            ("degraded_spend_nano_total", "counter", signed(&self.degraded_spend_nano)),
            ("late_settle_total", "counter", unsigned(&self.late_settle)),
            ("settle_unknown_total", "counter", unsigned(&self.settle_unknown)),
            ("slots_retaken_total", "counter", unsigned(&self.slots_retaken)),
            ("estimate_shortfall_nano_total", "counter", signed(&self.shortfall_nano)),
            ("implausible_usage_total", "counter", unsigned(&self.implausible)),
            ("ledger_failed_total", "counter", unsigned(&self.ledger_failed)),
            ("alarms_total", "counter", unsigned(&self.alarms)),
        ] {
            head(&mut out, name, kind);
            line(&mut out, name, "", number);
        }
        out
    }
}

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

fn labels(layer: &str, code: &str) -> String {
    format!("{{layer=\"{layer}\",code=\"{code}\"}}")
}

fn head(out: &mut String, name: &str, kind: &str) {
    // Writing into a String cannot fail.
    writeln!(out, "# TYPE guard_{name} {kind}").unwrap_or_default();
}

fn line(out: &mut String, name: &str, labels: &str, number: i64) {
    writeln!(out, "guard_{name}{labels} {number}").unwrap_or_default();
}
