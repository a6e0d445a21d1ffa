//! Counts what the semantic cache does, for whoever scrapes it.
//! Does not decide with a number and keeps none per tenant: a label must not grow with callers.

use super::count;
use crate::exposition::{Exposition, Kind};
use p402_core::cache::policy::Unstored;
use p402_core::cache::shelf::Fill;
use p402_core::cache::verdict::{Miss, Tier};
use p402_core::cache::veto::Veto;
use serde_json::{Map, Value, json};
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

    /// For a scraper; so many answers are being stored.
    pub fn expose(&self, out: &mut Exposition, fill: Fill, keeping: usize) {
        let helps = [
            "Answers told again, by how they were found.",
            "Requests without one, by the reason.",
            "Near questions that were refused, by the rule.",
            "Answers that were not kept, by the reason.",
        ];
        for ((family, label, numbers), help) in self.families().into_iter().zip(helps) {
            let name = format!("cache_{family}_total");
            out.begin(&name, Kind::Counter, help);
            for (value, number) in numbers {
                out.sample(&name, &[(label, value)], number);
            }
        }
        for (name, help, number) in [
            ("cache_stored_total", "Answers kept.", &self.stored),
            ("cache_purged_total", "Answers taken back.", &self.purged),
            ("cache_repaired_total", "Candidates unlike their index.", &self.repaired),
        ] {
            out.single((name, Kind::Counter, help), read(number));
        }
        for (name, help, number) in [
            ("cache_entries", "Answers kept here.", fill.entries),
            ("cache_bytes", "Room they take.", fill.bytes),
            ("cache_keeping", "Answers on their way to be kept.", keeping),
        ] {
            out.single((name, Kind::Gauge, help), number);
        }
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
