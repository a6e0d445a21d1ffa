//! Decides what becomes of a record whose owner does not work on it: the ledger tells, or time.
//! Does not look for such records and writes no row.

use super::limits::Limits;
use super::state::Record;
use crate::money::Usd;
use crate::time::Timestamp;

/// What the shared ledger tells of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// No row: it was never sent.
    Nothing,
    Open,
    /// It has ended, at this cost in all.
    Ended(Usd),
}

/// A process that looks at the records of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heir {
    pub owner: u32,
    /// What bears its owner's number and was leased before this is of its former life.
    pub since: Timestamp,
    pub now: Timestamp,
    /// It looks again after this long.
    pub every_ms: i64,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It stays held. What was sent and has not ended counts as spent once its time is over; the
    /// account sees to that alone.
    Leave,
    Settle(Usd),
    /// What was drawn from a slice stands in the ledger, request by request: the account is read
    /// anew from there.
    Reread,
}

/// Operations between two replies that one node sees; an account that was seeded meanwhile is
/// further on, since a seed's version is the instant of its reading in microseconds.
const OPERATIONS_MAX: i64 = 50_000;

/// Whether an account was seeded between two of its versions.
pub const fn is_reseeded(before: i64, after: i64) -> bool {
    after - before > OPERATIONS_MAX
}

impl Heir {
    /// Whether the ledger has to be asked about a record: its owner's former life left it, or
    /// nobody has renewed it for a money lease.
    pub fn doubts(&self, record: &Record, limits: &Limits) -> bool {
        self.is_former(record, limits) || record.is_suspended()
    }

    /// What becomes of a doubtful record.
    pub fn rest(&self, record: &Record, told: Told, limits: &Limits) -> Rest {
        let former = self.is_former(record, limits);
        match told {
            _ if record.is_slice() && former => Rest::Reread,
            Told::Ended(_) if record.is_slice() => Rest::Reread,
            Told::Ended(cost) => Rest::Settle(cost),
            Told::Nothing if former || self.is_last_look(record) => Rest::Settle(Usd::ZERO),
            Told::Nothing | Told::Open => Rest::Leave,
        }
    }

    fn is_former(&self, record: &Record, limits: &Limits) -> bool {
        let suspense_ms = if record.is_suspended() { limits.suspense_ms } else { 0 };
        let leased_ms = record.money_expiry_ms - suspense_ms - limits.hold_lease_ms;
        record.node() == self.owner && leased_ms < self.since.millis()
    }

    /// Its money lease has ended, and nobody has asked the account since.
    pub const fn is_overdue(&self, record: &Record) -> bool {
        !record.is_suspended() && record.money_expiry_ms <= self.now.millis()
    }

    /// The account would count it as spent before this process looks again. One that is not
    /// suspended yet may still be renewed, unseen.
    fn is_last_look(&self, record: &Record) -> bool {
        let left_ms = record.money_expiry_ms - self.now.millis();
        record.is_suspended() && left_ms <= 2 * self.every_ms
    }
}
