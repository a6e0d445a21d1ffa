//! Decides what one step of the billing guard costs: admit, refuse and settle among open holds.
//! Deliberately bare accounts, no lock and no ledger; the test beside it is p402-core's
//! tests/guard.rs.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use p402_core::guard::{Account, Anomaly, Claim, Code, Kind, Limits, Op, Rate, SeriesKey, Stage};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use std::hint::black_box;
use std::time::{Duration, Instant};

const NOON: i64 = 1_795_348_800_000_000;
/// So many tenants take turns, so that a clock reading is shared and no line stays in a register.
const TENANTS: usize = 64;

fn limits() -> Limits {
    let rate = Rate { limit: 1_000_000, per_s: 1, burst: 1_000_000_000 };
    Limits { rate, in_flight_max: 256, ..Limits::default() }
}

fn admit(number: u128) -> Op<'static> {
    let rid = RequestId::from_bits(number);
    Op::Admit(Claim { rid, amount: Usd::from_nano(1_000), owner: 1, kind: Kind::Request })
}

fn settle(number: u128) -> Op<'static> {
    let (rid, actual) = (RequestId::from_bits(number), Usd::from_nano(0));
    Op::Settle { rid, owner: 1, actual }
}

fn tenants(holds: u128, limits: &Limits) -> Vec<Account> {
    let now = Timestamp::from_micros(NOON);
    let mut account = Account::new(1, limits, now);
    for number in 1..=holds {
        account.apply(admit(number), limits, now);
    }
    vec![account; TENANTS]
}

/// Times one operation on every tenant in turn, then undoes it off the clock.
fn timed(
    accounts: &mut [Account],
    limits: &Limits,
    (measured, undone): (Op<'_>, Op<'_>),
    iterations: u64,
) -> Duration {
    let now = Timestamp::from_micros(NOON);
    let mut spent = Duration::ZERO;
    for _ in 0..iterations.div_ceil(TENANTS as u64) {
        let started = Instant::now();
        for account in &mut *accounts {
            black_box(account.apply(black_box(measured), limits, now));
        }
        spent += started.elapsed();
        for account in &mut *accounts {
            account.apply(undone, limits, now);
        }
    }
    // Whole turns were timed: their share of what was asked for.
    let turns = iterations.div_ceil(TENANTS as u64) * TENANTS as u64;
    spent.mul_f64(iterations as f64 / turns as f64)
}

fn guard(c: &mut Criterion) {
    let mut group = c.benchmark_group("guard");
    let limits = limits();
    let new = 1_000;
    for holds in [0, 9, 50] {
        let mut accounts = tenants(holds, &limits);
        group.bench_function(BenchmarkId::new("admit", holds), |b| {
            b.iter_custom(|count| timed(&mut accounts, &limits, (admit(new), settle(new)), count));
        });
        for account in &mut accounts {
            account.apply(admit(new), &limits, Timestamp::from_micros(NOON));
        }
        group.bench_function(BenchmarkId::new("settle", holds), |b| {
            b.iter_custom(|count| timed(&mut accounts, &limits, (settle(new), admit(new)), count));
        });
        let poor = Limits { daily_cap: Usd::ZERO, ..limits };
        let mut accounts = tenants(holds, &limits);
        group.bench_function(BenchmarkId::new("refuse", holds), |b| {
            let op = admit(new);
            assert_eq!(
                accounts[0].apply(op, &poor, Timestamp::from_micros(NOON)).code,
                Code::DailyCap
            );
            b.iter_custom(|count| timed(&mut accounts, &poor, (op, op), count));
        });
    }
    let watch = limits.anomaly;
    let mut anomaly = Anomaly::default();
    let keys: Vec<SeriesKey> = (0..64)
        .map(|number| SeriesKey::new(&format!("model-{number}"), "chat", Stage::Actual))
        .collect();
    let mut turn = 0;
    group.bench_function("observe", |b| {
        b.iter(|| {
            turn = (turn + 1) % keys.len();
            anomaly.observe(black_box(keys[turn]), Usd::from_nano(20_000_000), &watch)
        });
    });
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
