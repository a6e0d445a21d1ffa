//! Decides layer 3: how many requests run at once; a slot is a lease inside its own record.
//! Does not count with a bare counter: a slot that nobody renews lapses by itself.

use super::limits::Limits;
use super::state::Record;
use crate::id::RequestId;

const RETRY_MIN_MS: i64 = 50;
const RETRY_MAX_MS: i64 = 5_000;

/// Milliseconds after which a slot is likely free: a request's mean duration shared among the
/// slots, spread by ± 25 % (drawn from the id) so that refused clients do not return together.
pub fn slot_retry_ms(mean_ms: i64, slots: i64, rid: RequestId) -> i64 {
    let even = mean_ms.clamp(0, 1 << 40) / slots.max(1);
    let spread = even / 2;
    let draw = (rid.bits() & 0xffff) as i64;
    (even - even / 4 + spread * draw / 0xffff).clamp(RETRY_MIN_MS, RETRY_MAX_MS)
}

impl Record {
    /// A slot is counted until a scan finds it lapsed.
    pub(super) const fn has_slot(&self) -> bool {
        self.slot_expiry_ms > 0
    }

    /// Takes the slot out of a record whose lease has lapsed. A lease further ahead than a new
    /// one comes from a clock that was set back: it is cut to a new one's length.
    pub(super) fn lapse_slot(&mut self, now_ms: i64, limits: &Limits) -> bool {
        if !self.has_slot() {
            return false;
        }
        self.slot_expiry_ms = self.slot_expiry_ms.min(now_ms + limits.slot_lease_ms);
        if self.slot_expiry_ms > now_ms {
            return false;
        }
        self.slot_expiry_ms = 0;
        true
    }
}
