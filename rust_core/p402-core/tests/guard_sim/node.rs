//! Decides what one gateway remembers: its open requests, its journal, its slices, its debts.
//! Does not act; world.rs moves it.

use crate::ledger::Journal;
use crate::world::TENANTS;
use p402_core::guard::Slice;

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
}

#[derive(Clone, Copy, Debug)]
pub struct Leased {
    pub slice: Slice,
    /// Journalled, flushed, and renewed once after that.
    pub usable: bool,
    /// The store is back: nothing more is drawn.
    pub returning: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub version: i64,
    pub tat_us: i64,
}

/// A request that was settled at its hold after a crash.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub tenant: usize,
    pub rid: u128,
    pub day: i64,
    /// The correction the ledger has and the account may not.
    pub owed: Option<i64>,
}

#[derive(Default)]
pub struct Node {
    pub dead_until: Option<i64>,
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
    /// A row that the next reading of each tenant must have seen; 0 for none.
    pub reread: [u64; TENANTS],
    /// The last seeding of each tenant that this node has looked at.
    pub seedings: [i64; TENANTS],
    /// Tenants whose records are to be compared with the journal.
    pub replay: [bool; TENANTS],
}

impl Node {
    pub fn runs(&self, now: i64) -> bool {
        self.dead_until.is_none() && self.frozen_until <= now
    }

    /// What kill −9 leaves: the journal.
    pub fn crash(&mut self, until: i64) {
        let journal = std::mem::take(&mut self.journal);
        *self = Self { journal, dead_until: Some(until), ..Self::default() };
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
