//! Remembers which idempotency keys are in use, so that one request is not sent twice at once.
//! Does not replay answers and does not outlive the process: the account and the ledger do.

use p402_core::id::RequestId;
use p402_core::time::Ticks;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Keys remembered on one node; the oldest go first.
pub const RIDS_MAX: usize = 100_000;
/// A key is remembered for a day.
const KEPT_MS: u64 = 24 * 3_600_000;

/// The node's memory of idempotency keys.
#[derive(Debug, Default)]
pub struct Rids {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: HashMap<u128, Entry>,
    order: VecDeque<(u128, Ticks)>,
}

#[derive(Debug)]
struct Entry {
    /// Hash of the body that the key was first used with.
    body: u64,
    rid: RequestId,
    open: bool,
}

/// What a key says of a request.
#[derive(Debug)]
pub enum Seen {
    /// Not used before (on this node, within a day).
    New,
    /// Used before, and that request has ended: this one is another.
    Again,
    InFlight(RequestId),
    OtherBody(RequestId),
}

/// The request that a key names is in flight while this lives.
#[derive(Debug)]
pub struct InUse {
    rids: Arc<Rids>,
    key: u128,
}

impl Rids {
    /// The key was used on this node within a day.
    pub fn knows(&self, key: u128) -> bool {
        self.known.lock().keys.contains_key(&key)
    }

    /// Looks a key up and, unless another request has it, takes it for `rid`.
    pub fn take(
        self: &Arc<Self>,
        key: u128,
        (body, rid): (u64, RequestId),
        now: Ticks,
    ) -> (Seen, Option<InUse>) {
        let mut known = self.known.lock();
        known.forget(now);
        let seen = match known.keys.get(&key) {
            None => Seen::New,
            Some(entry) if entry.body != body => return (Seen::OtherBody(entry.rid), None),
            Some(entry) if entry.open => return (Seen::InFlight(entry.rid), None),
            Some(_) => Seen::Again,
        };
        if known.keys.insert(key, Entry { body, rid, open: true }).is_none() {
            known.order.push_back((key, now));
        }
        (seen, Some(InUse { rids: Arc::clone(self), key }))
    }
}

impl Known {
    fn forget(&mut self, now: Ticks) {
        while let Some((key, since)) = self.order.front().copied() {
            if now < since.plus_ms(KEPT_MS) && self.order.len() < RIDS_MAX {
                return;
            }
            self.order.pop_front();
            if self.keys.get(&key).is_some_and(|entry| entry.open) {
                // In flight for longer than anybody remembers. Fewer are than fit in here.
                self.order.push_back((key, now));
            } else {
                self.keys.remove(&key);
            }
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(entry) = self.rids.known.lock().keys.get_mut(&self.key) {
            entry.open = false;
        }
    }
}
