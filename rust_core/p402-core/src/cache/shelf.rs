//! Decides which entries stand on a node's shelf: digests to entries, scopes to vectors, who goes.
//! Does not decide what may be stored (policy.rs) and reads no clock: `now` comes in.

use super::index::{Mark, Partition, View};
use super::key::Digest;
use super::similarity::Vector;
use crate::time::Timestamp;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

pub const ENTRIES_MAX: usize = 1_000_000;
pub const BYTES_MAX: usize = 256 * 1_024 * 1_024;
/// Of this many, drawn blindly, the least useful goes.
const SAMPLE: usize = 8;
/// A tenant may fill this part of the shelf.
const TENANT_PART: usize = 4;
/// What an entry costs beside its texts, alone in its scope: vector, digests, places in the tables.
/// As `make cache-million` measures it, whose process must not grow past its bound.
const OVERHEAD_BYTES: usize = 2_560;
const HOUR_US: i64 = 3_600_000_000;

/// What is kept of an answered question.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Drawn by whoever keeps it: one number for all homes.
    pub id: u64,
    pub tenant: Arc<str>,
    pub scope: Digest,
    pub exact: Digest,
    /// The question and its canonical digest, where it is text.
    pub asked: Option<(Arc<str>, Digest)>,
    pub vector: Option<Arc<Vector>>,
    /// The served model, as the catalogue has it.
    pub model: Arc<str>,
    /// The answer as its keeper packed it.
    pub answer: Bytes,
    pub created: Timestamp,
    pub expires: Timestamp,
}

/// How full the shelf may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: ENTRIES_MAX, bytes: BYTES_MAX }
    }
}

/// How full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    pub entries: usize,
    pub bytes: usize,
}

#[derive(Debug)]
struct Held {
    entry: Entry,
    /// Its place in the order that is drawn from.
    place: usize,
    hits: f64,
    counted: Timestamp,
}

/// All entries of a node.
#[derive(Debug, Default)]
pub struct Shelf {
    bounds: Bounds,
    held: HashMap<u64, Held>,
    order: Vec<u64>,
    digests: HashMap<Digest, u64>,
    partitions: HashMap<Digest, Partition>,
    fill: Fill,
    tenants: HashMap<Arc<str>, Fill>,
    draws: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |(text, _)| text.len());
        OVERHEAD_BYTES + asked + self.model.len() + self.answer.len()
    }
}

impl Fill {
    fn within(self, bounds: Bounds) -> bool {
        self.entries <= bounds.entries && self.bytes <= bounds.bytes
    }

    fn add(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Shelf {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    pub const fn fill(&self) -> Fill {
        self.fill
    }

    /// What one tenant may fill.
    pub fn own_bounds(&self) -> Bounds {
        Bounds {
            entries: (self.bounds.entries / TENANT_PART).max(1),
            bytes: self.bounds.bytes / TENANT_PART,
        }
    }

    /// Keeps an entry in the place of an older one of the same exact key, and makes room for it.
    /// `None`: it alone is more than its tenant may hold.
    pub fn keep(&mut self, entry: Entry, now: Timestamp) -> Option<u64> {
        let (id, bytes, own) = (entry.id, entry.bytes(), self.own_bounds());
        if bytes > own.bytes {
            return None;
        }
        self.remove(id);
        if let Some(old) = self.digests.get(&entry.exact).copied() {
            self.remove(old);
        }
        let tenant = Arc::clone(&entry.tenant);
        self.put(id, entry, now);
        self.fill.add(bytes);
        self.tenants.entry(Arc::clone(&tenant)).or_default().add(bytes);
        while !self.tenants.get(&tenant).copied().unwrap_or_default().within(own) {
            let victim = self.victim(now, id, Some(&tenant))?;
            self.remove(victim);
        }
        while !self.fill.within(self.bounds) {
            let victim = self.victim(now, id, None)?;
            self.remove(victim);
        }
        Some(id)
    }

    fn put(&mut self, id: u64, entry: Entry, now: Timestamp) {
        self.digests.insert(entry.exact, id);
        if let Some((_, canonical)) = &entry.asked {
            self.digests.insert(*canonical, id);
        }
        if let Some(vector) = &entry.vector {
            let mark = Mark { id, created: entry.created, expires: entry.expires };
            self.partitions.entry(entry.scope).or_default().add(mark, vector);
        }
        let place = self.order.len();
        self.order.push(id);
        self.held.insert(id, Held { entry, place, hits: 0.0, counted: now });
    }

    /// Gives an entry the vector that it is found by.
    pub fn attach(&mut self, id: u64, vector: Vector) {
        let Some(entry) = self.held.get_mut(&id).map(|held| &mut held.entry) else { return };
        let mark = Mark { id, created: entry.created, expires: entry.expires };
        self.partitions.entry(entry.scope).or_default().add(mark, &vector);
        entry.vector = Some(Arc::new(vector));
    }

    /// All ids, in no order.
    pub fn ids(&self) -> Vec<u64> {
        self.order.clone()
    }

    /// An entry, whosever it is.
    pub fn get(&self, id: u64) -> Option<&Entry> {
        self.held.get(&id).map(|held| &held.entry)
    }

    /// How much of it is one tenant's.
    pub fn fill_of(&self, tenant: &str) -> Fill {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Every tenant and how many entries it has, by name.
    pub fn tenants(&self) -> Vec<(String, usize)> {
        let counts = self.tenants.iter().map(|(name, fill)| (name.to_string(), fill.entries));
        let mut counts: Vec<_> = counts.collect();
        counts.sort();
        counts
    }

    /// Takes an entry off the shelf, out of every table.
    pub fn remove(&mut self, id: u64) -> Option<Entry> {
        let Held { entry, place, .. } = self.held.remove(&id)?;
        self.order.swap_remove(place);
        let moved = self.order.get(place).and_then(|moved| self.held.get_mut(moved));
        if let Some(moved) = moved {
            moved.place = place;
        }
        let canonical = entry.asked.as_ref().map(|(_, canonical)| *canonical);
        for digest in [Some(entry.exact), canonical].into_iter().flatten() {
            if self.digests.get(&digest) == Some(&id) {
                self.digests.remove(&digest);
            }
        }
        if let Some(partition) = self.partitions.get_mut(&entry.scope) {
            partition.remove(id);
            if partition.is_empty() {
                self.partitions.remove(&entry.scope);
            }
        }
        let bytes = entry.bytes();
        self.fill.take(bytes);
        if let Some(own) = self.tenants.get_mut(&entry.tenant) {
            own.take(bytes);
            if own.entries == 0 {
                self.tenants.remove(&entry.tenant);
            }
        }
        Some(entry)
    }

    /// The entry of an exact or canonical digest; expired ones are taken off on the way.
    pub fn find(&mut self, digest: &Digest, now: Timestamp) -> Option<u64> {
        let id = *self.digests.get(digest)?;
        if self.held.get(&id)?.entry.expires <= now {
            self.remove(id);
            return None;
        }
        Some(id)
    }

    /// An entry, if it is this tenant's, of this scope and alive: compared again on every hit.
    pub fn fetch(&self, id: u64, tenant: &str, scope: &Digest, now: Timestamp) -> Option<&Entry> {
        let entry = &self.held.get(&id)?.entry;
        let own = *entry.tenant == *tenant && entry.scope == *scope && entry.expires > now;
        own.then_some(entry)
    }

    /// Whose entry it is, for a purge.
    pub fn owner(&self, id: u64) -> Option<&str> {
        self.held.get(&id).map(|held| &*held.entry.tenant)
    }

    /// The vectors of a scope; `None` where there are none to search.
    pub fn view(&self, scope: &Digest) -> Option<View> {
        self.partitions.get(scope).map(Partition::view)
    }

    /// Counts a hit: what is asked for often stays.
    pub fn hit(&mut self, id: u64, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&id) {
            held.hits = held.faded(now) + 1.0;
            held.counted = now;
        }
    }

    /// Takes off all entries that a rule names, and hands them over.
    pub fn purge(&mut self, rule: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let named = self.held.iter().filter(|(_, held)| rule(&held.entry)).map(|(id, _)| *id);
        let named: Vec<u64> = named.collect();
        named.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The least useful of a few, never the newest; among one tenant's where one is given.
    fn victim(&mut self, now: Timestamp, newest: u64, tenant: Option<&str>) -> Option<u64> {
        let start = self.draw();
        let eligible = |id: &u64| {
            let held = self.held.get(id)?;
            let own = tenant.is_none_or(|tenant| *held.entry.tenant == *tenant);
            (own && *id != newest).then(|| (*id, held.worth(now)))
        };
        let few = (0..SAMPLE).filter_map(|at| {
            let place = mixed(start.wrapping_add(at as u64)) % self.order.len().max(1) as u64;
            eligible(self.order.get(place as usize)?)
        });
        let least = few.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        // A tenant with few entries among many may not be drawn at all: then its first one goes.
        least.or_else(|| self.order.iter().find_map(eligible)).map(|(id, _)| id)
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        mixed(self.draws << 8)
    }
}

impl Held {
    /// Hits, halved for each hour since they were counted.
    fn faded(&self, now: Timestamp) -> f64 {
        let hours = (now.micros() - self.counted.micros()) as f64 / HOUR_US as f64;
        self.hits * (-hours.max(0.0)).exp2()
    }

    /// Hits by age; what has expired is worth nothing.
    fn worth(&self, now: Timestamp) -> f64 {
        if self.entry.expires <= now {
            return -1.0;
        }
        let age = (now.micros() - self.entry.created.micros()).max(0) as f64 + 1.0;
        // An entry without a hit yet counts a little, so that the older of two goes.
        (self.faded(now) + 0.01) / age
    }
}

/// A blind draw that two runs agree on.
const fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
