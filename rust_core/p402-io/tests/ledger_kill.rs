//! kill -9 at random points: no acknowledged row is lost, none is there twice (claim 3).
//! `P402_KILLS=1000` is the long form.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod books;

use books::{DAY, now, open, quick_folder, rid, row, until};
use p402_core::ledger::{Kind, ROW_BYTES, Row};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_io::ledger::{Ledger, Options};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const FOLDER: &str = "P402_KILL_FOLDER";
const FIRST: &str = "P402_KILL_FIRST";
const KILLS: u64 = 200;
/// A recovered request is settled at its hold, so its bill is told from the one that was lost.
const HELD: Usd = Usd::from_nano(1_000_000);
const COST: Usd = Usd::from_nano(1);
/// Requests of one victim: what it leaves behind must be read again by the next.
const LIFE_MAX: u64 = 150;

fn small(folder: &Path) -> Options {
    // Small segments, so that turns, removals and spares are killed, too.
    Options { segment_bytes: 300 * ROW_BYTES as u64, writers: 2, ..Options::new(folder) }
}

/// The victim: appends a dispatch and its settlement and only then says the request's number.
/// Nothing but the parent test gives it a folder.
#[test]
fn victim() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else { return };
    let ledger = Ledger::open(&small(Path::new(&folder)), now()).unwrap();
    let mut out = std::io::stderr().lock();
    let first = first.parse::<u64>().unwrap();
    for n in first..first + LIFE_MAX {
        let sent = Row { held: HELD, ..row(Kind::Dispatch, n.into()) };
        ledger.append(&sent).map(drop).unwrap();
        ledger.append(&Row { cost: COST, ..row(Kind::Settle, n.into()) }).map(drop).unwrap();
        if out.write_all(&n.to_le_bytes()).is_err() {
            return;
        }
    }
    // Idle, but for the index, until the end.
    std::thread::sleep(Duration::from_mins(1));
}

/// When a victim dies.
#[derive(Clone, Copy)]
enum Death {
    /// So long after it was started: while it opens, recovers, indexes, or appends.
    Started(Duration),
    /// So long after its first acknowledgement.
    Acknowledged(Duration),
}

/// Runs a victim until its death, and returns the last number it acknowledged.
fn kill_one(folder: &Path, first: u64, death: Death) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let (began, acknowledged) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 8];
        if pipe.read_exact(&mut bytes).is_err() {
            return Vec::new();
        }
        began.send(()).unwrap();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    });
    std::thread::sleep(match death {
        Death::Started(life) => life,
        Death::Acknowledged(life) => {
            acknowledged.recv_timeout(Duration::from_secs(30)).unwrap();
            life
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let bytes = reader.join().unwrap();
    let numbers = bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let told: Vec<u64> = numbers.collect();
    assert!(told.iter().zip(first..).all(|(told, n)| *told == n), "the victim counts");
    told.last().copied()
}

#[test]
fn no_acknowledged_row_is_lost_and_none_is_there_twice() {
    let kills = std::env::var("P402_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let folder = quick_folder();
    let (mut next, mut acknowledged, mut seed) = (1, Vec::new(), 0x9e37_79b9_7f4a_7c15_u64);
    for kill in 0..kills {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let death = if kill % 2 == 0 {
            Death::Started(Duration::from_micros(seed % 80_000))
        } else {
            Death::Acknowledged(Duration::from_micros(seed % 4_000))
        };
        if let Some(last) = kill_one(folder.path(), next, death) {
            acknowledged.extend(next..=last);
            next = last + 1;
        }
        // Numbers that were written and not told are never told again.
        next += 1_000_000;
    }
    let ledger = open(folder.path());
    let mut books = ledger.books().unwrap();
    let all = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    let rows = books.between(all.0, all.1).unwrap();
    let rows = rows.iter().map(|bytes| Row::decode(bytes).unwrap());
    let ended: Vec<Row<'_>> = rows.filter(|row| row.kind == Kind::Settle).collect();
    let billed: HashSet<_> =
        ended.iter().filter(|row| row.cost == COST).map(|row| row.rid).collect();
    for n in &acknowledged {
        assert!(billed.contains(&rid(u128::from(*n))), "{n} was acknowledged and is lost");
    }
    let told = ledger.recovered();
    let waiting = told.rows + told.settled + told.released;
    until("indexed", || ledger.index_state().indexed >= waiting);
    let audit = books.audit().unwrap();
    assert!(audit.is_clean() && audit.open == 0, "{audit:?}");
    // Each request counts once: at its bill, or at its hold where its victim died before that.
    let spent = books.seed("acme", DAY, DAY).unwrap().day_spent;
    let recovered = (ended.len() - billed.len()) as i64;
    let expected = billed.len() as i64 * COST.nano() + recovered * HELD.nano();
    assert_eq!(spent.nano(), expected, "a request counts twice, or not at all");
    for n in acknowledged.iter().step_by(997) {
        let rows = books.request(rid(u128::from(*n))).unwrap();
        assert_eq!(rows.len(), 2);
    }
    eprintln!("{kills} kills, {} acknowledged requests, 0 lost", acknowledged.len());
    assert!(acknowledged.len() as u64 >= kills / 2, "each second victim has acknowledged");
}
