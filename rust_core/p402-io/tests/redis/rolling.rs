//! Decides whether two releases share accounts while one replaces the other under load.
//! The next release is this one behind a proxy that gives its functions the next version's names.

use super::faults::proxy::{Proxy, Trouble};
use super::rig::{End, Node, World, capped, join};
use super::server::Server;
use p402_core::guard::Code;
use p402_io::store::Store;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PRICE: i64 = 1_000;
const NODES: u32 = 3;
/// Requests of each live node between one replacement and the next, and how many are together.
const ROUNDS: usize = 10;
const TOGETHER: usize = 4;
/// So long parked slices may stand in the way of the last requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the requests of all nodes came to.
#[derive(Default)]
struct Told {
    requests: usize,
    errors: usize,
    refused: usize,
}

impl Told {
    /// Every node is asked in turn; no answer but yes, or no at the cap, is expected.
    async fn load(&mut self, nodes: &[Node], rounds: usize) {
        for _ in 0..rounds {
            for node in nodes {
                let asked = (0..TOGETHER).map(|_| node.request(PRICE));
                for (end, _) in join(asked).await {
                    self.requests += 1;
                    match end {
                        End::Served | End::Drawn => {}
                        End::Refused(Code::DailyCap) => self.refused += 1,
                        _ => self.errors += 1,
                    }
                }
            }
        }
    }
}

/// The libraries that the server holds.
fn libraries(server: &Server) -> BTreeSet<String> {
    let mut asked = redis::cmd("FUNCTION");
    let found: Vec<std::collections::HashMap<String, redis::Value>> =
        asked.arg("LIST").query(&mut server.connect()).unwrap();
    let name = |library: &std::collections::HashMap<String, redis::Value>| {
        redis::from_redis_value(library["library_name"].clone()).unwrap()
    };
    found.iter().map(name).collect()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "a claim reads its figures")]
async fn two_releases_share_one_cap_while_one_replaces_the_other() {
    let server = Server::start();
    let (world, cap) = (World::patient(), 600 * PRICE);
    let old = format!("redis://127.0.0.1:{}", server.port());
    let proxy = Proxy::before(server.port());
    proxy.set(Trouble::NextRelease);
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        nodes.push(world.node(&old, number, capped(cap)).await);
    }
    let mut told = Told::default();
    told.load(&nodes, ROUNDS).await;
    for number in NODES + 1..=2 * NODES {
        // The new one is there before an old one goes.
        nodes.push(world.node(&proxy.url(), number, capped(cap)).await);
        told.load(&nodes, ROUNDS / 2).await;
        let leaving = nodes.remove(0);
        leaving.store.leave().await;
        told.load(&nodes, ROUNDS / 2).await;
    }
    let live = libraries(&server);
    assert_eq!(live, BTreeSet::from(["p402_v1".to_owned(), "p402_v2".to_owned()]));
    assert_eq!(told.refused, 0, "the cap is met after the upgrade only");
    let end = Instant::now() + PATIENCE;
    while world.billed() < cap && Instant::now() < end {
        told.load(&nodes, 1).await;
        sleep(Duration::from_millis(5)).await;
    }
    told.load(&nodes, 1).await;
    let over = (world.billed() - cap).max(0);
    println!("rolling {} requests, {} errors, {over} over", told.requests, told.errors);
    assert_eq!((told.errors, world.billed()), (0, cap));
    assert!(told.refused > 0);
}
