//! Remembers, for an hour, the thoughts that led to a tool call: many clients send the call back
//! without them. Does not know any language, and is no store: a restart forgets.

use p402_core::dialect::{Kept, Recall};
use p402_core::time::{Now, Ticks};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Calls that are remembered.
pub const CALLS_MAX: usize = 100_000;
/// Bytes of all thoughts together.
pub const BYTES_MAX: usize = 64 << 20;
const LIFE_US: u64 = 3_600_000_000;

/// Whose call it was, and its id.
type Key = (Arc<str>, Arc<str>);

/// Thoughts by tenant and call, the oldest forgotten first.
#[derive(Debug, Default)]
pub struct Thoughts(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    by_call: HashMap<Key, (Arc<str>, Ticks)>,
    /// In order of age, and so of expiry.
    ages: VecDeque<(Key, Ticks)>,
    bytes: usize,
}

/// One tenant's memory at one instant.
#[derive(Debug)]
pub struct Memory<'a> {
    pub thoughts: &'a Thoughts,
    pub tenant: &'a Arc<str>,
    pub now: Now,
}

impl Thoughts {
    /// Remembers what an answer's calls came from.
    pub fn keep(&self, tenant: &Arc<str>, kept: &Kept, now: Now) {
        let thoughts: Arc<str> = kept.thoughts.as_str().into();
        let mut shelf = self.0.lock();
        for id in &kept.call_ids {
            let key = (Arc::clone(tenant), Arc::from(id.as_str()));
            shelf.put(key, Arc::clone(&thoughts), now.ticks);
        }
        shelf.forget(now.ticks);
    }

    /// How many calls are remembered.
    pub fn len(&self) -> usize {
        self.0.lock().by_call.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shelf {
    fn put(&mut self, key: Key, thoughts: Arc<str>, now: Ticks) {
        self.bytes += thoughts.len();
        let before = self.by_call.insert(key.clone(), (thoughts, now));
        self.bytes -= before.map_or(0, |(thoughts, _)| thoughts.len());
        self.ages.push_back((key, now));
    }

    /// Forgets what is past its hour or beyond the bounds.
    fn forget(&mut self, now: Ticks) {
        while let Some((key, kept)) = self.ages.front() {
            let over = self.ages.len() > CALLS_MAX || self.bytes > BYTES_MAX;
            if !over && now.since(*kept) < LIFE_US {
                break;
            }
            // A call that was kept again since has a younger age behind this one.
            if self.by_call.get(key).is_some_and(|(_, since)| since == kept) {
                let gone = self.by_call.remove(key);
                self.bytes -= gone.map_or(0, |(thoughts, _)| thoughts.len());
            }
            self.ages.pop_front();
        }
    }
}

impl Recall for Memory<'_> {
    fn thoughts(&self, call_id: &str) -> Option<Arc<str>> {
        let key = (Arc::clone(self.tenant), Arc::from(call_id));
        let shelf = self.thoughts.0.lock();
        let (thoughts, kept) = shelf.by_call.get(&key)?;
        (self.now.ticks.since(*kept) < LIFE_US).then(|| Arc::clone(thoughts))
    }
}
