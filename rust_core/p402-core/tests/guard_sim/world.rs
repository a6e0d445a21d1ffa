//! Decides what happens next: nodes serve tenants over a store that forgets and a wire that loses.
//! Does not judge; oracle.rs does, at every step.

use crate::ledger::{Ledger, Seeding};
use crate::node::{Node, Seen};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::store::{Call, Store};
use p402_core::guard::{Account, Code, Fence, Limits, Op, Reply, Seed};
use p402_core::guard::{OnExpiry, Period};
use p402_core::money::Usd;
use p402_core::time::Timestamp;

pub const NODES: usize = 5;
pub const TENANTS: usize = 6;
pub const MS: i64 = 1_000;
pub const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Midnight, Monday 2026-11-23.
const MIDNIGHT: i64 = 20_780 * DAY;
/// Every row is in the shared ledger this long after it was written, unless its node died.
pub const FLUSH_BOUND: i64 = 50 * MS;
/// A store trip's deadline.
const DEADLINE: i64 = 10 * MS;
/// A recovery waits this long for a node that does not answer.
pub const BARRIER: i64 = 2 * SECOND;
/// A recovery whose reading of the ledger is older is thrown away.
pub const READING: i64 = SECOND;
/// An undispatched reservation that is older must be renewed first: shorter than a barrier less
/// the flush bound, so that what a silent node still dispatches is in the ledger when it is read.
const RESERVATION: i64 = SECOND;

/// How a node marks its holds; 0 is the mark of nobody in particular.
pub const fn owner(node: usize) -> u32 {
    node as u32 + 1
}

/// The mechanisms of the design, each of which can be taken out.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one mechanism, on or off")]
pub struct Switches {
    pub cold_seeding: bool,
    pub epoch: bool,
    pub version: bool,
    /// Renewal, and suspense instead of release.
    pub suspense: bool,
    pub replay: bool,
    pub deadline: bool,
    pub barrier: bool,
    /// A slice is written to the ledger before it may be drawn from.
    pub slice_rows: bool,
    pub slices: bool,
    /// An old reservation is renewed before dispatch.
    pub reservation_age: i64,
    /// A correction makes the account be read anew, instead of being added to it.
    pub corrections_reread: bool,
    /// Only the owner of a record settles it.
    pub owner: bool,
    /// Journals of dead nodes can be read: all nodes on one host.
    pub one_host: bool,
    /// Every disaster happens this many times as often.
    pub storm: u64,
}

pub const FULL: Switches = Switches {
    cold_seeding: true,
    epoch: true,
    version: true,
    suspense: true,
    replay: true,
    deadline: true,
    barrier: true,
    slice_rows: true,
    slices: true,
    reservation_age: RESERVATION,
    corrections_reread: true,
    owner: true,
    one_host: true,
    storm: 1,
};

pub enum Outcome {
    Reply(Reply),
    /// The account is not what the node knew: it must be read anew.
    Need,
    /// No answer in time; it may have been executed.
    Lost,
}

pub struct Recovery {
    pub by: usize,
    pub since: i64,
    pub answered: [bool; NODES],
    pub seen: Seen,
    pub reading: Option<(i64, Seed, Seeding)>,
}

pub struct World {
    pub switches: Switches,
    pub rng: Rng,
    pub now: i64,
    pub nodes: [Node; NODES],
    pub store: Store,
    pub ledger: Ledger,
    pub limits: [Limits; TENANTS],
    pub oracle: Oracle,
    pub calm: bool,
    pub recoveries: [Option<Recovery>; TENANTS],
    wire: Vec<(i64, Call)>,
    pub rids: u128,
}

fn limits(switches: &Switches) -> [Limits; TENANTS] {
    std::array::from_fn(|tenant| Limits {
        in_flight_max: if tenant % 2 == 0 { 10 } else { 30 },
        daily_cap: Usd::from_nano(if tenant % 2 == 0 { 1_500_000 } else { 3_000_000 }),
        budget: (tenant % 3 == 0).then_some(Usd::from_nano(2_500_000)),
        period: if tenant % 3 == 0 { Period::Total } else { Period::Month },
        rate: p402_core::guard::Rate { limit: 10_000, per_s: 60, burst: 10_000 },
        slot_lease_ms: 6_000,
        renew_every_ms: 2_000,
        hold_lease_ms: 12_000,
        slice_max: Usd::from_nano(if switches.slices { 200_000 } else { 0 }),
        on_expiry: if switches.suspense { OnExpiry::Suspense } else { OnExpiry::Release },
        ..Limits::default()
    })
}

impl World {
    pub fn new(seed: u64, switches: Switches) -> Self {
        let mut rng = Rng::new(seed);
        let now = MIDNIGHT - rng.range(5, 120) * SECOND;
        let limits = limits(&switches);
        Self {
            switches,
            rng,
            now,
            nodes: Default::default(),
            store: Store::new(&limits, now),
            ledger: Ledger::default(),
            oracle: Oracle::default(),
            limits,
            calm: false,
            recoveries: Default::default(),
            wire: Vec::new(),
            rids: 1,
        }
    }

    pub fn today(&self) -> i64 {
        self.now.div_euclid(DAY)
    }

    /// One step of the world.
    pub fn step(&mut self) {
        self.oracle.steps += 1;
        self.now += if self.rng.one_in(200) { SECOND } else { self.rng.range(1, 40 * MS) };
        self.deliver();
        if !self.calm {
            self.disaster();
            if self.rng.one_in(10) {
                let tenant = self.rng.below(TENANTS);
                self.store.replicate(tenant);
            }
        }
        for node in 0..NODES {
            self.tend(node);
        }
        for tenant in 0..TENANTS {
            self.recover(tenant);
        }
        let node = self.rng.below(NODES);
        if self.nodes[node].runs(self.now) {
            if !self.calm && self.rng.below(5) < 2 {
                self.begin(node);
            }
            for _ in 0..2 {
                self.advance(node);
            }
        }
    }

    /// Lets everything end: no new requests, no disasters, everybody back.
    pub fn settle_down(&mut self) {
        self.calm = true;
        for node in &mut self.nodes {
            node.frozen_until = 0;
            node.cut_until = 0;
            node.dead_until = node.dead_until.map(|_| self.now);
        }
        self.store.down_until = 0;
        for step in 0..6_000 {
            self.step();
            if step % 64 == 63 && self.is_at_rest() {
                break;
            }
        }
    }

    fn disaster(&mut self) {
        let storm = self.switches.storm;
        let once_in = |rng: &mut Rng, times: u64| rng.one_in((times / storm).max(1));
        let node = self.rng.below(NODES);
        let long = self.rng.range(SECOND / 10, 20 * SECOND);
        if self.nodes[node].dead_until.is_none() {
            if once_in(&mut self.rng, 400) {
                self.nodes[node].crash(self.now + long);
                self.oracle.crashes += 1;
            } else if once_in(&mut self.rng, 800) {
                self.nodes[node].frozen_until = self.now + long;
            } else if once_in(&mut self.rng, 1_000) {
                self.nodes[node].cut_until = self.now + long;
            }
        }
        if once_in(&mut self.rng, 2_500) {
            self.store.down_until = self.now + long;
        }
        if once_in(&mut self.rng, 6_000) {
            self.store.fail_over();
            self.wire.clear();
            self.oracle.rollbacks += 1;
        }
        if once_in(&mut self.rng, 12_000) {
            self.store.wipe();
            self.oracle.wipes += 1;
        }
        if once_in(&mut self.rng, 8_000) {
            let tenant = self.rng.below(TENANTS);
            self.store.forget(tenant);
            self.oracle.evictions += 1;
        }
    }

    fn fence(&self, node: usize, tenant: usize) -> Fence {
        let deadline = Some(Timestamp::from_micros(self.now + DEADLINE));
        Fence { epoch: self.store.epoch, version: self.nodes[node].seen[tenant].version, deadline }
    }

    pub fn reaches(&self, node: usize) -> bool {
        self.nodes[node].cut_until <= self.now && self.store.down_until <= self.now
    }

    pub fn call(&mut self, node: usize, tenant: usize, op: Op<'_>) -> Outcome {
        if !self.reaches(node) {
            self.nodes[node].away = true;
            return Outcome::Lost;
        }
        let fence = self.fence(node, tenant);
        let fault = if self.calm { 99 } else { self.rng.below(100) };
        if fault == 0 {
            return Outcome::Lost;
        }
        if fault == 1 {
            // On its way when the node gives up; renewals are only ever lost.
            let op = match op {
                Op::Renew(_) => return Outcome::Lost,
                Op::Admit(claim) => Op::Admit(claim),
                Op::Extend { rid, amount } => Op::Extend { rid, amount },
                Op::Settle { rid, owner, actual } => Op::Settle { rid, owner, actual },
                Op::Adjust { day, nano } => Op::Adjust { day, nano },
            };
            let due = self.now + self.rng.range(MS, 3 * SECOND);
            self.wire.push((due, Call { tenant, fence, op }));
            return Outcome::Lost;
        }
        let answer = self.execute(Call { tenant, fence, op: Op::Renew(&[]) }, op);
        if fault == 2 {
            return Outcome::Lost;
        }
        match answer {
            Ok(reply) => {
                let seen = &mut self.nodes[node].seen[tenant];
                seen.version = seen.version.max(reply.version);
                seen.tat_us = seen.tat_us.max(reply.tat_us);
                Outcome::Reply(reply)
            }
            Err(Code::Late) => Outcome::Lost,
            Err(_) => {
                self.need(node, tenant);
                Outcome::Need
            }
        }
    }

    fn execute(&mut self, call: Call, op: Op<'_>) -> Result<Reply, Code> {
        let Call { tenant, fence, .. } = call;
        let owned = match op {
            // Without the rule a settlement takes whatever record has its rid.
            Op::Settle { rid, actual, .. } if !self.switches.owner => {
                let record = self.store.accounts[tenant]
                    .as_ref()
                    .and_then(|account| account.records().iter().find(|record| record.rid == rid));
                let owner = record.map_or(0, p402_core::guard::Record::node);
                Op::Settle { rid, owner, actual }
            }
            other => other,
        };
        let (limits, at) = (&self.limits[tenant], (self.now, &self.switches));
        let answer = self.store.call((tenant, fence), owned, limits, at);
        if let (Ok(reply), Some(account)) = (&answer, &self.store.accounts[tenant]) {
            self.oracle.check_step(account, (&owned, reply), limits, self.now);
        }
        answer
    }

    fn deliver(&mut self) {
        let mut at = 0;
        while at < self.wire.len() {
            if self.wire[at].0 > self.now || self.store.down_until > self.now {
                at += 1;
                continue;
            }
            let (_, call) = self.wire.swap_remove(at);
            let late = call.fence.deadline.is_some_and(|deadline| self.now > deadline.micros());
            let answer = self.execute(call, call.op);
            let admitted = matches!(call.op, Op::Admit(_))
                && answer.is_ok_and(|reply| reply.code == Code::Done && !reply.replayed);
            self.oracle.ghosts += u64::from(late && admitted);
        }
    }
}

impl Recovery {
    pub fn begin(by: usize, since: i64) -> Self {
        Self { by, since, answered: [false; NODES], seen: Seen::default(), reading: None }
    }
}

impl World {
    fn is_at_rest(&self) -> bool {
        let rests = |node: &Node| {
            let settled = node.open.is_empty() && node.debts.is_empty();
            let noticed = !node.replay.contains(&true)
                && node.reread == [0; TENANTS]
                && node.slices.iter().all(Option::is_none);
            settled && noticed && node.estimated.is_empty() && node.journal.tail().is_empty()
        };
        let quiet = self.wire.is_empty() && self.recoveries.iter().all(Option::is_none);
        // Unless a record is stuck, there is none left.
        let empty = |account: &Option<Account>| {
            account.as_ref().is_some_and(|account| account.records().is_empty())
        };
        quiet && self.nodes.iter().all(rests) && self.store.accounts.iter().all(empty)
    }

    /// Everything has ended: I4, I5, I6.
    pub fn at_rest(&mut self) {
        for tenant in 0..TENANTS {
            let Some(account) = &self.store.accounts[tenant] else { continue };
            let header = account.header();
            self.oracle.stuck += account.records().len() as u64;
            for (day, spent) in
                [(header.day, header.day_spent), (header.prev_day, header.prev_spent)]
            {
                let booked = self.ledger.spent(tenant, |on| on == day);
                self.oracle.mismatched += u64::from(booked != spent);
                let billed = self.oracle.billed_on(tenant, day);
                self.oracle.undercounted += u64::from(spent < billed);
            }
            if self.limits[tenant].period == Period::Total {
                let booked = self.ledger.spent(tenant, |_| true);
                self.oracle.mismatched += u64::from(booked != header.budget_spent);
            }
        }
        self.oracle.stuck += self.nodes.iter().map(|node| node.open.len() as u64).sum::<u64>();
    }
}
