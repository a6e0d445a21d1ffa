//! A full disk: what is new is refused before it costs anything, what is open still ends.

mod books;

use books::{DAY, now, rids_of, row, until};
use p402_core::ledger::{Kind, ROW_BYTES, Row};
use p402_core::money::Usd;
use p402_io::ledger::{Ledger, LedgerError, Options};
use std::path::Path;
use std::process::Command;

const INSIDE: &str = "P402_FULL_FOLDER";
const SEGMENT_ROWS: u64 = 256;

/// Runs `small_disk` in a mount namespace of its own, where it may have a small disk.
#[test]
fn a_full_disk_refuses_what_is_new_and_ends_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let root = rustix::process::geteuid().is_root();
    let status = Command::new("unshare")
        .args(if root { ["--mount"].as_slice() } else { &["--mount", "--user", "--map-root-user"] })
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "small_disk", "--nocapture"])
        .env(INSIDE, folder.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn small_disk() {
    let Ok(folder) = std::env::var(INSIDE) else { return };
    let folder = Path::new(&folder);
    let mount = ["-t", "tmpfs", "-o", "size=2m", "tmpfs"];
    assert!(Command::new("mount").args(mount).arg(folder).status().unwrap().success());
    let bytes = SEGMENT_ROWS * ROW_BYTES as u64;
    let options = Options { segment_bytes: bytes, ..Options::new(folder.join("p402")) };
    let ledger = Ledger::open(&options, now()).unwrap();
    std::fs::write(folder.join("hog"), vec![1; 4 << 20]).unwrap_err();

    // Dispatches are taken until the last reserve is all that is left.
    let held = Usd::from_nano(3);
    let mut open = 0;
    let refused = loop {
        let dispatch = Row { held, ..row(Kind::Dispatch, open + 1) };
        match ledger.append(&dispatch) {
            Ok(_) => open += 1,
            Err(refused) => break refused,
        }
        // The keeper has a look between one request and the next.
        until("the spare was asked for", || {
            open < u128::from(SEGMENT_ROWS) + 1 || ledger.is_refusing()
        });
    };
    assert!(matches!(refused, LedgerError::Full), "{refused}");
    assert_eq!(open, u128::from(SEGMENT_ROWS) + 1);
    let ended = (1..=200).map(|n| Row { cost: Usd::from_nano(1), ..row(Kind::Settle, n) });
    for settle in ended {
        ledger.append(&settle).map(drop).unwrap();
    }
    assert!(ledger.is_refusing());
    drop(ledger);

    // A restart on the full disk cannot begin; one with room has every row and ends what is open.
    Ledger::open(&options, now()).unwrap_err();
    std::fs::remove_file(folder.join("hog")).unwrap();
    let ledger = Ledger::open(&options, now()).unwrap();
    let told = ledger.recovered().clone();
    assert_eq!((told.settled, told.damaged), (open as u64 - 200, 0));
    assert_eq!(rids_of(&ledger).len() as u128, open + 200 + (open - 200));
    let spent = ledger.books().unwrap().seed("acme", DAY, DAY).unwrap().day_spent;
    assert_eq!(spent.nano(), 200 + (open as i64 - 200) * 3);

    // Room that comes back is taken without a restart.
    std::fs::write(folder.join("hog"), vec![1; 4 << 20]).unwrap_err();
    let mut n = 10_000;
    let mut append = || {
        n += 1;
        ledger.append(&Row { held, ..row(Kind::Dispatch, n) })
    };
    until("the disk is full", || append().is_err());
    std::fs::remove_file(folder.join("hog")).unwrap();
    until("there is room", || append().is_ok());
    until("indexed", || {
        ledger.books().is_ok_and(|mut books| books.audit().is_ok_and(|a| a.waiting == 0))
    });
    assert!(ledger.books().unwrap().audit().unwrap().is_clean());
}
