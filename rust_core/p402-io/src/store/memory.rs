//! Keeps accounts in this process, behind sharded locks that are held for arithmetic only.
//! Does not survive the process: at start an account's past comes from the ledger.

use super::{Answer, Store, Tenant, Trip};
use p402_core::guard::{Account, Op};
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Locks that tenants are spread over.
const SHARDS: usize = 64;
/// Accounts that were never anywhere else have no epoch to tell apart.
const EPOCH: i64 = 0;

type Shard = HashMap<Box<str>, Account>;

/// The embedded home.
pub struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

impl Default for Memory {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::new() }
    }
}

impl Memory {
    fn apply(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Answer {
        let shard = self.hasher.hash_one(tenant.id) as usize % SHARDS;
        let mut accounts = self.shards[shard].lock();
        if let Some(account) = accounts.get_mut(tenant.id) {
            return Ok(account.apply(op, tenant.limits, now));
        }
        let mut account = Account::new(EPOCH, tenant.limits, now);
        let reply = account.apply(op, tenant.limits, now);
        accounts.insert(tenant.id.into(), account);
        Ok(reply)
    }
}

impl Store for Memory {
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Trip {
        Trip::Made(self.apply(tenant, op, now))
    }
}
