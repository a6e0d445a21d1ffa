//! Shows that answers kept in Redis behave as those kept in memory, on every node, and that a
//! Redis that is away, slow or wrong costs misses and nothing else.

use super::server::Server;
use bytes::Bytes;
use p402_core::cache::index::Wish;
use p402_core::cache::key::{Digest, Key};
use p402_core::cache::policy::Unstored;
use p402_core::cache::shelf::{Bounds, Entry};
use p402_core::cache::similarity::Vector;
use p402_core::cache::verdict::Tier;
use p402_core::time::Timestamp;
use p402_io::clock::{Clock, SystemClock};
use p402_io::embed::Hashed;
use p402_io::store::answers::{Answers, Brought, Purge, Record};
use p402_io::store::redis::address::Address;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BROUGHT: Brought = Brought { key: 1, per_hour: u32::MAX };
/// What every wait of a test ends at.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest deadline: what is decided, not how fast, is under test.
const WAIT: Duration = Duration::from_millis(50);
const ROOMY: Bounds = Bounds { entries: 100_000, bytes: 1 << 30 };

fn now() -> Timestamp {
    SystemClock::default().now().utc
}

fn plus(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_micros(at.micros() + seconds * 1_000_000)
}

fn digest(of: u8, seed: u64) -> Digest {
    let mut bytes = [of; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Digest(bytes)
}

/// A question of one tenant's, in one of a few scopes.
fn entry(answers: &Answers, tenant: &str, number: u64, now: Timestamp) -> Entry {
    let text = format!("question number {number} of all");
    Entry {
        id: answers.draw(),
        tenant: tenant.into(),
        scope: digest(1, number % 3),
        exact: digest(2, number),
        asked: Some((text.into(), digest(3, number))),
        vector: None,
        model: format!("m-{}", number % 2).into(),
        answer: Bytes::from(vec![b'a'; 200]),
        created: now,
        expires: plus(now, 3_600),
    }
}

fn key(entry: &Entry) -> Key {
    let asked = entry.asked.as_ref().map(|(text, digest)| (text.to_string(), *digest));
    Key { scope: entry.scope, exact: entry.exact, asked }
}

fn memory() -> Arc<Answers> {
    Arc::new(Answers::new(ROOMY, None))
}

fn record(url: &str, bytes: usize) -> Record {
    Record::new(Address::parse(url).unwrap(), bytes, WAIT).unwrap()
}

fn node(server: &Server, bytes: usize) -> Arc<Answers> {
    let url = format!("redis://127.0.0.1:{}", server.port());
    let answers = Arc::new(Answers::new(ROOMY, None).recorded(record(&url, bytes)));
    tokio::spawn(Arc::clone(&answers).follow(Arc::new(now)));
    answers
}

async fn got(answers: &Answers, of: &Entry, at: Timestamp) -> Option<Entry> {
    let (_, id) = answers.find(&key(of), at)?;
    let whose = (&*of.tenant, &of.scope);
    let found = answers.fetch(&[id], whose, (at, Timestamp::from_micros(i64::MIN))).await;
    found.ok()?.into_iter().next()
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !check().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}

/// Both homes, the same random life, the same answers.
async fn live(answers: &Answers) -> Vec<Option<Vec<u8>>> {
    let mut seen = Vec::new();
    let mut kept: HashMap<u64, Entry> = HashMap::new();
    let mut state = 7_u64;
    let mut draw = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let began = now();
    let mut clock = began;
    for _ in 0..600 {
        let (tenant, number) = (["a", "b", "c"][draw(3) as usize], draw(12));
        match draw(8) {
            0..=3 => {
                let mut fresh = entry(answers, tenant, number, clock);
                fresh.exact = digest(4, number * 3 + u64::from(tenant.as_bytes()[0]));
                fresh.asked = None;
                fresh.answer = Bytes::from(format!("{tenant} {number} {}", draw(1_000)));
                answers.keep(&fresh, BROUGHT, clock).await.unwrap();
                kept.insert(number * 3 + u64::from(tenant.as_bytes()[0]), fresh);
            }
            4 | 5 => {
                let Some(one) = kept.get(&(number * 3 + u64::from(tenant.as_bytes()[0]))) else {
                    continue;
                };
                seen.push(got(answers, one, clock).await.map(|entry| entry.answer.to_vec()));
                // Nobody else's, and of no other scope.
                let id = answers.find(&key(one), clock).map_or(one.id, |(_, id)| id);
                let never = Timestamp::from_micros(i64::MIN);
                for whose in [("nobody", &one.scope), (tenant, &digest(9, 9))] {
                    let found = answers.fetch(&[id], whose, (clock, never)).await.unwrap();
                    assert!(found.is_empty());
                }
            }
            6 => {
                let model = Some(format!("m-{}", draw(2)));
                let purge = Purge { tenant: Some(tenant.to_owned()), model, ..Purge::default() };
                // How many went is not compared: what has expired is swept at other times.
                answers.purge(&purge).await.unwrap();
            }
            _ => clock = plus(clock, draw(1_200) as i64),
        }
    }
    seen
}

#[tokio::test]
async fn both_homes_live_the_same_life() {
    let server = Server::start();
    let expected = live(&memory()).await;
    assert!(expected.iter().flatten().count() > 20);
    // Without a follower: what this node does is seen by it at once.
    let url = format!("redis://127.0.0.1:{}", server.port());
    let alone = Answers::new(ROOMY, None).recorded(record(&url, 1 << 30));
    assert_eq!(live(&alone).await, expected);
}

#[tokio::test]
async fn what_one_node_keeps_another_serves_and_what_one_drops_is_gone_everywhere() {
    let server = Server::start();
    let (one, other) = (node(&server, 1 << 30), node(&server, 1 << 30));
    let at = now();
    let first = entry(&one, "acme", 1, at);
    until("the first is kept", async || one.keep(&first, BROUGHT, at).await.is_ok()).await;
    until("the other has heard", async || got(&other, &first, at).await.is_some()).await;
    let vector = Hashed::vector("question number 1 of all");
    one.attach(&first, vector.clone(), at).await;
    let near = |answers: &Answers, vector: &Vector| {
        let wish = Wish { vector, threshold: 0.9, now: at, not_before: Timestamp::from_micros(0) };
        answers.view(&first.scope).map_or(0, |view| view.nearest(&wish).len())
    };
    until("the other can search", async || near(&other, &vector) == 1).await;
    // A node that comes later finds all that is there.
    let late = node(&server, 1 << 30);
    until("the late one has looked", async || near(&late, &vector) == 1).await;
    let purge =
        Purge { tenant: Some("acme".to_owned()), entry: Some(first.id), ..Purge::default() };
    assert_eq!(other.purge(&purge).await, Ok(1));
    let gone = until("gone everywhere", async || one.find(&key(&first), at).is_none()).await;
    assert!(gone < Duration::from_secs(1), "{gone:?}");
    assert_eq!(one.purge(&purge).await, Ok(0));
    let foreign = Purge { tenant: Some("other".to_owned()), ..purge };
    assert_eq!(one.purge(&foreign).await, Ok(0));
}

#[tokio::test]
async fn an_index_that_is_wrong_costs_a_miss_and_mends_itself() {
    let server = Server::start();
    let answers = node(&server, 1 << 30);
    let at = now();
    let kept = entry(&answers, "acme", 1, at);
    until("it is kept", async || answers.keep(&kept, BROUGHT, at).await.is_ok()).await;
    let _: () = redis::cmd("FLUSHALL").query(&mut server.connect()).unwrap();
    assert!(answers.find(&key(&kept), at).is_some());
    assert!(got(&answers, &kept, at).await.is_none());
    assert!(answers.find(&key(&kept), at).is_none());
    assert_eq!(answers.meter.to_json()["purged"], 0);
}

/// A node that has heard of nothing yet, as while it looks at what is there.
#[tokio::test]
async fn the_same_question_is_found_before_the_index_is_whole() {
    let mut server = Server::start();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let one = Answers::new(ROOMY, None).recorded(record(&url, 1 << 30));
    let deaf = Answers::new(ROOMY, None).recorded(record(&url, 1 << 30));
    let at = now();
    let kept = entry(&one, "acme", 1, at);
    one.keep(&kept, BROUGHT, at).await.unwrap();
    assert_eq!(deaf.find(&key(&kept), at), None);
    assert_eq!(deaf.recall("acme", &key(&kept)).await, Some((Tier::Exact, kept.id)));
    let spelt = Key { exact: digest(8, 8), ..key(&kept) };
    assert_eq!(deaf.recall("acme", &spelt).await, Some((Tier::Canonical, kept.id)));
    assert_eq!(deaf.recall("other", &key(&kept)).await, None);
    // Whoever has looked at everything asks nobody.
    let whole = node(&server, 1 << 30);
    until("it has looked", async || whole.find(&key(&kept), at).is_some()).await;
    until("it knows", async || whole.recall("acme", &key(&kept)).await.is_none()).await;
    server.kill();
    assert_eq!(deaf.recall("acme", &key(&kept)).await, None);
}

/// What a node is told of an entry is cut off its log before it can be read.
#[tokio::test]
async fn a_gap_in_the_log_is_seen_and_everything_is_looked_at_again() {
    let server = Server::start();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let alone = Answers::new(ROOMY, None).recorded(record(&url, 1 << 30));
    let at = now();
    let (first, hidden) = (entry(&alone, "acme", 1, at), entry(&alone, "acme", 2, at));
    alone.keep(&first, BROUGHT, at).await.unwrap();
    alone.keep(&hidden, BROUGHT, at).await.unwrap();
    let mut connection = server.connect();
    let one = |pattern: &str, connection: &mut redis::Connection| -> String {
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(connection).unwrap();
        keys.into_iter().next().unwrap()
    };
    let log = one("p402:{c*}:log", &mut connection);
    let place = one(&format!("p402:{{c*}}:*:e:{:016x}", hidden.id), &mut connection);
    let packed: Vec<u8> = redis::cmd("GET").arg(&place).query(&mut connection).unwrap();
    let _: () = redis::cmd("DEL").arg(&place).query(&mut connection).unwrap();
    let late = node(&server, 1 << 30);
    until("it has looked", async || got(&late, &first, at).await.is_some()).await;
    // One more, so that it is known to read its log by now.
    let third = entry(&alone, "acme", 3, at);
    alone.keep(&third, BROUGHT, at).await.unwrap();
    until("it reads on", async || late.find(&key(&third), at).is_some()).await;
    let mut at_once = redis::pipe();
    at_once.atomic().cmd("SET").arg(&place).arg(packed).ignore();
    for number in 0..400 {
        at_once.cmd("XADD").arg(&log).arg("*").arg("x").arg(number).ignore();
    }
    at_once.cmd("XTRIM").arg(&log).arg("MAXLEN").arg(300).ignore();
    let () = at_once.query(&mut connection).unwrap();
    until("it has looked again", async || got(&late, &hidden, at).await.is_some()).await;
}

#[tokio::test]
async fn a_redis_that_dies_or_hangs_is_a_miss_in_time_and_comes_back() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let answers = node(&server, 1 << 30);
    let at = now();
    let kept = entry(&answers, "acme", 1, at);
    until("it is kept", async || answers.keep(&kept, BROUGHT, at).await.is_ok()).await;
    server.signal("-STOP");
    for _ in 0..20 {
        let began = Instant::now();
        assert!(got(&answers, &kept, at).await.is_none());
        // The deadline, and what a busy machine adds to a timer.
        assert!(began.elapsed() < 3 * WAIT, "{:?}", began.elapsed());
    }
    let purge = Purge { tenant: Some("acme".to_owned()), ..Purge::default() };
    assert!(answers.purge(&purge).await.is_err());
    assert!(answers.find(&key(&kept), at).is_none(), "it is served no more, all the same");
    server.signal("-CONT");
    // What was not confirmed is still there, and found again.
    until("it is back", async || got(&answers, &kept, at).await.is_some()).await;
    server.kill();
    assert!(got(&answers, &kept, at).await.is_none());
    assert_eq!(answers.keep(&kept, BROUGHT, at).await, Err(Unstored::Store));
    server.restart();
    until("it is back", async || answers.keep(&kept, BROUGHT, at).await.is_ok()).await;
    until("it is found", async || got(&answers, &kept, at).await.is_some()).await;
}

#[tokio::test]
async fn the_servers_bytes_are_bounded() {
    const MOST: usize = 400_000;
    let server = Server::start();
    let answers = node(&server, MOST);
    let at = now();
    let weigh = || {
        let mut connection = server.connect();
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("p402:{c*}:bytes").query(&mut connection).unwrap();
        let sizes = keys
            .iter()
            .map(|key| -> i64 { redis::cmd("GET").arg(key).query(&mut connection).unwrap() });
        let counted: i64 = sizes.sum();
        let keys: Vec<String> =
            redis::cmd("KEYS").arg("p402:{c*}:*:e:*").query(&mut connection).unwrap();
        let lengths = keys
            .iter()
            .map(|key| -> i64 { redis::cmd("STRLEN").arg(key).query(&mut connection).unwrap() });
        (counted, lengths.sum::<i64>())
    };
    for number in 0..400 {
        let mut one = entry(&answers, "acme", number, at);
        one.answer = Bytes::from(vec![b'a'; 2_000]);
        until("it is kept", async || answers.keep(&one, BROUGHT, at).await.is_ok()).await;
        let (counted, real) = weigh();
        assert_eq!(counted, real, "after {number}");
        assert!(counted <= (MOST / 4) as i64, "{counted}");
    }
    assert!(weigh().0 > 50_000);
}
