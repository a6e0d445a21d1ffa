//! Decides how an account comes back: one barrier, one reading of the ledger, one writing.
//! And how a node comes back after a crash: its journal says what became of its records.

use crate::ledger::{Kind, Row, Seeding};
use crate::node::{Debt, Estimate, State};
use crate::world::{BARRIER, NODES, Outcome, READING, Recovery, TENANTS, World, owner};
use p402_core::guard::{Account, Op};
use p402_core::time::{Day, Timestamp};

impl World {
    /// Somebody found the account cold, of another epoch or of an older version.
    pub fn need(&mut self, node: usize, tenant: usize) {
        if self.recoveries[tenant].is_none() {
            // From here on nobody is admitted until the account is written.
            self.store.forget(tenant);
            self.recoveries[tenant] = Some(Recovery::begin(node, self.now));
        }
    }

    pub fn recover(&mut self, tenant: usize) {
        let Some(mut recovery) = self.recoveries[tenant].take() else { return };
        if !self.nodes[recovery.by].runs(self.now) {
            // Somebody else will find the account missing.
            return;
        }
        for node in 0..NODES {
            let silent = !recovery.answered[node] && recovery.reading.is_none();
            let asked = silent && self.nodes[node].runs(self.now);
            if asked && (node == recovery.by || self.rng.one_in(4)) {
                self.answer(node, tenant, &mut recovery);
            }
        }
        let waits = |node: usize| self.nodes[node].dead_until.is_none() && !recovery.answered[node];
        let complete = !(0..NODES).any(waits) || self.now - recovery.since > BARRIER;
        match recovery.reading.take() {
            None if complete || !self.switches.barrier => self.read(tenant, &mut recovery),
            None => {}
            Some((at, ..)) if self.now - at > READING => return,
            Some(reading) => {
                if self.reaches(recovery.by) && !self.rng.one_in(8) {
                    let (_, seed, _) = reading;
                    let limits = &self.limits[tenant];
                    let now = Timestamp::from_micros(self.now);
                    let account = Account::seeded(&seed, limits, now);
                    let written = seed.epoch == self.store.epoch;
                    if written && self.store.accounts[tenant].is_none() {
                        self.store.accounts[tenant] = Some(account);
                    }
                    self.oracle.recoveries += 1;
                    return;
                }
                recovery.reading = Some(reading);
            }
        }
        self.recoveries[tenant] = Some(recovery);
    }

    /// One node's part of the barrier.
    fn answer(&mut self, node: usize, tenant: usize, recovery: &mut Recovery) {
        recovery.answered[node] = true;
        if self.switches.barrier || node == recovery.by {
            self.drop_slice(node, tenant);
            self.flush(node);
            for request in &mut self.nodes[node].open {
                if request.tenant == tenant && matches!(request.state, State::Held { .. }) {
                    request.state = State::Wanted;
                }
            }
        }
        let seen = self.nodes[node].seen[tenant];
        recovery.seen.version = recovery.seen.version.max(seen.version);
        recovery.seen.tat_us = recovery.seen.tat_us.max(seen.tat_us);
    }

    fn read(&mut self, tenant: usize, recovery: &mut Recovery) {
        for node in 0..NODES {
            if self.switches.one_host {
                self.flush(node);
            }
            // What cannot be read now is the stated limit (a).
            for row in self.nodes[node].journal.tail() {
                let silent = !recovery.answered[node];
                if silent
                    && row.tenant == tenant
                    && row.slice.is_none()
                    && matches!(row.kind, Kind::Dispatch | Kind::Extend)
                {
                    self.oracle.allow(tenant, row.day, row.nano);
                }
            }
        }
        let seen = (recovery.seen.version, recovery.seen.tat_us);
        let seed = self.ledger.read(tenant, self.today(), self.store.epoch, seen);
        let version = seed.version.max(self.now) + 1;
        let (marks, answered) = (self.ledger.marks, recovery.answered);
        let seeding = Seeding { version, marks, answered };
        self.ledger.seedings[tenant] = Some(seeding);
        recovery.reading = Some((self.now, seed, seeding));
    }

    pub fn restart(&mut self, node: usize) {
        self.nodes[node].dead_until = None;
        self.nodes[node].next_renew = self.now;
        if !self.switches.replay {
            self.flush(node);
            return;
        }
        self.nodes[node].replay = [true; TENANTS];
        self.flush(node);
        let (mut rows, mut estimated) = (Vec::new(), Vec::new());
        for (tenant, entries) in self.ledger.tenants.iter().enumerate() {
            let mine =
                entries.iter().filter(|(_, entry)| entry.node == node && entry.cost.is_none());
            for (rid, entry) in mine {
                // Settled at the hold: the truth is not known.
                let (kind, nano) = if entry.is_slice {
                    (Kind::SliceClose, self.ledger.drawn(tenant, *rid))
                } else {
                    (Kind::Settle, entry.hold)
                };
                let (rid, day, at) = (*rid, entry.day, self.now);
                let (slice, version) = (entry.slice, i64::MAX);
                if !entry.is_slice && self.rng.one_in(4) {
                    let owed = None;
                    estimated.push(Estimate { tenant, rid, day, owed });
                }
                rows.push(Row { seq: 0, rid, tenant, kind, nano, day, slice, version, at });
            }
        }
        for row in rows {
            self.nodes[node].journal.write(row);
        }
        self.nodes[node].estimated = estimated;
        self.flush(node);
    }

    /// The truth about a request that was settled at its hold comes in: first into the ledger,
    /// then the account is read from it. Added to the account instead, it would be counted twice
    /// whenever a reading had seen the row, or an answer was lost.
    pub fn correct(&mut self, node: usize) {
        if self.nodes[node].estimated.is_empty() || !self.rng.one_in(20) || !self.reaches(node) {
            return;
        }
        let Some(mut estimate) = self.nodes[node].estimated.pop() else { return };
        let Estimate { tenant, rid, day, owed } = estimate;
        let Some(entry) = self.ledger.tenants[tenant].get(&rid) else { return };
        let delta = owed.unwrap_or(self.oracle.truth(rid) - entry.cost.unwrap_or(0));
        if owed.is_none() {
            let row = Row {
                seq: 0,
                rid,
                tenant,
                kind: Kind::Adjust,
                nano: self.oracle.truth(rid),
                day,
                slice: None,
                version: 0,
                at: self.now,
            };
            self.nodes[node].journal.write(row);
            self.flush(node);
            self.oracle.corrections += 1;
        }
        if self.switches.corrections_reread {
            self.nodes[node].reread[tenant] = self.ledger.marks[node];
            return;
        }
        let op = Op::Adjust { day: Day::from_days(day as i32), nano: delta };
        if !matches!(self.call(node, tenant, op), Outcome::Reply(_)) {
            estimate.owed = Some(delta);
            self.nodes[node].estimated.push(estimate);
        }
    }

    /// A seeding that this node took no part in may hold what it had settled already.
    pub fn notice_seeding(&mut self, node: usize, tenant: usize) {
        let Some(seeding) = self.ledger.seedings[tenant] else { return };
        let known = &mut self.nodes[node].seedings[tenant];
        if *known < seeding.version {
            *known = seeding.version;
            self.nodes[node].replay[tenant] |= !seeding.answered[node];
        }
    }

    /// Settles what the store still holds for this node's former life.
    pub fn replay(&mut self, node: usize, tenant: usize) {
        if !self.reaches(node) {
            return;
        }
        let account = self.store.accounts[tenant].as_ref();
        let current = account
            .filter(|account| account.header().epoch == self.store.epoch || !self.switches.epoch);
        let Some(account) = current else { return self.need(node, tenant) };
        let known = |rid: u128| {
            let node = &self.nodes[node];
            let leased = node.slices[tenant].is_some_and(|leased| leased.slice.rid.bits() == rid);
            leased
                || node.open.iter().any(|open| open.rid == rid)
                || node.debts.iter().any(|debt| debt.rid == rid)
        };
        let orphans: Vec<u128> = account
            .records()
            .iter()
            .filter(|record| record.node() == owner(node) && !known(record.rid.bits()))
            .map(|record| record.rid.bits())
            .collect();
        for rid in orphans {
            let entry = self.ledger.tenants[tenant].get(&rid);
            // Without a row it was never dispatched, or never drawn from.
            let actual = match entry {
                Some(entry) if entry.is_slice => self.ledger.drawn(tenant, rid),
                Some(entry) => entry.cost.unwrap_or(entry.hold),
                None => 0,
            };
            let debt = Debt { tenant, rid, actual, version: i64::MAX, seq: 0 };
            self.nodes[node].debts.push(debt);
        }
        self.nodes[node].replay[tenant] = false;
        let (mark, version) = self.mark(node, tenant);
        let rows = self.nodes[node].journal.rows.iter().skip(mark as usize);
        let missed = rows.filter(|row| {
            let spends = matches!(row.kind, Kind::Dispatch | Kind::Adjust);
            row.tenant == tenant && spends && row.version < version
        });
        if let Some(row) = missed.max_by_key(|row| row.seq) {
            self.oracle.unheld += u64::from(row.kind == Kind::Dispatch);
            self.nodes[node].reread[tenant] = row.seq;
        }
    }

    /// What the last reading had seen of a node, and the version it gave the account.
    fn mark(&self, node: usize, tenant: usize) -> (u64, i64) {
        let seeding = self.ledger.seedings[tenant];
        seeding.map_or((0, 1), |seeding| (seeding.marks[node], seeding.version))
    }

    /// A dispatched request the account does not know: was it there when the account was seeded?
    /// If not, the account is wrong, and is read anew.
    pub fn check_counted(&mut self, node: usize, tenant: usize, (version, seq): (i64, u64)) {
        let (mark, seeded) = self.mark(node, tenant);
        if seq > mark && version < seeded {
            self.oracle.unheld += 1;
            self.nodes[node].reread[tenant] = seq;
        }
    }

    /// Forgets the account until a reading has seen the row that this node knows to be missing.
    pub fn insist(&mut self, node: usize, tenant: usize) {
        let wanted = self.nodes[node].reread[tenant];
        if wanted <= self.mark(node, tenant).0 {
            self.nodes[node].reread[tenant] = 0;
        } else if self.recoveries[tenant].is_none() && self.reaches(node) {
            self.need(node, tenant);
        }
    }
}
