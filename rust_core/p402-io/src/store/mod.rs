//! Decides nothing: the seam behind which a tenant's account is kept, in memory or in Redis.
//! Does not know what happens when the home is away: gateway.rs holds that one policy.

pub mod answers;
pub mod attic;
pub mod memory;
pub mod redis;
pub mod usual;

use p402_core::guard::{Limits, Op, Reply};
use p402_core::id::RequestId;
use p402_core::ledger::Balance;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Whose account is asked, and by which limits it answers.
#[derive(Clone, Copy, Debug)]
pub struct Tenant<'a> {
    pub id: &'a str,
    pub limits: &'a Limits,
}

/// What a former life of this node left behind of one tenant.
#[derive(Clone, Debug)]
pub struct Former {
    pub tenant: Arc<str>,
    pub limits: Limits,
    /// Requests that were open, and what the ledger ended them at.
    pub ended: Vec<(RequestId, Usd)>,
    /// Its first row of that life's last moments.
    pub recent: Option<Timestamp>,
}

/// An account's version, and what it counts too much (or too little).
pub type Difference = Promised<Option<(i64, Usd)>>;

/// An answer of the home's background, under way.
pub type Promised<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a node has left of what it saw of a tenant's spending: which node, and its snapshot.
pub type Left = (u32, Vec<u8>);

/// What came of one trip.
pub type Answer = Result<Reply, StoreError>;

/// One trip to the account: made on the spot, or under way. It owns all it needs, so a request
/// that is dropped can leave its settlement to a task of its own.
#[must_use = "a trip that nobody waits for may not be made"]
pub enum Trip {
    Made(Answer),
    Underway(Promised<Answer>),
}

/// Why a home gave no answer. The account may or may not have been asked: every operation may be
/// asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The deadline of the trip has passed.
    Late,
    /// Not reachable, or known to be failing.
    Away,
    /// It answered, but not in a way that can be believed.
    Broken,
    /// It has lost the account, and the ledger has not given it back in time.
    Unseeded,
}

/// How a home fares. What it cannot know is absent; counts are since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// It is not asked at present.
    pub is_away: bool,
    pub breaker_opened: u64,
    /// Accounts it had lost.
    pub cold: u64,
    pub recoveries: u64,
    /// Nodes that did not answer a recovery.
    pub missing_nodes: u64,
    /// Claims that may have been admitted unheard, and were released.
    pub ghosts_released: u64,
    /// Settlements there was no room to keep.
    pub owed_dropped: u64,
    /// Holds whose lease has lapsed and whose outcome is unknown, and their nano-dollars.
    pub suspense: Option<(u64, i64)>,
}

/// A home of accounts. Time comes in: no home reads a clock of this host to decide with. Each
/// operation is the core's own (`Account::apply`), so that no home can have verbs of its own.
pub trait Store: Send + Sync {
    /// One operation on one account, within the home's own deadline.
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Trip;

    /// Starts what the home does beside its calls, on the runtime that will make them.
    fn begin(&self) {}

    /// Settles what a former life of this node still holds; `false` where the home did not answer
    /// and has to be asked again.
    fn take_up(&self, _former: Former) -> Promised<bool> {
        Box::pin(std::future::ready(true))
    }

    /// By how much an account that rests counts other than these days of the ledger do, and at
    /// which version; `None` where it agrees, does not rest or is not there.
    fn differs(&self, _tenant: &Tenant<'_>, _days: Vec<Balance>) -> Difference {
        Box::pin(std::future::ready(None))
    }

    /// The account does not know a request that the ledger knows: it is read anew, soon.
    fn doubt(&self, _tenant: &Tenant<'_>) {}

    /// A row has corrected what a day counted; the account follows.
    fn correct(&self, tenant: &Tenant<'_>, (day, more): (Day, Usd), now: Timestamp) {
        let adjust = Op::Adjust { day, nano: more.nano() };
        drop(self.call(tenant, adjust, now));
    }

    /// Whether this node is known to be alive.
    fn hears(&self, _node: u32) -> bool {
        true
    }

    /// Gives back what this node has leased, and says what it still owes.
    fn leave(&self) -> Promised<()> {
        Box::pin(std::future::ready(()))
    }

    /// Live nodes that share the accounts: while the home is away, each takes its part.
    fn nodes(&self) -> u32 {
        1
    }

    /// The home is away: what this request holds inside the slice, leased while it answered, grows
    /// *to* `amount` (asking twice is asking once).
    fn draw(&self, _tenant: &Tenant<'_>, _rid: RequestId, _amount: Usd, _now: Timestamp) -> bool {
        false
    }

    /// A request that was drawn from the slice has ended at `actual`; saying it twice is saying it
    /// once.
    fn redeem(&self, _tenant: &Tenant<'_>, _rid: RequestId, _actual: Usd, _now: Timestamp) {}

    /// How the home fares, for whoever watches over it.
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }

    /// What this node left of a tenant when it was last here; `None` where the home did not answer.
    fn recall(&self, _tenant: &str) -> Promised<Option<Option<Vec<u8>>>> {
        Box::pin(std::future::ready(Some(None)))
    }

    /// Leaves what this node has seen of a tenant, if there is something new, and brings what the
    /// other nodes have left; `None` where the home did not answer.
    fn pool(
        &self,
        _tenant: &str,
        _told: Option<Vec<u8>>,
        _now: Timestamp,
    ) -> Promised<Option<Vec<Left>>> {
        Box::pin(std::future::ready(Some(Vec::new())))
    }

    /// Takes what a node has left that is gone; whether this one did, and not another.
    fn inherit(&self, _tenant: &str, _node: u32) -> Promised<bool> {
        Box::pin(std::future::ready(false))
    }

    /// Read as soon as a claim is admitted and again once its dispatch is journalled: where it has
    /// changed, the account was recovered in between without this reservation, which is void.
    fn generation(&self, _tenant: &Tenant<'_>) -> u64 {
        0
    }
}

impl Trip {
    pub async fn answer(self) -> Answer {
        match self {
            Self::Made(answer) => answer,
            Self::Underway(trip) => trip.await,
        }
    }
}

impl StoreError {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Away => "away",
            Self::Broken => "broken",
            Self::Unseeded => "unseeded",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for StoreError {}
