//! Decides when nodes tell one another what is usual for a tenant: beside the renewals of leases.
//! Does not decide what is unusual, and no request waits for it or fails with it.

use crate::home::Home;
use crate::watch::{Round, Watches};
use crate::world::World;
use p402_core::guard::{Limits, Snapshot};
use p402_core::time::Timestamp;
use std::time::{Duration, Instant};

/// A round ends after this; the next one begins where it stopped.
const ROUND_MAX: Duration = Duration::from_secs(1);
/// Tenants of one round whom the home had no answer for.
const UNANSWERED_MAX: usize = 3;

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// What an earlier life has left of tenants that have just come.
    Recall,
    /// What is new, there and back.
    Exchange,
    /// The same, and what nodes have left that are not heard of becomes this one's.
    Inherit,
}

/// One round.
pub async fn share(
    home: &Home,
    watches: &Watches,
    world: &World,
    (errand, now): (Errand, Timestamp),
) {
    let (until, mut unanswered) = (Instant::now() + ROUND_MAX, 0);
    let round = match errand {
        Errand::Recall => Round::Newcomers,
        Errand::Exchange | Errand::Inherit => Round::Everybody { others: home.store.nodes() > 1 },
    };
    for tenant in watches.to_share(round, now) {
        let limits = &world.tenant(&tenant).limits;
        let of = Of { home, watches, tenant: &tenant, limits };
        if of.share(now, errand == Errand::Inherit).await.is_none() {
            unanswered += 1;
        }
        if unanswered >= UNANSWERED_MAX || Instant::now() >= until {
            return;
        }
    }
}

/// One tenant's turn.
struct Of<'a> {
    home: &'a Home,
    watches: &'a Watches,
    tenant: &'a str,
    limits: &'a Limits,
}

impl Of<'_> {
    /// `None` where the home has not answered.
    async fn share(&self, now: Timestamp, inherits: bool) -> Option<()> {
        let (watches, tenant, limits) = (self.watches, self.tenant, self.limits);
        let Some(is_new) = watches.known(tenant, |seen| seen.turn(now)) else { return Some(()) };
        if is_new {
            // Before anything is told: that would take the place of what was left.
            let left = self.home.store.recall(tenant).await?;
            watches.known(tenant, |seen| seen.recall(left.as_deref(), limits));
        }
        let (told, mark) = watches.known(tenant, |seen| seen.untold())?;
        let mut others = Vec::new();
        for (node, left) in self.home.store.pool(tenant, told, now).await? {
            let gone = inherits && !self.home.store.hears(node);
            let taken = gone && self.home.store.inherit(tenant, node).await;
            // Of another version, or none of ours.
            let Ok(left) = Snapshot::decode(&left) else { continue };
            if taken {
                watches.known(tenant, |seen| seen.inherit(&left, limits));
            } else {
                others.push(left);
            }
        }
        watches.known(tenant, |seen| seen.pooled(mark, &others, limits));
        Some(())
    }
}
