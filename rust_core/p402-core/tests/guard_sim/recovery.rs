//! Decides how an account comes back: one barrier, one reading of the ledger, one writing.
//! And how a node comes back after a crash: its journal says what became of its records.

use crate::ledger::{Kind, Row, Seeding};
use crate::node::{Debt, State};
use crate::world::{BARRIER, NODES, READING, Recovery, TENANTS, World};
use p402_core::guard::Account;
use p402_core::time::Timestamp;

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
                        self.oracle.seeded(tenant, self.now);
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
        let version = (seed.version + 1).max(self.now);
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
        let mut rows = Vec::new();
        for (tenant, entries) in self.ledger.tenants.iter().enumerate() {
            let mine =
                entries.iter().filter(|(_, entry)| entry.node == node && entry.cost.is_none());
            for (rid, entry) in mine {
                // Settled at the hold: the truth is not known.
                let (kind, nano) = match entry.is_slice {
                    true => (Kind::SliceClose, self.ledger.drawn(tenant, *rid)),
                    false => (Kind::Settle, entry.hold),
                };
                let (rid, day, at) = (*rid, entry.day, self.now);
                let (slice, version) = (entry.slice, i64::MAX);
                rows.push(Row { seq: 0, rid, tenant, kind, nano, day, slice, version, at });
            }
        }
        for row in rows {
            self.nodes[node].journal.write(row);
        }
        self.flush(node);
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
            .filter(|record| record.node() == node as u32 && !known(record.rid.bits()))
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
        let seeding = self.ledger.seedings[tenant];
        let missed = seeding.is_some_and(|seeding| {
            let rows = &self.nodes[node].journal.rows;
            rows.iter().skip(seeding.marks[node] as usize).any(|row| {
                row.tenant == tenant && row.kind == Kind::Dispatch && row.version < seeding.version
            })
        });
        if missed {
            self.oracle.missed += 1;
            self.store.forget(tenant);
            self.need(node, tenant);
        }
    }
}
