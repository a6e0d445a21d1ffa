//! Keeps accounts in this process, behind sharded locks that are held for arithmetic only.
//! Does not survive the process: at start an account's past comes from the ledger.

use super::{Store, Tenant, Trip};
use p402_core::guard::{Account, Op, Reply, Seed};
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Locks that tenants are spread over.
const SHARDS: usize = 64;
/// Accounts that were never anywhere else have no epoch to tell apart.
pub const EPOCH: i64 = 0;

type Shard = Mutex<HashMap<Box<str>, Account>>;

/// The embedded home.
pub struct Memory {
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

impl Default for Memory {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::new() }
    }
}

impl Memory {
    /// One operation, at once.
    pub fn apply(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Reply {
        let mut accounts = self.shard(tenant.id).lock();
        if let Some(account) = accounts.get_mut(tenant.id) {
            return account.apply(op, tenant.limits, now);
        }
        let mut account = Account::new(EPOCH, tenant.limits, now);
        let reply = account.apply(op, tenant.limits, now);
        accounts.insert(tenant.id.into(), account);
        reply
    }

    /// Gives a tenant a past, unless it has one here.
    pub fn seed(&self, tenant: &Tenant<'_>, seed: &Seed, now: Timestamp) {
        let mut accounts = self.shard(tenant.id).lock();
        if !accounts.contains_key(tenant.id) {
            accounts.insert(tenant.id.into(), Account::seeded(seed, tenant.limits, now));
        }
    }

    /// Forgets every account without an open request.
    pub fn forget_idle(&self) {
        for shard in &self.shards {
            shard.lock().retain(|_, account| !account.records().is_empty());
        }
    }

    fn shard(&self, tenant: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(tenant) as usize % SHARDS]
    }
}

impl Store for Memory {
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Trip {
        Trip::Made(Ok(self.apply(tenant, op, now)))
    }
}
