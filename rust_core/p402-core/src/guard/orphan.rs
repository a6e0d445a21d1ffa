//! Decides what becomes of a record whose owner does not work on it: the ledger tells, time ends it.
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

impl Heir {
    /// Whether the ledger has to be asked about a record: its owner's former life left it, or
    /// nobody has renewed it for a money lease.
    pub fn doubts(&self, record: &Record, limits: &Limits) -> bool {
        self.is_former(record, limits) || record.is_suspended()
    }

    /// What becomes of a doubtful record.
    pub fn rest(&self, record: &Record, told: Told, limits: &Limits) -> Rest {
        let over = self.is_former(record, limits) || self.is_last_look(record);
        match told {
            _ if record.is_slice() && over => Rest::Reread,
            Told::Ended(cost) if !record.is_slice() => Rest::Settle(cost),
            Told::Nothing if over => Rest::Settle(Usd::ZERO),
            _ => Rest::Leave,
        }
    }

    fn is_former(&self, record: &Record, limits: &Limits) -> bool {
        let suspense_ms = if record.is_suspended() { limits.suspense_ms } else { 0 };
        let leased_ms = record.money_expiry_ms - suspense_ms - limits.hold_lease_ms;
        record.node() == self.owner && leased_ms < self.since.millis()
    }

    /// The account would count it as spent before this process looks again.
    fn is_last_look(&self, record: &Record) -> bool {
        record.is_suspended() && record.money_expiry_ms - self.now.millis() <= 2 * self.every_ms
    }
}
