//! Decides how slices are leased, drawn from and returned: escrow for when the store is away.
//! Does not compute their size; `guard::Slice` does.

use crate::ledger::{Kind, Row};
use crate::node::{Debt, Leased};
use crate::world::{NODES, Outcome, World, owner};
use p402_core::guard::{Claim, Code, Fate, Kind as Ask, Op, Reply, Slice};
use p402_core::id::RequestId;
use p402_core::money::Usd;

impl World {
    fn left(&self, tenant: usize, reply: &Reply) -> Usd {
        let limits = &self.limits[tenant];
        let day = limits.daily_cap.nano() - reply.day_spent.nano() - reply.day_held.nano();
        let budget = limits.budget.map_or(i64::MAX, |budget| {
            budget.nano() - reply.budget_spent.nano() - reply.held.nano()
        });
        Usd::from_nano(day.min(budget) + reply.parked.nano())
    }

    pub fn lease_slice(&mut self, node: usize, tenant: usize, reply: &Reply) {
        let left = self.left(tenant, reply);
        if let Some(leased) = self.nodes[node].slices[tenant] {
            let old = i64::from(leased.slice.day.days()) != self.today();
            if old || leased.slice.is_too_large(left, NODES as u32) {
                self.give_back(node, tenant);
            }
            return;
        }
        let amount = Slice::size(left, self.limits[tenant].slice_max, NODES as u32);
        if amount == Usd::ZERO || self.calm {
            return;
        }
        self.rids += 1;
        let rid = RequestId::from_bits(self.rids);
        let claim = Claim { rid, amount, owner: owner(node), kind: Ask::Slice };
        match self.call(node, tenant, Op::Admit(claim)) {
            Outcome::Reply(reply) if reply.code == Code::Done => {
                let slice = Slice::new(rid, amount, reply.admitted);
                let usable = !self.switches.slice_rows;
                self.nodes[node].slices[tenant] = Some(Leased { slice, usable, returning: false });
                if self.switches.slice_rows {
                    self.write_slice(node, tenant, &slice, (Kind::SliceOpen, amount.nano()));
                    self.flush(node);
                }
            }
            Outcome::Lost => {
                let rid = rid.bits();
                let debt = Debt { tenant, rid, actual: 0, version: i64::MAX, seq: 0 };
                self.nodes[node].debts.push(debt);
            }
            _ => {}
        }
    }

    fn write_slice(&mut self, node: usize, tenant: usize, slice: &Slice, what: (Kind, i64)) {
        self.nodes[node].journal.write(Row {
            seq: 0,
            rid: slice.rid.bits(),
            tenant,
            kind: what.0,
            nano: what.1,
            day: i64::from(slice.day.days()),
            slice: None,
            version: i64::MAX,
            at: self.now,
        });
    }

    pub fn slice_renewed(&mut self, node: usize, tenant: usize, fate: Fate) {
        let Some(leased) = &mut self.nodes[node].slices[tenant] else { return };
        if fate == Fate::Unknown {
            self.drop_slice(node, tenant);
        } else {
            leased.usable = true;
        }
    }

    /// The slice's record is gone, or about to go: its draws stand for themselves.
    pub fn drop_slice(&mut self, node: usize, tenant: usize) {
        let Some(leased) = self.nodes[node].slices[tenant].take() else { return };
        if self.switches.slice_rows {
            let spent = leased.slice.spent().nano();
            self.write_slice(node, tenant, &leased.slice, (Kind::SliceClose, spent));
        }
        self.nodes[node].convert_draws(leased.slice.rid.bits());
    }

    /// Nothing drawn is open: the slice goes back at what was spent.
    pub fn give_back(&mut self, node: usize, tenant: usize) {
        let Some(leased) = self.nodes[node].slices[tenant] else { return };
        if leased.slice.held() != Usd::ZERO {
            self.nodes[node].slices[tenant] = Some(Leased { returning: true, ..leased });
            return;
        }
        self.drop_slice(node, tenant);
        let (rid, actual) = (leased.slice.rid.bits(), leased.slice.spent().nano());
        self.nodes[node].debts.push(Debt { tenant, rid, actual, version: i64::MAX, seq: 0 });
    }

    pub fn return_slice(&mut self, node: usize, tenant: usize) {
        let leased = self.nodes[node].slices[tenant];
        if leased.is_some_and(|leased| leased.returning || self.calm) {
            self.give_back(node, tenant);
        }
    }

    pub fn call_slices_in(&mut self, tenant: usize) {
        for node in 0..NODES {
            if self.nodes[node].runs(self.now) && !self.nodes[node].away && self.rng.one_in(2) {
                self.give_back(node, tenant);
            }
        }
    }

    pub fn come_back(&mut self, node: usize) {
        self.nodes[node].away = false;
        for leased in self.nodes[node].slices.iter_mut().flatten() {
            let drawn = leased.slice.spent() != Usd::ZERO || leased.slice.held() != Usd::ZERO;
            leased.returning |= drawn;
        }
    }
}
