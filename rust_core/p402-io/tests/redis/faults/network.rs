//! Faults of the network and of what stands between: delay, resets, silence, lies, failover.
//! Does not touch the server, save where another one takes its place.

use super::alone;
use super::proxy::{Proxy, Trouble};
use super::scene::{Report, Scene, few, timely};
use crate::rig::End;
use crate::server::Server;
use std::time::Duration;

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
        scene.load(Duration::from_millis(600)).await;
        scene.fault();
        scene.server.kill();
        scene.server = replica;
        let lost = scene.world.billed() - scene.account().header().day_spent;
        assert!(lost > 0, "nothing was lost");
        proxy.turn_to(scene.server.port());
        scene.heal();
        scene.until_refused().await;
        scene.judge().await;
    });
}
