//! Decides when a node leases a share of what is left for an outage, and when it gives it back.
//! Does not spend it: the gateway draws on it, and only while the store is away.

use super::address::Tag;
use super::home::Home;
use p402_core::guard::{Claim, Code, Fate, Kind, Limits, Op, OutagePolicy, Reply, Slice};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Day;
use std::collections::HashMap;
use std::sync::Arc;

/// Requests that one slice bears at once.
const DRAWS_MAX: usize = 4_096;

/// A slice and the requests drawn from it.
#[derive(Debug)]
pub(super) struct Leased {
    slice: Slice,
    draws: HashMap<RequestId, Usd>,
    /// The store is back: nothing more is drawn, and it is settled once its requests have ended.
    closing: bool,
}

/// What is to be done about a tenant's slice.
#[derive(Debug, PartialEq, Eq)]
enum Care {
    Nothing,
    Lease(Usd),
    Renew(RequestId),
    Settle(RequestId, Usd),
}

impl Leased {
    pub(super) fn draw(&mut self, rid: RequestId, amount: Usd, today: Day) -> bool {
        let held = self.draws.get(&rid).copied().unwrap_or(Usd::ZERO);
        let more = amount.saturating_sub(held);
        let fits = more <= Usd::ZERO
            || (!self.closing && self.draws.len() < DRAWS_MAX && self.slice.draw(more, today));
        if fits {
            self.draws.insert(rid, amount.max(held));
        }
        fits
    }

    pub(super) fn redeem(&mut self, rid: RequestId, actual: Usd) -> bool {
        let drawn = self.draws.remove(&rid);
        drawn.inspect(|claim| self.slice.settle(*claim, actual)).is_some()
    }

    /// The store answers. An untouched slice that is too large, or of another day, goes back; a
    /// touched one is closed and goes back when its last request has ended.
    fn care(&mut self, left: Usd, nodes: u32, today: Day) -> Care {
        let touched = self.slice.spent() > Usd::ZERO || !self.draws.is_empty();
        let whole = Usd::from_nano(left.nano().saturating_add(self.slice.granted.nano()));
        let over = touched || self.slice.day != today || self.slice.is_too_large(whole, nodes);
        self.closing |= over;
        if self.closing && self.draws.is_empty() {
            Care::Settle(self.slice.rid, self.slice.spent())
        } else {
            Care::Renew(self.slice.rid)
        }
    }
}

/// What may still be spent, all slices deducted.
fn left(reply: &Reply, limits: &Limits) -> Usd {
    let day = limits.daily_cap.nano() - reply.day_spent.nano() - reply.day_held.nano();
    let budget = limits
        .budget
        .map_or(i64::MAX, |budget| budget.nano() - reply.budget_spent.nano() - reply.held.nano());
    Usd::from_nano(day.min(budget).max(0))
}

impl Home {
    /// Looks after every slice of this node once.
    pub(super) async fn tend_slices(self: &Arc<Self>) {
        for tag in self.seats.active(self.ways.ticks()) {
            self.tend_slice(&tag).await;
        }
    }

    /// Gives back what is leased and not in use: somebody needs it, or this node is leaving.
    pub(super) async fn give_back(self: &Arc<Self>, tag: &Tag) {
        let unused = self.seats.with(tag, |seat| {
            let leased = seat.slice.as_mut()?;
            leased.closing = true;
            let rid = leased.slice.rid;
            leased.draws.is_empty().then_some((rid, leased.slice.spent()))
        });
        if let Some((rid, spent)) = unused.flatten() {
            self.settle_slice(tag, rid, spent).await;
        }
    }

    async fn tend_slice(self: &Arc<Self>, tag: &Tag) {
        let nodes = self.peers.nodes();
        let care = self.seats.with(tag, |seat| {
            let Some(last) = &seat.last else { return Care::Nothing };
            let left = left(last, &seat.limits);
            match &mut seat.slice {
                Some(leased) => leased.care(left, nodes, last.day),
                None if seat.limits.outage == OutagePolicy::Escrow => {
                    Care::Lease(Slice::size(left, seat.limits.slice_max, nodes))
                }
                None => Care::Nothing,
            }
        });
        match care.unwrap_or(Care::Nothing) {
            Care::Lease(amount) if amount > Usd::ZERO => self.lease_slice(tag, amount).await,
            Care::Renew(rid) => self.renew_slice(tag, rid).await,
            Care::Settle(rid, spent) => self.settle_slice(tag, rid, spent).await,
            Care::Lease(_) | Care::Nothing => {}
        }
    }

    async fn lease_slice(self: &Arc<Self>, tag: &Tag, amount: Usd) {
        let rid = self.draw_id();
        let claim = Claim { rid, amount, owner: self.node, kind: Kind::Slice };
        let Some(Ok(reply)) = self.call(tag, Op::Admit(claim)).await else { return };
        self.seats.with(tag, |seat| {
            if reply.code == Code::Done {
                let slice = Slice::new(rid, amount, reply.day);
                seat.slice = Some(Leased { slice, draws: HashMap::new(), closing: false });
            }
        });
    }

    async fn renew_slice(self: &Arc<Self>, tag: &Tag, rid: RequestId) {
        let Some(Ok(reply)) = self.call(tag, Op::Renew(&[rid])).await else { return };
        if reply.fates.first() == Some(&Fate::Unknown) {
            self.drop_slice(tag, rid);
        }
    }

    async fn settle_slice(self: &Arc<Self>, tag: &Tag, rid: RequestId, spent: Usd) {
        // What cannot be said now is owed (home.rs): the slice is over in either case.
        self.drop_slice(tag, rid);
        let _ = self.call(tag, Op::Settle { rid, owner: self.node, actual: spent }).await;
    }

    fn drop_slice(&self, tag: &Tag, rid: RequestId) {
        self.seats.with(tag, |seat| {
            if seat.slice.as_ref().is_some_and(|leased| leased.slice.rid == rid) {
                seat.slice = None;
            }
        });
    }
}
