//! Decides how much one API key may add to the cache in an hour, in answers and in bytes.
//! Does not decide what is worth keeping (policy.rs).

use crate::time::Timestamp;
use std::collections::HashMap;

/// Keys counted in one hour; beyond, a key that was not seen yet stores nothing.
pub const KEYS_MAX: usize = 100_000;
const HOUR_US: i64 = 3_600_000_000;
/// A key may fill this part of what its tenant may.
const PART: usize = 5;

/// What each key has stored in the hour at hand.
#[derive(Debug, Default)]
pub struct Quota {
    hour: i64,
    stored: HashMap<(u64, u64), (u32, usize)>,
}

impl Quota {
    /// Counts one more answer of `bytes`, unless that is too many: of a (tenant, key), against so
    /// many an hour, and what its tenant may hold.
    pub fn take(
        &mut self,
        who: (u64, u64),
        bytes: usize,
        (most, tenant_bytes): (u32, usize),
        now: Timestamp,
    ) -> bool {
        let hour = now.micros() / HOUR_US;
        if hour != self.hour {
            self.hour = hour;
            self.stored.clear();
        }
        if self.stored.len() >= KEYS_MAX && !self.stored.contains_key(&who) {
            return false;
        }
        let (answers, sum) = self.stored.entry(who).or_default();
        if *answers >= most || *sum + bytes > tenant_bytes / PART {
            return false;
        }
        *answers += 1;
        *sum += bytes;
        true
    }
}
