//! Decides whether what a dead gateway held ends once: by its next life, or by another node's hand.
//! Does not kill a process (tests/claims/c02_leaks.py does): a node that is dropped says no more.

#[path = "../books/mod.rs"]
mod books;
#[path = "../books/cluster.rs"]
mod cluster;

use super::nodes::{account, stored};
use super::rig::{End, Node, PATIENT, TENANT, World, capped};
use super::server::Server;
use books::until;
use p402_core::guard::{Claim, Code, Kind, Limits, Op};
use p402_core::id::RequestId;
use p402_core::ledger::{self, Flags, Row};
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use p402_io::clock::{Clock, SystemClock};
use p402_io::heir;
use p402_io::home::Home;
use p402_io::ledger::{IndexAt, Ledger, Options};
use p402_io::meter::Meter;
use p402_io::store::redis::address::Address;
use p402_io::store::redis::{self as home, Redis};
use p402_io::store::{Former, Store, Tenant};
use p402_io::truth::Record;
use p402_io::world;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PRICE: i64 = 1_000;

fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port())
}

async fn held(server: &Server) -> Vec<RequestId> {
    let requests = |record: &&p402_core::guard::Record| !record.is_slice();
    account(server).await.records().iter().filter(requests).map(|record| record.rid).collect()
}

fn former(node: &Node, ended: &[(RequestId, i64)]) -> Former {
    let ended = ended.iter().map(|(rid, nano)| (*rid, Usd::from_nano(*nano))).collect();
    Former { tenant: TENANT.into(), limits: node.limits, ended, recent: None }
}

/// Three requests of a node that is gone: sent and open, sent and ended in the ledger alone, and
/// never sent.
async fn left_behind(world: &World, server: &Server, limits: Limits) -> [RequestId; 3] {
    let node = world.node(&url(server), 7, limits).await;
    let rids = [node.rid(), node.rid(), node.rid()];
    for rid in rids {
        assert_eq!(node.admit(rid, 7 * PRICE).await.unwrap().code, Code::Done);
    }
    for rid in &rids[..2] {
        node.journal.dispatch(*rid, node.now().utc_day(), Usd::from_nano(7 * PRICE));
    }
    node.journal.settle(rids[1], Usd::from_nano(3 * PRICE));
    home::Truth::flush(&*node.journal).await.unwrap();
    // No process comes back within the millisecond that leases are counted in.
    sleep(Duration::from_millis(20)).await;
    rids
}

#[tokio::test]
async fn a_restarted_node_ends_what_its_former_life_held_and_ends_it_once() {
    let server = Server::start();
    let world = World::patient();
    let limits = Limits { slice_max: Usd::ZERO, ..capped(1_000_000) };
    let [open, ended, unsent] = left_behind(&world, &server, limits).await;
    assert_eq!(held(&server).await, [open, ended, unsent]);
    let node = world.node(&url(&server), 7, limits).await;
    let own = RequestId::from_bits(99);
    node.admit(own, 2 * PRICE).await.unwrap();
    // The start has ended at its hold what was open.
    node.journal.settle(open, Usd::from_nano(7 * PRICE));
    for _ in 0..2 {
        assert!(node.store.take_up(former(&node, &[(open, 7 * PRICE)])).await);
        let header = *account(&server).await.header();
        assert_eq!(header.day_spent, 10 * PRICE);
        assert_eq!(held(&server).await, [own], "what this life holds is left alone");
    }
}

#[tokio::test]
async fn what_a_node_left_for_good_stays_held_but_for_what_the_ledger_ended() {
    let server = Server::start();
    let world = World::patient();
    let slice_max = Usd::ZERO;
    let limits = Limits { slice_max, hold_lease_ms: 300, slot_lease_ms: 200, ..capped(1_000_000) };
    let [open, ended, unsent] = left_behind(&world, &server, limits).await;
    let node = world.node(&url(&server), 8, limits).await;
    sleep(Duration::from_millis(400)).await;
    assert_eq!(node.request(PRICE).await.0, End::Served);
    assert_eq!(account(&server).await.header().suspense, 21 * PRICE);
    assert!(node.store.take_up(former(&node, &[])).await);
    assert_eq!(held(&server).await, [open, unsent], "{ended} has ended");
    let header = *account(&server).await.header();
    assert_eq!((header.day_spent, header.suspense), (4 * PRICE, 14 * PRICE));
    assert_eq!(header.in_flight, 0, "no slot outlives its lease");
}

/// Whatever waits for a database does so beside the test's own thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A gateway's home: its own folder, one ledger, one store.
fn home(address: Address, folder: PathBuf, index: String) -> Arc<Home> {
    let options = Options { index: IndexAt::Postgres(index), ..Options::new(folder) };
    let ledger = Arc::new(Ledger::open(&options, SystemClock::default().now()).unwrap());
    let options = home::Options {
        address,
        node: ledger.owner(),
        deadline: PATIENT,
        seed_deadline: Duration::from_secs(1),
        wait_replicas: 0,
        truth: Arc::new(Record::of(Arc::clone(&ledger)).unwrap()),
        tell: Arc::new(|_| {}),
    };
    let store = Redis::new(options).unwrap();
    store.begin();
    Arc::new(Home::new(Box::new(store), ledger))
}

#[tokio::test]
async fn what_a_node_left_for_good_is_ended_at_its_hold_by_another_after_a_day() {
    let (server, cluster) = (Server::start(), cluster::Cluster::start());
    let (one, other) = (books::quick_folder(), books::quick_folder());
    let limits = Limits { slice_max: Usd::ZERO, ..Limits::default() };
    let tenant = Tenant { id: TENANT, limits: &limits };
    let now = || SystemClock::default().now().utc;
    let start = |folder: &tempfile::TempDir| {
        let address = Address::parse(&url(&server)).unwrap();
        let (folder, index) = (folder.path().to_owned(), cluster.url());
        aside(move || home(address, folder, index))
    };
    let (rid, amount) = (RequestId::new(now(), 1), Usd::from_nano(7 * PRICE));
    let lost = start(&one).await;
    let owner = lost.owner;
    let claim = Claim { rid, amount, owner, kind: Kind::Request };
    let reply = lost.store.call(&tenant, Op::Admit(claim), now()).answer().await.unwrap();
    assert_eq!(reply.code, Code::Done);
    let day: Day = now().utc_day();
    let row = Row::new(ledger::Kind::Dispatch, rid, TENANT, day, now());
    let _mark = lost.ledger.append(&Row { attempt: 1, held: amount, ..row }).unwrap();
    assert!(lost.ledger.share(Duration::from_secs(10)));
    aside(move || drop(lost)).await;
    let heir = start(&other).await;
    assert_ne!(heir.owner, owner);
    let header = br#"{"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]}"#;
    let mut world = world::World::load(b"{}", &[header]).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while heir.store.hears(owner) || !heir.store.hears(heir.owner) {
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(50)).await;
    }
    let after = |hours: i64| Timestamp::from_micros(now().micros() + hours * 3_600_000_000);
    heir::adopt(&heir, &world, after(24)).await;
    assert_eq!(held(&server).await, [rid], "its time is not over");
    for _ in 0..2 {
        heir::adopt(&heir, &world, after(25)).await;
        assert_eq!(
            (held(&server).await, account(&server).await.header().day_spent),
            (vec![], amount.nano())
        );
    }
    let asked = Arc::clone(&heir);
    let rows = aside(move || asked.rows_of(rid)).await.unwrap();
    assert_eq!(rows.len(), 2);
    let last = Row::decode(&rows[1]).unwrap();
    assert_eq!((last.kind, last.wasted), (ledger::Kind::Settle, amount));
    assert!(last.flags.has(Flags::LATE) && last.flags.has(Flags::ESTIMATED));
    // Whoever starts next finds an account that counts other than the ledger, and mends it.
    let more = Op::Adjust { day, nano: 5 };
    heir.store.call(&tenant, more, now()).answer().await.unwrap();
    world.config.store.url = Some(url(&server));
    let meter = Meter::default();
    heir::take_up(&heir, &world, &meter, now()).await;
    assert_eq!(meter.mismatched.load(Ordering::Relaxed), 1);
    let end = Instant::now() + Duration::from_secs(10);
    while stored(&server).is_none_or(|account| account.header().day_spent != amount.nano()) {
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(50)).await;
    }
    aside(move || drop(heir)).await;
}
