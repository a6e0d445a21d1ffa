//! Decides layer 1: whether the rate admits one more request now (GCRA, a token bucket as one
//! instant).
//! Does not keep the instant: `tat_us`, the theoretical arrival time, lives in the account.

/// The bucket of a tenant: one token each `interval_us`, `tolerance_us / interval_us` at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub interval_us: i64,
    pub tolerance_us: i64,
}

impl Bucket {
    /// The arrival time after one more request, or the microseconds until one fits.
    pub fn take(self, tat_us: i64, now_us: i64) -> Result<i64, i64> {
        let next = tat_us.max(now_us) + self.interval_us;
        let wait = next - self.tolerance_us - now_us;
        if wait <= 0 { Ok(next) } else { Err(wait) }
    }

    /// Tokens left.
    pub fn remaining(self, tat_us: i64, now_us: i64) -> i64 {
        let ahead = (tat_us - now_us).max(0);
        (self.tolerance_us - ahead).max(0) / self.interval_us
    }

    /// No honest arrival time is further ahead than an empty bucket's: one that is comes from a
    /// clock that was set back or from a wider limit, and must not lock the tenant out.
    pub(super) fn honest(self, tat_us: i64, now_us: i64) -> i64 {
        tat_us.min(now_us + self.tolerance_us)
    }
}
