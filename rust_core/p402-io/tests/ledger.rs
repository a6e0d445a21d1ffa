//! The ledger on a real file system: order, torn tails, a full disk, a second process, the index.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod books;

use books::{DAY, now, open, quick_folder, rids_of, row, settled, until};
use p402_core::ledger::{GroupBy, Kind, ROW_BYTES, Row};
use p402_core::money::Usd;
use p402_core::time::Day;
use p402_io::ledger::{Durability, Ledger, LedgerError, Options};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[test]
fn a_second_process_is_refused_in_one_sentence_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let refused = Ledger::open(&Options::new(folder.path()), now()).unwrap_err();
    assert!(matches!(refused, LedgerError::Held(_)));
    assert!(refused.to_string().contains("in use by another p402 process"), "{refused}");
    first.append(&row(Kind::Settle, 1)).map(drop).unwrap();
    drop(first);
    assert_eq!(rids_of(&open(folder.path())), [1]);
}

#[test]
fn nobody_else_can_read_what_is_written() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/b");
    let ledger = open(&folder);
    ledger.append(&row(Kind::Settle, 1)).map(drop).unwrap();
    drop(ledger);
    let mut seen = 0;
    let mut look = vec![folder];
    while let Some(path) = look.pop() {
        let told = std::fs::metadata(&path).unwrap();
        assert_eq!(told.permissions().mode() & 0o077, 0, "{}", path.display());
        seen += 1;
        if told.is_dir() {
            look.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 5);
}

#[tokio::test]
async fn rows_are_durable_in_every_mode() {
    for durability in [Durability::Process, Durability::Group, Durability::Strict] {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { durability, ..Options::new(folder.path()) };
        let ledger = Ledger::open(&options, now()).unwrap();
        for kind in [Kind::Dispatch, Kind::Settle] {
            let mark = ledger.append(&row(kind, 1)).unwrap();
            ledger.durable(mark).await.unwrap();
        }
        assert_eq!(ledger.faults(), 0);
    }
}

#[test]
fn an_appended_row_is_in_the_answer_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let mut books = ledger.books().unwrap();
    for n in 1..=300 {
        ledger.append(&settled(n, 10, 1)).map(drop).unwrap();
        let tally = books.usage(Some("acme"), (DAY, DAY), GroupBy::Model).unwrap();
        let (name, sums) = tally.buckets().next().unwrap();
        assert_eq!(
            (name, sums.requests, sums.cost),
            ("m", n as u64, Usd::from_nano(10 * n as i64))
        );
        let seed = books.seed("acme", DAY, DAY).unwrap();
        assert_eq!(seed.day_spent, Usd::from_nano(11 * n as i64));
    }
    assert_eq!(books.request(row(Kind::Settle, 7).rid).unwrap().len(), 1);
}

#[test]
fn segments_are_turned_indexed_and_removed_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 100 * ROW_BYTES as u64,
        writers: 3,
        ..Options::new(folder.path())
    };
    let ledger = Ledger::open(&options, now()).unwrap();
    for n in 0..5_000 {
        ledger.append(&settled(n, 1, 0)).map(drop).unwrap();
    }
    until("indexed", || ledger.index_state().indexed == 5_000);
    until("the segments are removed", || {
        let journal = std::fs::read_dir(folder.path().join("journal")).unwrap();
        journal
            .filter(|entry| entry.as_ref().unwrap().path().extension() == Some("rows".as_ref()))
            .count()
            == 3
    });
    let audit = ledger.books().unwrap().audit().unwrap();
    assert_eq!((audit.rows, audit.is_clean(), ledger.faults()), (5_000, true, 0));
}

#[test]
fn a_request_ends_once_whatever_the_journal_says() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    for row in
        [settled(1, 40, 2), settled(1, 40, 2), Row { kind: Kind::Release, ..settled(1, 0, 9) }]
    {
        ledger.append(&row).map(drop).unwrap();
    }
    let spent = |ledger: &Ledger| ledger.books().unwrap().seed("acme", DAY, DAY).unwrap().day_spent;
    assert_eq!(spent(&ledger), Usd::from_nano(42));
    until("indexed", || ledger.index_state().indexed == 3);
    assert_eq!(spent(&ledger), Usd::from_nano(42));
    // Now that the index has its end, another one comes in a batch of its own.
    ledger.append(&settled(1, 40, 2)).map(drop).unwrap();
    until("indexed", || ledger.index_state().indexed == 4);
    assert_eq!(spent(&ledger), Usd::from_nano(42));
    assert!(ledger.books().unwrap().audit().unwrap().is_clean());
}

#[test]
fn a_restart_settles_what_was_sent_at_its_hold_and_releases_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let held = |kind, n, nano| Row { held: Usd::from_nano(nano), ..row(kind, n) };
    // Once from the index's table, once from the journal's tail: the rows are indexed or not.
    for indexed in [false, true] {
        let ledger = open(folder.path());
        let from = if indexed { 10 } else { 20 };
        ledger.append(&held(Kind::Dispatch, from, 100)).map(drop).unwrap();
        ledger.append(&held(Kind::Extend, from, 130)).map(drop).unwrap();
        ledger.append(&held(Kind::Intent, from + 1, 100)).map(drop).unwrap();
        ledger.append(&held(Kind::Dispatch, from + 2, 100)).map(drop).unwrap();
        ledger.append(&settled(from + 2, 7, 0)).map(drop).unwrap();
        if indexed {
            until("indexed", || ledger.index_state().indexed >= 5);
        }
        let spent = |ledger: &Ledger| ledger.books().unwrap().seed("acme", DAY, DAY).unwrap();
        let before = spent(&ledger);
        assert_eq!(before.open.len(), 2);
        assert_eq!(before.open[0].held, Usd::from_nano(130));
        drop(ledger);
        let ledger = open(folder.path());
        let told = ledger.recovered();
        assert_eq!((told.settled, told.released, told.damaged), (1, 1, 0));
        assert_eq!(told.settled_held, Usd::from_nano(130));
        let after = spent(&ledger);
        assert_eq!(after.open, []);
        assert_eq!(after.day_spent.nano() - before.day_spent.nano(), 130);
    }
    assert_eq!(open(folder.path()).recovered().settled, 0, "once is enough");
}

#[test]
fn a_tail_torn_at_any_byte_costs_the_torn_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let template = {
        let ledger = open(folder.path());
        for n in 1..=3 {
            ledger.append(&settled(n, 1, 0)).map(drop).unwrap();
        }
        let mut files = segments_of(&journal);
        files.pop().unwrap()
    };
    let bytes = std::fs::read(&template).unwrap();
    assert_eq!(bytes.len(), 3 * ROW_BYTES);
    let name = template.file_name().unwrap();
    for cut in 0..=bytes.len() {
        let folder = quick_folder();
        let journal = folder.path().join("journal");
        std::fs::create_dir_all(&journal).unwrap();
        // Half of them end in what a disk may leave behind instead.
        let mut torn = bytes[..cut].to_vec();
        if cut % 2 == 1 {
            torn.extend([0xa5; 700]);
        }
        std::fs::write(journal.join(name), torn).unwrap();
        let segment_bytes = 64 * ROW_BYTES as u64;
        let options = Options { segment_bytes, ..Options::new(folder.path()) };
        let ledger = Ledger::open(&options, now()).unwrap();
        let whole = (1..=(cut / ROW_BYTES) as u128).collect::<Vec<_>>();
        assert_eq!(rids_of(&ledger), whole, "cut at {cut}");
        assert_eq!(ledger.recovered().damaged, 0);
        let length = std::fs::metadata(journal.join(name)).map_or(0, |told| told.len());
        assert!(length as usize == whole.len() * ROW_BYTES || length == 0);
    }
}

#[test]
fn damage_in_the_middle_is_reported_kept_and_costs_no_other_row() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let ledger = open(folder.path());
    for n in 1..=5 {
        ledger.append(&settled(n, 1, 0)).map(drop).unwrap();
    }
    until("indexed", || ledger.index_state().indexed == 5);
    drop(ledger);
    // A new index reads the journal from its beginning.
    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    let path = segments_of(&journal).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2 * ROW_BYTES + 60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let ledger = open(folder.path());
    assert_eq!(ledger.recovered().damaged, 1);
    assert_eq!(rids_of(&ledger), [1, 2, 4, 5]);
    until("indexed", || ledger.index_state().indexed == 4);
    let audit = ledger.books().unwrap().audit().unwrap();
    assert_eq!((audit.damaged_segments, audit.is_clean()), (1, false));
}

#[test]
fn a_day_is_the_day_of_admission_wherever_a_request_ends() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let tomorrow = Day::from_days(DAY.days() + 1);
    ledger.append(&Row { at: tomorrow.start(), ..settled(1, 5, 0) }).map(drop).unwrap();
    ledger
        .append(&Row { day: tomorrow, at: tomorrow.start(), ..settled(2, 7, 0) })
        .map(drop)
        .unwrap();
    for _ in 0..2 {
        let mut books = ledger.books().unwrap();
        let seed = books.seed("acme", tomorrow, DAY).unwrap();
        let told = [seed.day_spent, seed.prev_day_spent, seed.budget_spent].map(Usd::nano);
        assert_eq!(told, [7, 5, 12]);
        let days: Vec<_> =
            books.balances(DAY).unwrap().into_iter().map(|b| (b.day, b.spent.nano())).collect();
        assert_eq!(days, [(DAY, 5), (tomorrow, 7)]);
        until("indexed", || ledger.index_state().indexed == 2);
    }
}

/// The segments of a journal, oldest first.
fn segments_of(journal: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(journal).expect("a folder");
    let paths = entries.map(|entry| entry.expect("a folder").path());
    let mut found: Vec<_> =
        paths.filter(|path| path.extension() == Some("rows".as_ref())).collect();
    found.sort();
    found
}
