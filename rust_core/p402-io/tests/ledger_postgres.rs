//! The index in PostgreSQL: the same answers as SQLite's, a server that goes away, two nodes.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod books;
#[path = "books/cluster.rs"]
mod cluster;

use books::{DAY, now, open, rids_of, row, settled, until};
use cluster::Cluster;
use p402_core::ledger::{Flags, GroupBy, Kind, Row};
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::{Day, Timestamp};
use p402_io::ledger::{Books, IndexAt, Ledger, Options};
use std::path::Path;
use std::time::{Duration, Instant};

fn options(folder: &Path, cluster: &Cluster) -> Options {
    Options { index: IndexAt::Postgres(cluster.url()), ..Options::new(folder) }
}

fn shared(folder: &Path, cluster: &Cluster) -> Ledger {
    Ledger::open(&options(folder, cluster), now()).expect("the ledger opens")
}

/// A few days of a few tenants with everything that a row can say.
fn varied(n: u128) -> Row<'static> {
    let kinds = [Kind::Dispatch, Kind::Settle, Kind::Settle, Kind::Release, Kind::Extend];
    let kind = kinds[(n % 5) as usize];
    let amount = |shift: u32| Usd::from_nano((n as i64 * 7_919) >> shift);
    Row {
        tenant: ["acme", "böb", "a tenant's \"name\", quoted"][(n % 3) as usize],
        provider: ["p", "q"][(n % 2) as usize],
        model: ["m/1", "m:2", ""][(n / 2 % 3) as usize],
        provider_request_id: "r",
        day: Day::from_days(DAY.days() + (n % 4) as i32),
        mode: Mode::ALL.get((n % 5) as usize).copied(),
        session: [0, u64::MAX, 7][(n % 3) as usize],
        flags: Flags::CACHED
            .when(n.is_multiple_of(7))
            .with(Flags::STREAM.when(n.is_multiple_of(2))),
        input_tokens: n as u64 * 3,
        cached_tokens: n as u64,
        output_tokens: (1 << 40) - 1 - n as u64,
        reasoning_tokens: 1,
        held: amount(0),
        cost: if kind.closes() { amount(1) } else { Usd::ZERO },
        wasted: if kind.closes() { amount(3) } else { Usd::ZERO },
        direct: amount(0),
        key: u64::MAX - n as u64,
        price_version: u32::MAX,
        latency_us: 1,
        provider_latency_us: 2,
        status: 200,
        attempt: (n % 3) as u8,
        // Every request is told of twice.
        ..row(kind, n / 2)
    }
}

/// All that can be asked, as text.
fn answers(books: &mut Books) -> String {
    let days = (DAY, Day::from_days(DAY.days() + 9));
    let mut told = Vec::new();
    for tenant in [None, Some("acme"), Some("böb"), Some("nobody")] {
        for by in GroupBy::ALL {
            told.push(books.usage(tenant, days, by).expect("usage").to_json());
        }
    }
    told.push(format!("{:?}", books.balances(Day::from_days(0)).expect("balances")));
    told.push(format!("{:?}", books.open_requests().expect("open requests")));
    told.push(format!("{:?}", books.seed("böb", days.1, days.0).expect("a seed")));
    let all = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    told.push(format!("{:?}", books.between(all.0, all.1).expect("rows")));
    told.join("\n")
}

#[test]
fn both_databases_give_the_same_answers_before_and_after_they_have_the_rows() {
    let cluster = Cluster::start();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledgers = [open(here.path()), shared(there.path(), &cluster)];
    for n in 0..2_500 {
        for ledger in &ledgers {
            ledger.append(&varied(n)).map(drop).unwrap();
        }
    }
    let mut told = ledgers.iter().map(|ledger| answers(&mut ledger.books().unwrap()));
    let (first, second) = (told.next().unwrap(), told.next().unwrap());
    for ledger in &ledgers {
        until("indexed", || ledger.index_state().indexed == 2_500);
        let audit = ledger.books().unwrap().audit().unwrap();
        assert!(audit.is_clean() && audit.waiting == 0, "{audit:?}");
    }
    let mut settled = ledgers.iter().map(|ledger| answers(&mut ledger.books().unwrap()));
    let (third, fourth) = (settled.next().unwrap(), settled.next().unwrap());
    assert!(third.contains("\"requests\":") && third.contains("böb"));
    assert!(third == fourth, "SQLite and PostgreSQL differ");
    assert!(first == third, "SQLite's answers differ from the journal's");
    assert!(second == fourth, "PostgreSQL's answers differ from the journal's");
}

#[test]
fn a_server_that_goes_away_delays_no_row_and_loses_none() {
    let mut cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let ledger = shared(folder.path(), &cluster);
    let mut slowest = Duration::ZERO;
    let mut appended = 0;
    let mut append = |count| {
        for _ in 0..count {
            appended += 1;
            let begun = Instant::now();
            ledger.append(&settled(appended, 1, 0)).map(drop).unwrap();
            slowest = slowest.max(begun.elapsed());
        }
        appended
    };
    append(5_000);
    cluster.stop();
    append(20_000);
    until("the ledger notices", || ledger.index_state().away);
    assert!(ledger.index_state().last_error.is_some());
    let all = append(5_000);
    cluster.resume();
    let back = Instant::now();
    until("caught up", || ledger.index_state().indexed >= all as u64);
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
    assert!(!ledger.index_state().away);
    // Two cores, other work: what must not show is a wait for the server.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    let mut books = ledger.books().unwrap();
    let audit = books.audit().unwrap();
    assert_eq!((audit.rows, audit.is_clean()), (all as u64, true));
    assert_eq!(books.seed("acme", DAY, DAY).unwrap().day_spent, Usd::from_nano(all as i64));
}

#[test]
fn a_server_that_hangs_delays_no_row_and_not_the_process_end() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let ledger = shared(folder.path(), &cluster);
    ledger.append(&settled(1, 1, 0)).map(drop).unwrap();
    until("indexed", || ledger.index_state().indexed == 1);
    cluster.freeze(true);
    let begun = Instant::now();
    for n in 2..=5_000 {
        ledger.append(&settled(n, 1, 0)).map(drop).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = Instant::now();
    drop(ledger);
    let end = begun.elapsed();
    cluster.freeze(false);
    assert!(end < Duration::from_secs(8), "{end:?}");
    let ledger = shared(folder.path(), &cluster);
    let seed = ledger.books().unwrap().seed("acme", DAY, DAY).unwrap();
    assert_eq!(seed.day_spent, Usd::from_nano(5_000));
}

#[test]
fn two_nodes_share_a_ledger_and_neither_ends_what_the_other_has_open() {
    let cluster = Cluster::start();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = shared(one.path(), &cluster);
    let second = shared(two.path(), &cluster);
    let held = |n| Row { held: Usd::from_nano(50), ..row(Kind::Dispatch, n) };
    first.append(&held(1)).map(drop).unwrap();
    second.append(&held(2)).map(drop).unwrap();
    second.append(&settled(3, 9, 0)).map(drop).unwrap();
    until("indexed", || second.index_state().indexed == 2 && first.index_state().indexed == 1);
    drop(first);
    let first = shared(one.path(), &cluster);
    assert_eq!(first.recovered().settled, 1);
    until("indexed", || first.index_state().indexed == 1);
    let mut books = first.books().unwrap();
    let seed = books.seed("acme", DAY, DAY).unwrap();
    assert_eq!(seed.day_spent, Usd::from_nano(59));
    assert_eq!(seed.open.len(), 1);
    assert_eq!(seed.open[0].rid, row(Kind::Dispatch, 2).rid);
    assert_eq!(books.ledger_id().unwrap(), second.books().unwrap().ledger_id().unwrap());
    assert_eq!(rids_of(&second), [1, 1, 2, 3]);
}

#[test]
fn without_a_server_there_is_no_start_and_no_password_in_the_words() {
    let folder = tempfile::tempdir().unwrap();
    let index = IndexAt::Postgres("postgres://u:s3cret@127.0.0.1:1/db".to_owned());
    let options = Options { index, ..Options::new(folder.path()) };
    let refused = Ledger::open(&options, now()).unwrap_err();
    let words = format!("{refused} {refused:?} {options:?}");
    assert!(words.contains("does not answer"), "{words}");
    assert!(!words.contains("s3cret"), "{words}");
    // The folder is free again.
    drop(open(folder.path()));
}
