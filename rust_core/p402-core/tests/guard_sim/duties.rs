//! Decides what a node does by the clock: flush, pay, renew, return.
//! Does not begin requests (requests.rs) or bring accounts back (recovery.rs).

use crate::node::State;
use crate::world::{FLUSH_BOUND, MS, Outcome, TENANTS, World, owner};
use p402_core::guard::{Code, Fate, Op};
use p402_core::id::RequestId;
use p402_core::money::Usd;

impl World {
    /// What a node does by the clock: come back, flush, pay, renew, replay.
    pub fn tend(&mut self, node: usize) {
        if self.nodes[node].dead_until.is_some_and(|until| until <= self.now) {
            self.restart(node);
        }
        if !self.nodes[node].runs(self.now) {
            return;
        }
        let oldest = self.nodes[node].journal.tail().first();
        if oldest.is_some_and(|row| self.now - row.at >= FLUSH_BOUND) {
            self.flush(node);
        }
        if self.nodes[node].away {
            if !self.reaches(node) || !self.rng.one_in(3) {
                return;
            }
            self.come_back(node);
        }
        for _ in 0..2 {
            self.pay(node);
        }
        self.correct(node);
        for tenant in 0..TENANTS {
            self.return_slice(node, tenant);
            self.insist(node, tenant);
            if self.switches.replay {
                self.notice_seeding(node, tenant);
            }
            if self.nodes[node].replay[tenant] && self.rng.one_in(8) {
                self.replay(node, tenant);
            }
        }
        if self.now >= self.nodes[node].next_renew && (self.switches.suspense || self.calm) {
            self.nodes[node].next_renew = self.now + self.limits[0].renew_every_ms * MS;
            for tenant in 0..TENANTS {
                self.renew(node, tenant);
            }
        }
    }

    pub fn flush(&mut self, node: usize) {
        self.ledger.flush(node, &mut self.nodes[node].journal);
    }

    fn pay(&mut self, node: usize) {
        if self.nodes[node].debts.is_empty() {
            return;
        }
        let at = self.rng.below(self.nodes[node].debts.len());
        let debt = self.nodes[node].debts.swap_remove(at);
        if debt.seq == 0 && self.nodes[node].open.iter().any(|open| open.rid == debt.rid) {
            // Given up once and admitted after all.
            return;
        }
        let (rid, actual) = (RequestId::from_bits(debt.rid), Usd::from_nano(debt.actual));
        let op = Op::Settle { rid, owner: owner(node), actual };
        match self.call(node, debt.tenant, op) {
            Outcome::Reply(reply) if reply.code == Code::Unknown => {
                self.check_counted(node, debt.tenant, (debt.version, debt.seq));
            }
            Outcome::Reply(_) => {}
            Outcome::Need | Outcome::Lost => self.nodes[node].debts.push(debt),
        }
    }

    fn renew(&mut self, node: usize, tenant: usize) {
        let open = self.nodes[node].open.iter();
        let mine = open.filter(|open| open.tenant == tenant && open.slice.is_none());
        let mut rids: Vec<RequestId> = mine
            .filter(|open| open.state != State::Wanted)
            .map(|open| RequestId::from_bits(open.rid))
            .collect();
        let leased = self.nodes[node].slices[tenant];
        rids.extend(leased.map(|leased| leased.slice.rid));
        let Outcome::Reply(reply) = self.call(node, tenant, Op::Renew(&rids)) else { return };
        for (rid, fate) in rids.iter().zip(&reply.fates) {
            if leased.is_some_and(|leased| leased.slice.rid == *rid) {
                self.slice_renewed(node, tenant, *fate);
            } else if *fate == Fate::Unknown {
                self.lost_record(node, tenant, rid.bits());
            }
        }
        self.lease_slice(node, tenant, &reply);
    }

    fn lost_record(&mut self, node: usize, tenant: usize, rid: u128) {
        let found = self.nodes[node].open.iter_mut().find(|open| open.rid == rid);
        let Some(request) = found else { return };
        let (version, seq) = (request.version, request.seq);
        match request.state {
            State::Running { .. } => self.check_counted(node, tenant, (version, seq)),
            _ => request.state = State::Wanted,
        }
    }
}
