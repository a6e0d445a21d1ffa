//! Decides what an account consists of and what makes one: balances, records, a seed.
//! Does not decide on requests (account.rs) or on the passing of time (expiry.rs).

use super::limits::Limits;
use super::{AMOUNT_MAX, Claim, INSTANT_MAX, Kind, NODES_MAX};
use crate::id::RequestId;
use crate::money::Usd;
use crate::time::{Day, Timestamp};

/// Open requests of one tenant, slices and suspended holds included.
pub const RECORDS_MAX: usize = 1_024;
/// No lease ends: the next expiry of an account without records.
pub(super) const NEVER_MS: i64 = AMOUNT_MAX;
/// Marks in a record's owner.
const SLICE: u32 = 1 << 31;
const SUSPENDED: u32 = 1 << 30;

/// The balances of one tenant; amounts in nano-dollars, days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub epoch: i64,
    pub version: i64,
    pub tat_us: i64,
    pub day: i64,
    pub day_spent: i64,
    pub day_held: i64,
    pub prev_day: i64,
    pub prev_spent: i64,
    pub prev_held: i64,
    /// Spending of earlier days does not touch `budget_spent`.
    pub budget_from_day: i64,
    pub budget_spent: i64,
    pub held: i64,
    /// The part of `held` whose owners have not been heard of for a money lease.
    pub suspense: i64,
    /// No lease ends before this instant: until then nobody looks.
    pub next_expiry_ms: i64,
    pub in_flight: i64,
}

/// One open request: two leases and a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub rid: RequestId,
    /// 0: no slot (lapsed, or never one).
    pub slot_expiry_ms: i64,
    /// Of a suspended hold: when it is settled at its amount.
    pub money_expiry_ms: i64,
    pub amount: i64,
    /// The day it was admitted on, and is booked on wherever it settles.
    pub day: u32,
    /// The node, under two marks.
    pub owner: u32,
}

/// The state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub(super) header: Header,
    pub(super) records: Vec<Record>,
}

/// What a ledger knows of a tenant: an account is seeded from it, never from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    pub epoch: i64,
    /// The greatest version and arrival time any node has seen.
    pub version: i64,
    pub tat_us: i64,
    pub day: Day,
    pub day_spent: Usd,
    /// Spending of the day before `day`.
    pub prev_spent: Usd,
    /// Spending since the budget's period began.
    pub budget_spent: Usd,
    /// Dispatched and not settled.
    pub open: Vec<Open>,
}

/// A hold found in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub rid: RequestId,
    pub amount: Usd,
    pub day: Day,
    pub owner: u32,
    pub slice: bool,
}

impl Record {
    pub const fn is_slice(&self) -> bool {
        self.owner & SLICE != 0
    }
    pub const fn is_suspended(&self) -> bool {
        self.owner & SUSPENDED != 0
    }
    pub const fn node(&self) -> u32 {
        self.owner & (NODES_MAX - 1)
    }
    pub(super) fn suspend(&mut self) {
        self.owner |= SUSPENDED;
    }
    pub(super) fn resume(&mut self) {
        self.owner &= !SUSPENDED;
    }
}

/// An amount that may be held; anything else fits nowhere.
pub(super) fn bounded(amount: Usd) -> i64 {
    if (0..=AMOUNT_MAX).contains(&amount.nano()) { amount.nano() } else { AMOUNT_MAX + 1 }
}

/// An amount that has been spent: never negative, never more than can be counted.
pub(super) fn counted(amount: Usd) -> i64 {
    amount.nano().clamp(0, AMOUNT_MAX)
}

/// An instant the arithmetic of leases and rates cannot overflow on.
pub(super) fn within(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.micros().clamp(0, INSTANT_MAX))
}

impl Account {
    /// An account of which the ledger knows nothing: the tenant is new.
    pub fn new(epoch: i64, limits: &Limits, now: Timestamp) -> Self {
        let today = within(now).utc_day();
        let day = i64::from(today.days());
        let header = Header {
            epoch,
            version: 0,
            tat_us: 0,
            day,
            day_spent: 0,
            day_held: 0,
            prev_day: (day - 1).max(0),
            prev_spent: 0,
            prev_held: 0,
            budget_from_day: i64::from(limits.period.from(today).days()),
            budget_spent: 0,
            held: 0,
            suspense: 0,
            next_expiry_ms: NEVER_MS,
            in_flight: 0,
        };
        Self { header, records: Vec::new() }
    }

    /// What the ledger says, as an account: open dispatches are held, with both leases anew. Its
    /// version is above every one seen before, and above what another seeding could have written.
    pub fn seeded(seed: &Seed, limits: &Limits, now: Timestamp) -> Self {
        let now = within(now);
        let mut account = Self::new(seed.epoch, limits, seed.day.start());
        let header = &mut account.header;
        header.version = seed.version.clamp(0, INSTANT_MAX).max(now.micros()) + 1;
        header.tat_us = seed.tat_us.clamp(0, INSTANT_MAX);
        header.day_spent = counted(seed.day_spent);
        header.prev_spent = counted(seed.prev_spent);
        header.budget_spent = counted(seed.budget_spent);
        for open in &seed.open {
            let amount = Usd::from_nano(counted(open.amount));
            let kind = if open.slice { Kind::Slice } else { Kind::Request };
            let claim = Claim { rid: open.rid, amount, owner: open.owner, kind };
            let day = i64::from(open.day.days().max(0));
            let countable = account.header.held <= AMOUNT_MAX - amount.nano();
            if countable && account.records.len() < RECORDS_MAX {
                account.keep(&claim, day, now, limits);
            } else {
                // More than can be kept: spent, until the ledger knows better.
                account.header.book(day, amount.nano());
            }
        }
        account
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn find(&self, rid: RequestId) -> Option<usize> {
        self.records.iter().position(|record| record.rid == rid)
    }

    /// Records an admitted claim: the hold, the money lease and, but for a slice, a slot.
    pub(super) fn keep(&mut self, claim: &Claim, day: i64, now: Timestamp, limits: &Limits) {
        let (nano, is_slice) = (bounded(claim.amount), claim.kind == Kind::Slice);
        let mut record = Record {
            rid: claim.rid,
            slot_expiry_ms: 0,
            money_expiry_ms: 0,
            amount: nano,
            day: day as u32,
            owner: (claim.owner % NODES_MAX) | if is_slice { SLICE } else { 0 },
        };
        record.lease(now.millis(), limits);
        self.header.in_flight += i64::from(!is_slice);
        self.header.look_at(&record);
        self.header.hold(day, nano);
        self.records.push(record);
    }

    /// Takes a record out: its hold and its slot are free again.
    pub(super) fn close(&mut self, at: usize) -> Record {
        // In order: the stored form of an account depends on nothing but its history.
        let record = self.records.remove(at);
        self.header.let_go(&record);
        record
    }

    /// Slices whose owners are alive and may be called in.
    pub(super) fn callable(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.is_slice() && !record.is_suspended())
    }
}

impl Header {
    /// Forgets the hold and the slot of a record that is leaving.
    pub(super) fn let_go(&mut self, record: &Record) {
        self.hold(i64::from(record.day), -record.amount);
        self.in_flight -= i64::from(record.has_slot());
        if record.is_suspended() {
            self.suspense -= record.amount;
        }
    }
}
