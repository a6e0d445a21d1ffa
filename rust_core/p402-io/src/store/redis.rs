//! Decides when a tenant's account is asked in Redis, and what this node may do while it cannot be.
//! Does not decide on requests: the server executes the core's own machine (guard.lua).

pub mod address;
pub mod breaker;
mod fleet;
mod former;
mod home;
mod link;
mod mend;
pub mod offset;
mod owed;
mod peers;
mod recovery;
mod seats;
mod server;
mod slices;
mod usual;
pub mod wire;

use super::{Difference, Former, Left, Promised, Store, Tenant, Trip, Vitals};
use address::{Address, Tag};
use home::{Asked, Home};
use p402_core::guard::{Op, Open, Slice, Told};
use p402_core::id::RequestId;
use p402_core::ledger::Balance;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the home needs of the shared ledger; it is the truth that accounts are recovered from.
pub trait Truth: Send + Sync {
    /// Which ledger it is: nodes that share a store must share one.
    fn uuid(&self) -> String;
    /// Everything this node has journalled is in the shared ledger once this returns.
    fn flush(&self) -> Promise<'_, ()>;
    /// What was spent on `day`, on the day before and since `from`, and what is dispatched and
    /// open.
    fn read(&self, tenant: &str, day: Day, from: Day) -> Promise<'_, Balances>;
    /// A slice is leased (`true`) or over, at an instant; whether that is journalled.
    fn note_slice(&self, tenant: &str, slice: &Slice, step: (bool, Timestamp)) -> bool;
    /// What it tells of each of these requests; all that this node has journalled counts.
    fn told(&self, rids: Vec<RequestId>) -> Promise<'_, Vec<Told>>;
}

/// An answer of the ledger, under way.
pub type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unread>> + Send + 'a>>;

/// The ledger could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread;

/// A tenant as the ledger knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    pub day_spent: Usd,
    pub prev_spent: Usd,
    pub budget_spent: Usd,
    pub open: Vec<Open>,
}

/// How the home is set up.
#[derive(Clone)]
pub struct Options {
    pub address: Address,
    /// The owner of this node's claims.
    pub node: u32,
    /// One trip: connecting, writing and reading together. What is configured has a bound.
    pub deadline: Duration,
    /// How long a request waits for its account to be recovered.
    pub seed_deadline: Duration,
    /// Replicas that must have an admission before it counts.
    pub wait_replicas: u32,
    pub truth: Arc<dyn Truth>,
    /// Hears what the operator should: one line per change.
    pub tell: Tell,
}

/// Hears notices; must not block.
pub type Tell = Arc<dyn Fn(&Notice) + Send + Sync>;

/// What the operator should hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The store is away; why.
    Away(String),
    Back,
    /// A setting of the server that loses state or refuses writes.
    Setting(&'static str),
    /// The store belongs to nodes with another ledger.
    Foreign,
}

/// What has been counted since the start.
#[derive(Debug, Default)]
pub struct Counters {
    pub cold: AtomicU64,
    pub recoveries: AtomicU64,
    pub missing_nodes: AtomicU64,
    pub breaker_opened: AtomicU64,
    /// Claims that may have been admitted unheard, and were released.
    pub ghosts_released: AtomicU64,
    /// Settlements there was no room to keep.
    pub owed_dropped: AtomicU64,
    /// Holds that a former life or a node that is gone had left, and that the ledger ended.
    pub orphans_settled: AtomicU64,
    /// Accounts read anew because they did not know what the ledger knows.
    pub rereads: AtomicU64,
}

/// Accounts kept in Redis.
pub struct Redis {
    home: Arc<Home>,
}

impl Redis {
    /// # Errors
    /// A sentence, where the host has no randomness.
    pub fn new(options: Options) -> Result<Self, String> {
        Ok(Self { home: Home::new(options)? })
    }

    /// Looks whether the store is ours. One that does not answer is no error: it is away.
    ///
    /// # Errors
    /// A sentence, where the store belongs to nodes with another ledger.
    pub async fn greet(&self) -> Result<(), String> {
        self.home.beat().await;
        let foreign = self.home.foreign.load(Ordering::Relaxed);
        if foreign { Err(Notice::Foreign.to_string()) } else { Ok(()) }
    }

    pub fn counters(&self) -> &Counters {
        &self.home.counters
    }

    /// Whether any server of the store is not asked at present.
    pub fn is_away(&self) -> bool {
        self.home.fleet.all().iter().any(|server| server.is_open())
    }
}

impl Store for Redis {
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, _now: Timestamp) -> Trip {
        let asked = Asked::new(tenant, op);
        let home = self.home.clone();
        Trip::Underway(Box::pin(async move { home.trip(&asked).await }))
    }

    fn begin(&self) {
        self.home.begin();
    }

    fn take_up(&self, former: Former) -> Promised<bool> {
        let home = self.home.clone();
        Box::pin(async move { home.take_up(&former).await })
    }

    fn differs(&self, tenant: &Tenant<'_>, days: Vec<Balance>) -> Difference {
        let (home, tag) = (self.home.clone(), Tag::of(tenant.id));
        Box::pin(async move { home.differs(&tag, &days).await })
    }

    fn doubt(&self, tenant: &Tenant<'_>) {
        self.home.seats.doubt(&Tag::of(tenant.id));
    }

    fn correct(&self, tenant: &Tenant<'_>, _: (Day, Usd), _now: Timestamp) {
        // A recovery may have read the row by now or not: added to, it could be counted twice.
        self.doubt(tenant);
    }

    fn hears(&self, node: u32) -> bool {
        self.home.peers.hears(node)
    }

    fn leave(&self) -> Promised<()> {
        let home = self.home.clone();
        Box::pin(async move { home.leave().await })
    }

    fn nodes(&self) -> u32 {
        self.home.peers.nodes()
    }

    fn draw(&self, tenant: &Tenant<'_>, rid: RequestId, amount: Usd, now: Timestamp) -> bool {
        let tag = Tag::of(tenant.id);
        let now = self.home.instant(&tag).unwrap_or(now);
        self.home.seats.draw(&tag, rid, amount, now)
    }

    fn redeem(&self, tenant: &Tenant<'_>, rid: RequestId, actual: Usd, _now: Timestamp) {
        if !self.home.seats.redeem(&Tag::of(tenant.id), rid, actual) {
            // Its slice went with a lost account, which was recovered with this request as a hold.
            let settle = Op::Settle { rid, owner: self.home.node, actual };
            self.home.owe(&Asked::new(tenant, settle));
        }
    }

    fn vitals(&self) -> Vitals {
        let counters = self.counters();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Vitals {
            is_away: self.is_away(),
            breaker_opened: read(&counters.breaker_opened),
            cold: read(&counters.cold),
            recoveries: read(&counters.recoveries),
            missing_nodes: read(&counters.missing_nodes),
            ghosts_released: read(&counters.ghosts_released),
            owed_dropped: read(&counters.owed_dropped),
            // The accounts are far away: nobody reads them all for a number.
            suspense: None,
        }
    }

    fn recall(&self, tenant: &str) -> Promised<Option<Option<Vec<u8>>>> {
        let (home, tenant) = (self.home.clone(), tenant.to_owned());
        Box::pin(async move { home.recall(&tenant).await })
    }

    fn pool(
        &self,
        tenant: &str,
        told: Option<Vec<u8>>,
        _now: Timestamp,
    ) -> Promised<Option<Vec<Left>>> {
        let (home, tenant) = (self.home.clone(), tenant.to_owned());
        Box::pin(async move { home.pool(&tenant, told).await })
    }

    fn inherit(&self, tenant: &str, node: u32) -> Promised<bool> {
        let (home, tenant) = (self.home.clone(), tenant.to_owned());
        Box::pin(async move { home.inherit(&tenant, node).await })
    }

    fn generation(&self, tenant: &Tenant<'_>) -> u64 {
        self.home.seats.generation(&Tag::of(tenant.id))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => write!(f, "the store is away ({why}); the outage policy holds"),
            Self::Back => f.write_str("the store is back"),
            Self::Setting(what) => write!(f, "the store's setting {what}"),
            Self::Foreign => f.write_str(
                "the store belongs to nodes with another ledger; all nodes on one must share one",
            ),
        }
    }
}
