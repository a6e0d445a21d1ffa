//! Decides when a node leases a share of what is left for an outage, and when it gives it back.
//! Does not spend it: the gateway draws on it, and only while the store is away.

use super::address::Tag;
use super::home::Home;
use super::seats::Barred;
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
    pub(super) slice: Slice,
    draws: HashMap<RequestId, Usd>,
    /// Its row is shared, and the account still had it after that: a recovery that does not hear
    /// this node any more finds the slice in the ledger.
    usable: bool,
    /// It was drawn from, and the store has said nothing since: it may not be back.
    silence: bool,
    /// The store is back: nothing more is drawn, and it is settled once its requests have ended.
    closing: bool,
}

/// What is to be done about a tenant's slice.
#[derive(Debug, PartialEq, Eq)]
enum Care {
    Nothing,
    Lease(Usd),
    Renew(RequestId),
    Settle(RequestId),
}

impl Leased {
    pub(super) fn draw(&mut self, rid: RequestId, amount: Usd, today: Day) -> bool {
        let held = self.draws.get(&rid).copied().unwrap_or(Usd::ZERO);
        let more = amount.saturating_sub(held);
        let fits = more <= Usd::ZERO
            || (self.usable
                && !self.closing
                && self.draws.len() < DRAWS_MAX
                && self.slice.draw(more, today));
        if fits {
            self.silence = true;
            self.draws.insert(rid, amount.max(held));
        }
        fits
    }

    pub(super) fn redeem(&mut self, rid: RequestId, actual: Usd) -> bool {
        let drawn = self.draws.remove(&rid);
        drawn.inspect(|claim| self.slice.settle(*claim, actual)).is_some()
    }

    /// The store has answered.
    pub(super) const fn hear(&mut self) {
        self.silence = false;
    }

    fn is_touched(&self) -> bool {
        self.slice.spent() > Usd::ZERO || !self.draws.is_empty()
    }

    /// An untouched slice that is too large, or of another day, goes back; a touched one, once the
    /// store has answered again, is closed and goes back when its last request has ended. Until
    /// then a renewal asks whether it does: that the breaker is closed does not say so yet.
    fn care(&mut self, left: Usd, nodes: u32, today: Day) -> Care {
        let whole = Usd::from_nano(left.nano().saturating_add(self.slice.granted.nano()));
        let over =
            self.is_touched() || self.slice.day != today || self.slice.is_too_large(whole, nodes);
        self.closing |= over && !self.silence;
        if self.closing && self.draws.is_empty() {
            Care::Settle(self.slice.rid)
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
    /// Looks after every slice of this node once; one flush shares the rows of all new ones.
    pub(super) async fn tend_slices(self: &Arc<Self>) {
        let mut leased = Vec::new();
        for tag in self.seats.active(self.ways.ticks()) {
            // While nobody answers, a slice that is drawn from is what it is there for.
            if self.fleet.of(&tag).is_some_and(|server| !server.is_open()) {
                let rid = self.tend_slice(&tag).await;
                leased.extend(rid.map(|rid| (tag, rid)));
            }
        }
        if leased.is_empty() {
            return;
        }
        let shared = self.truth.flush().await.is_ok();
        for (tag, rid) in leased {
            if shared {
                self.renew_slice(&tag, rid).await;
            } else {
                self.settle_slice(&tag, rid).await;
            }
        }
    }

    /// Gives back what is leased and not in use: somebody needs it, or this node is leaving.
    pub(super) async fn give_back(self: &Arc<Self>, tag: &Tag) {
        let unused = self.seats.with(tag, |seat| {
            let leased = seat.slice.as_mut()?;
            leased.closing = true;
            leased.draws.is_empty().then_some(leased.slice.rid)
        });
        if let Some(rid) = unused.flatten() {
            self.settle_slice(tag, rid).await;
        }
    }

    /// What is leased by it, if anything is.
    async fn tend_slice(self: &Arc<Self>, tag: &Tag) -> Option<RequestId> {
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
            Care::Lease(amount) if amount > Usd::ZERO => {
                return self.lease_slice(tag, amount).await;
            }
            Care::Renew(rid) => self.renew_slice(tag, rid).await,
            Care::Settle(rid) => self.settle_slice(tag, rid).await,
            Care::Lease(_) | Care::Nothing => {}
        }
        None
    }

    async fn lease_slice(self: &Arc<Self>, tag: &Tag, amount: Usd) -> Option<RequestId> {
        let rid = self.draw_id();
        let claim = Claim { rid, amount, owner: self.node, kind: Kind::Slice };
        let reply = self.call(tag, Op::Admit(claim)).await?.ok()?;
        if reply.code != Code::Done {
            return None;
        }
        let slice = Slice::new(rid, amount, reply.day);
        let noted = self.seats.with(tag, |seat| {
            let (usable, silence, closing) = (false, false, false);
            seat.slice = Some(Leased { slice, draws: HashMap::new(), usable, silence, closing });
            self.truth.note_slice(&seat.tenant, &slice, (true, reply.now))
        });
        if noted != Some(true) {
            self.settle_slice(tag, rid).await;
        }
        Some(rid)
    }

    /// The account has it, and its row is shared.
    async fn renew_slice(self: &Arc<Self>, tag: &Tag, rid: RequestId) {
        let Some(Ok(reply)) = self.call(tag, Op::Renew(&[rid])).await else { return };
        if reply.fates.first() == Some(&Fate::Unknown) {
            self.drop_slice(tag, rid);
            return;
        }
        self.seats.with(tag, |seat| {
            let mine = seat.slice.as_mut().filter(|leased| leased.slice.rid == rid);
            mine.map(|leased| leased.usable = true)
        });
    }

    /// A recovery of this tenant begins; what this node has seen of it.
    pub(super) fn bar(&self, tag: &Tag) -> (i64, i64) {
        let Barred { seen, slice } = self.seats.bar(tag);
        if let Some((tenant, slice)) = slice {
            self.end_slice(tag, &tenant, &slice);
        }
        seen
    }

    fn end_slice(&self, tag: &Tag, tenant: &str, slice: &Slice) {
        let now = self.instant(tag).unwrap_or_default();
        // Without its row it stays parked in the ledger until this process has ended.
        let _ = self.truth.note_slice(tenant, slice, (false, now));
    }

    async fn settle_slice(self: &Arc<Self>, tag: &Tag, rid: RequestId) {
        // What cannot be said now is owed (home.rs): the slice is over in either case.
        if !self.drop_slice(tag, rid) {
            let settle = Op::Settle { rid, owner: self.node, actual: Usd::ZERO };
            let _ = self.call(tag, settle).await;
        }
    }

    /// Ends it here; whether anything was drawn. That has rows of its own, which a recovery that
    /// this node did not hear of may have read or not: the account is read anew.
    fn drop_slice(&self, tag: &Tag, rid: RequestId) -> bool {
        let dropped = self.seats.with(tag, |seat| {
            let mine = seat.slice.take_if(|leased| leased.slice.rid == rid)?;
            let touched = mine.is_touched();
            seat.doubted |= touched;
            Some((seat.tenant.clone(), mine.slice, touched))
        });
        let Some((tenant, slice, touched)) = dropped.flatten() else { return false };
        self.end_slice(tag, &tenant, &slice);
        touched
    }
}
