//! Decides whether the store is found where it is: in a cluster, with replicas, under an ACL.
//! Does not break it (faults and failover do).

use super::rig::{End, PATIENT, TENANT, World, capped};
use super::server::{Server, free_port};
use p402_core::guard::{Claim, Code, Kind, Limits, Op, OutagePolicy};
use p402_core::money::Usd;
use p402_io::store::redis::Notice;
use p402_io::store::redis::address::{Address, Tag};
use p402_io::store::{Store, Tenant};
use std::time::{Duration, Instant};

fn plain() -> Limits {
    Limits { outage: OutagePolicy::FailClosed, ..capped(1_000_000) }
}

fn tell(server: &Server, words: &[&str]) -> redis::Value {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query(&mut server.connect()).unwrap()
}

fn id(server: &Server) -> String {
    redis::cmd("CLUSTER").arg("MYID").query(&mut server.connect()).unwrap()
}

/// Two servers, half of the slots each.
fn cluster() -> [Server; 2] {
    clustered(["0 8191", "8192 16383"])
}

/// Servers that have these slots.
fn clustered<const N: usize>(slots: [&str; N]) -> [Server; N] {
    let node = || {
        let bus = free_port().to_string();
        Server::with(&["--cluster-enabled", "yes", "--cluster-port", &bus])
    };
    let servers = slots.map(|_| node());
    for (server, slots) in servers.iter().zip(slots) {
        let (first, last) = slots.split_once(' ').unwrap();
        tell(server, &["CLUSTER", "ADDSLOTSRANGE", first, last]);
        let (port, bus) = (server.port().to_string(), server.setting("cluster-port"));
        tell(&servers[0], &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    }
    let end = Instant::now() + Duration::from_secs(20);
    let whole = |server: &Server| {
        let told: String = redis::cmd("CLUSTER").arg("INFO").query(&mut server.connect()).unwrap();
        told.contains("cluster_state:ok") && told.contains(&format!("cluster_known_nodes:{N}"))
    };
    while !servers.iter().all(whole) {
        assert!(Instant::now() < end, "the cluster does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    servers
}

#[tokio::test]
async fn a_cluster_is_entered_anywhere_and_tells_where_an_account_lies() {
    let servers = cluster();
    let url = format!("redis-cluster://127.0.0.1:{}", servers[0].port());
    let node = World::patient().node(&url, 1, plain()).await;
    for number in 0..20 {
        let id = format!("tenant-{number}");
        let tenant = Tenant { id: &id, limits: &node.limits };
        let reply = node.store.call(&tenant, Op::Renew(&[]), node.now()).answer().await.unwrap();
        assert_eq!(reply.code, Code::Done);
        let owner = usize::from(Tag::of(&id).slot() > 8_191);
        let key = Tag::of(&id).key("acct");
        let there: bool =
            redis::cmd("EXISTS").arg(key).query(&mut servers[owner].connect()).unwrap();
        assert!(there, "{id}");
    }
}

#[tokio::test]
async fn three_servers_hold_many_tenants_and_each_wholly_in_its_slot() {
    const TENANTS: usize = 120;
    let servers = clustered(["0 5460", "5461 10922", "10923 16383"]);
    let url = format!("redis-cluster://127.0.0.1:{}", servers[2].port());
    let node = World::patient().node(&url, 1, plain()).await;
    let ids: Vec<String> = (0..TENANTS).map(|number| format!("tenant-{number}")).collect();
    for id in &ids {
        let tenant = Tenant { id, limits: &node.limits };
        let (rid, amount) = (node.rid(), Usd::from_nano(1_000));
        let claim = Claim { rid, amount, owner: 1, kind: Kind::Request };
        let ask = async |op| node.store.call(&tenant, op, node.now()).answer().await.unwrap();
        let held = ask(Op::Admit(claim)).await;
        assert_eq!((held.code, held.held), (Code::Done, amount), "{id}");
        let settled = ask(Op::Settle { rid, owner: 1, actual: Usd::from_nano(700) }).await;
        assert_eq!((settled.code, settled.held), (Code::Done, Usd::ZERO), "{id}");
        assert_eq!(settled.day_spent, Usd::from_nano(700), "{id}");
        assert_eq!(node.store.pool(id, Some(vec![1]), node.now()).await, Some(Vec::new()));
    }
    let mut seen = 0;
    for server in &servers {
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("p402:*").query(&mut server.connect()).unwrap();
        let own = keys.iter().filter(|key| key.ends_with(":acct") || key.ends_with(":z")).count();
        assert!(own > TENANTS / 3, "{own} of {TENANTS} accounts and what is beside them");
        seen += own;
    }
    assert_eq!(seen, 2 * TENANTS);
    let slot = |key: String| {
        let mut asked = redis::cmd("CLUSTER");
        asked.arg("KEYSLOT").arg(key).query::<u16>(&mut servers[0].connect()).unwrap()
    };
    for tag in ids.iter().map(|id| Tag::of(id)) {
        for what in ["acct", "z", "barrier:1", "probe"] {
            assert_eq!(slot(tag.key(what)), tag.slot());
        }
    }
}

#[tokio::test]
async fn f19_a_slot_that_moves_under_an_account_is_followed() {
    let servers = cluster();
    let url = format!("redis-cluster://127.0.0.1:{}", servers[0].port());
    let world = World::patient();
    let node = world.node(&url, 1, plain()).await;
    for _ in 0..5 {
        assert_eq!(node.request(1_000).await.0, End::Served);
    }
    let tag = Tag::of(TENANT);
    let from = usize::from(tag.slot() > 8_191);
    let (source, target) = (&servers[from], &servers[1 - from]);
    let (slot, port) = (tag.slot().to_string(), target.port().to_string());
    tell(target, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(source)]);
    tell(source, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(target)]);
    assert_eq!(node.request(1_000).await.0, End::Served);
    // The account itself has moved, its slot has not: ASK.
    tell(source, &["MIGRATE", "127.0.0.1", &port, &tag.key("acct"), "0", "1000"]);
    for _ in 0..3 {
        assert_eq!(node.request(1_000).await.0, End::Served);
    }
    for server in [target, source] {
        tell(server, &["CLUSTER", "SETSLOT", &slot, "NODE", &id(target)]);
    }
    for _ in 0..3 {
        assert_eq!(node.request(1_000).await.0, End::Served);
    }
    let reply = node.call(Op::Renew(&[])).await.unwrap();
    assert_eq!((reply.day_spent.nano(), reply.held.nano()), (world.billed(), 0));
}

#[tokio::test]
async fn f19_a_cluster_that_is_down_is_away_until_it_is_whole() {
    let servers = cluster();
    let url = format!("redis-cluster://127.0.0.1:{}", servers[0].port());
    let world = World::patient();
    let node = world.node(&url, 1, plain()).await;
    assert_eq!(node.request(1_000).await.0, End::Served);
    let tag = Tag::of(TENANT);
    let (slot, owner) = (tag.slot().to_string(), &servers[usize::from(tag.slot() > 8_191)]);
    // Nobody serves the slot any more: CLUSTERDOWN.
    tell(owner, &["CLUSTER", "DELSLOTS", &slot]);
    for _ in 0..3 {
        let (end, _) = node.request(1_000).await;
        assert!(matches!(end, End::Unavailable(_)), "{end:?}");
    }
    let away = Notice::Away("CLUSTERDOWN".to_owned());
    assert!(node.lines().contains(&away), "{:?}", node.lines());
    tell(owner, &["CLUSTER", "ADDSLOTS", &slot]);
    node.back(Duration::from_secs(20)).await;
    assert_eq!(node.request(1_000).await.0, End::Served);
    let reply = node.call(Op::Renew(&[])).await.unwrap();
    assert_eq!((reply.day_spent.nano(), reply.held.nano()), (world.billed(), 0));
}

#[tokio::test]
async fn an_admission_counts_once_a_replica_has_it() {
    let primary = Server::start();
    let port = primary.port().to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    replica.until("master_link_status", "up");
    let url = format!("redis://127.0.0.1:{port}");
    let node = World { wait_replicas: 1, ..World::patient() }.node(&url, 1, plain()).await;
    assert_eq!(node.request(1_000).await.0, End::Served);
    let key = Tag::of(TENANT).key("acct");
    let there: bool = redis::cmd("EXISTS").arg(key).query(&mut replica.connect()).unwrap();
    assert!(there, "acknowledged by the replica");
    // Nobody acknowledges any more: the store takes no admission, and says so in time.
    replica.signal("-STOP");
    let (end, took) = node.request(1_000).await;
    assert!(matches!(end, End::Unavailable(_)), "{end:?}");
    assert!(took < 2 * PATIENT, "{took:?}");
}

#[tokio::test]
async fn a_user_with_nothing_but_what_is_needed_is_enough() {
    let server = Server::start();
    let rules = "on >word ~p402:* &p402:* +fcall +function|load +function|list +info +time +ping \
                 +get +set +setrange +append +del +hset +hget +hgetall +hrandfield +hdel +pexpire \
                 +zadd +zrangebyscore +zremrangebyscore +publish +subscribe +hello +auth +wait";
    let words: Vec<&str> =
        ["ACL", "SETUSER", "p402"].into_iter().chain(rules.split_whitespace()).collect();
    tell(&server, &words);
    let url = format!("redis://p402:word@127.0.0.1:{}", server.port());
    let node = World::patient().node(&url, 1, plain()).await;
    assert_eq!(node.request(1_000).await.0, End::Served);
    assert!(node.lines().is_empty(), "{:?}", node.lines());
    let told = node.store.pool(TENANT, Some(vec![1]), node.now()).await;
    assert_eq!(told, Some(Vec::new()));
    assert_eq!(node.store.recall(TENANT).await, Some(Some(vec![1])));
    assert!(node.store.inherit(TENANT, 1).await);
}

#[test]
fn urls_that_say_nothing_are_refused_without_their_secrets() {
    for url in [
        "nowhere",
        "http://user:secret@host",
        "redis-sentinel://user:secret@host",
        "redis-cluster://user:secret@",
    ] {
        let told = Address::parse(url).unwrap_err();
        assert!(!told.contains("secret"), "{told}");
    }
    for url in ["redis://h", "rediss://u:p@h:1/2", "unix:///run/r.sock", "rediss-cluster://a,b:1"] {
        assert!(Address::parse(url).is_ok(), "{url}");
    }
}
