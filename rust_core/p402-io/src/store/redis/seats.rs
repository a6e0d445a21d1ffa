//! Keeps what this node last saw of each tenant: the last reply, its slice, the generation.
//! Does not decide with it, and may forget a tenant: the epoch alone still protects its account.

use super::address::Tag;
use super::slices::Leased;
use p402_core::guard::{Limits, Reply};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Ticks, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tenants that are remembered; idle ones make room.
pub(super) const SEATS_MAX: usize = 100_000;
/// A tenant is active here for so long after its last request.
pub(super) const ACTIVE_US: u64 = 60_000_000;

/// What is known of one tenant.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) tenant: Arc<str>,
    pub(super) limits: Limits,
    pub(super) used: Ticks,
    pub(super) last: Option<Reply>,
    pub(super) slice: Option<Leased>,
    /// Rises with every recovery: reservations of an earlier one are void until dispatched.
    pub(super) generation: u64,
}

/// By tag.
#[derive(Default)]
pub(super) struct Seats {
    by_tag: Mutex<HashMap<Tag, Seat>>,
    /// Rises with every recovery of a tenant that is not remembered.
    unseated: AtomicU64,
}

impl Seats {
    /// A request of this tenant comes; its version as it was last seen.
    pub(super) fn enter(&self, tag: &Tag, tenant: &str, limits: &Limits, now: Ticks) -> i64 {
        let mut seats = self.by_tag.lock();
        if let Some(seat) = seats.get_mut(tag) {
            (seat.used, seat.limits) = (now, *limits);
            return seat.last.as_ref().map_or(0, |reply| reply.version);
        }
        if seats.len() >= SEATS_MAX {
            seats.retain(|_, seat| seat.slice.is_some() || now.since(seat.used) < ACTIVE_US);
        }
        if seats.len() < SEATS_MAX {
            let (last, slice) = (None, None);
            let (tenant, generation) = (tenant.into(), self.unseated.load(Ordering::Acquire));
            let seat = Seat { tenant, limits: *limits, used: now, last, slice, generation };
            seats.insert(tag.clone(), seat);
        }
        0
    }

    /// What the account answered; replies may come out of order.
    pub(super) fn note(&self, tag: &Tag, reply: &Reply) {
        self.with(tag, |seat| {
            if seat.last.as_ref().is_none_or(|last| last.version <= reply.version) {
                seat.last = Some(Reply { fates: Vec::new(), ..reply.clone() });
            }
        });
    }

    /// A recovery begins: undispatched reservations are void, the slice is gone. What this node
    /// has seen: arrival time and version.
    pub(super) fn bar(&self, tag: &Tag) -> (i64, i64) {
        let seen = self.with(tag, |seat| {
            seat.generation += 1;
            seat.slice = None;
            seat.last.as_ref().map_or((0, 0), |last| (last.tat_us, last.version))
        });
        seen.unwrap_or_else(|| {
            self.unseated.fetch_add(1, Ordering::AcqRel);
            (0, 0)
        })
    }

    pub(super) fn generation(&self, tag: &Tag) -> u64 {
        let known = self.with(tag, |seat| seat.generation);
        known.unwrap_or_else(|| self.unseated.load(Ordering::Acquire))
    }

    pub(super) fn last(&self, tag: &Tag) -> Option<Reply> {
        self.with(tag, |seat| seat.last.clone()).flatten()
    }

    /// Holds a claim inside the slice.
    pub(super) fn draw(&self, tag: &Tag, rid: RequestId, amount: Usd, now: Timestamp) -> bool {
        let drawn = self.with(tag, |seat| {
            seat.slice.as_mut().is_some_and(|leased| leased.draw(rid, amount, now.utc_day()))
        });
        drawn.unwrap_or(false)
    }

    /// A drawn request has ended; whether it was this slice that it was drawn from.
    pub(super) fn redeem(&self, tag: &Tag, rid: RequestId, actual: Usd) -> bool {
        let redeemed = self
            .with(tag, |seat| seat.slice.as_mut().is_some_and(|leased| leased.redeem(rid, actual)));
        redeemed.unwrap_or(false)
    }

    /// Tenants whose slices somebody must look after.
    pub(super) fn active(&self, now: Ticks) -> Vec<Tag> {
        let seats = self.by_tag.lock();
        let mine = |seat: &Seat| seat.slice.is_some() || now.since(seat.used) < ACTIVE_US;
        seats.iter().filter(|(_, seat)| mine(seat)).map(|(tag, _)| tag.clone()).collect()
    }

    pub(super) fn with<T>(&self, tag: &Tag, change: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        self.by_tag.lock().get_mut(tag).map(change)
    }
}
