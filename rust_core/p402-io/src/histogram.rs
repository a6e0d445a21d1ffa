//! Counts how long things take, in fixed buckets, without a lock.
//! Does not know what is measured, and is read by nobody who decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds, ascending; beyond the last there is one more bucket.
pub type Bounds = &'static [u64];

/// What is decided in process, and what a store on the network takes.
pub const DECISIONS: Bounds =
    &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 250_000];
/// What a provider takes.
pub const ANSWERS: Bounds = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    4_000_000,
    8_000_000,
    15_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
];
/// What this gateway adds.
pub const OVERHEADS: Bounds =
    &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000];

/// Buckets of one histogram; bounds are never more.
const BUCKETS: usize = 17;

/// How often, by how long, and how long in all.
#[derive(Debug)]
pub struct Histogram {
    pub bounds: Bounds,
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

/// Of decisions.
impl Default for Histogram {
    fn default() -> Self {
        Self::new(DECISIONS)
    }
}

impl Histogram {
    pub fn new(bounds: Bounds) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { bounds, counts, sum_ns: AtomicU64::new(0) }
    }

    pub fn observe(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = self.bounds.partition_point(|bound| bound.saturating_mul(1_000) < ns);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// For each bound how many took no longer, then how many there were: a scrape that meets an
    /// observation half-way sees it whole or not at all.
    pub fn cumulative(&self) -> Vec<u64> {
        let mut sum = 0;
        let counts = self.counts.iter().take(self.bounds.len() + 1);
        counts
            .map(|count| {
                sum += count.load(Ordering::Relaxed);
                sum
            })
            .collect()
    }

    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }
}
