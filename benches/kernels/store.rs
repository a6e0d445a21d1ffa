//! Measures what an admission and a settlement cost the Redis server, by the server's own counters.
//! Does not measure the way there: a round trip is the network's.
//!
//! `cargo bench -p p402-benches --bench store`: 1,000 tenants, 60,000 requests per row, one
//! connection, each call packed as the gateway packs it.

#![expect(clippy::print_stdout, reason = "its figures are its result")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot run must say so")]

use p402_benches::figures;
use p402_core::guard::{Account, Claim, Code, Fence, Kind, Limits, Op, Rate, Reply};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_io::store::redis::address::Tag;
use p402_io::store::redis::wire::{self, Call};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const TENANTS: usize = 1_000;
/// Requests of each row; `P402_REQUESTS` says otherwise.
const REQUESTS: usize = 60_000;
const EPOCH: i64 = 77;
const PRICE: Usd = Usd::from_nano(1_000);
/// What the promise is about: a tenant with nine other requests open, a server that is busy.
const PROMISED: (u64, usize) = (9, 64);

struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--unixsocket", &folder.path().join("redis.sock").display().to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, folder }
    }

    fn connect(&self) -> redis::Connection {
        let url = format!("redis+unix://{}", self.folder.path().join("redis.sock").display());
        let client = redis::Client::open(url).unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            match client.get_connection() {
                Ok(connection) => return connection,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn limits() -> Limits {
    let rate = Rate { limit: 1_000_000, per_s: 1, burst: 1_000_000 };
    Limits { rate, in_flight_max: 256, ..Limits::default() }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// An id as the gateway draws it.
fn drawn(number: u64) -> RequestId {
    RequestId::draw(now(), 7, number)
}

fn admit(rid: RequestId) -> Op<'static> {
    Op::Admit(Claim { rid, amount: PRICE, owner: 1, kind: Kind::Request })
}

fn settle(rid: RequestId) -> Op<'static> {
    Op::Settle { rid, owner: 1, actual: PRICE }
}

/// Every tenant with so many open requests.
fn furnish(connection: &mut redis::Connection, keys: &[String], holds: u64) {
    let mut all = redis::pipe();
    for (tenant, key) in keys.iter().enumerate() {
        let mut account = Account::new(EPOCH, &limits(), now());
        for number in 0..holds {
            let rid = drawn(1 << 40 | (tenant as u64) << 20 | number);
            assert_eq!(account.apply(admit(rid), &limits(), now()).code, Code::Done);
        }
        all.cmd("SET").arg(key).arg(account.encode()).ignore();
    }
    let _: () = all.query(connection).unwrap();
}

fn calls(connection: &mut redis::Connection, batch: &[(&str, Op<'_>)]) {
    let deadline = Some(Timestamp::from_micros(now().micros() + 10_000_000));
    let fence = Fence { epoch: EPOCH, version: 0, deadline };
    let mut all = redis::pipe();
    for (key, op) in batch {
        let call = Call::new(&fence, *op, &limits());
        all.cmd("FCALL").arg(call.function).arg(1).arg(*key).arg(call.argument);
    }
    let replies: Vec<Vec<u8>> = all.query(connection).unwrap();
    assert!(replies.iter().all(|reply| Reply::decode(reply).unwrap().code == Code::Done));
}

/// A field of INFO.
fn told(connection: &mut redis::Connection, section: &str, name: &str) -> String {
    let text: String = redis::cmd("INFO").arg(section).query(connection).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

fn cpu_s(connection: &mut redis::Connection) -> f64 {
    let names = ["used_cpu_user_main_thread", "used_cpu_sys_main_thread"];
    names.map(|name| told(connection, "cpu", name).parse::<f64>().unwrap()).iter().sum()
}

fn requests() -> usize {
    std::env::var("P402_REQUESTS").map_or(REQUESTS, |text| text.parse().unwrap())
}

fn measure(connection: &mut redis::Connection, keys: &[String], (holds, batch): (u64, usize)) {
    let count = requests();
    furnish(connection, keys, holds);
    let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query(connection).unwrap();
    let (began, cpu) = (Instant::now(), cpu_s(connection));
    for from in (0..count).step_by(batch) {
        let of = |number: usize| (keys[number % TENANTS].as_str(), drawn(number as u64));
        let range = from..(from + batch).min(count);
        let requests: Vec<_> = range.map(of).collect();
        let admits: Vec<_> = requests.iter().map(|(key, rid)| (*key, admit(*rid))).collect();
        calls(connection, &admits);
        let settles: Vec<_> = requests.iter().map(|(key, rid)| (*key, settle(*rid))).collect();
        calls(connection, &settles);
    }
    let cpu = cpu_s(connection) - cpu;
    let wall = began.elapsed().as_secs_f64();
    let percentiles = told(connection, "latencystats", "latency_percentiles_usec_fcall");
    let per_request_us = cpu * 1e6 / count as f64;
    let per_core = 2.0 * count as f64 / cpu;
    println!(
        "{holds:>3} holds, {batch:>2} on the way: {per_request_us:5.1} µs CPU per request, \
         {per_core:7.0} calls/s per core, {:6.0} requests/s here, call µs {percentiles}",
        count as f64 / wall
    );
    if (holds, batch) == PROMISED {
        figures::tell("store/redis per request", per_request_us).unwrap();
    }
}

/// Admissions one at a time: what a request waits for on this host.
fn trips(connection: &mut redis::Connection, keys: &[String]) {
    furnish(connection, keys, PROMISED.0);
    let mut spread = figures::durations().unwrap();
    for number in 0..REQUESTS as u64 {
        let (key, rid) = (keys[number as usize % TENANTS].as_str(), drawn(number));
        let begun = Instant::now();
        calls(connection, &[(key, admit(rid))]);
        spread.add(begun.elapsed());
        calls(connection, &[(key, settle(rid))]);
    }
    spread.tell("store/redis trip").unwrap();
}

/// A function that asks for the time, reads an account and writes it back as it was.
const FLOOR: &str = "#!lua name=floor
local function floor(keys, args)
  redis.call('TIME')
  redis.call('SET', keys[1], redis.call('GET', keys[1]), 'KEEPTTL')
  return args[1]
end
redis.register_function('floor', floor)
";

/// What the host makes of the least that two calls of any such home do, in µs CPU per request.
fn yardstick(connection: &mut redis::Connection, keys: &[String]) {
    furnish(connection, keys, 5);
    let load = redis::cmd("FUNCTION").arg("LOAD").arg(FLOOR).query(connection);
    let _: String = load.unwrap();
    let count = requests();
    let argument =
        Call::new(&Fence { epoch: EPOCH, version: 0, deadline: None }, Op::Renew(&[]), &limits())
            .argument;
    let cpu = cpu_s(connection);
    for from in (0..2 * count).step_by(64) {
        let mut all = redis::pipe();
        for number in from..(from + 64).min(2 * count) {
            let key = &keys[number % TENANTS];
            all.cmd("FCALL").arg("floor").arg(1).arg(key).arg(&argument).ignore();
        }
        let _: () = all.query(connection).unwrap();
    }
    let each_us = (cpu_s(connection) - cpu) * 1e6 / count as f64;
    println!(
        "floor, 5 holds, 64 on the way: {each_us:5.1} µs CPU for two calls that read and write back"
    );
}

fn main() {
    let server = Server::start();
    let mut connection = server.connect();
    let load = redis::cmd("FUNCTION").arg("LOAD").arg(wire::library()).query(&mut connection);
    let _: String = load.unwrap();
    let keys: Vec<String> =
        (0..TENANTS).map(|number| Tag::of(&format!("tenant-{number}")).key("acct")).collect();
    yardstick(&mut connection, &keys);
    for holds in [0, 5, 9, 50] {
        for batch in [1, 64] {
            measure(&mut connection, &keys, (holds, batch));
        }
    }
    trips(&mut connection, &keys);
}
