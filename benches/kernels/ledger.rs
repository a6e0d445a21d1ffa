//! Decides what a ledger row costs: encoding, one append, recovery and indexing per row.
//! Deliberately on the file system of the temporary folder: say which one beside the figures.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hdrhistogram::Histogram;
use p402_core::id::RequestId;
use p402_core::ledger::{Kind, Row, Seq};
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::{Day, Now, Ticks, Timestamp};
use p402_io::ledger::{Ledger, Options};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

const DAY: Day = Day::from_days(20_785);
/// Appends that the percentiles are taken from: four segments are turned on the way.
const APPENDS: u128 = 1_000_000;
/// Rows that recovery and the index work through.
const ROWS: u128 = 200_000;

fn row(kind: Kind, n: u128) -> Row<'static> {
    let at = Timestamp::from_micros(DAY.start().micros() + n as i64);
    Row {
        provider: "anthropic",
        model: "claude-haiku-4-5-20251001",
        provider_request_id: "req_011CSHoEeqs5C35K2UUqR7Fy",
        mode: Some(Mode::Balanced),
        status: 200,
        input_tokens: 1_200,
        output_tokens: 400,
        held: Usd::from_nano(9_000_000),
        cost: Usd::from_nano(3_200_000),
        direct: Usd::from_nano(9_000_000),
        ..Row::new(kind, RequestId::new(at, n), TENANTS[(n % 4) as usize], DAY, at)
    }
}

const TENANTS: [&str; 4] = ["acme", "globex", "initech", "umbrella"];

fn now() -> Now {
    Now { utc: DAY.start(), ticks: Ticks::default() }
}

fn open(folder: &Path) -> Ledger {
    Ledger::open(&Options::new(folder), now()).expect("the ledger opens")
}

/// A request is two rows: it is sent, and it ends.
fn fill(ledger: &Ledger, rows: u128) {
    for n in 0..rows / 2 {
        for kind in [Kind::Dispatch, Kind::Settle] {
            ledger.append(&row(kind, n)).map(drop).expect("a row");
        }
    }
}

fn until_indexed(ledger: &Ledger, rows: u64) {
    while ledger.index_state().indexed < rows {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn drop_index(folder: &Path) {
    for end in ["", "-wal", "-shm"] {
        // What is not there is gone already.
        let _ = std::fs::remove_file(folder.join(format!("ledger.sqlite{end}")));
    }
}

fn encode(c: &mut Criterion) {
    let settle = row(Kind::Settle, 7);
    let bytes = settle.encode(Seq::new(1, 1));
    c.bench_function("ledger/encode", |b| b.iter(|| black_box(&settle).encode(Seq::new(1, 1))));
    c.bench_function("ledger/decode", |b| {
        b.iter(|| Row::decode(black_box(&bytes)).expect("a row"))
    });
}

fn append(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path());
    let mut n = 0;
    c.bench_function("ledger/append", |b| {
        b.iter(|| {
            n += 1;
            ledger.append(&row(Kind::Settle, n)).map(drop).expect("a row");
        });
    });
    let mut spread: Histogram<u64> = Histogram::new(3).expect("three digits");
    for n in 0..APPENDS {
        let settle = row(Kind::Settle, APPENDS + n);
        let begun = Instant::now();
        ledger.append(&settle).map(drop).expect("a row");
        spread.saturating_record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let at = |quantile| spread.value_at_quantile(quantile);
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    eprintln!("ledger/append, {APPENDS} in a row: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns");
}

/// A start on a journal that the index has nothing of: every row is read and added up.
fn recover(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path());
    fill(&ledger, ROWS);
    drop(ledger);
    let mut group = c.benchmark_group("ledger");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(BenchmarkId::new("recover", ROWS), |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let copy = tempfile::tempdir().expect("a folder");
                copy_journal(folder.path(), copy.path());
                let begun = Instant::now();
                let ledger = open(copy.path());
                spent += begun.elapsed();
                assert!(ledger.recovered().rows >= ROWS as u64 / 2);
            }
            spent
        });
    });
    group.finish();
}

fn copy_journal(from: &Path, to: &Path) {
    let journal = to.join("journal");
    std::fs::create_dir(&journal).expect("a folder");
    for entry in std::fs::read_dir(from.join("journal")).expect("a journal") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), journal.join(entry.file_name())).expect("a copy");
    }
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(BenchmarkId::new("index", ROWS), |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let folder = tempfile::tempdir().expect("a folder");
                drop_index(folder.path());
                let ledger = open(folder.path());
                let begun = Instant::now();
                fill(&ledger, ROWS);
                until_indexed(&ledger, ROWS as u64);
                spent += begun.elapsed();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, encode, append, recover, index);
criterion_main!(benches);
