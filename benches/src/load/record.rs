//! Decides what of a sample is counted, and writes the percentiles.
//! Deliberately keeps every histogram whole: percentiles are never averaged.

use super::exchange::{Failure, Sample};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const KINDS_MAX: usize = 64;
const HIGHEST_NS: u64 = 120_000_000_000;

/// One target's share of a window.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) completed: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) tally: BTreeMap<String, u64>,
    pub(super) connections: u64,
    latency: Histogram<u64>,
    ttft: Histogram<u64>,
    gap: Histogram<u64>,
    late: Histogram<u64>,
}

impl Record {
    pub(super) fn new() -> Result<Self, String> {
        let new = || Histogram::new_with_bounds(1, HIGHEST_NS, 3).map_err(|e| e.to_string());
        Ok(Self {
            completed: 0,
            errors: BTreeMap::new(),
            tally: BTreeMap::new(),
            connections: 0,
            latency: new()?,
            ttft: new()?,
            gap: new()?,
            late: new()?,
        })
    }

    /// `intended` is when the request should have left: in a closed loop, when it did.
    pub(super) fn good(&mut self, sample: &Sample, intended: Instant) {
        self.completed += 1;
        put(&mut self.latency, sample.done.saturating_duration_since(intended));
        put(&mut self.late, sample.started.saturating_duration_since(intended));
        if let Some(first) = sample.contents.first() {
            put(&mut self.ttft, first.saturating_duration_since(intended));
        }
        for pair in sample.contents.windows(2) {
            if let [before, after] = pair {
                put(&mut self.gap, after.saturating_duration_since(*before));
            }
        }
        self.count_header(sample.tally.clone());
    }

    /// Errors count from the first request on, warm-up included.
    pub(super) fn bad(&mut self, failure: Failure) {
        bounded(&mut self.errors, failure.kind);
        self.count_header(failure.tally);
    }

    fn count_header(&mut self, value: Option<String>) {
        if let Some(value) = value {
            bounded(&mut self.tally, value);
        }
    }

    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(super) fn to_json(&self, name: &str, window_s: f64) -> Value {
        json!({
            "name": name,
            "completed": self.completed,
            "per_s": self.completed as f64 / window_s,
            "errors": self.errors,
            "tally": self.tally,
            "connections": self.connections,
            "latency_us": percentiles(&self.latency),
            "ttft_us": percentiles(&self.ttft),
            "gap_us": percentiles(&self.gap),
            "late_us": percentiles(&self.late),
        })
    }
}

fn put(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1));
}

fn bounded(counts: &mut BTreeMap<String, u64>, key: String) {
    let key = if counts.len() < KINDS_MAX { key } else { "others".to_owned() };
    *counts.entry(key).or_default() += 1;
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let us = |ns: u64| ns as f64 / 1_000.0;
    let at = |q: f64| us(histogram.value_at_quantile(q));
    json!({
        "min": us(histogram.min()), "mean": histogram.mean() / 1_000.0, "p50": at(0.5),
        "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": us(histogram.max()),
        "samples": histogram.len(),
    })
}
