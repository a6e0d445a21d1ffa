//! Decides whether the invariants hold, from what providers billed and never from our counters.
//! Does not know the protocol: it counts what it sees.

use crate::node::Request;
use crate::world::TENANTS;
use p402_core::guard::{Account, Code, Limits, Op, Reply};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Oracle {
    pub steps: u64,
    pub admitted: u64,
    pub refused: [u64; 7],
    pub crashes: u64,
    pub rollbacks: u64,
    pub wipes: u64,
    pub evictions: u64,
    pub recoveries: u64,
    pub unheld: u64,
    pub draws: u64,
    pub corrections: u64,
    pub ghosts: u64,
    /// Bills that went over a cap, and the most any did.
    pub overspends: u64,
    pub over_most: i64,
    pub stuck: u64,
    pub undercounted: u64,
    /// Ledger and counters at rest differ.
    pub mismatched: u64,
    /// Steps after which the machine broke one of its own invariants.
    pub broken: Vec<&'static str>,
    /// What each request really cost.
    truth: BTreeMap<u128, i64>,
    billed: [BTreeMap<i64, i64>; TENANTS],
    allowed: [BTreeMap<i64, i64>; TENANTS],
}

impl Oracle {
    /// A provider has billed: I1.
    pub fn bill(&mut self, request: &Request, nano: i64, limits: &Limits) {
        let Request { rid, tenant, day, .. } = *request;
        *self.truth.entry(rid).or_default() += nano;
        let billed = self.billed[tenant].entry(day).or_default();
        *billed += nano;
        let allowed = self.allowed[tenant].get(&day).copied().unwrap_or(0);
        let over_day = *billed - limits.daily_cap.nano() - allowed;
        let total: i64 = self.billed[tenant].values().sum();
        let all_allowed: i64 = self.allowed[tenant].values().sum();
        let over_budget =
            limits.budget.map_or(i64::MIN, |budget| total - budget.nano() - all_allowed);
        let over = over_day.max(over_budget);
        if over > 0 {
            self.overspends += 1;
            self.over_most = self.over_most.max(over);
        }
    }

    pub fn truth(&self, rid: u128) -> i64 {
        self.truth.get(&rid).copied().unwrap_or(0)
    }

    pub fn billed_on(&self, tenant: usize, day: i64) -> i64 {
        self.billed[tenant].get(&day).copied().unwrap_or(0)
    }

    /// A stated limit: rows of a dead node that no reading could see.
    pub fn allow(&mut self, tenant: usize, day: i64, nano: i64) {
        *self.allowed[tenant].entry(day).or_default() += nano;
    }

    /// After every step of the machine: I2, I3, I7, I8.
    pub fn check_step(
        &mut self,
        account: &Account,
        (op, reply): (&Op<'_>, &Reply),
        limits: &Limits,
        now: i64,
    ) {
        let header = account.header();
        let now_ms = now / 1_000;
        if self.steps.is_multiple_of(16)
            && Account::decode(&account.encode()).as_ref() != Ok(account)
        {
            self.broken.push("I3: held is not the sum of the records");
        }
        let live = account.records().iter().filter(|record| record.slot_expiry_ms > now_ms).count();
        let Op::Admit(claim) = op else { return };
        if reply.code == Code::Done && !reply.replayed {
            self.admitted += 1;
            let slice = claim.kind == p402_core::guard::Kind::Slice;
            if header.day_spent + header.day_held > limits.daily_cap.nano() {
                self.broken.push("I2: admitted above the daily cap");
            }
            let spent = header.budget_spent + header.held;
            if limits.budget.is_some_and(|budget| spent > budget.nano()) {
                self.broken.push("I2: admitted above the budget");
            }
            if !slice && live as i64 > limits.in_flight_max {
                self.broken.push("I7: more live slots than the cap");
            }
        } else if let Some(layer) = reply.code.layer() {
            self.refused[usize::from(layer)] += 1;
        }
        if reply.code == Code::Concurrency {
            let longest = now_ms + limits.slot_lease_ms;
            let leaked = account.records().iter().any(|record| record.slot_expiry_ms > longest);
            if leaked || (live as i64) < limits.in_flight_max {
                self.broken.push("I8: refused although slots were free");
            }
        }
    }

    pub fn absorb(&mut self, other: &Self) {
        self.steps += other.steps;
        self.admitted += other.admitted;
        for (sum, more) in self.refused.iter_mut().zip(other.refused) {
            *sum += more;
        }
        self.crashes += other.crashes;
        self.rollbacks += other.rollbacks;
        self.wipes += other.wipes;
        self.evictions += other.evictions;
        self.recoveries += other.recoveries;
        self.unheld += other.unheld;
        self.draws += other.draws;
        self.corrections += other.corrections;
        self.ghosts += other.ghosts;
        self.overspends += other.overspends;
        self.over_most = self.over_most.max(other.over_most);
        self.stuck += other.stuck;
        self.undercounted += other.undercounted;
        self.mismatched += other.mismatched;
        self.broken.extend(&other.broken);
    }
}
