//! Decides nothing: the seam behind which a tenant's account is kept, in memory or in Redis.
//! Does not know what happens when the home is away: gateway.rs holds that one policy.

pub mod attic;
pub mod memory;

use p402_core::guard::{Limits, Op, Reply};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use std::fmt;
use std::pin::Pin;

/// Whose account is asked, and by which limits it answers.
#[derive(Clone, Copy, Debug)]
pub struct Tenant<'a> {
    pub id: &'a str,
    pub limits: &'a Limits,
}

/// What came of one trip.
pub type Answer = Result<Reply, StoreError>;

/// One trip to the account: made on the spot, or under way. It owns all it needs, so a request
/// that is dropped can leave its settlement to a task of its own.
#[must_use = "a trip that nobody waits for may not be made"]
pub enum Trip {
    Made(Answer),
    Underway(Pin<Box<dyn Future<Output = Answer> + Send>>),
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

/// A home of accounts. Time comes in: no home reads a clock of this host to decide with. Each
/// operation is the core's own (`Account::apply`), so that no home can have verbs of its own.
pub trait Store: Send + Sync {
    /// One operation on one account, within the home's own deadline.
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Trip;

    /// Live nodes that share the accounts: while the home is away, each takes its part.
    fn nodes(&self) -> u32 {
        1
    }

    /// The home is away: holds `claim` inside the slice that was leased while it answered.
    fn draw(&self, _tenant: &Tenant<'_>, _claim: Usd, _now: Timestamp) -> bool {
        false
    }

    /// A request that was drawn from the slice has ended at `actual`.
    fn redeem(&self, _tenant: &Tenant<'_>, _claim: Usd, _actual: Usd, _now: Timestamp) {}
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
