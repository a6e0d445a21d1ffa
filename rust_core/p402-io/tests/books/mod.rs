//! What the ledger's tests share: rows, and a look at what is in a ledger.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

use p402_core::id::RequestId;
use p402_core::ledger::{Kind, Row};
use p402_core::money::Usd;
use p402_core::time::{Day, Now, Ticks, Timestamp};
use p402_io::ledger::{Ledger, Options};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const DAY: Day = Day::from_days(20_785);

pub(crate) fn now() -> Now {
    Now { utc: DAY.start(), ticks: Ticks::default() }
}

pub(crate) fn rid(n: u128) -> RequestId {
    RequestId::new(DAY.start(), n)
}

pub(crate) fn row(kind: Kind, n: u128) -> Row<'static> {
    let at = Timestamp::from_micros(DAY.start().micros() + n as i64);
    Row { provider: "p", model: "m", ..Row::new(kind, rid(n), "acme", DAY, at) }
}

pub(crate) fn settled(n: u128, cost: i64, wasted: i64) -> Row<'static> {
    let (cost, wasted) = (Usd::from_nano(cost), Usd::from_nano(wasted));
    Row { cost, wasted, ..row(Kind::Settle, n) }
}

pub(crate) fn open(folder: &Path) -> Ledger {
    Ledger::open(&Options::new(folder), now()).expect("the ledger opens")
}

/// A folder in memory where the host has such a place: for tests that are not about the disk.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    made.expect("a folder")
}

/// The requests of all rows in a ledger, in the order of their numbers, each row once.
pub(crate) fn rids_of(ledger: &Ledger) -> Vec<u128> {
    let mut books = ledger.books().expect("the index answers");
    let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX));
    let rows = books.between(from, to).expect("rows");
    let number = |bytes| Row::decode(bytes).expect("a row").rid.bits() & 0xffff_ffff;
    let mut found: Vec<_> = rows.iter().map(number).collect();
    found.sort_unstable();
    found
}

/// Waits for a state that other threads bring about; a bound, not a measure.
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !reached() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
