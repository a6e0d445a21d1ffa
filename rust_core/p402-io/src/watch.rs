//! Keeps what a node has seen of each tenant: its usual spending, its last balances, its pace.
//! Does not decide what is unusual (core's guard) and holds no money.

use p402_core::guard::{Anomaly, Code, Flag, Limits, Reply, Seed, SeriesKey, Snapshot};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use tokio::sync::Notify;

const SHARDS: usize = 64;
/// Tenants remembered in one shard; the one not seen for longest makes room.
const TENANTS_MAX: usize = 128;
/// Weight of a request's duration in its tenant's mean, as a divisor.
const PACE: i64 = 16;
/// Percent of the budget at which somebody is told.
const THRESHOLDS: [i64; 3] = [50, 80, 100];
/// The same alarm is raised again after this.
const ALARM_EVERY_US: i64 = 300_000_000;
/// What others see of a tenant is of interest for so long after its last request here.
const ACTIVE_US: i64 = 60_000_000;

/// What has been seen of all tenants.
#[derive(Debug)]
pub struct Watches {
    shards: [Mutex<HashMap<Box<str>, Watched>>; SHARDS],
    hasher: RandomState,
    /// Told of each tenant that is seen for the first time.
    pub newcomers: Notify,
}

/// Whose turn it is to be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Those of whom nothing from an earlier life has been asked for yet.
    Newcomers,
    /// All of whom there is something to tell; or to hear, if there are others.
    Everybody { others: bool },
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
    shared: Shared,
}

/// How far this node's memory of a tenant and what is kept of it elsewhere are one.
#[derive(Debug, Default)]
struct Shared {
    /// What an earlier life has left is in it.
    recalled: bool,
    /// As much of it is kept, by `Anomaly::learnt`.
    kept: u64,
    tried_us: i64,
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
        Self { shards, hasher: RandomState::new(), newcomers: Notify::new() }
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
        let ran = run(watched);
        self.newcomers.notify_one();
        ran
    }
}

impl Watches {
    /// Runs over one tenant's memory, if there is one; that is no sight of the tenant.
    pub fn known<T>(&self, tenant: &str, run: impl FnOnce(&mut Watched) -> T) -> Option<T> {
        let shard = self.hasher.hash_one(tenant) as usize % SHARDS;
        self.shards[shard].lock().get_mut(tenant).map(run)
    }

    /// The tenants of a round; whose turn was longest ago first.
    pub fn to_share(&self, round: Round, now: Timestamp) -> Vec<Box<str>> {
        let mut due = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let due_here = shard.iter().filter(|(_, watched)| watched.is_due(round, now));
            due.extend(due_here.map(|(name, watched)| (watched.shared.tried_us, name.clone())));
        }
        due.sort_unstable();
        due.into_iter().map(|(_, name)| name).collect()
    }
}

impl Watched {
    /// Its turn to be shared; whether what an earlier life has left is to be asked for first.
    pub const fn turn(&mut self, now: Timestamp) -> bool {
        self.shared.tried_us = now.micros();
        !self.shared.recalled
    }

    /// What an earlier life of this node has left; bytes that cannot be read are nothing.
    pub fn recall(&mut self, left: Option<&[u8]>, limits: &Limits) {
        self.shared.recalled = true;
        let Some(earlier) = left.and_then(|left| Snapshot::decode(left).ok()) else { return };
        let untold = self.is_untold();
        self.anomaly.recall(&earlier, &limits.anomaly);
        if !untold {
            // Nothing has come to what is kept already.
            self.shared.kept = self.anomaly.learnt();
        }
    }

    /// What is not kept yet, and up to where it is then.
    pub fn untold(&self) -> (Option<Vec<u8>>, u64) {
        let told = self.is_untold().then(|| self.anomaly.snapshot().encode());
        (told, self.anomaly.learnt())
    }

    /// It is kept up to here, and this is what the others have seen.
    pub fn pooled(&mut self, kept: u64, others: &[Snapshot], limits: &Limits) {
        self.shared.kept = kept;
        self.anomaly.pool(others, &limits.anomaly);
    }

    /// What a node has left that is gone for good is this one's from now on.
    pub fn inherit(&mut self, left: &Snapshot, limits: &Limits) {
        self.anomaly.recall(left, &limits.anomaly);
    }

    const fn is_due(&self, round: Round, now: Timestamp) -> bool {
        match round {
            Round::Newcomers => !self.shared.recalled && self.shared.tried_us == 0,
            Round::Everybody { others } => {
                let active = now.micros() - self.seen_us < ACTIVE_US;
                (others && active) || self.is_untold()
            }
        }
    }

    const fn is_untold(&self) -> bool {
        self.anomaly.learnt() > self.shared.kept
    }

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
