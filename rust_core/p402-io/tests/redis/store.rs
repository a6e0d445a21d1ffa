//! Decides whether nodes share one account: seeded, spent once, settled once, recovered by one.
//! Does not break anything on purpose beyond a restart; faults.rs does.

use super::rig::{End, TENANT, World, capped};
use super::server::Server;
use p402_core::guard::{Code, Limits, Op, OutagePolicy};
use p402_core::money::Usd;
use p402_core::time::Ticks;
use p402_io::store::redis::breaker::{Breaker, Outcome};
use p402_io::store::redis::{Notice, address};
use p402_io::store::{Store, StoreError, Tenant};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Nothing is leased for an outage: what is held is what was asked for.
fn plain() -> Limits {
    Limits { outage: OutagePolicy::FailClosed, ..Limits::default() }
}

fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port())
}

#[tokio::test]
async fn a_tenant_nobody_knows_is_seeded_admitted_and_settled_once() {
    let server = Server::start();
    let node = World::patient().node(&url(&server), 1, plain()).await;
    let rid = node.rid();
    let admitted = node.admit(rid, 900).await.unwrap();
    assert_eq!((admitted.code, admitted.held.nano(), admitted.in_flight), (Code::Done, 900, 1));
    assert!(node.admit(rid, 900).await.unwrap().replayed);
    let settled = node.settle(rid, 400).await.unwrap();
    assert_eq!((settled.code, settled.day_spent.nano(), settled.held.nano()), (Code::Done, 400, 0));
    assert_eq!(node.settle(rid, 400).await.unwrap().code, Code::Unknown);
    let counters = node.store.counters();
    assert_eq!(counters.cold.load(Ordering::Relaxed), 1);
    assert_eq!(counters.recoveries.load(Ordering::Relaxed), 1);
    let told: Vec<_> = node.notices.lock().unwrap().clone();
    assert!(told.iter().all(|notice| matches!(notice, Notice::Setting(_))), "{told:?}");
}

#[tokio::test]
async fn nodes_share_one_cap_to_the_nano() {
    let server = Server::start();
    let world = World::patient();
    let limits = capped(100_000);
    let first = world.node(&url(&server), 1, limits).await;
    let second =
        world.node(&format!("redis+unix://{}", server.socket().display()), 2, limits).await;
    let spend = async |node: &super::rig::Node| {
        let mut served = 0;
        for _ in 0..80 {
            served += u32::from(node.request(1_000).await.0 == End::Served);
        }
        served
    };
    let (one, two) = tokio::join!(spend(&first), spend(&second));
    assert!(world.billed() <= 100_000, "{}", world.billed());
    assert_eq!(world.billed(), i64::from(one + two) * 1_000);
    // Slices are called in once they alone stand in the way: the rest can be spent, too. A call
    // that was missed is made up for when slices are next looked after, every five beats.
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while world.billed() < 100_000 && tokio::time::Instant::now() < end {
        first.request(1_000).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.billed(), 100_000);
    assert_eq!(first.request(1_000).await.0, End::Refused(Code::DailyCap));
}

#[tokio::test]
async fn a_restarted_server_is_another_one_and_the_ledger_says_what_was_spent() {
    let mut server = Server::start();
    let world = World::patient();
    let node = world.node(&url(&server), 1, capped(10_000)).await;
    for _ in 0..4 {
        node.request(1_000).await;
    }
    server.kill();
    server.restart();
    node.back(Duration::from_secs(2)).await;
    let reply = node.call(Op::Renew(&[])).await.unwrap();
    assert_eq!(reply.day_spent.nano(), 4_000);
    while node.request(1_000).await.0 != End::Refused(Code::DailyCap) {
        assert!(world.billed() <= 10_000);
    }
}

#[tokio::test]
async fn functions_come_back_within_the_call_that_misses_them() {
    let server = Server::start();
    let node = World::patient().node(&url(&server), 1, plain()).await;
    node.admit(node.rid(), 5).await.unwrap();
    let _: () = redis::cmd("FUNCTION").arg("FLUSH").query(&mut server.connect()).unwrap();
    assert_eq!(node.admit(node.rid(), 5).await.unwrap().held, Usd::from_nano(10));
}

#[tokio::test]
async fn a_redis_without_functions_runs_the_same_text_as_a_script() {
    let server =
        Server::with(&["--rename-command", "FUNCTION", "", "--rename-command", "FCALL", ""]);
    let node = World::patient().node(&url(&server), 1, plain()).await;
    node.admit(node.rid(), 5).await.unwrap();
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut server.connect()).unwrap();
    assert_eq!(node.admit(node.rid(), 5).await.unwrap().held, Usd::from_nano(10));
}

#[tokio::test]
async fn a_node_with_another_ledger_is_told_and_does_not_start() {
    let server = Server::start();
    let _first = World::patient().node(&url(&server), 1, plain()).await;
    let told = tokio::spawn(async move {
        World::patient().node(&url(&server), 2, plain()).await;
    });
    let panic = told.await.unwrap_err().into_panic();
    let sentence = panic.downcast_ref::<String>().unwrap();
    assert!(sentence.contains("another ledger"), "{sentence}");
}

#[tokio::test]
async fn names_in_braces_share_no_slot_and_a_wrong_type_is_one_tenants_affair() {
    let server = Server::start();
    let world = World::patient();
    let node = world.node(&url(&server), 1, plain()).await;
    let hostile = address::Tag::of("{acme}");
    assert_ne!(hostile.slot(), address::Tag::of(TENANT).slot());
    let key = hostile.key("acct");
    let _: () = redis::cmd("LPUSH").arg(&key).arg(1).query(&mut server.connect()).unwrap();
    let tenant = Tenant { id: "{acme}", limits: &node.limits };
    for _ in 0..10 {
        let answer = node.store.call(&tenant, Op::Renew(&[]), node.now()).answer().await;
        assert_eq!(answer, Err(StoreError::Broken));
    }
    assert!(!node.store.is_away());
    assert_eq!(node.admit(node.rid(), 5).await.unwrap().code, Code::Done);
}

#[test]
fn a_good_probe_is_confirmed_soon_but_not_where_the_server_flaps() {
    let (mut breaker, at) = (Breaker::default(), |s: u64| Ticks::from_micros(s * 1_000_000));
    for flap in 1..=2 {
        assert!(breaker.note(Outcome::Refused, at(flap)));
        assert!(!breaker.is_nearly_closed(at(flap)), "nobody has answered");
        assert!(!breaker.probed(true, at(flap)));
        assert_eq!(breaker.is_nearly_closed(at(flap)), flap == 1);
        assert_eq!(breaker.probed(true, at(flap)), flap == 1);
    }
    assert!(breaker.is_nearly_closed(at(60)), "it was long ago");
    assert!(!breaker.probed(false, at(60)));
    assert!(!breaker.is_nearly_closed(at(60)), "the good ones must come in a row");
}
