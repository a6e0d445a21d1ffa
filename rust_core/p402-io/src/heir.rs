//! Ends what processes that are gone left open: this directory's own, and that of nodes for good.
//! Does not decide what a hold came to: the ledger and the core do.

use crate::home::Home;
use crate::store::{Former, Tenant};
use crate::world::World;
use p402_core::guard::{Limits, Op};
use p402_core::ledger::{Row, TENANT_BYTES_MAX, short_name};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The store is asked again after this long where it did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Settles in the store what this directory's last process held, tenant by tenant, until the store
/// has answered for each.
pub async fn take_up(home: Arc<Home>, world: Arc<World>, now: Timestamp) {
    if world.config.store.url.is_none() {
        return;
    }
    for former in formers(&home, &world, now).await {
        while !home.store.take_up(former.clone()).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Tenants of whom something may be held: those of the settings, and those of the ledger's last
/// days.
async fn formers(home: &Arc<Home>, world: &World, now: Timestamp) -> Vec<Former> {
    let ledger = Arc::clone(&home.ledger);
    let read = tokio::task::spawn_blocking(move || {
        let since = Day::from_days(now.utc_day().days() - 1);
        ledger.books().and_then(|mut books| books.balances(since))
    });
    let balances = read.await.ok().and_then(Result::ok).unwrap_or_default();
    let ended = &home.ledger.recovered().ended;
    // Rows have the names of tenants shortened, where they are long.
    let mut names: HashMap<Box<str>, Arc<str>> = HashMap::new();
    let recent = &home.ledger.recovered().recent;
    let told = balances.iter().map(|balance| &balance.tenant).chain(recent.keys());
    for name in told.chain(ended.iter().map(|request| &request.tenant)) {
        names.insert(name.clone(), (&**name).into());
    }
    for id in world.tenants.keys() {
        names.insert(short_name(id, TENANT_BYTES_MAX).into(), id.as_str().into());
    }
    let former = |(name, tenant): (Box<str>, Arc<str>)| Former {
        limits: world.tenant(&tenant).limits,
        ended: ended
            .iter()
            .filter(|one| one.tenant == name)
            .map(|one| (one.rid, one.spent))
            .collect(),
        recent: recent.get(&name).copied(),
        tenant,
    };
    names.into_iter().map(former).collect()
}

/// Ends, at its hold, what a node left open that has not been heard of since its hold lapsed and
/// its suspense was over. The account has come to the same by itself, or is told.
pub async fn adopt(home: &Arc<Home>, world: &World, now: Timestamp) {
    let ledger = Arc::clone(&home.ledger);
    let read = tokio::task::spawn_blocking(move || {
        ledger.books().and_then(|mut books| books.open_requests())
    });
    let Ok(Ok(open)) = read.await else { return };
    for request in open {
        let limits = world.tenant(&request.tenant).limits;
        let of_others = request.owner != home.owner && !home.store.hears(request.owner);
        // A slice may be drawn from for as long as its day lasts.
        let drawable = request.slice && request.day >= now.utc_day();
        if !of_others || drawable || !is_over(&limits, request.since, now) {
            continue;
        }
        let cost = request.slice.then_some(Usd::ZERO);
        let (ledger, rid) = (Arc::clone(&home.ledger), request.rid);
        let written =
            tokio::task::spawn_blocking(move || ledger.settle_by_hand(rid, cost, now)).await;
        // Another node may have been faster.
        let Ok(Ok(row)) = written else { continue };
        let actual = Row::decode(&row).map_or(Usd::ZERO, |row| row.spent());
        let settle = Op::Settle { rid, owner: request.owner, actual };
        let tenant = Tenant { id: &request.tenant, limits: &limits };
        if request.slice {
            home.store.doubt(&tenant);
            continue;
        }
        // Without an answer it is owed.
        let _ = home.store.call(&tenant, settle, now).answer().await;
    }
}

const fn is_over(limits: &Limits, since: Timestamp, now: Timestamp) -> bool {
    now.millis() - since.millis() > limits.hold_lease_ms + limits.suspense_ms
}
