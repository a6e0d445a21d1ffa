//! Decides the life of a request at its node: admitted, dispatched, extended, finished, owed.
//! Does not know why a call had no answer; world.rs loses it.

use crate::ledger::{Kind, Row};
use crate::node::{Debt, Request, State};
use crate::world::{MS, NODES, Outcome, SECOND, TENANTS, World, owner};
use p402_core::guard::{Claim, Code, Fate, Kind as Ask, Op};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Day;

impl World {
    pub fn begin(&mut self, node: usize) {
        let tenant = self.rng.below(TENANTS);
        self.rids += 1;
        let claim = self.rng.range(1, 100).min(self.rng.range(1, 100)) * MS;
        let request = Request {
            rid: self.rids,
            tenant,
            claim,
            actual: claim * self.rng.range(30, 170).min(100) / 100,
            state: State::Wanted,
            day: self.today(),
            version: 0,
            seq: 0,
            slice: None,
        };
        self.admit(node, request);
    }

    /// Asks for a reservation; what is not admitted is forgotten.
    pub fn admit(&mut self, node: usize, mut request: Request) {
        if self.nodes[node].away {
            return self.draw(node, request);
        }
        let claim = Claim {
            rid: RequestId::from_bits(request.rid),
            amount: Usd::from_nano(request.claim),
            owner: owner(node),
            kind: Ask::Request,
        };
        match self.call(node, request.tenant, Op::Admit(claim)) {
            Outcome::Reply(reply) if reply.code == Code::Done => {
                request.day = i64::from(reply.admitted.days());
                request.version = reply.version;
                request.state = State::Held { since: self.now };
                self.nodes[node].open.push(request);
            }
            Outcome::Reply(reply) => {
                if reply.retry_ms == 1_000 && matches!(reply.code, Code::DailyCap | Code::Budget) {
                    self.call_slices_in(request.tenant);
                }
            }
            Outcome::Need => {}
            Outcome::Lost => self.ambiguous(node, request),
        }
    }

    /// An admission without an answer: tried again, taken over by another node, or given up.
    fn ambiguous(&mut self, node: usize, request: Request) {
        match self.rng.below(4) {
            0 if !self.nodes[node].away => return self.admit(node, request),
            1 => {
                let other = self.rng.below(NODES);
                if other != node && self.nodes[other].runs(self.now) && !self.nodes[other].away {
                    self.admit(other, request);
                }
            }
            _ => {}
        }
        let (tenant, rid) = (request.tenant, request.rid);
        self.nodes[node].debts.push(Debt { tenant, rid, actual: 0, version: i64::MAX, seq: 0 });
    }

    /// The store is away: only the slice may be spent.
    fn draw(&mut self, node: usize, mut request: Request) {
        let today = Day::from_days(self.today() as i32);
        let claim = Usd::from_nano(request.claim);
        let Some(leased) = &mut self.nodes[node].slices[request.tenant] else { return };
        if !leased.usable || leased.returning || !leased.slice.draw(claim, today) {
            return;
        }
        self.oracle.draws += 1;
        request.slice = Some(leased.slice.rid.bits());
        request.day = i64::from(leased.slice.day.days());
        request.version = i64::MAX;
        self.dispatch(node, request);
    }

    pub fn dispatch(&mut self, node: usize, mut request: Request) {
        request.seq = self.write(node, &request, Kind::Dispatch, request.claim);
        request.state = State::Running { ends: self.now + self.rng.range(100 * MS, 6 * SECOND) };
        self.nodes[node].open.push(request);
        self.bill(&request, request.actual);
    }

    fn bill(&mut self, request: &Request, nano: i64) {
        self.oracle.bill(request, nano, &self.limits[request.tenant]);
    }

    pub fn write(&mut self, node: usize, request: &Request, kind: Kind, nano: i64) -> u64 {
        self.nodes[node].journal.write(Row {
            seq: 0,
            rid: request.rid,
            tenant: request.tenant,
            kind,
            nano,
            day: request.day,
            slice: request.slice,
            version: request.version,
            at: self.now,
        })
    }

    /// Moves one open request of a node.
    pub fn advance(&mut self, node: usize) {
        let count = self.nodes[node].open.len();
        if count == 0 {
            return;
        }
        let at = self.rng.below(count);
        let request = self.nodes[node].open[at];
        match request.state {
            State::Wanted => {
                self.nodes[node].open.swap_remove(at);
                self.admit(node, request);
            }
            State::Held { since } => {
                self.nodes[node].open.swap_remove(at);
                let old = self.now - since >= self.switches.reservation_age;
                if old {
                    self.renew_before_dispatch(node, request);
                } else if self.rng.one_in(10) {
                    self.owe(node, &request, 0);
                } else {
                    self.dispatch(node, request);
                }
            }
            State::Running { ends } if ends <= self.now => {
                self.nodes[node].open.swap_remove(at);
                self.finish(node, &request);
            }
            State::Running { .. } => {
                if self.rng.one_in(40) && request.slice.is_none() && !self.nodes[node].away {
                    self.extend(node, at);
                }
            }
        }
    }

    fn renew_before_dispatch(&mut self, node: usize, mut request: Request) {
        let rids = [RequestId::from_bits(request.rid)];
        match self.call(node, request.tenant, Op::Renew(&rids)) {
            Outcome::Reply(reply) if reply.fates != [Fate::Unknown] => {
                request.state = State::Held { since: self.now };
            }
            Outcome::Reply(_) | Outcome::Need => request.state = State::Wanted,
            Outcome::Lost => {}
        }
        self.nodes[node].open.push(request);
    }

    fn extend(&mut self, node: usize, at: usize) {
        let request = self.nodes[node].open[at];
        let more = self.rng.range(1, 50) * MS;
        let amount = Usd::from_nano(request.claim + more);
        let rid = RequestId::from_bits(request.rid);
        let outcome = self.call(node, request.tenant, Op::Extend { rid, amount });
        if !matches!(&outcome, Outcome::Reply(reply) if reply.code == Code::Done) {
            return;
        }
        self.write(node, &request, Kind::Extend, amount.nano());
        let spent = more * self.rng.range(0, 170).min(100) / 100;
        let open = &mut self.nodes[node].open[at];
        open.claim += more;
        open.actual += spent;
        self.bill(&request, spent);
    }

    fn finish(&mut self, node: usize, request: &Request) {
        self.write(node, request, Kind::Settle, request.actual);
        let Some(slice) = request.slice else { return self.owe(node, request, request.actual) };
        let leased = self.nodes[node].slices[request.tenant].as_mut();
        if let Some(leased) = leased.filter(|leased| leased.slice.rid.bits() == slice) {
            let (claim, actual) = (Usd::from_nano(request.claim), Usd::from_nano(request.actual));
            leased.slice.settle(claim, actual);
        }
    }

    pub fn owe(&mut self, node: usize, request: &Request, actual: i64) {
        let Request { tenant, rid, version, seq, .. } = *request;
        self.nodes[node].debts.push(Debt { tenant, rid, actual, version, seq });
    }
}
