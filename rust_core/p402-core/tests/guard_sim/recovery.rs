//! Decides how an account comes back: one barrier, one reading of the ledger, one writing.
//! Does not end what a dead node left (heirs.rs).

use crate::ledger::{Kind, Row, Seeding};
use crate::node::{Estimate, State};
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
            self.nodes[node].bar(tenant);
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
        let seeding = Seeding { version, marks: self.ledger.marks };
        self.ledger.seedings[tenant] = Some(seeding);
        recovery.reading = Some((self.now, seed, seeding));
    }

    /// The truth about a request that was settled at its hold comes in. The account goes first,
    /// then comes the row: whatever ends the node in between, somebody reads the account anew.
    pub fn correct(&mut self, node: usize) {
        let Some(Estimate { tenant, rid, day }) = self.nodes[node].estimated.last().copied() else {
            return;
        };
        let busy = self.recoveries[tenant].is_some() || !self.reaches(node);
        if busy || !self.rng.one_in(20) {
            return;
        }
        self.nodes[node].estimated.pop();
        self.need(node, tenant);
        let (nano, slice, at) = (self.oracle.truth(rid), None, self.now);
        let row = Row { seq: 0, rid, tenant, kind: Kind::Adjust, nano, day, slice, at };
        self.nodes[node].journal.write(row);
        self.flush(node);
        self.oracle.corrections += 1;
    }

    /// What the last reading had seen of a node, and the version it gave the account.
    fn mark(&self, node: usize, tenant: usize) -> (u64, i64) {
        let seeding = self.ledger.seedings[tenant];
        seeding.map_or((0, 1), |seeding| (seeding.marks[node], seeding.version))
    }

    /// A dispatched request the account does not know: was it there when the account was seeded?
    pub fn check_counted(&mut self, node: usize, tenant: usize, (version, seq): (i64, u64)) {
        let (mark, seeded) = self.mark(node, tenant);
        self.oracle.unheld += u64::from(seq > mark && version < seeded);
    }

    /// Reads those accounts anew that do not know what the ledger knows.
    pub fn reread_doubted(&mut self, node: usize) {
        for tenant in 0..TENANTS {
            let doubted = self.nodes[node].doubted[tenant] && self.switches.doubts;
            let free = self.recoveries[tenant].is_none() && self.reaches(node);
            if doubted && free {
                self.need(node, tenant);
            }
            self.nodes[node].doubted[tenant] = doubted && !free;
        }
    }
}
