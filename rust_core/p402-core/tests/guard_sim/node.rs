//! Decides what one gateway remembers: its open requests, its journal, its slices, its debts.
//! Does not act; world.rs moves it.

use crate::ledger::Journal;
use crate::world::TENANTS;
use p402_core::guard::{Slice, is_reseeded};
use p402_core::id::RequestId;
use p402_core::money::Usd;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be admitted (again): its reservation was voided.
    Wanted,
    /// Admitted, not dispatched.
    Held { since: i64 },
    /// Dispatched: the provider bills.
    Running { ends: i64 },
}

#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub rid: u128,
    pub tenant: usize,
    pub claim: i64,
    pub actual: i64,
    pub state: State,
    pub day: i64,
    pub version: i64,
    pub seq: u64,
    /// Drawn from the node's slice.
    pub slice: Option<u128>,
}

/// A settlement the store has not acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Debt {
    pub tenant: usize,
    pub rid: u128,
    pub actual: i64,
    pub version: i64,
    pub seq: u64,
    /// Whose record it is.
    pub owner: u32,
    /// Of the account, when it was noted: a later one was read with its row.
    pub generation: u64,
    /// It may have been heard: then it is no surprise that the store does not know the request.
    pub heard: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Leased {
    pub slice: Slice,
    /// Journalled, flushed, and renewed once after that.
    pub usable: bool,
    /// The store is back: nothing more is drawn.
    pub returning: bool,
}

impl Leased {
    pub fn is_touched(&self) -> bool {
        self.slice.spent() != Usd::ZERO || self.slice.held() != Usd::ZERO
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub version: i64,
    pub tat_us: i64,
    /// Rises with every recovery that this node takes part in.
    pub generation: u64,
    /// One of those has not shown in a version yet.
    pub expects_seed: bool,
}

/// A request that was settled at its hold after a crash.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub tenant: usize,
    pub rid: u128,
    pub day: i64,
}

#[derive(Default)]
pub struct Node {
    /// Marks its holds; kept in its data directory, as the journal is.
    pub owner: u32,
    pub dead_until: Option<i64>,
    /// When this life began.
    pub since: i64,
    pub frozen_until: i64,
    pub cut_until: i64,
    /// The store did not answer: the node is on its own until a probe succeeds.
    pub away: bool,
    pub open: Vec<Request>,
    pub debts: Vec<Debt>,
    pub seen: [Seen; TENANTS],
    pub slices: [Option<Leased>; TENANTS],
    pub journal: Journal,
    pub next_renew: i64,
    /// Requests settled at their holds whose truth is still to come.
    pub estimated: Vec<Estimate>,
    /// Accounts that do not know what the ledger knows.
    pub doubted: [bool; TENANTS],
    /// Tenants of whom a former life may still hold something.
    pub former: [bool; TENANTS],
    /// The first row of each tenant in a former life's last moments.
    pub recent: [Option<i64>; TENANTS],
    pub next_beat: i64,
    pub next_look: i64,
}

impl Node {
    pub fn runs(&self, now: i64) -> bool {
        self.dead_until.is_none() && self.frozen_until <= now
    }

    /// What kill −9 leaves: the journal.
    pub fn crash(&mut self, until: i64) {
        let journal = std::mem::take(&mut self.journal);
        let owner = self.owner;
        *self = Self { journal, owner, dead_until: Some(until), ..Self::default() };
    }

    /// A settlement is to be said.
    pub fn owe(&mut self, tenant: usize, rid: u128, actual: i64) {
        let (version, seq, owner, heard) = (i64::MAX, 0, self.owner, false);
        let generation = self.seen[tenant].generation;
        let debt = Debt { tenant, rid, actual, version, seq, owner, generation, heard };
        self.debts.push(debt);
    }

    /// The same for a record of another's, or of a former life.
    pub fn owe_for(&mut self, owner: u32, tenant: usize, rid: RequestId, actual: Usd) {
        self.owe(tenant, rid.bits(), actual.nano());
        if let Some(debt) = self.debts.last_mut() {
            debt.owner = owner;
        }
    }

    /// An answer has come; replies come in order here.
    pub fn note(&mut self, tenant: usize, version: i64, tat_us: i64) {
        let seen = &mut self.seen[tenant];
        if seen.version > 0 && is_reseeded(seen.version, version) {
            self.doubted[tenant] |= !std::mem::take(&mut seen.expects_seed);
        }
        seen.version = seen.version.max(version);
        seen.tat_us = seen.tat_us.max(tat_us);
    }

    /// A recovery begins that this node takes part in.
    pub fn bar(&mut self, tenant: usize) {
        self.seen[tenant].generation += 1;
        self.seen[tenant].expects_seed = true;
        // What is in the ledger by now will be in the account.
        self.doubted[tenant] = false;
    }

    /// Takes the slice's draws over as requests of their own.
    pub fn convert_draws(&mut self, slice: u128) {
        for request in &mut self.open {
            if request.slice == Some(slice) {
                request.slice = None;
            }
        }
    }
}
