//! The journal on a real file system: order, torn tails, a full disk, a second process.

use p402_core::id::RequestId;
use p402_core::ledger::{Kind, Row};
use p402_core::money::Usd;
use p402_core::time::{Day, Now, Ticks, Timestamp};
use p402_io::ledger::{Durability, Ledger, LedgerError, Options};
use std::path::Path;

const DAY: Day = Day::from_days(20_785);

fn now() -> Now {
    Now { utc: DAY.start(), ticks: Ticks::default() }
}

fn row(kind: Kind, n: u128) -> Row<'static> {
    let rid = RequestId::new(DAY.start(), n);
    Row { cost: Usd::from_nano(1), ..Row::new(kind, rid, "acme", DAY, Timestamp::from_micros(5)) }
}

fn open(folder: &Path) -> Ledger {
    Ledger::open(&Options::new(folder), now()).unwrap()
}

#[test]
fn a_second_process_is_refused_in_one_sentence_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let refused = Ledger::open(&Options::new(folder.path()), now()).unwrap_err();
    assert!(matches!(refused, LedgerError::Held(_)));
    assert!(refused.to_string().contains("in use by another p402 process"), "{refused}");
    first.append(&row(Kind::Settle, 1)).map(drop).unwrap();
    drop(first);
    drop(open(folder.path()));
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
