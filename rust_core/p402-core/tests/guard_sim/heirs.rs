//! Decides how a node comes back after a crash, and who ends what a node left that does not.
//! Does not know more than the code: the ledger's answers, and `guard::Heir` on the records.

use crate::ledger::{Kind, Row};
use crate::node::Estimate;
use crate::world::{BEAT, LOOK, MS, NODES, SECOND, TENANTS, World};
use p402_core::guard::{Heir, Op, Record, Rest};
use p402_core::time::{Day, Timestamp};

/// What a node knew in its last moments, it may have had no time to act on.
const RECENT: i64 = 5 * SECOND;
/// Clocks of gateways and store differ by less.
const SKEW: i64 = SECOND;

impl World {
    /// The data directory goes with the node; another comes in its place.
    pub fn lose(&mut self, node: usize) {
        self.oracle.lost_nodes += 1;
        if self.switches.one_host {
            self.flush(node);
        }
        let journal = std::mem::take(&mut self.nodes[node].journal);
        for row in journal.tail() {
            if matches!(row.kind, Kind::Dispatch | Kind::Extend) {
                self.oracle.lose(row.tenant, row.day, row.nano);
            }
        }
        self.ledger.marks[node] = 0;
        self.nodes[node].owner += NODES as u32;
    }

    pub fn restart(&mut self, node: usize) {
        let life = &mut self.nodes[node];
        (life.dead_until, life.since) = (None, self.now);
        (life.next_renew, life.next_beat) = (self.now, self.now + BEAT);
        life.next_look = self.now + LOOK;
        let last = life.journal.rows.last().map_or(0, |row| row.at);
        for row in life.journal.rows.iter().rev().take_while(|row| row.at >= last - RECENT) {
            life.recent[row.tenant] = Some(row.at);
        }
        self.flush(node);
        if !self.switches.heirs {
            return;
        }
        self.nodes[node].former = [true; TENANTS];
        for tenant in 0..TENANTS {
            self.end_open(node, tenant);
        }
        self.flush(node);
    }

    /// Ends at its hold what the former life had sent, in the ledger first.
    fn end_open(&mut self, node: usize, tenant: usize) {
        let owner = self.nodes[node].owner;
        let entries = self.ledger.tenants[tenant].iter();
        let mine = entries.filter(|(_, entry)| entry.owner == owner && entry.cost.is_none());
        for (rid, entry) in mine.map(|(rid, entry)| (*rid, *entry)).collect::<Vec<_>>() {
            self.end(node, tenant, (rid, entry.day), (entry.is_slice, entry.hold));
            if entry.is_slice {
                continue;
            }
            self.nodes[node].owe(tenant, rid, entry.hold);
            if self.rng.one_in(4) {
                let estimate = Estimate { tenant, rid, day: entry.day };
                self.nodes[node].estimated.push(estimate);
            }
        }
    }

    fn end(
        &mut self,
        node: usize,
        tenant: usize,
        (rid, day): (u128, i64),
        (is_slice, hold): (bool, i64),
    ) {
        // Settled at the hold: the truth is not known.
        let (kind, nano) = if is_slice { (Kind::SliceClose, 0) } else { (Kind::Settle, hold) };
        let (slice, at) = (None, self.now);
        let row = Row { seq: 0, rid, tenant, kind, nano, day, slice, at };
        self.nodes[node].journal.write(row);
    }

    /// What the former life held and the ledger does not tell of, and what it had not shared.
    pub fn take_up(&mut self, node: usize, tenant: usize) {
        if !self.reaches(node) {
            return;
        }
        self.nodes[node].former[tenant] = false;
        let account = self.store.accounts[tenant].as_ref();
        let version = account.map_or(0, |account| account.header().version);
        let recent = self.nodes[node].recent[tenant];
        if recent.is_some_and(|at| version >= at - SKEW) {
            // It was seeded since: those rows may not have been read.
            self.nodes[node].doubted[tenant] = true;
        }
        self.look(node, tenant, self.nodes[node].since);
    }

    /// One look at the records that nobody works on.
    pub fn look(&mut self, node: usize, tenant: usize, since: i64) {
        let Some(account) = &self.store.accounts[tenant] else { return };
        let epoch = account.header().epoch == self.store.epoch || !self.switches.epoch;
        if !self.reaches(node) || !epoch {
            return;
        }
        let at = Timestamp::from_micros;
        let owner = self.nodes[node].owner;
        let heir = Heir { owner, since: at(since), now: at(self.now), every_ms: LOOK / MS };
        let limits = self.limits[tenant];
        if account.records().iter().any(|record| heir.is_overdue(record)) {
            // Time passes where somebody asks.
            let day = Day::from_days(self.today() as i32);
            self.call(node, tenant, Op::Adjust { day, nano: 0 });
        }
        let Some(account) = &self.store.accounts[tenant] else { return };
        let doubtful = account.records().iter().filter(|record| heir.doubts(record, &limits));
        let doubtful: Vec<Record> = doubtful.copied().collect();
        if doubtful.is_empty() {
            return;
        }
        self.flush(node);
        for record in doubtful {
            let told = self.ledger.told(tenant, record.rid.bits());
            match heir.rest(&record, told, &limits) {
                Rest::Leave => {}
                Rest::Reread => self.nodes[node].doubted[tenant] = true,
                Rest::Settle(actual) => {
                    let life = &mut self.nodes[node];
                    life.owe_for(record.owner, tenant, record.rid, actual);
                    // Another node may look at the same time.
                    life.debts.last_mut().into_iter().for_each(|debt| debt.heard = true);
                }
            }
        }
    }

    /// Ends, at its hold, what a node left that has not been heard of for a lease and a suspense.
    pub fn adopt(&mut self, node: usize, tenant: usize) {
        let hears = |owner: u32| {
            let there = |node: &usize| self.nodes[*node].runs(self.now) && self.reaches(*node);
            (0..NODES).filter(there).any(|node| self.nodes[node].owner == owner)
        };
        let limits = self.limits[tenant];
        let over_us = (limits.hold_lease_ms + limits.suspense_ms) * MS;
        let entries = self.ledger.tenants[tenant].iter();
        let left = entries.filter(|(_, entry)| {
            let drawable = entry.is_slice && entry.day >= self.today();
            let over = self.now - entry.at > over_us && !drawable;
            entry.cost.is_none() && over && !hears(entry.owner)
        });
        for (rid, entry) in left.map(|(rid, entry)| (*rid, *entry)).collect::<Vec<_>>() {
            self.oracle.adopted += 1;
            self.end(node, tenant, (rid, entry.day), (entry.is_slice, entry.hold));
            if entry.is_slice {
                self.nodes[node].doubted[tenant] = true;
            } else {
                let rid = p402_core::id::RequestId::from_bits(rid);
                let hold = p402_core::money::Usd::from_nano(entry.hold);
                self.nodes[node].owe_for(entry.owner, tenant, rid, hold);
            }
        }
        self.flush(node);
    }
}
