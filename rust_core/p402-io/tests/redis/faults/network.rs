//! Faults of the network and of what stands between: delay, resets, silence, lies, failover.
//! Does not touch the server, save where another one takes its place.

use super::alone;
use super::proxy::{Proxy, Trouble};
use super::scene::{PRICE, Report, SETTLED, Scene, few, timely};
use crate::nodes::stored;
use crate::rig::{End, Node, World, capped};
use crate::server::Server;
use p402_core::guard::{Account, Limits, OutagePolicy};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PLENTY: i64 = 100_000;
const FAULT: Duration = Duration::from_secs(1);

async fn under(trouble: Trouble) -> Report {
    let server = Server::start();
    let proxy = Proxy::before(server.port());
    let mut scene = Scene::open(server, PLENTY, Some(proxy.url())).await;
    scene.fault();
    proxy.set(trouble);
    scene.load(FAULT).await;
    proxy.set(Trouble::None);
    proxy.reset();
    scene.heal();
    scene.judge().await
}

#[test]
fn f20_constant_delay_beyond_the_deadline_is_an_outage_and_costs_nothing_after_it_opened() {
    alone(async {
        let report = under(Trouble::Delay(Duration::from_millis(15))).await;
        few(report.slow(), 8);
        few(report.away(), 1);
    });
}

#[test]
fn f21_jitter_and_resets_hold_nothing_twice() {
    alone(async {
        let report = under(Trouble::JitterAndResets(Duration::from_millis(3))).await;
        let served = report.samples.iter().filter(|sample| sample.end == End::Served).count();
        assert!(served > 0);
    });
}

/// Without a slice nothing else puts the account right.
async fn alone_before(proxy: &Proxy, world: &World) -> Node {
    let limits = Limits { outage: OutagePolicy::FailClosed, ..capped(PLENTY * PRICE) };
    let node = world.node(&proxy.url(), 1, limits).await;
    node.back(SETTLED).await;
    node
}

/// Nothing is held, and so much is spent; not while the account is being read anew.
fn at_rest(server: &Server, spent: i64) -> bool {
    let is_so = |account: Account| {
        let header = account.header();
        (header.held, header.day_spent) == (0, spent)
    };
    stored(server).is_some_and(is_so)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + SETTLED;
    while !is_so() {
        assert!(Instant::now() < end, "not within {SETTLED:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn f20_an_admission_whose_answer_came_too_late_is_given_back() {
    alone(async {
        let server = Server::start();
        let proxy = Proxy::before(server.port());
        let node = alone_before(&proxy, &World::new()).await;
        let end = Instant::now() + SETTLED;
        while at_rest(&server, 0) {
            assert!(Instant::now() < end, "the server is too busy to be in time");
            proxy.set(Trouble::None);
            node.back(SETTLED).await;
            proxy.set(Trouble::Delay(Duration::from_millis(40)));
            let told = node.admit(node.rid(), PRICE).await;
            assert!(told.is_err(), "{told:?}");
        }
        proxy.set(Trouble::None);
        node.back(SETTLED).await;
        until("it is given back", || at_rest(&server, 0)).await;
    });
}

#[test]
fn f21_a_reply_that_is_lost_with_its_connection_is_a_reply_to_the_second_asking() {
    alone(async {
        let (server, world) = (Server::start(), World::patient());
        let proxy = Proxy::before(server.port());
        let node = alone_before(&proxy, &world).await;
        let (mut replayed, mut spent) = (0, 0);
        for _ in 0..20 {
            let rid = node.rid();
            proxy.set(Trouble::LostOnce);
            // Where the machine is too busy for a second asking in time, the next one counts.
            if let Ok(reply) = node.admit(rid, PRICE).await {
                assert_eq!(reply.held.nano(), PRICE, "held twice");
                replayed += i32::from(reply.replayed);
                proxy.set(Trouble::LostOnce);
                let _ = node.settle(rid, PRICE).await;
                spent += PRICE;
            }
            proxy.set(Trouble::None);
            node.back(SETTLED).await;
            until("held by nobody, and booked once", || at_rest(&server, spent)).await;
        }
        assert!(replayed > 0);
    });
}

#[test]
fn f22_a_black_hole_costs_one_deadline() {
    alone(async {
        let report = under(Trouble::BlackHole).await;
        timely(report.opened(), Duration::from_millis(50));
    });
}

#[test]
fn f23_lies_are_no_answers() {
    for lie in [Trouble::Truncated, Trouble::Noise, Trouble::Oversized] {
        alone(async move {
            let report = under(lie).await;
            let during = report.served_during();
            assert_eq!(during, 0, "{lie:?}: decisions from garbage");
        });
    }
}

#[test]
fn f23_a_reply_in_small_pieces_is_a_reply() {
    alone(async {
        let report = under(Trouble::Sliced).await;
        few(report.local(), 0);
    });
}

#[test]
fn f17_a_failover_that_lost_writes_is_seen_by_the_first_reply() {
    alone(async {
        let (primary, replica) = (Server::start(), Server::start());
        let follow = |server: &Server, words: &[&str]| {
            let mut connection = server.connect();
            let mut command = redis::cmd("REPLICAOF");
            let _: redis::Value = command.arg(words).query(&mut connection).unwrap();
        };
        follow(&replica, &["127.0.0.1", &primary.port().to_string()]);
        let proxy = Proxy::before(primary.port());
        let mut scene = Scene::open(primary, 400, Some(proxy.url())).await;
        replica.until("master_link_status", "up");
        // The replica goes its own way; what is acknowledged from here on is lost with the primary.
        follow(&replica, &["NO", "ONE"]);
        let kept = stored(&replica).map_or(0, |account| account.header().day_spent);
        let end = Instant::now() + SETTLED;
        while stored(&scene.server).is_none_or(|account| account.header().day_spent <= kept) {
            assert!(Instant::now() < end, "nothing to be lost");
            scene.load(Duration::from_millis(600)).await;
        }
        scene.fault();
        scene.server.kill();
        scene.server = replica;
        proxy.turn_to(scene.server.port());
        scene.heal();
        scene.until_refused().await;
        scene.judge().await;
    });
}
