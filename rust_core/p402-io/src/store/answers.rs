//! Keeps answers where this node finds them: its shelf, and the snapshot that outlives a restart.
//! Does not decide what is kept or served (core's cache/), and a fault of it is never an error.

mod packed;
mod record;
mod snapshot;
mod tail;

pub use record::Record;
pub use tail::Now;

use super::StoreError;
use crate::meter::{CacheMeter, count};
use p402_core::cache::index::View;
use p402_core::cache::key::{Digest, Key};
use p402_core::cache::policy::Unstored;
use p402_core::cache::quota::Quota;
use p402_core::cache::shelf::{Bounds, Entry, Fill, Shelf};
use p402_core::cache::similarity::Vector;
use p402_core::cache::verdict::Tier;
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Questions that feedback told apart, one pair a line.
const PAIRS: &str = "cache.pairs.jsonl";
const PAIRS_BYTES_MAX: u64 = 64 << 20;

/// The answers that this node can serve.
#[derive(Debug)]
pub struct Answers {
    shelf: Mutex<Shelf>,
    quota: Mutex<Quota>,
    pub meter: CacheMeter,
    /// Where the snapshot lies; none: what is kept ends with the process.
    folder: Option<PathBuf>,
    /// Where all nodes keep their answers; none: they are this node's, on its shelf.
    record: Option<Arc<Record>>,
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
            record: None,
            changed: AtomicBool::new(false),
            // No two processes draw the same ids.
            draws: AtomicU64::new(getrandom::u64().unwrap_or_default()),
        }
    }

    /// The same, with answers where all nodes find them: the shelf holds what finds them.
    #[must_use]
    pub fn recorded(self, record: Record) -> Self {
        Self { record: Some(Arc::new(record)), folder: None, ..self }
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

    /// The same of one tenant's, while this node has not heard yet of all that others keep: asked
    /// of their home. Nothing where it has, or where that home does not answer.
    pub async fn recall(&self, tenant: &str, key: &Key) -> Option<(Tier, u64)> {
        let record = self.record.as_ref().filter(|record| record.is_behind())?;
        let canonical = key.asked.as_ref().map_or(&key.exact, |(_, canonical)| canonical);
        let found = record.named(tenant, [&key.exact, canonical]).await.ok()?;
        let tiers = [Tier::Exact, Tier::Canonical].into_iter();
        tiers.zip(found).find_map(|(tier, id)| Some((tier, id?)))
    }

    /// The vectors of a scope; none where there is nothing to search.
    pub fn view(&self, scope: &Digest) -> Option<View> {
        self.shelf.lock().view(scope)
    }

    /// The entries that are still what the shelf says of them: this tenant's, of this scope, alive
    /// and young enough. Any other is taken off the shelf.
    ///
    /// # Errors
    /// Their home does not answer in time.
    pub async fn fetch(
        &self,
        ids: &[u64],
        (tenant, scope): (&str, &Digest),
        (now, not_before): (Timestamp, Timestamp),
    ) -> Result<Vec<Entry>, StoreError> {
        let Some(record) = &self.record else {
            let shelf = self.shelf.lock();
            let found = ids.iter().filter_map(|id| shelf.fetch(*id, tenant, scope, now));
            return Ok(found.filter(|entry| entry.created >= not_before).cloned().collect());
        };
        let found = record.fetch(tenant, ids).await?;
        let mut whole = Vec::with_capacity(found.len());
        for (id, entry) in ids.iter().zip(found) {
            let own = |entry: &Entry| {
                entry.id == *id
                    && *entry.tenant == *tenant
                    && entry.scope == *scope
                    && entry.expires > now
            };
            match entry.filter(own) {
                Some(entry) if entry.created >= not_before => whole.push(entry),
                Some(_) => {}
                None => self.repair(*id, (tenant, scope)),
            }
        }
        Ok(whole)
    }

    /// The shelf was wrong of an entry: it is not what this tenant and scope were told.
    fn repair(&self, id: u64, (tenant, scope): (&str, &Digest)) {
        let mut shelf = self.shelf.lock();
        let told = |entry: &Entry| *entry.tenant == *tenant && entry.scope == *scope;
        if shelf.get(id).is_some_and(told) && shelf.remove(id).is_some() {
            count(&self.meter.repaired);
        }
    }

    /// One more entry.
    ///
    /// # Errors
    /// Its key or its tenant has no room for it, or its home does not take it.
    pub async fn keep(
        &self,
        entry: &Entry,
        brought: Brought,
        now: Timestamp,
    ) -> Result<(), Unstored> {
        let who = (short(&entry.tenant), brought.key);
        let most = (brought.per_hour, self.shelf.lock().own_bounds().bytes);
        if !self.quota.lock().take(who, entry.answer.len(), most, now) {
            return Err(Unstored::Quota);
        }
        let shelved = self.put(entry, now).await?;
        self.shelf.lock().keep(shelved, now).ok_or(Unstored::Quota)?;
        count(&self.meter.stored);
        self.changed.store(true, Ordering::Release);
        Ok(())
    }

    /// Gives a kept entry the vector that it is found by.
    pub async fn attach(&self, entry: &Entry, vector: Vector, now: Timestamp) {
        let found = Entry { vector: Some(Arc::new(vector.clone())), ..entry.clone() };
        if self.put(&found, now).await.is_ok() {
            self.shelf.lock().attach(entry.id, vector);
            self.changed.store(true, Ordering::Release);
        }
    }

    /// Into the home of all nodes, where there is one; what is left for the shelf.
    async fn put(&self, entry: &Entry, now: Timestamp) -> Result<Entry, Unstored> {
        match &self.record {
            None => Ok(entry.clone()),
            Some(record) => {
                record.keep(entry, now).await.map_err(|_| Unstored::Store)?;
                Ok(record::told(entry))
            }
        }
    }

    /// Counts a hit: what is asked for often stays.
    pub fn hit(&self, id: u64, now: Timestamp) {
        self.shelf.lock().hit(id, now);
    }

    /// Takes entries off, here and wherever all nodes find them; how many went.
    ///
    /// # Errors
    /// The other home has not confirmed it; this node serves them no more.
    pub async fn purge(&self, purge: &Purge) -> Result<usize, StoreError> {
        let named = self.take_off(purge);
        let gone = match &self.record {
            None => named.len(),
            Some(record) => {
                let mut whose: HashMap<&str, Vec<u64>> = HashMap::new();
                for (id, tenant) in &named {
                    whose.entry(tenant).or_default().push(*id);
                }
                // One that this node has not heard of yet may be there all the same.
                if let (Some(tenant), Some(id)) = (&purge.tenant, purge.entry) {
                    whose.insert(tenant, vec![id]);
                }
                let mut gone = 0;
                for (tenant, ids) in whose {
                    gone += record.take_out(tenant, &ids).await?;
                }
                gone
            }
        };
        if gone > 0 {
            self.meter.purged.fetch_add(gone as u64, Ordering::Relaxed);
            self.changed.store(true, Ordering::Release);
        }
        Ok(gone)
    }

    /// Takes entries off the shelf; which, and whose they were.
    fn take_off(&self, purge: &Purge) -> Vec<(u64, Arc<str>)> {
        let mut shelf = self.shelf.lock();
        let gone = match purge.entry {
            // The one entry is looked at directly, whether or not it is there.
            Some(id) => {
                let own = shelf.get(id).is_some_and(|entry| purge.names(entry));
                own.then(|| shelf.remove(id)).flatten().into_iter().collect()
            }
            None => shelf.purge(|entry| purge.names(entry)),
        };
        gone.iter().map(|entry| (entry.id, Arc::clone(&entry.tenant))).collect()
    }

    /// Keeps two questions that were taken for one, for whoever trains; a disk that does not take
    /// them is no reason to refuse anything.
    pub fn note_wrong(&self, asked: &str, kept: &str) {
        let Some(folder) = &self.folder else { return };
        let pair = serde_json::json!({
            "a": asked, "b": kept, "should_hit": false, "kind": "feedback",
        });
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(folder.join(PAIRS));
        let noted = file.and_then(|mut file| {
            if file.metadata()?.len() < PAIRS_BYTES_MAX {
                file.write_all(format!("{pair}\n").as_bytes())?;
            }
            Ok(())
        });
        drop(noted);
    }

    /// What lies on the shelf, a copy of each.
    pub fn entries(&self) -> Vec<Entry> {
        let shelf = self.shelf.lock();
        shelf.ids().into_iter().filter_map(|id| shelf.get(id).cloned()).collect()
    }

    /// How many entries each tenant has.
    pub fn tenants(&self) -> Vec<(String, usize)> {
        self.shelf.lock().tenants()
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
        self.entry.is_none_or(|id| entry.id == id)
            && self.tenant.as_deref().is_none_or(|tenant| *entry.tenant == *tenant)
            && self.before.is_none_or(|before| entry.created < before)
            && self.model.as_deref().is_none_or(|model| *entry.model == *model)
    }
}

/// A tenant's name as a number, for tables that keep none.
fn short(tenant: &str) -> u64 {
    let sum = ring::digest::digest(&ring::digest::SHA256, tenant.as_bytes());
    sum.as_ref().iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}
