//! Decides the escrow for outages: how large a node's slice is, and what may be drawn from it.
//! Does not lease or settle it: in the account a slice is an ordinary record.

use crate::id::RequestId;
use crate::money::Usd;
use crate::time::Day;

/// All nodes together lease at most this share of what is left.
const LEASED_SHARE: i64 = 8;
/// A slice goes back when all nodes together could hold more than this share of what is left.
const PARKED_SHARE: i64 = 4;

/// What a node may spend on its own while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Names its record in the account.
    pub rid: RequestId,
    pub granted: Usd,
    /// Valid for the day it was leased on, and for no other.
    pub day: Day,
    spent: i64,
    held: i64,
}

impl Slice {
    pub const fn new(rid: RequestId, granted: Usd, day: Day) -> Self {
        Self { rid, granted, day, spent: 0, held: 0 }
    }

    /// What one of `nodes` nodes leases when `left` is left, slices not deducted.
    pub fn size(left: Usd, most: Usd, nodes: u32) -> Usd {
        let share = left.nano().max(0) / (LEASED_SHARE * i64::from(nodes.max(1)));
        Usd::from_nano(share.min(most.nano()))
    }

    /// So little is left (slices not deducted) that this slice must go back.
    pub fn is_too_large(&self, left: Usd, nodes: u32) -> bool {
        // Division instead of multiplication: nothing here can overflow.
        left.nano().max(0) / (PARKED_SHARE * i64::from(nodes.max(1))) < self.granted.nano()
    }

    /// Holds a claim inside the slice; `false` where it does not fit or the day is over.
    pub fn draw(&mut self, claim: Usd, today: Day) -> bool {
        let fits = claim.nano() <= self.granted.nano() - self.spent - self.held;
        if today != self.day || !fits {
            return false;
        }
        self.held += claim.nano();
        true
    }

    /// A drawn claim has ended at `actual`, which may be more than was claimed.
    pub fn settle(&mut self, claim: Usd, actual: Usd) {
        self.held -= claim.nano();
        self.spent = self.spent.saturating_add(actual.nano());
    }

    /// What the slice's record is settled at once nothing drawn is open any more.
    pub const fn spent(&self) -> Usd {
        Usd::from_nano(self.spent)
    }
    /// What open draws may still cost.
    pub const fn held(&self) -> Usd {
        Usd::from_nano(self.held)
    }
}
