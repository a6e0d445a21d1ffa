//! Keeps what a node has seen of each tenant: its usual spending, its last balances, its pace.
//! Does not decide what is unusual (core's guard) and holds no money.

use p402_core::guard::{Anomaly, Code, Flag, Limits, Reply, Seed, SeriesKey};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

const SHARDS: usize = 64;
/// Tenants remembered in one shard; the one not seen for longest makes room.
const TENANTS_MAX: usize = 128;
/// Weight of a request's duration in its tenant's mean, as a divisor.
const PACE: i64 = 16;
/// Percent of the budget at which somebody is told.
const THRESHOLDS: [i64; 3] = [50, 80, 100];
/// The same alarm is raised again after this.
const ALARM_EVERY_US: i64 = 300_000_000;

/// What has been seen of all tenants.
#[derive(Debug)]
pub struct Watches {
    shards: [Mutex<HashMap<Box<str>, Watched>>; SHARDS],
    hasher: RandomState,
}

/// What has been seen of one tenant.
#[derive(Debug, Default)]
pub struct Watched {
    anomaly: Anomaly,
    /// The account's last answer.
    pub last: Option<Reply>,
    pub mean_ms: i64,
    /// The first threshold that has not been told, and of which period.
    told: (i32, usize),
    breaker_told: i32,
    alarmed_us: [i64; 2],
    seen_us: i64,
}

/// Which series a flag came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusual {
    Cost,
    Rate,
}

/// What was noticed at a request's end.
#[derive(Debug, Default)]
pub struct Noticed {
    pub flag: Option<(Flag, Unusual)>,
    /// Nobody was told of such a flag in the last minutes.
    pub tell_flag: bool,
    /// Percent of the budget that was passed just now.
    pub threshold: Option<i64>,
}

impl Default for Watches {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, hasher: RandomState::new() }
    }
}

impl Unusual {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Rate => "rate",
        }
    }
}

impl Watches {
    /// Runs over one tenant's memory, which is made if there is none.
    pub fn with<T>(&self, tenant: &str, now: Timestamp, run: impl FnOnce(&mut Watched) -> T) -> T {
        let shard = self.hasher.hash_one(tenant) as usize % SHARDS;
        let mut shard = self.shards[shard].lock();
        if let Some(watched) = shard.get_mut(tenant) {
            watched.seen_us = now.micros();
            return run(watched);
        }
        if shard.len() >= TENANTS_MAX {
            let oldest = shard.iter().min_by_key(|(_, watched)| watched.seen_us);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                shard.remove(&name);
            }
        }
        let watched = shard.entry(tenant.into()).or_default();
        watched.seen_us = now.micros();
        run(watched)
    }
}

impl Watched {
    /// Whether a claim is unlike the claims before it; nothing is learnt.
    pub fn judge(&self, key: SeriesKey, claim: Usd, limits: &Limits) -> Option<Flag> {
        self.anomaly.judge(key, claim, &limits.anomaly)
    }

    /// A request was admitted with this claim.
    pub fn admitted(
        &mut self,
        key: SeriesKey,
        claim: Usd,
        reply: &Reply,
        limits: &Limits,
    ) -> Noticed {
        self.last = Some(reply.clone());
        let flag = self.anomaly.observe(key, claim, &limits.anomaly);
        self.noticed(flag.map(|flag| (flag, Unusual::Cost)), reply.now)
    }

    /// A request has ended at this cost.
    pub fn settled(
        &mut self,
        key: SeriesKey,
        cost: Usd,
        reply: &Reply,
        limits: &Limits,
    ) -> Noticed {
        self.last = Some(reply.clone());
        let cost = self.anomaly.observe(key, cost, &limits.anomaly);
        let watch = &limits.anomaly;
        let rate = self.anomaly.observe_total(reply.day, reply.day_spent, reply.now, watch);
        let flag = cost.map(|flag| (flag, Unusual::Cost));
        let flag = flag.or(rate.map(|flag| (flag, Unusual::Rate)));
        let threshold = self.threshold(reply, limits);
        Noticed { threshold, ..self.noticed(flag, reply.now) }
    }

    /// The pace of this tenant's requests.
    pub fn took(&mut self, ms: i64) {
        let first = self.mean_ms == 0;
        self.mean_ms = if first { ms } else { self.mean_ms + (ms - self.mean_ms) / PACE };
    }

    /// The account refused; `true` where its daily breaker did for the first time of a day.
    pub fn refused(&mut self, reply: &Reply) -> bool {
        self.last = Some(reply.clone());
        if reply.code != Code::DailyCap || self.breaker_told == reply.day.days() {
            return false;
        }
        self.breaker_told = reply.day.days();
        true
    }

    /// What an account of this node alone begins with: all that was last seen counts as spent.
    pub fn seed(&self) -> Option<Seed> {
        let last = self.last.as_ref()?;
        Some(Seed {
            epoch: 0,
            version: last.version,
            tat_us: last.tat_us,
            day: last.day,
            day_spent: last.day_spent.saturating_add(last.day_held),
            prev_spent: Usd::ZERO,
            // The overdraft of an outage begins at nothing.
            budget_spent: Usd::ZERO,
            open: Vec::new(),
        })
    }

    fn noticed(&mut self, flag: Option<(Flag, Unusual)>, now: Timestamp) -> Noticed {
        let Some((_, series)) = flag else { return Noticed::default() };
        let last = &mut self.alarmed_us[series as usize];
        let tell_flag = *last == 0 || now.micros() - *last >= ALARM_EVERY_US;
        if tell_flag {
            *last = now.micros();
        }
        Noticed { flag, tell_flag, threshold: None }
    }

    /// The highest threshold that the spending has passed since the last look.
    fn threshold(&mut self, reply: &Reply, limits: &Limits) -> Option<i64> {
        let budget = limits.budget?.nano();
        let period = limits.period.from(reply.day).days();
        if self.told.0 != period {
            self.told = (period, 0);
        }
        let passed = |percent: &i64| {
            i128::from(reply.budget_spent.nano()) * 100 >= i128::from(budget) * i128::from(*percent)
        };
        let reached = THRESHOLDS.iter().take_while(|percent| passed(percent)).count();
        if reached <= self.told.1 {
            return None;
        }
        self.told.1 = reached;
        THRESHOLDS.get(reached - 1).copied()
    }
}
