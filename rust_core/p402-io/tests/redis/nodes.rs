//! Decides whether several nodes on one store keep one cap through outages, losses and freezes.
//! Does not measure latency (faults do): what is decided is under test.

use super::rig::{End, Node, World, capped, join};
use super::server::Server;
use p402_core::guard::{Account, Code, Limits};
use p402_core::money::Usd;
use p402_io::store::Store;
use p402_io::store::redis::address::Tag;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PRICE: i64 = 1_000;

fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port())
}

/// Limits with a slice for `requests` requests on each node.
fn sliced(cap: i64, requests: i64) -> Limits {
    Limits { slice_max: Usd::from_nano(requests * PRICE), ..capped(cap) }
}

/// Nodes that know of each other and hold a slice each.
async fn settled_in(world: &World, server: &Server, limits: Limits) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 1..=3 {
        nodes.push(world.node(&url(server), number, limits).await);
    }
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        for node in &nodes {
            assert_eq!(node.request(PRICE).await.0, End::Served);
        }
        if nodes.iter().all(|node| node.has_slice() && node.store.nodes() == 3) {
            return nodes;
        }
        assert!(Instant::now() < end, "no slices");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Nothing while an account is read anew: its key is taken away first.
pub(crate) fn stored(server: &Server) -> Option<Account> {
    let key = Tag::of(super::rig::TENANT).key("acct");
    let stored: Option<Vec<u8>> = redis::cmd("GET").arg(key).query(&mut server.connect()).unwrap();
    stored.map(|stored| Account::decode(&stored).unwrap())
}

/// Every node asks until it is told no for good.
async fn exhaust(nodes: &[Node]) -> usize {
    let mut served = 0;
    for node in nodes {
        let mut refused = 0;
        while refused < 5 {
            match node.request(PRICE).await.0 {
                End::Served | End::Drawn => served += 1,
                End::Refused(_) | End::Unavailable(_) => refused += 1,
            }
        }
    }
    served
}

#[tokio::test]
async fn an_outage_is_spent_from_slices_and_from_nothing_else() {
    let server = Server::start();
    let world = World::patient();
    let nodes = settled_in(&world, &server, sliced(1_000_000, 10)).await;
    server.signal("-STOP");
    // Three slices of ten requests: all of them are served, and not one more.
    assert_eq!(exhaust(&nodes).await, 30);
    server.signal("-CONT");
    for node in &nodes {
        node.back(Duration::from_secs(3)).await;
    }
    for node in &nodes {
        node.store.leave().await;
    }
    until_all_is_counted(&world, &server).await;
    assert_eq!(account(&server).await.header().held, 0);
}

#[tokio::test]
async fn a_slice_lasts_as_long_as_the_outage() {
    let server = Server::start();
    let world = World::patient();
    let nodes = settled_in(&world, &server, sliced(100_000_000, 1_000)).await;
    server.signal("-STOP");
    // Longer than a node takes to look after its slices.
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        assert_eq!(nodes[0].request(PRICE).await.0, End::Drawn);
        sleep(Duration::from_millis(100)).await;
    }
    server.signal("-CONT");
}

/// One call that came too late opens no breaker: whoever looks after slices, every five beats from
/// the start, must not take the store for one that is back.
#[tokio::test]
async fn a_slice_that_was_drawn_from_is_kept_until_the_store_has_answered() {
    let server = Server::start();
    let world = World::patient();
    let node = world.node(&url(&server), 1, sliced(1_000_000, 10)).await;
    let began = Instant::now();
    assert_eq!(node.request(PRICE).await.0, End::Served);
    while !node.has_slice() || began.elapsed().as_millis() % 5_000 < 4_200 {
        assert!(began.elapsed() < Duration::from_secs(20), "no slice");
        sleep(Duration::from_millis(20)).await;
    }
    server.signal("-STOP");
    assert_eq!(node.request(PRICE).await.0, End::Drawn);
    // By then the slice has been looked after.
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(node.request(PRICE).await.0, End::Drawn);
    server.signal("-CONT");
    node.back(Duration::from_secs(20)).await;
    until_all_is_counted(&world, &server).await;
}

/// Two nodes that know of each other; of three requests only the first one knows.
async fn one_that_knows_more(world: &World, server: &Server) -> (Node, Node) {
    let knows = world.node(&url(server), 1, capped(1_000_000)).await;
    let other = world.node(&url(server), 2, capped(1_000_000)).await;
    let end = Instant::now() + Duration::from_secs(20);
    while knows.store.nodes() < 2 || other.store.nodes() < 2 {
        assert!(Instant::now() < end, "two nodes");
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..3 {
        assert_eq!(knows.request(PRICE).await.0, End::Served);
    }
    (knows, other)
}

/// The store forgets, and this node has the account read back.
async fn forget(server: &Server, node: &Node) {
    redis::cmd("FLUSHALL").exec(&mut server.connect()).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while node.request(PRICE).await.0 != End::Served {
        assert!(Instant::now() < end, "no recovery");
    }
}

/// The account, once nobody has taken it away to read it anew.
pub(crate) async fn account(server: &Server) -> Account {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(account) = stored(server) {
            return account;
        }
        assert!(Instant::now() < end, "no account");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn until_all_is_counted(world: &World, server: &Server) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut counted = None;
    while counted != Some(world.billed()) {
        assert!(Instant::now() < end, "{counted:?} of {}", world.billed());
        sleep(Duration::from_millis(50)).await;
        counted = stored(server).map(|account| account.header().day_spent);
    }
}

/// A frozen node hears of a recovery when it is over: it must not think that it took part.
#[tokio::test]
async fn who_answers_a_barrier_too_late_has_the_account_read_again() {
    let (server, world) = (Server::start(), World::patient());
    let (frozen, other) = one_that_knows_more(&world, &server).await;
    let still = frozen.journal.gate.lock().await;
    forget(&server, &other).await;
    assert_eq!(account(&server).await.header().day_spent, PRICE, "nobody knows of the three yet");
    drop(still);
    assert_eq!(frozen.request(PRICE).await.0, End::Served);
    until_all_is_counted(&world, &server).await;
}

/// An answer says that what the node knew is in the ledger.
#[tokio::test]
async fn who_cannot_write_down_what_it_knows_does_not_answer_a_barrier() {
    let (server, world) = (Server::start(), World::patient());
    let (shut, other) = one_that_knows_more(&world, &server).await;
    shut.journal.shut.store(true, Ordering::SeqCst);
    forget(&server, &other).await;
    let key = Tag::of(super::rig::TENANT).key("barrier:*");
    let found: Vec<String> = redis::cmd("KEYS").arg(key).query(&mut server.connect()).unwrap();
    // A node that doubts the account may just be calling the next barrier, which is no answer.
    let marks: Vec<_> = found.iter().filter(|key| !key.ends_with(":open")).collect();
    assert_eq!(marks, Vec::<&String>::new(), "it has answered");
    assert_eq!(account(&server).await.header().day_spent, PRICE);
    shut.journal.shut.store(false, Ordering::SeqCst);
    until_all_is_counted(&world, &server).await;
}

/// Each late call carries its own deadline: the server itself must turn it away.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "a claim reads its figures")]
async fn a_server_that_goes_on_admits_nobody_whom_nobody_waits_for() {
    let server = Server::start();
    let world = World::new();
    let node = world.node(&url(&server), 1, capped(1_000_000)).await;
    node.back(Duration::from_secs(3)).await;
    server.signal("-STOP");
    // All of them on the wire together; the answers come when nobody listens any more.
    let told = join((0..50).map(|_| node.admit(node.rid(), PRICE))).await;
    assert!(told.iter().all(Result::is_err), "{told:?}");
    // A node that is dead takes nothing back.
    drop(node);
    server.signal("-CONT");
    let pong: String = redis::cmd("PING").query(&mut server.connect()).unwrap();
    assert_eq!(pong, "PONG");
    let ghosts =
        account(&server).await.records().iter().filter(|record| !record.is_slice()).count();
    println!("thaw {} asked, {ghosts} ghosts", told.len());
    assert_eq!(ghosts, 0);
}

#[tokio::test]
async fn a_tight_cap_is_kept_to_the_nano_through_an_outage() {
    let server = Server::start();
    let world = World::patient();
    let cap = 120 * PRICE;
    let nodes = settled_in(&world, &server, sliced(cap, 10)).await;
    server.signal("-STOP");
    exhaust(&nodes).await;
    server.signal("-CONT");
    for node in &nodes {
        node.back(Duration::from_secs(3)).await;
    }
    let end = Instant::now() + Duration::from_secs(20);
    while world.billed() < cap {
        // What slices keep is called in; what was not spent of them can be.
        nodes[0].request(PRICE).await;
        assert!(world.billed() <= cap && Instant::now() < end, "{}", world.billed());
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(nodes[1].request(PRICE).await.0, End::Refused(Code::DailyCap));
    assert_eq!(world.billed(), cap);
}

#[tokio::test]
async fn a_wiped_store_is_recovered_with_what_every_journal_knew() {
    let server = Server::start();
    let world = World::patient();
    let nodes = settled_in(&world, &server, sliced(1_000_000, 10)).await;
    // Rows that no other node can read yet lie in three journals.
    for node in &nodes {
        for _ in 0..5 {
            node.request(PRICE).await;
        }
    }
    let _: () = redis::cmd("FLUSHALL").query(&mut server.connect()).unwrap();
    assert_eq!(nodes[0].request(PRICE).await.0, End::Served);
    let header = *account(&server).await.header();
    assert_eq!(header.day_spent, world.billed());
}

#[tokio::test]
async fn a_request_under_way_is_held_again_after_a_loss_and_settled_by_whoever_runs_it() {
    let server = Server::start();
    let world = World::patient();
    let nodes = settled_in(&world, &server, sliced(1_000_000, 10)).await;
    let rid = nodes[1].rid();
    nodes[1].admit(rid, 7 * PRICE).await.unwrap();
    nodes[1].journal.dispatch(rid, nodes[1].now().utc_day(), Usd::from_nano(7 * PRICE));
    let _: () = redis::cmd("FLUSHALL").query(&mut server.connect()).unwrap();
    nodes[0].request(PRICE).await;
    let held = |account: &Account| account.records().iter().any(|record| record.rid == rid);
    assert!(held(&account(&server).await));
    let reply = nodes[1].settle(rid, 3 * PRICE).await.unwrap();
    assert_eq!(reply.code, Code::Done);
    assert!(!held(&account(&server).await));
}

#[tokio::test]
async fn what_was_admitted_and_not_sent_is_void_after_a_loss() {
    let server = Server::start();
    let world = World::patient();
    let nodes = settled_in(&world, &server, sliced(1_000_000, 10)).await;
    let rid = nodes[1].rid();
    nodes[1].admit(rid, 7 * PRICE).await.unwrap();
    let before = nodes[1].store.generation(&nodes[1].tenant());
    let _: () = redis::cmd("FLUSHALL").query(&mut server.connect()).unwrap();
    nodes[0].request(PRICE).await;
    assert_ne!(nodes[1].store.generation(&nodes[1].tenant()), before);
    assert!(account(&server).await.records().iter().all(|record| record.rid != rid));
}
