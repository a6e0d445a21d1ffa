//! Keeps what this node last saw of each tenant: the last reply, its slice, the generation.
//! Does not decide with it, and may forget a tenant: the epoch alone still protects its account.

use super::address::Tag;
use super::slices::Leased;
use p402_core::guard::{Limits, Reply, Slice, is_reseeded};
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
    /// A recovery in whose time this node has written down all it knew: which one, and the version
    /// that its account begins at.
    heard: Option<(u64, i64)>,
    /// Its account does not know what the ledger knows.
    pub(super) doubted: bool,
}

/// What a recovery finds at this node.
#[derive(Default)]
pub(super) struct Barred {
    /// The greatest arrival time and version.
    pub(super) seen: (i64, i64),
    /// The slice that is over, and whose it was.
    pub(super) slice: Option<(Arc<str>, Slice)>,
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
            let seat = Seat {
                tenant,
                limits: *limits,
                used: now,
                last,
                slice,
                generation,
                heard: None,
                doubted: false,
            };
            seats.insert(tag.clone(), seat);
        }
        0
    }

    /// What the account answered; replies may come out of order.
    pub(super) fn note(&self, tag: &Tag, reply: &Reply) {
        self.with(tag, |seat| {
            seat.slice.as_mut().map(Leased::hear);
            let before = seat.last.as_ref().map_or(reply.version, |last| last.version);
            if before <= reply.version {
                if is_reseeded(before, reply.version) {
                    // Without this node, its last rows may not have been read.
                    let in_time = seat.heard.is_some_and(|(_, at)| !is_reseeded(at, reply.version));
                    seat.doubted |= !in_time;
                }
                seat.last = Some(Reply { fates: Vec::new(), ..reply.clone() });
            }
        });
    }

    /// A recovery begins: undispatched reservations are void, the slice is over and comes back.
    /// What this node has seen: arrival time and version.
    pub(super) fn bar(&self, tag: &Tag) -> Barred {
        let seen = self.with(tag, |seat| {
            seat.generation += 1;
            // What is in the ledger by now will be in the account, if this node is in time.
            seat.doubted = false;
            let slice = seat.slice.take().map(|leased| (seat.tenant.clone(), leased.slice));
            let seen = seat.last.as_ref().map_or((0, 0), |last| (last.tat_us, last.version));
            Barred { seen, slice }
        });
        seen.unwrap_or_else(|| {
            self.unseated.fetch_add(1, Ordering::AcqRel);
            Barred::default()
        })
    }

    /// What this node knew was in the ledger before that recovery read it, for an account that
    /// begins at this version.
    pub(super) fn hear(&self, tag: &Tag, recovery: u64, version: i64) {
        self.with(tag, |seat| seat.heard = Some((recovery, version)));
    }

    /// This node has been in time for that recovery: its call is no news.
    pub(super) fn has_heard(&self, tag: &Tag, recovery: u64) -> bool {
        let heard = self.with(tag, |seat| seat.heard.is_some_and(|(id, _)| id == recovery));
        heard.unwrap_or(false)
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
        self.chosen(|seat| seat.slice.is_some() || now.since(seat.used) < ACTIVE_US)
    }

    /// The account is to be read anew.
    pub(super) fn doubt(&self, tag: &Tag) {
        self.with(tag, |seat| seat.doubted = true);
    }

    /// Those whose accounts are to be read anew.
    pub(super) fn doubted(&self) -> Vec<Tag> {
        self.chosen(|seat| seat.doubted)
    }

    /// Those of whom something may be held that nobody renews.
    pub(super) fn left_alone(&self, now: Timestamp) -> Vec<Tag> {
        self.chosen(|seat| {
            let lease_ms = seat.limits.hold_lease_ms;
            seat.last.as_ref().is_some_and(|last| {
                let idle = last.now.millis() + lease_ms < now.millis();
                last.suspense > Usd::ZERO || (idle && last.held > Usd::ZERO)
            })
        })
    }

    fn chosen(&self, wanted: impl Fn(&Seat) -> bool) -> Vec<Tag> {
        let seats = self.by_tag.lock();
        seats.iter().filter(|(_, seat)| wanted(seat)).map(|(tag, _)| tag.clone()).collect()
    }

    pub(super) fn with<T>(&self, tag: &Tag, change: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        self.by_tag.lock().get_mut(tag).map(change)
    }
}
