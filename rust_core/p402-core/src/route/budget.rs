//! Decides whether one more attempt may be sent, so that an outage is not amplified.
//! Does not wait: an empty budget returns the error.

use crate::time::Ticks;
use std::collections::HashMap;

/// Tenants whose budgets are kept; the longest unused are forgotten and start afresh.
pub const TENANTS_MAX: usize = 10_000;
/// In fifths of an attempt: what a first attempt adds, a further one takes, and the ceiling.
const ADD: u64 = 1;
const TAKE: u64 = 5;
const CEILING: u64 = 100 * TAKE;
/// Ten attempts in ten seconds are always possible: one comes back every second up to ten.
const FLOOR: u64 = 10 * TAKE;
const FLOOR_EACH_US: u64 = 1_000_000;

/// A token bucket of further attempts.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    fifths: u64,
    refilled: Ticks,
}

/// Buckets by tenant, bounded: two generations, the older one dropped when the newer is full.
#[derive(Debug, Default)]
pub struct TenantBudgets {
    young: HashMap<Box<str>, RetryBudget>,
    old: HashMap<Box<str>, RetryBudget>,
}

impl RetryBudget {
    pub const fn new(now: Ticks) -> Self {
        Self { fifths: FLOOR, refilled: now }
    }
    /// A first attempt was sent.
    pub fn earn(&mut self, now: Ticks) {
        self.refill(now);
        self.fifths = (self.fifths + ADD).min(CEILING);
    }
    pub fn affords(&mut self, now: Ticks) -> bool {
        self.refill(now);
        self.fifths >= TAKE
    }
    /// A further attempt is sent; call only where `affords`.
    pub fn spend(&mut self) {
        self.fifths = self.fifths.saturating_sub(TAKE);
    }

    fn refill(&mut self, now: Ticks) {
        let steps = now.since(self.refilled) / FLOOR_EACH_US;
        if steps == 0 {
            return;
        }
        self.refilled = Ticks::from_micros(self.refilled.micros() + steps * FLOOR_EACH_US);
        if self.fifths < FLOOR {
            self.fifths = self.fifths.saturating_add(steps.saturating_mul(TAKE)).min(FLOOR);
        }
    }
}

impl TenantBudgets {
    pub fn of(&mut self, tenant: &str, now: Ticks) -> &mut RetryBudget {
        if !self.young.contains_key(tenant) {
            if self.young.len() >= TENANTS_MAX / 2 {
                self.old = std::mem::take(&mut self.young);
            }
            let kept = self.old.remove(tenant).unwrap_or(RetryBudget::new(now));
            self.young.insert(tenant.into(), kept);
        }
        self.young.entry(tenant.into()).or_insert(RetryBudget::new(now))
    }
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
