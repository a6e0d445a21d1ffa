//! Decides whether gateways on one store know together what is usual for a tenant.
//! Does not decide what the memories of several nodes come to (core's guard_pool).

use super::rig::{Node, World, capped};
use super::server::Server;
use super::stage::{HELLO, START, Stage, answer, cost_ask, named, staged};
use p402_core::guard::{Anomaly, Limits, SeriesKey, Stage as Of};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_io::clock::{Clock, ManualClock};
use p402_io::pooling::{Errand, share};
use p402_io::store::redis::address::Tag;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The tenant of the stage.
const TENANT: &str = "acme";
/// Tokens that requests ask for day by day, and those of one that is unlike them.
const USUAL: u64 = 1_000;
const DEAR: u64 = 4_000;

async fn node(world: &World, server: &Server, number: u32) -> Node {
    let url = format!("redis://127.0.0.1:{}", server.port());
    world.node(&url, number, capped(1_000_000_000_000)).await
}

fn gateway(node: Node) -> Stage {
    let scripts = json!([{"steps": [{"chunk": HELLO}]}]);
    let clock = Arc::new(ManualClock::at(START));
    let config = json!({"guard": {"anomaly": {"floor_usd": "0"}}});
    let told = (Arc::clone(&clock), Box::new(node.store) as _);
    staged(scripts, &config, clock as Arc<dyn Clock>, told)
}

/// What an answer says is unusual about a request for so many tokens.
async fn told(stage: &Stage, tokens: u64) -> String {
    let mut wanted = cost_ask(false);
    wanted["max_tokens"] = json!(tokens);
    let (status, _, headers) = answer(stage, &wanted).await;
    assert_eq!(status, 200);
    named(&headers, "x-p402-guard-anomaly").to_owned()
}

async fn calm(stage: &Stage, requests: usize) {
    for _ in 0..requests {
        assert_eq!(told(stage, USUAL).await, "");
    }
}

async fn round(stage: &Stage, errand: Errand) {
    let (node, world) = (&stage.node, stage.node.world.load_full());
    share(node.home().unwrap(), &node.watches, &world, (errand, START)).await;
}

/// The nodes know of each other.
async fn met(stages: &[&Stage], nodes: u32) {
    let end = Instant::now() + Duration::from_secs(5);
    while !stages.iter().all(|stage| stage.node.home().unwrap().store.nodes() == nodes) {
        assert!(Instant::now() < end, "the nodes do not meet");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn ask<T: redis::FromRedisValue>(server: &Server, words: &[&str]) -> T {
    redis::cmd(words[0]).arg(&words[1..]).query(&mut server.connect()).unwrap()
}

fn key() -> String {
    Tag::of(TENANT).key("z")
}

#[tokio::test]
async fn what_is_spread_over_two_gateways_is_seen_by_each() {
    let (server, world) = (Server::start(), World::patient());
    let one = gateway(node(&world, &server, 1).await);
    let other = gateway(node(&world, &server, 2).await);
    met(&[&one, &other], 2).await;
    for _ in 0..20 {
        calm(&one, 1).await;
        calm(&other, 1).await;
    }
    // Neither has thirty samples of its own.
    for stage in [&one, &other, &one] {
        round(stage, Errand::Exchange).await;
    }
    for stage in [&one, &other] {
        let told = told(stage, DEAR).await;
        assert!(told.ends_with(";n=40;series=cost"), "{told}");
    }
    assert!(ask::<i64>(&server, &["PTTL", &key()]) > 86_400_000);
}

/// Each of them spends what all did in a usual minute; the total that both hear of is twice that.
#[tokio::test]
async fn a_loop_divided_among_gateways_is_seen_in_the_total() {
    const REQUESTS: usize = 24;
    const COST: i64 = 1_600_000;
    let (server, world) = (Server::start(), World::patient());
    let mut minutes = Anomaly::default();
    for quarter in 0..=160 {
        let now = Timestamp::from_micros(quarter * 15_000_000);
        let total = Usd::from_nano(quarter * REQUESTS as i64 * COST / 4);
        minutes.observe_total(now.utc_day(), total, now, &Limits::default().anomaly);
    }
    let mut set = redis::cmd("HSET");
    set.arg(key()).arg("7").arg(minutes.snapshot().encode()).exec(&mut server.connect()).unwrap();
    let stages = [gateway(node(&world, &server, 1).await), gateway(node(&world, &server, 2).await)];
    met(&[&stages[0], &stages[1]], 2).await;
    for stage in &stages {
        calm(stage, 1).await;
        round(stage, Errand::Exchange).await;
    }
    let flagged = |stage: &Stage| stage.node.meter.anomaly_rate.load(Ordering::Relaxed) > 0;
    calm(&stages[0], REQUESTS - 1).await;
    assert!(!flagged(&stages[0]), "a usual minute");
    calm(&stages[1], REQUESTS - 1).await;
    let end = Instant::now() + Duration::from_secs(5);
    while !flagged(&stages[1]) {
        // The last settlements are told by tasks of their own.
        assert!(Instant::now() < end, "the loop is not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_restart_and_a_node_that_joins_know_what_was_usual() {
    let (server, world) = (Server::start(), World::patient());
    let first = gateway(node(&world, &server, 1).await);
    calm(&first, 40).await;
    first.node.drain(Duration::ZERO).await;
    // The second life of the one tells what it has seen, too.
    for (number, samples) in [(1, 41), (9, 42)] {
        let next = gateway(node(&world, &server, number).await);
        calm(&next, 1).await;
        round(&next, Errand::Recall).await;
        let told = told(&next, DEAR).await;
        assert!(told.ends_with(&format!(";n={samples};series=cost")), "{told}");
    }
}

#[tokio::test]
async fn what_a_node_left_that_is_gone_is_taken_over_once() {
    let (server, world) = (Server::start(), World::patient());
    let mut gone = Anomaly::default();
    let watch = Limits::default().anomaly;
    let series = SeriesKey::new("left-behind", "chat", Of::Actual);
    for _ in 0..40 {
        gone.observe(series, Usd::from_nano(1_000_000_000), &watch);
    }
    let left = gone.snapshot().encode();
    for field in ["7", "2"] {
        let mut set = redis::cmd("HSET");
        set.arg(key()).arg(field).arg(&left).exec(&mut server.connect()).unwrap();
    }
    let one = gateway(node(&world, &server, 1).await);
    let two = node(&world, &server, 2).await;
    met(&[&one], 2).await;
    calm(&one, 1).await;
    round(&one, Errand::Exchange).await;
    assert!(ask::<bool>(&server, &["HEXISTS", &key(), "7"]), "not in every round");
    round(&one, Errand::Inherit).await;
    assert!(!ask::<bool>(&server, &["HEXISTS", &key(), "7"]));
    assert!(ask::<bool>(&server, &["HEXISTS", &key(), "2"]), "that one lives");
    // It is this node's own now, and told as such.
    round(&one, Errand::Exchange).await;
    let told: Vec<u8> = ask(&server, &["HGET", &key(), "1"]);
    let mine = p402_core::guard::Snapshot::decode(&told).unwrap();
    let mut read = Anomaly::default();
    read.recall(&mine, &watch);
    let flag = read.judge(series, Usd::from_nano(9_000_000_000), &watch).unwrap();
    assert_eq!(flag.samples, 40);
    drop(two);
}

#[tokio::test]
async fn garbage_is_ignored_and_a_store_that_hangs_holds_nobody_up() {
    let (server, world) = (Server::start(), World::patient());
    let one = gateway(node(&world, &server, 1).await);
    let two = node(&world, &server, 2).await;
    met(&[&one], 2).await;
    let long = "x".repeat(100_000);
    for (field, bytes) in [("1", "none"), ("7", ""), ("8", &*long), ("words", "\u{1}")] {
        let _: i64 = ask(&server, &["HSET", &key(), field, bytes]);
    }
    calm(&one, 38).await;
    round(&one, Errand::Exchange).await;
    assert!(ask::<i64>(&server, &["HSTRLEN", &key(), "1"]) > 32, "told in the place of garbage");
    // Another type in its place: this tenant is not pooled, and is served.
    let _: () = ask(&server, &["SET", &key(), "none of ours"]);
    calm(&one, 1).await;
    round(&one, Errand::Exchange).await;
    let _: i64 = ask(&server, &["DEL", &key()]);
    calm(&one, 1).await;
    server.signal("-STOP");
    let began = Instant::now();
    round(&one, Errand::Exchange).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    server.signal("-CONT");
    let end = Instant::now() + Duration::from_secs(5);
    while !ask::<bool>(&server, &["EXISTS", &key()]) {
        assert!(Instant::now() < end, "told again once the store is back");
        round(&one, Errand::Exchange).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(two);
}
