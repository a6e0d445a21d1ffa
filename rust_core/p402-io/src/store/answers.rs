//! Keeps answers where this node finds them: its shelf, and the snapshot that outlives a restart.
//! Does not decide what is kept or served (core's cache/), and a fault of it is never an error.

pub mod snapshot;

use crate::meter::{CacheMeter, count};
use p402_core::cache::index::View;
use p402_core::cache::key::{Digest, Key};
use p402_core::cache::quota::Quota;
use p402_core::cache::shelf::{Bounds, Entry, Fill, Shelf};
use p402_core::cache::similarity::Vector;
use p402_core::cache::verdict::Tier;
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The answers that this node can serve.
#[derive(Debug)]
pub struct Answers {
    shelf: Mutex<Shelf>,
    quota: Mutex<Quota>,
    pub meter: CacheMeter,
    /// Where the snapshot lies; none: what is kept ends with the process.
    folder: Option<PathBuf>,
    changed: AtomicBool,
    draws: AtomicU64,
}

/// Which entries a purge takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    pub tenant: Option<String>,
    pub entry: Option<u64>,
    /// The name of a served model, as the catalogue has it.
    pub model: Option<String>,
    /// Made before this.
    pub before: Option<Timestamp>,
}

/// One more answer, and whose key brought it.
#[derive(Clone, Copy, Debug)]
pub struct Brought {
    pub key: u64,
    /// How many that key may bring in an hour.
    pub per_hour: u32,
}

impl Default for Answers {
    fn default() -> Self {
        Self::new(Bounds::default(), None)
    }
}

impl Answers {
    pub fn new(bounds: Bounds, folder: Option<&Path>) -> Self {
        Self {
            shelf: Mutex::new(Shelf::new(bounds)),
            quota: Mutex::default(),
            meter: CacheMeter::default(),
            folder: folder.map(Path::to_owned),
            changed: AtomicBool::new(false),
            // No two processes draw the same ids.
            draws: AtomicU64::new(getrandom::u64().unwrap_or_default()),
        }
    }

    /// An id that no other entry has.
    pub fn draw(&self) -> u64 {
        self.draws.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }

    /// The entry of the same bytes, or of the same question in another spelling.
    pub fn find(&self, key: &Key, now: Timestamp) -> Option<(Tier, u64)> {
        let mut shelf = self.shelf.lock();
        if let Some(id) = shelf.find(&key.exact, now) {
            return Some((Tier::Exact, id));
        }
        let (_, canonical) = key.asked.as_ref()?;
        shelf.find(canonical, now).map(|id| (Tier::Canonical, id))
    }

    /// The vectors of a scope; none where there is nothing to search.
    pub fn view(&self, scope: &Digest) -> Option<View> {
        self.shelf.lock().view(scope)
    }

    /// An entry, compared again: this tenant's, of this scope, alive and young enough.
    pub fn fetch(
        &self,
        id: u64,
        (tenant, scope): (&str, &Digest),
        (now, not_before): (Timestamp, Timestamp),
    ) -> Option<Entry> {
        let shelf = self.shelf.lock();
        let entry = shelf.fetch(id, tenant, scope, now);
        entry.filter(|entry| entry.created >= not_before).cloned()
    }

    /// One more entry; `false` where its key or its tenant has no room for it.
    pub fn keep(&self, entry: Entry, brought: Brought, now: Timestamp) -> bool {
        let who = (short(&entry.tenant), brought.key);
        let mut shelf = self.shelf.lock();
        let most = (brought.per_hour, shelf.own_bounds().bytes);
        let kept = self.quota.lock().take(who, entry.answer.len(), most, now)
            && shelf.keep(entry, now).is_some();
        drop(shelf);
        if kept {
            count(&self.meter.stored);
            self.changed.store(true, Ordering::Release);
        }
        kept
    }

    /// Gives an entry the vector that it is found by.
    pub fn attach(&self, id: u64, vector: Vector) {
        self.shelf.lock().attach(id, vector);
        self.changed.store(true, Ordering::Release);
    }

    /// Counts a hit: what is asked for often stays.
    pub fn hit(&self, id: u64, now: Timestamp) {
        self.shelf.lock().hit(id, now);
    }

    /// Takes entries off; how many went.
    pub fn purge(&self, purge: &Purge) -> usize {
        let gone = match purge.entry {
            // The one entry is looked at directly, whether or not it is there.
            Some(id) => {
                let mut shelf = self.shelf.lock();
                let own = shelf.get(id).is_some_and(|entry| purge.names(entry));
                usize::from(own && shelf.remove(id).is_some())
            }
            None => self.shelf.lock().purge(|entry| purge.names(entry)).len(),
        };
        if gone > 0 {
            self.meter.purged.fetch_add(gone as u64, Ordering::Relaxed);
            self.changed.store(true, Ordering::Release);
        }
        gone
    }

    pub fn fill(&self) -> Fill {
        self.shelf.lock().fill()
    }

    /// How much of it is one tenant's.
    pub fn fill_of(&self, tenant: &str) -> Fill {
        self.shelf.lock().fill_of(tenant)
    }
}

impl Purge {
    fn names(&self, entry: &Entry) -> bool {
        let model = |wanted: &str| {
            let kept = p402_core::cache::kept::Kept::unpack(&entry.answer);
            kept.is_some_and(|kept| kept.model == wanted)
        };
        self.entry.is_none_or(|id| entry.id == id)
            && self.tenant.as_deref().is_none_or(|tenant| *entry.tenant == *tenant)
            && self.before.is_none_or(|before| entry.created < before)
            && self.model.as_deref().is_none_or(model)
    }
}

/// A tenant's name as a number, for tables that keep none.
fn short(tenant: &str) -> u64 {
    let sum = ring::digest::digest(&ring::digest::SHA256, tenant.as_bytes());
    sum.as_ref().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}
