//! Ends what processes that are gone left open: this directory's own, and that of nodes for good.
//! Does not decide what a hold came to: the ledger and the core do.

use crate::home::Home;
use crate::meter::{Meter, count};
use crate::store::{Former, Tenant};
use crate::world::World;
use p402_core::guard::{Limits, Op};
use p402_core::id::RequestId;
use p402_core::ledger::{Balance, Kind, Row, TENANT_BYTES_MAX, short_name};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The store is asked again after this long where it did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Settles in the store what this directory's last process held, tenant by tenant, until the store
/// has answered for each; then compares what rests with the ledger.
pub async fn take_up(home: &Arc<Home>, world: &World, meter: &Meter, now: Timestamp) {
    if world.config.store.url.is_none() {
        return;
    }
    let days = balances(home).await;
    for former in formers(home, world, &days) {
        while !home.store.take_up(former.clone()).await {
            tokio::time::sleep(AGAIN).await;
        }
    }
    compare(home, world, meter, now).await;
}

/// Every tenant's days in the ledger.
async fn balances(home: &Arc<Home>) -> Vec<Balance> {
    let ledger = Arc::clone(&home.ledger);
    let read = tokio::task::spawn_blocking(move || {
        ledger.books().and_then(|mut books| books.balances(Day::from_days(0)))
    });
    read.await.ok().and_then(Result::ok).unwrap_or_default()
}

/// Tenants of whom something may be held: those of the settings and those of the ledger.
fn formers(home: &Home, world: &World, days: &[Balance]) -> Vec<Former> {
    let recovered = home.ledger.recovered();
    let (ended, recent) = (&recovered.ended, &recovered.recent);
    // Rows have the names of tenants shortened, where they are long.
    let mut names: HashMap<Box<str>, Arc<str>> = HashMap::new();
    let told = days.iter().map(|day| &day.tenant).chain(recent.keys());
    for name in told.chain(ended.iter().map(|request| &request.tenant)) {
        names.insert(name.clone(), (&**name).into());
    }
    for id in world.tenants.keys() {
        names.insert(short_name(id, TENANT_BYTES_MAX).into(), id.as_str().into());
    }
    let of = |name: &str| {
        let own = ended.iter().filter(|request| &*request.tenant == name);
        own.map(|request| (request.rid, request.spent)).collect()
    };
    let former = |(name, tenant): (Box<str>, Arc<str>)| Former {
        limits: world.tenant(&tenant).limits,
        ended: of(&name),
        recent: recent.get(&name).copied(),
        tenant,
    };
    names.into_iter().map(former).collect()
}

/// An account that rests and counts other than the ledger is read anew; a row says so. Rows of
/// other nodes may be on their way: what differs is looked at twice.
async fn compare(home: &Arc<Home>, world: &World, meter: &Meter, now: Timestamp) {
    let first = differing(home, world).await;
    if first.is_empty() {
        return;
    }
    tokio::time::sleep(AGAIN).await;
    let second = differing(home, world).await;
    for (tenant, (version, over)) in &second {
        let limits = world.tenant(tenant).limits;
        if first.get(tenant).is_some_and(|(before, _)| before == version) {
            count(&meter.mismatched);
            home.store.doubt(&Tenant { id: tenant, limits: &limits });
            let rid = RequestId::new(now, u128::from(getrandom::u64().unwrap_or_default()));
            let row = Row::new(Kind::Adjust, rid, tenant, now.utc_day(), now);
            // It corrects the counter, not the ledger: its amount counts nowhere.
            if home.ledger.append(&Row { held: *over, ..row }).is_err() {
                count(&meter.ledger_failed);
            }
        }
    }
}

/// Versions of the accounts that differ, and by how much, by tenant.
async fn differing(home: &Arc<Home>, world: &World) -> HashMap<Arc<str>, (i64, Usd)> {
    let mut found = HashMap::new();
    let days = balances(home).await;
    let of_each = days.chunk_by(|one, next| one.tenant == next.tenant);
    let by_name: HashMap<&str, &[Balance]> =
        of_each.filter_map(|own| Some((&*own.first()?.tenant, own))).collect();
    for former in formers(home, world, &days) {
        let name = short_name(&former.tenant, TENANT_BYTES_MAX);
        let own = by_name.get(&*name).map(|own| own.to_vec()).unwrap_or_default();
        let tenant = Tenant { id: &former.tenant, limits: &former.limits };
        if let Some(difference) = home.store.differs(&tenant, own).await {
            found.insert(former.tenant, difference);
        }
    }
    found
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
