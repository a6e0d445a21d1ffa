//! The store is away: what each policy admits, what it costs, and what comes back with the store.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::guard::{Op, Reply};
use p402_core::id::RequestId;
use p402_core::ledger::{Flags, Kind};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_io::clock::{Clock, ManualClock};
use p402_io::store::memory::Memory;
use p402_io::store::{Store, StoreError, Tenant, Trip};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stage::{HELLO, START, Stage, answer, cost_ask, named, staged};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A home that can go away, with a slice that was leased before.
#[derive(Clone, Default)]
struct Tide(Arc<Sea>);

#[derive(Default)]
struct Sea {
    memory: Memory,
    out: AtomicBool,
    slice: Mutex<Usd>,
    drawn: Mutex<HashMap<RequestId, Usd>>,
    redeemed: Mutex<Vec<(Usd, Usd)>>,
}

impl Tide {
    fn goes_out(&self, out: bool) {
        self.0.out.store(out, Ordering::SeqCst);
    }
}

impl Store for Tide {
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: Timestamp) -> Trip {
        if self.0.out.load(Ordering::SeqCst) {
            return Trip::Underway(Box::pin(async { Err(StoreError::Late) }));
        }
        let answer = self.0.memory.apply(tenant, op, now);
        Trip::Underway(Box::pin(async { answer }))
    }
    fn nodes(&self) -> u32 {
        2
    }
    fn draw(&self, _: &Tenant<'_>, rid: RequestId, amount: Usd, _: Timestamp) -> bool {
        let (mut slice, mut drawn) = (self.0.slice.lock(), self.0.drawn.lock());
        let more = amount.saturating_sub(drawn.get(&rid).copied().unwrap_or_default());
        let fits = more <= *slice;
        if fits {
            *slice = slice.saturating_sub(more);
            drawn.insert(rid, amount);
        }
        fits
    }
    fn redeem(&self, _: &Tenant<'_>, rid: RequestId, actual: Usd, _: Timestamp) {
        let drawn = self.0.drawn.lock().remove(&rid).unwrap();
        self.0.redeemed.lock().push((drawn, actual));
    }
}

fn at_sea(limits: &Value) -> (Stage, Tide) {
    let tide = Tide::default();
    let scripts = json!([{"steps": [{"chunk": HELLO}]}]);
    let clock = Arc::new(ManualClock::at(START));
    let config = json!({"guard": limits});
    let told = (Arc::clone(&clock), Box::new(tide.clone()) as Box<dyn Store>);
    (staged(scripts, &config, clock as Arc<dyn Clock>, told), tide)
}

/// What the real account says once the store is there again.
async fn account(stage: &Stage) -> Reply {
    let world = stage.node.world.load_full();
    let tenant = Tenant { id: "acme", limits: &world.tenant("acme").limits };
    let store = &stage.node.home().unwrap().store;
    store.call(&tenant, Op::Renew(&[]), START).answer().await.unwrap()
}

const COST: Usd = Usd::from_nano(1_600_000);

#[tokio::test]
async fn escrow_spends_its_slice_and_not_a_nano_more() {
    let (stage, tide) = at_sea(&json!({"budget_usd": "1"}));
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);
    tide.goes_out(true);
    *tide.0.slice.lock() = Usd::from_nano(30_000_000);
    let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!(status, 200);
    assert_eq!(named(&headers, "x-p402-guard"), "degraded");
    assert_eq!(body["p402_metadata"]["guard"], json!({"degraded": true}));
    let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (503, &json!("guard_unavailable")));
    assert_eq!(
        (&body["error"]["mode"], named(&headers, "x-should-retry")),
        (&json!("escrow"), "true")
    );
    let rows = stage.rows();
    let kinds = [Kind::Dispatch, Kind::Settle, Kind::Dispatch, Kind::Settle];
    assert_eq!(stage.kinds(), kinds, "what was refused has written nothing");
    assert!(!rows[1].flags.has(Flags::DEGRADED) && rows[3].flags.has(Flags::DEGRADED));
    assert_eq!(*tide.0.redeemed.lock(), [(rows[2].held, COST)]);

    tide.goes_out(false);
    let (_, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!(
        (named(&headers, "x-p402-guard"), &body["p402_metadata"]["guard"]),
        ("", &Value::Null)
    );
    tokio::task::yield_now().await;
    let told = account(&stage).await;
    // What the slice spent comes in with the slice's own record, not request by request.
    assert_eq!(
        (told.day_spent, told.held, told.in_flight),
        (Usd::from_nano(3_200_000), Usd::ZERO, 0)
    );
}

#[tokio::test]
async fn who_fails_closed_admits_nobody() {
    let (stage, tide) = at_sea(&json!({"outage_policy": "fail_closed"}));
    *tide.0.slice.lock() = Usd::from_nano(i64::MAX);
    tide.goes_out(true);
    let (status, body, _) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["mode"]), (503, &json!("fail_closed")));
    assert!(stage.rows().is_empty());
}

#[tokio::test]
async fn who_fails_open_stops_at_the_overdraft_and_keeps_every_other_layer() {
    let policy = json!({"outage_policy": "fail_open", "outage_overdraft_usd": "0.028"});
    let (stage, tide) = at_sea(&policy);
    tide.goes_out(true);
    let mut served = 0;
    let refused = loop {
        let (status, body, _) = answer(&stage, &cost_ask(false)).await;
        if status != 200 {
            break body;
        }
        served += 1;
    };
    // Each holds about 0.0241 and costs 0.0016: three fit under 0.028 one after the other.
    assert_eq!((served, &refused["error"]["code"]), (3, &json!("budget_exceeded")));
    let spent = stage.node.meter.degraded_spend_nano.load(Ordering::Relaxed);
    assert_eq!(spent, 3 * COST.nano());

    let (stage, tide) = at_sea(&json!({
        "outage_policy": "fail_open", "outage_overdraft_usd": "100", "request_cap_usd": "0.001"
    }));
    tide.goes_out(true);
    let (_, body, _) = answer(&stage, &cost_ask(false)).await;
    assert_eq!(body["error"]["code"], "request_cost_limit_exceeded", "layer 5 needs no store");
}

#[tokio::test]
async fn each_node_keeps_its_part_of_the_rate() {
    let limits = json!({
        "outage_policy": "fail_open", "outage_overdraft_usd": "100",
        "rate": {"limit": 6, "per_s": 3600}
    });
    let (stage, tide) = at_sea(&limits);
    tide.goes_out(true);
    for _ in 0..3 {
        assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);
    }
    let (status, body, _) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("rate_limit_exceeded")));
}

#[tokio::test]
async fn the_daily_cap_counts_what_was_seen_before() {
    let limits = json!({
        "outage_policy": "fail_open", "outage_overdraft_usd": "100", "daily_cap_usd": "0.0272"
    });
    let (stage, tide) = at_sea(&limits);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);
    tide.goes_out(true);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);
    let (status, body, _) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("daily_spend_limit_exceeded")));
}
