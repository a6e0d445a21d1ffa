//! Is the right to spend: an admitted claim, held until it is settled once.
//! Does not decide who may have it (gateway.rs) or what it came to (settling.rs).

use crate::home::Home;
use crate::meter::{Meter, sum};
use crate::store::{StoreError, Tenant, Trip};
use p402_core::guard::{Claim, Code, Fate, Kind, Op, Reply};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Day, Now, Ticks, Timestamp};
use std::sync::Arc;

/// Who answers for a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// The account, in its home.
    Store,
    /// This node's slice, while the home is away.
    Slice,
    /// The operator, who prefers to fail open: metered, up to the overdraft.
    Overdraft,
}

/// A hold. It is spent by `settle`, which takes it by value.
#[derive(Debug)]
pub struct Reservation {
    pub rid: RequestId,
    pub held: Usd,
    /// The day whose cap the money counts against.
    pub day: Day,
    pub backing: Backing,
    /// When its leases were last taken.
    leased: Ticks,
    /// Of the account, when it was admitted (`Store::generation`).
    generation: u64,
}

/// Whose reservation, in which home, and who counts.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub home: &'a Arc<Home>,
    pub tenant: Tenant<'a>,
    pub meter: &'a Arc<Meter>,
}

/// Why a hold did not grow, or is not there any more.
#[derive(Clone, Debug)]
pub enum Unheld {
    Refused(Reply),
    Away(StoreError),
}

impl Reservation {
    pub fn new(rid: RequestId, held: Usd, reply: &Reply, (backing, now): (Backing, Now)) -> Self {
        Self { rid, held, day: reply.admitted, backing, leased: now.ticks, generation: 0 }
    }

    /// The account's generation as it was when the claim was admitted.
    #[must_use]
    pub const fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    pub const fn degraded(&self) -> bool {
        !matches!(self.backing, Backing::Store)
    }

    /// The hold grows to `to`, in the place where it is held.
    pub async fn extend(&mut self, place: Place<'_>, to: Usd, now: Now) -> Result<(), Unheld> {
        if to <= self.held {
            return Ok(());
        }
        let more = to.saturating_sub(self.held);
        let op = Op::Extend { rid: self.rid, amount: to };
        let answer = match self.backing {
            Backing::Store => place.home.store.call(&place.tenant, op, now.utc).answer().await,
            Backing::Slice if !place.home.store.draw(&place.tenant, self.rid, to, now.utc) => {
                Err(StoreError::Away)
            }
            Backing::Slice => {
                self.held = to;
                return Ok(());
            }
            Backing::Overdraft => place.home.local.apply(&place.tenant, op, now.utc),
        };
        match answer {
            Ok(reply) if reply.code == Code::Done => {
                sum(&place.meter.held_nano, more.nano());
                (self.held, self.leased) = (to, now.ticks);
                Ok(())
            }
            Ok(reply) => Err(Unheld::Refused(reply)),
            Err(error) => Err(Unheld::Away(error)),
        }
    }

    /// Before a request is sent: a hold that was not renewed for a while may have been recovered
    /// away from a process that stood still. It is renewed, or asked for again.
    pub async fn refresh(&mut self, place: Place<'_>, now: Now) -> Result<(), Unheld> {
        let every_ms = u64::try_from(place.tenant.limits.renew_every_ms).unwrap_or(0);
        if self.degraded() || now.ticks < self.leased.plus_ms(every_ms) {
            return Ok(());
        }
        let store = &place.home.store;
        let rids = [self.rid];
        let renewed = store.call(&place.tenant, Op::Renew(&rids), now.utc).answer().await;
        let reply = renewed.map_err(Unheld::Away)?;
        if reply.fates.first() == Some(&Fate::Unknown) {
            return self.admit_again(place, now).await;
        }
        self.leased = now.ticks;
        Ok(())
    }

    /// Once its dispatch is journalled: if the account was recovered since it was admitted, that
    /// recovery may not have known of it. It is asked for again, under the same id.
    pub async fn confirm(&mut self, place: Place<'_>, now: Now) -> Result<(), Unheld> {
        if self.degraded() || place.home.store.generation(&place.tenant) == self.generation {
            return Ok(());
        }
        self.admit_again(place, now).await
    }

    async fn admit_again(&mut self, place: Place<'_>, now: Now) -> Result<(), Unheld> {
        let (store, claim) = (&place.home.store, self.claim(place.home.owner));
        let again = store.call(&place.tenant, Op::Admit(claim), now.utc).answer().await;
        self.generation = store.generation(&place.tenant);
        let reply = again.map_err(Unheld::Away)?;
        // Taken: the ledger knew of its dispatch, and the recovered account holds it for anyone.
        if !matches!(reply.code, Code::Done | Code::Taken) {
            return Err(Unheld::Refused(reply));
        }
        (self.day, self.leased) = (reply.admitted, now.ticks);
        Ok(())
    }

    fn claim(&self, owner: u32) -> Claim {
        Claim { rid: self.rid, amount: self.held, owner, kind: Kind::Request }
    }

    /// Gives the hold back and books what it came to, in the place where it was held.
    pub fn settle(self, place: Place<'_>, actual: Usd, now: Timestamp) -> Trip {
        sum(&place.meter.held_nano, -self.held.nano());
        sum(&place.meter.shortfall_nano, (actual.nano() - self.held.nano()).max(0));
        let op = Op::Settle { rid: self.rid, owner: place.home.owner, actual };
        if !self.degraded() {
            return place.home.store.call(&place.tenant, op, now);
        }
        sum(&place.meter.degraded_spend_nano, actual.nano());
        if self.backing == Backing::Slice {
            place.home.store.redeem(&place.tenant, self.rid, actual, now);
        }
        Trip::Made(place.home.local.apply(&place.tenant, op, now))
    }
}
