//! Decides how often a tenant may ask for what costs no money but this gateway's time.
//! Does not touch the rate of its requests: that is the account's.

use p402_core::guard::Bucket;
use p402_core::reply::{ApiError, Code};
use p402_core::time::Ticks;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Tenants whose pace is remembered; the one that may ask again soonest makes room.
pub const TENANTS_MAX: usize = 4_096;

/// One bucket for each tenant: so many a second, and as many at once.
#[derive(Debug)]
pub struct Pace {
    per_s: i64,
    /// When each tenant's bucket will be full again.
    arrivals: Mutex<HashMap<Box<str>, i64>>,
}

impl Pace {
    pub fn per_second(per_s: i64) -> Self {
        Self { per_s: per_s.max(1), arrivals: Mutex::default() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// The refusal, with the exact wait.
    pub fn take(&self, tenant: &str, now: Ticks) -> Result<(), ApiError> {
        let now_us = i64::try_from(now.micros()).unwrap_or(i64::MAX / 2);
        let mut arrivals = self.arrivals.lock();
        let arrival = arrivals.get(tenant).copied().unwrap_or_default();
        let taken = self.bucket().take(arrival, now_us);
        let next = taken.map_err(|wait_us| self.refusal(wait_us))?;
        if arrivals.len() >= TENANTS_MAX && !arrivals.contains_key(tenant) {
            let first = arrivals.iter().min_by_key(|(_, arrival)| **arrival);
            if let Some(name) = first.map(|(name, _)| name.clone()) {
                arrivals.remove(&name);
            }
        }
        arrivals.insert(tenant.into(), next);
        Ok(())
    }

    fn bucket(&self) -> Bucket {
        Bucket { interval_us: 1_000_000 / self.per_s, tolerance_us: 1_000_000 }
    }

    fn refusal(&self, wait_us: i64) -> ApiError {
        let wait_ms = wait_us / 1_000 + i64::from(wait_us % 1_000 > 0);
        let text = format!("more than {} of these in a second", self.per_s);
        ApiError::new(Code::RateLimitExceeded, text)
            .with_extra("limit", self.per_s)
            .with_extra("remaining", 0)
            .with_extra("window_s", 1)
            .with_retry_after_ms(u64::try_from(wait_ms).unwrap_or_default())
    }
}
