//! Decides whether a million neighbouring scopes leak nothing, and a million stores stay bounded.
//! Deliberately stops at the first breach; else it tells what it did and the memory that took.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what cannot run must say so")]
#![expect(clippy::print_stdout, reason = "its figures are its result")]

use bytes::Bytes;
use p402_core::cache::key::{Around, Class, Key, Share, key};
use p402_core::cache::shelf::{Bounds, Entry, Shelf};
use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_core::envelope::scan;
use p402_core::time::Timestamp;
use p402_io::store::answers::{Answers, Brought, Record};
use p402_io::store::redis::address::Address;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Of each home and of the stores; another number may be the first argument, and one of `stores`,
/// `memory` and `redis` the second.
const COUNT: u64 = 1_000_000;
/// Stores of one API key in the hour: with more its share of the shelf would be full.
const KEY_STORES: u64 = 64_000;
/// Few at a time: what matters is whom they belong to.
const ROOM: Bounds = Bounds { entries: 4_096, bytes: 64 << 20 };
const ANSWER_BYTES: usize = 600;
/// What the process may grow by beyond what is counted: an allocator's leftovers.
const LEFTOVERS: f64 = 1.25;
/// A busy machine is no finding.
const REDIS_WAIT: Duration = Duration::from_secs(5);
const EVER: Timestamp = Timestamp::from_micros(i64::MIN);

/// A blind draw that every run repeats.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// What a scope is made of; two of them are neighbours if one part differs.
#[derive(Clone)]
struct Drawn {
    parts: [u64; PARTS],
}

/// Tenant, user, model, system message, earlier turn, tools, temperature, a field of tomorrow.
const PARTS: usize = 8;

impl Drawn {
    fn new(draw: &mut Draw) -> Self {
        // Few values of each: neighbours of one pair are met again in others.
        Self { parts: std::array::from_fn(|_| draw.next() % 64) }
    }

    fn neighbour(&self, draw: &mut Draw) -> Self {
        let mut other = self.clone();
        let part = &mut other.parts[(draw.next() % PARTS as u64) as usize];
        *part = (*part + 1 + draw.next() % 63) % 64;
        other
    }

    fn tenant(&self) -> String {
        format!("t{}", self.parts[0])
    }

    fn key(&self) -> Key {
        let [_, user, model, system, earlier, tools, heat, more] = self.parts;
        let body = format!(
            r#"{{"model":"auto","messages":[{{"role":"system","content":"s{system}"}},
            {{"role":"user","content":"u{earlier}"}},{{"role":"assistant","content":"Yes."}},
            {{"role":"user","content":"What is Rust?"}}],"temperature":0.{heat:02},
            "tools":[{{"type":"function","function":{{"name":"f{tools}"}}}}],"x":{more}}}"#
        );
        let (tenant, user, model) = (self.tenant(), format!("u{user}"), format!("m{model}"));
        let around = Around {
            tenant: &tenant,
            share: Share::User(&user),
            class: Class::Pinned(&model),
            embedder: "0123456789ab",
            rules: "1",
        };
        key(body.as_bytes(), &scan(body.as_bytes()).unwrap(), &around).unwrap()
    }
}

fn entry(id: u64, tenant: &str, key: &Key, (now, life_s): (Timestamp, i64)) -> Entry {
    Entry {
        id,
        tenant: tenant.into(),
        scope: key.scope,
        exact: key.exact,
        asked: key.asked.as_ref().map(|(text, digest)| (text.as_str().into(), *digest)),
        vector: None,
        model: "m".into(),
        answer: Bytes::from(vec![b'a'; ANSWER_BYTES]),
        created: now,
        expires: Timestamp::from_micros(now.micros() + life_s * 1_000_000),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// Keeps an answer under one scope and asks for it under its neighbour's.
async fn scopes(home: &str, answers: &Answers, count: u64) {
    let (began, mut draw, mut own) = (Instant::now(), Draw(402), 0_u64);
    for number in 0..count {
        let one = Drawn::new(&mut draw);
        let other = one.neighbour(&mut draw);
        let (kept, asked, at) = (one.key(), other.key(), now());
        let put = entry(answers.draw(), &one.tenant(), &kept, (at, 60));
        let brought = Brought { key: number / KEY_STORES, per_hour: u32::MAX };
        answers.keep(&put, brought, at).await.expect("there is room");
        // The other scope may have an answer of its own, kept before: never this one.
        let found = answers.find(&asked, at).map(|(_, id)| id);
        assert_ne!(found, Some(put.id), "pair {number}: found under another scope");
        let recalled = answers.recall(&other.tenant(), &asked).await.map(|(_, id)| id);
        assert_ne!(recalled, Some(put.id), "pair {number}: recalled under another scope");
        let tenant = other.tenant();
        let leaked = answers.fetch(&[put.id], (&tenant, &asked.scope), (at, EVER)).await;
        assert!(leaked.expect("it answers").is_empty(), "pair {number}: fetched");
        // It is there for its own: nothing above was empty because nothing was kept.
        if answers.find(&kept, at).is_some_and(|(_, id)| id == put.id) {
            let whose = (&*put.tenant, &kept.scope);
            own +=
                answers.fetch(&[put.id], whose, (at, EVER)).await.expect("it answers").len() as u64;
        }
    }
    assert_eq!(own, count, "what was kept is served to its own scope");
    let took = began.elapsed().as_secs_f64();
    println!("{home}: {count} pairs of scopes, 0 hits across, {own} of {count} own; {took:.0} s");
}

/// Stores more than fits, by many tenants; both bounds hold after each.
fn stores(count: u64) {
    let (began, mut draw) = (Instant::now(), Draw(1));
    let (bounds, mut shelf) = (Bounds::default(), Shelf::default());
    let before = resident_mb();
    for number in 0..count {
        let one = Drawn::new(&mut draw);
        let at = Timestamp::from_seconds(i64::try_from(number / 1_000).unwrap());
        let mut key = one.key();
        // Another question each, in one of many scopes.
        key.exact.0[..8].copy_from_slice(&number.to_le_bytes());
        key.asked = key.asked.map(|(text, mut digest)| {
            digest.0[..8].copy_from_slice(&number.to_le_bytes());
            (text, digest)
        });
        let mut put = entry(number, &one.tenant(), &key, (at, 86_400));
        put.vector = Some(Arc::new(vector(&mut draw)));
        shelf.keep(put, at).expect("one entry is smaller than a tenant's part");
        let fill = shelf.fill();
        assert!(fill.entries <= bounds.entries && fill.bytes <= bounds.bytes, "{fill:?}");
    }
    let (fill, grown) = (shelf.fill(), resident_mb() - before);
    let most = bounds.bytes as f64 / f64::from(1 << 20);
    println!(
        "stores: {count}, {} entries of {:.0} MiB counted (most {most:.0}); the process grew by \
         {grown:.0} MiB; {:.0} s",
        fill.entries,
        fill.bytes as f64 / f64::from(1 << 20),
        began.elapsed().as_secs_f64()
    );
    assert!(grown <= most * LEFTOVERS, "a bound that memory does not keep is none");
}

fn vector(draw: &mut Draw) -> Vector {
    let values: [i8; DIMENSIONS] = std::array::from_fn(|_| (draw.next() >> 33) as i8);
    Vector::from_bytes(values)
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kb: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kb / 1_024.0
}

struct Server(Child, u16);

impl Server {
    fn start() -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let end = Instant::now() + Duration::from_secs(5);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "redis-server does not listen");
        }
        Self(child, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let mut told = std::env::args().skip(1);
    let count = told.next().map_or(COUNT, |count| count.parse().expect("a number"));
    let only = told.next();
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if wanted("stores") {
        stores(count);
    }
    if wanted("memory") {
        runtime.block_on(scopes("memory", &Answers::new(ROOM, None), count));
    }
    if wanted("redis") {
        let server = Server::start();
        let address = Address::parse(&format!("redis://127.0.0.1:{}", server.1)).unwrap();
        let record = Record::new(address, ROOM.bytes, REDIS_WAIT).unwrap();
        let answers = Answers::new(ROOM, None).recorded(record);
        runtime.block_on(scopes("redis", &answers, count));
    }
}
