//! Counts what the semantic cache does, for whoever scrapes it.
//! Does not decide with a number and keeps none per tenant: a label must not grow with callers.

use super::count;
use p402_core::cache::policy::Unstored;
use p402_core::cache::shelf::Fill;
use p402_core::cache::verdict::{Miss, Tier};
use p402_core::cache::veto::Veto;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lookups by duration: each place holds twice as long ones as the place before, from 16 µs on.
const PLACES: usize = 16;
const FIRST_US: u64 = 16;

/// Names and what was counted under them.
type Numbers = Vec<(&'static str, u64)>;

/// Counters of one process.
#[derive(Debug, Default)]
pub struct CacheMeter {
    hits: [AtomicU64; Tier::ALL.len()],
    misses: [AtomicU64; Miss::NAMES.len()],
    vetoes: [AtomicU64; Veto::ALL.len()],
    unstored: [AtomicU64; Unstored::ALL.len()],
    pub stored: AtomicU64,
    pub purged: AtomicU64,
    /// Candidates that were not what the index said of them.
    pub repaired: AtomicU64,
    took: [AtomicU64; PLACES],
}

impl CacheMeter {
    pub fn hit(&self, tier: Tier) {
        at(&self.hits, Tier::ALL.iter().position(|each| *each == tier));
    }

    pub fn miss(&self, miss: Miss) {
        at(&self.misses, Miss::NAMES.iter().position(|name| *name == miss.name()));
        if let Miss::Veto(veto) = miss {
            at(&self.vetoes, Veto::ALL.iter().position(|each| *each == veto));
        }
    }

    pub fn unstored(&self, why: Unstored) {
        at(&self.unstored, Unstored::ALL.iter().position(|each| *each == why));
    }

    /// A lookup, hit or miss, has taken so long.
    pub fn took(&self, us: u64) {
        let place = (us / FIRST_US).max(1).ilog2() as usize;
        at(&self.took, Some(place.min(PLACES - 1)));
    }

    /// Prometheus' text format; so many answers are being stored.
    pub fn render(&self, fill: Fill, keeping: usize) -> String {
        let mut out = String::with_capacity(2_048);
        for (family, label, numbers) in self.families() {
            // Writing into a String cannot fail.
            writeln!(out, "# TYPE cache_{family}_total counter").unwrap_or_default();
            for (name, number) in numbers {
                writeln!(out, "cache_{family}_total{{{label}=\"{name}\"}} {number}")
                    .unwrap_or_default();
            }
        }
        let single = [
            ("stored_total", "counter", read(&self.stored)),
            ("purged_total", "counter", read(&self.purged)),
            ("repaired_total", "counter", read(&self.repaired)),
            ("entries", "gauge", fill.entries as u64),
            ("bytes", "gauge", fill.bytes as u64),
            ("keeping", "gauge", keeping as u64),
        ];
        for (name, kind, number) in single {
            writeln!(out, "# TYPE cache_{name} {kind}\ncache_{name} {number}").unwrap_or_default();
        }
        out
    }

    /// The same for a person's eyes, with the lookups' durations.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut told = Map::new();
        for (family, _, numbers) in self.families() {
            let numbers =
                numbers.into_iter().map(|(name, number)| (name.to_owned(), number.into()));
            told.insert(family.to_owned(), Value::Object(numbers.collect()));
        }
        told.insert("stored".to_owned(), read(&self.stored).into());
        told.insert("purged".to_owned(), read(&self.purged).into());
        told.insert(
            "lookup_us".to_owned(),
            json!({"p50": self.within(50), "p99": self.within(99)}),
        );
        told
    }

    fn families(&self) -> [(&'static str, &'static str, Numbers); 4] {
        fn with(names: impl Iterator<Item = &'static str>, counters: &[AtomicU64]) -> Numbers {
            names.zip(counters.iter().map(read)).collect()
        }
        [
            ("hits", "tier", with(Tier::ALL.iter().map(|tier| tier.name()), &self.hits)),
            ("misses", "reason", with(Miss::NAMES.into_iter(), &self.misses)),
            ("vetoes", "kind", with(Veto::ALL.iter().map(|veto| veto.name()), &self.vetoes)),
            (
                "unstored",
                "reason",
                with(Unstored::ALL.iter().map(|why| why.name()), &self.unstored),
            ),
        ]
    }

    /// Microseconds that so many percent of the lookups stayed under; nothing before the first.
    fn within(&self, percent: u64) -> Option<u64> {
        let counts = self.took.each_ref().map(read);
        let all: u64 = counts.iter().sum();
        let mut seen = 0;
        let place = counts.iter().position(|count| {
            seen += count;
            seen * 100 >= all * percent
        });
        place.filter(|_| all > 0).map(|place| FIRST_US << (place + 1))
    }
}

fn at(counters: &[AtomicU64], place: Option<usize>) {
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        count(counter);
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
