//! Decides what a ledger row costs: encoding, one append, recovery, indexing; and one question.
//! Deliberately on the file system of the temporary folder: say which one beside the figures.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use p402_benches::figures;
use p402_core::id::RequestId;
use p402_core::ledger::{Asker, GroupBy, Kind, Question, ROW_BYTES, Row, Seq, session_hash};
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::{Day, Now, Ticks, Timestamp};
use p402_io::ledger::{Durability, Ledger, Options, SEGMENT_BYTES};
use std::cell::LazyCell;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const DAY: Day = Day::from_days(20_785);
/// Appends that the percentiles are taken from: four segments are turned on the way.
const APPENDS: u128 = 1_000_000;
/// Rows that recovery and the index work through; `P402_ROWS=10000000` adds one long recovery.
const ROWS: u64 = 200_000;

/// Rows that a question is asked over: one tenant's month.
const ASKED_ROWS: u128 = 1_000_000;
/// Days, models and conversations of that month.
const DAYS: i32 = 30;
const MODELS: [&str; 3] = ["claude-haiku-4-5", "gpt-5-mini", "gemini-2.5-flash"];
const SESSIONS: u128 = 50_000;

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
fn fill(ledger: &Ledger, rows: u64) {
    for n in 0..u128::from(rows / 2) {
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

fn encode(c: &mut Criterion) {
    let settle = row(Kind::Settle, 7);
    let bytes = settle.encode(Seq::new(1, 1));
    c.bench_function("ledger/encode", |b| b.iter(|| black_box(&settle).encode(Seq::new(1, 1))));
    c.bench_function("ledger/decode", |b| {
        b.iter(|| Row::decode(black_box(&bytes)).is_ok());
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
    spread("ledger/append", &ledger);
    // The disk syncs all the time beside it; nobody waits for that here.
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { durability: Durability::Group, ..Options::new(folder.path()) };
    let syncing = Ledger::open(&options, now()).expect("the ledger opens");
    spread("ledger/append beside syncs", &syncing);
}

fn spread(name: &str, ledger: &Ledger) {
    let mut spread = figures::durations().expect("bounds that hold");
    for n in 0..APPENDS {
        let settle = row(Kind::Settle, APPENDS + n);
        let begun = Instant::now();
        ledger.append(&settle).map(drop).expect("a row");
        spread.add(begun.elapsed());
    }
    spread.tell(name).expect("a file for figures");
}

/// A start on a journal that the index has nothing of: every row is read and added up.
fn recover(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    group.bench_function(BenchmarkId::new("recover", ROWS), |b| {
        b.iter_custom(|times| (0..times).map(|_| start_on(ROWS)).sum());
    });
    group.finish();
    let long = std::env::var("P402_ROWS").ok().and_then(|text| text.parse().ok());
    if let Some(rows) = long {
        eprintln!("ledger/recover, {rows} rows once: {:?}", start_on(rows));
    }
}

fn start_on(rows: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    write_journal(folder.path(), rows);
    let begun = Instant::now();
    let ledger = open(folder.path());
    let spent = begun.elapsed();
    assert_eq!(ledger.recovered().rows, rows);
    spent
}

/// The journal of a process whose index was away all the time.
fn write_journal(folder: &Path, rows: u64) {
    let journal = folder.join("journal");
    std::fs::create_dir(&journal).expect("a folder");
    let in_segment = SEGMENT_BYTES / ROW_BYTES as u64;
    for (segment, first) in (0..rows).step_by(in_segment as usize).enumerate() {
        let number = u32::try_from(segment + 1).expect("few segments");
        let file = File::create(journal.join(format!("{number:08x}-00.rows"))).expect("a file");
        let mut file = BufWriter::new(file);
        for n in first..rows.min(first + in_segment) {
            let kind = if n % 2 == 0 { Kind::Dispatch } else { Kind::Settle };
            let seq = Seq::new(number, (n - first) as u32);
            file.write_all(&row(kind, u128::from(n / 2)).encode(seq)).expect("a row");
        }
        file.flush().expect("a segment");
    }
}

fn index(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    group.sample_size(10).throughput(Throughput::Elements(ROWS));
    group.bench_function(BenchmarkId::new("index", ROWS), |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let folder = tempfile::tempdir().expect("a folder");
                let ledger = open(folder.path());
                let begun = Instant::now();
                fill(&ledger, ROWS);
                until_indexed(&ledger, ROWS);
                spent += begun.elapsed();
            }
            spent
        });
    });
    group.finish();
}

/// One tenant's requests of a month, all of them indexed.
fn month() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = open(folder.path());
    for n in 0..ASKED_ROWS / 2 {
        let day = Day::from_days(DAY.days() + (n % DAYS as u128) as i32);
        let at = Timestamp::from_micros(day.start().micros() + n as i64);
        for kind in [Kind::Dispatch, Kind::Settle] {
            let one = Row {
                tenant: TENANTS[0],
                rid: RequestId::new(at, n),
                day,
                at,
                model: MODELS[(n % 3) as usize],
                session: session_hash(&format!("sess_{}", n % SESSIONS)),
                ..row(kind, n)
            };
            ledger.append(&one).map(drop).expect("a row");
        }
    }
    until_indexed(&ledger, ASKED_ROWS as u64);
    (folder, ledger)
}

/// What `GET /usage` asks the ledger.
fn usage(c: &mut Criterion) {
    let month = LazyCell::new(month);
    let days = (DAY, Day::from_days(DAY.days() + DAYS - 1));
    let by = |by| Question::of(Asker::Tenant(TENANTS[0]), days, by);
    let mut one = by(GroupBy::Model);
    one.only.session = Some(session_hash("sess_7"));
    let asked = [
        ("by day", by(GroupBy::Day)),
        ("by model", by(GroupBy::Model)),
        ("by session", by(GroupBy::Session)),
        ("of one session", one),
    ];
    let mut group = c.benchmark_group(format!("ledger/usage over {ASKED_ROWS} rows"));
    group.sample_size(10);
    for (name, question) in &asked {
        group.bench_function(*name, |b| {
            let mut books = month.1.books().expect("books");
            b.iter(|| books.usage(question).expect("an answer"));
        });
    }
    group.finish();
}

criterion_group!(benches, encode, append, recover, index, usage);
criterion_main!(benches);
