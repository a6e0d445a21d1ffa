//! Keeps accounts in this process, behind sharded locks that are held for arithmetic only.
//! Does not survive the process: at start an account's past comes from the ledger.

use super::usual::Usual;
use super::{Answer, Left, Promised, Store, StoreError, Tenant, Trip, Vitals};
use p402_core::guard::{Account, Code, Limits, Op, Reply, Seed};
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Locks that tenants are spread over.
const SHARDS: usize = 64;
/// Accounts at hand in one shard; beyond, the one that has been quiet for longest is put away.
const ACCOUNTS_MAX: usize = 256;

/// Accounts that were never in a shared store have no epoch to tell apart.
pub const EPOCH: i64 = 0;

type Shard = HashMap<Box<str>, Account>;

/// Where accounts come from that are not at hand, and where they go.
pub trait Past: Send + Sync {
    /// The account of a tenant, or `None` for a new one.
    fn get(&self, tenant: &str) -> Result<Option<Account>, StoreError>;

    /// Puts an account away that nobody waits for; `false` where it must stay at hand.
    fn put(&self, tenant: &str, account: &Account) -> bool;

    /// The account again, for limits whose budget has another period: what that one has spent is
    /// not in the account.
    fn again(
        &self,
        tenant: &str,
        before: &Account,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Account, StoreError>;
}

/// The embedded home.
pub struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// Without one every tenant is new, and none is ever put away.
    past: Option<Box<dyn Past>>,
    /// What is usual for a tenant outlives the process, if anything does.
    usual: Option<Arc<Usual>>,
}

impl Default for Memory {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::new(), past: None, usual: None }
    }
}

impl Memory {
    pub fn new(past: Box<dyn Past>, usual: Usual) -> Self {
        Self { past: Some(past), usual: Some(Arc::new(usual)), ..Self::default() }
    }

    /// One operation, at once.
    pub fn apply(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Answer {
        let mut accounts = self.shard(tenant.id).lock();
        let account = match accounts.get_mut(tenant.id) {
            Some(account) => account,
            None => self.bring(&mut accounts, tenant, now)?,
        };
        let reply = account.apply(op, tenant.limits, now);
        let Some(past) = &self.past else { return Ok(reply) };
        let again = |account: &Account| past.again(tenant.id, account, tenant.limits, now);
        match (reply.code, op) {
            (Code::Recover, _) => {
                *account = again(account)?;
                Ok(account.apply(op, tenant.limits, now))
            }
            // It was let go of while its request ran, at its hold or at nothing: what it came to
            // stands in the ledger. One that does not answer is asked at the next start.
            (Code::Unknown, Op::Settle { .. }) => {
                if let Ok(read) = again(account) {
                    *account = read;
                }
                let told = account.apply(Op::Renew(&[]), tenant.limits, now);
                Ok(Reply { code: Code::Unknown, ..told })
            }
            _ => Ok(reply),
        }
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

    /// The account of a tenant that is not at hand.
    fn bring<'a>(
        &self,
        accounts: &'a mut Shard,
        tenant: &Tenant<'_>,
        now: Timestamp,
    ) -> Result<&'a mut Account, StoreError> {
        let mut found = None;
        if let Some(past) = &self.past {
            found = past.get(tenant.id)?;
            make_room(accounts, past.as_ref());
        }
        let account = found.unwrap_or_else(|| Account::new(EPOCH, tenant.limits, now));
        Ok(accounts.entry(tenant.id.into()).or_insert(account))
    }

    fn shard(&self, tenant: &str) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(tenant) as usize % SHARDS]
    }
}

/// Puts the account away whose last request is longest ago. One that cannot be put away stays.
fn make_room(accounts: &mut Shard, past: &dyn Past) {
    if accounts.len() < ACCOUNTS_MAX {
        return;
    }
    let resting = accounts.iter().filter(|(_, account)| account.records().is_empty());
    let Some((name, account)) = resting.min_by_key(|(_, account)| account.header().tat_us) else {
        return;
    };
    if past.put(name, account) {
        let name = name.clone();
        accounts.remove(&name);
    }
}

impl Store for Memory {
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Trip {
        Trip::Made(self.apply(tenant, op, now))
    }

    fn recall(&self, tenant: &str) -> Promised<Option<Option<Vec<u8>>>> {
        let (usual, tenant) = (self.usual.clone(), tenant.to_owned());
        Box::pin(async move {
            let Some(usual) = usual else { return Some(None) };
            spawn_blocking(move || usual.get(&tenant)).await.ok()?
        })
    }

    fn pool(
        &self,
        tenant: &str,
        told: Option<Vec<u8>>,
        now: Timestamp,
    ) -> Promised<Option<Vec<Left>>> {
        let (usual, tenant) = (self.usual.clone(), tenant.to_owned());
        Box::pin(async move {
            let (Some(usual), Some(told)) = (usual, told) else { return Some(Vec::new()) };
            let written = spawn_blocking(move || usual.put(&tenant, &told, now)).await;
            written.ok()?.then(Vec::new)
        })
    }

    fn vitals(&self) -> Vitals {
        let (mut count, mut nano) = (0, 0);
        for shard in &self.shards {
            for account in shard.lock().values() {
                count += account.records().iter().filter(|held| held.is_suspended()).count() as u64;
                nano += account.header().suspense;
            }
        }
        Vitals { suspense: Some((count, nano)), ..Vitals::default() }
    }
}
