//! Decides whether a word by hand reaches the ledger and the account of a gateway that runs.
//! Does not go through the command line (tests/test_ledger_cli.py does).

mod books;

use books::{DAY, now, quick_folder, rid, row};
use p402_core::guard::{Claim, Code, Kind as Claimed, Limits, Op};
use p402_core::ledger::{Kind, Row};
use p402_core::money::Usd;
use p402_io::clock::{Clock, ManualClock};
use p402_io::hatch;
use p402_io::home::Home;
use p402_io::ledger::{Ledger, Options};
use p402_io::store::Tenant;
use p402_io::store::memory::Memory;
use p402_io::world::World;
use std::sync::Arc;

const HEADER: &[u8] =
    br#"{"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]}"#;

#[tokio::test]
async fn a_request_is_ended_and_corrected_by_hand_while_the_gateway_runs() {
    let folder = quick_folder();
    let ledger = Arc::new(Ledger::open(&Options::new(folder.path()), now()).unwrap());
    let home = Arc::new(Home::new(Box::new(Memory::default()), ledger));
    let limits = Limits::default();
    let tenant = Tenant { id: "acme", limits: &limits };
    let call = async |op| home.store.call(&tenant, op, DAY.start()).answer().await.unwrap();
    let (rid, held) = (rid(1), Usd::from_nano(700));
    let claim = Claim { rid, amount: held, owner: home.owner, kind: Claimed::Request };
    assert_eq!(call(Op::Admit(claim)).await.code, Code::Done);
    let _mark = home.ledger.append(&Row { held, attempt: 1, ..row(Kind::Dispatch, 1) }).unwrap();
    let world = Arc::new(World::load(b"{}", &[HEADER]).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(DAY.start()));
    tokio::spawn(hatch::keep(Arc::clone(&home), move || Arc::clone(&world), clock));
    tokio::task::yield_now().await;
    let path = folder.path().to_owned();
    let say = |cost: Option<i64>| {
        let path = path.clone();
        let said = move || hatch::say(&path, rid, cost.map(Usd::from_nano));
        async { tokio::task::spawn_blocking(said).await.unwrap().expect("somebody listens") }
    };
    let ended = say(None).await.unwrap();
    let ended = Row::decode(&ended).unwrap();
    assert_eq!((ended.kind, ended.spent()), (Kind::Settle, held));
    let told = call(Op::Renew(&[])).await;
    assert_eq!((told.held, told.day_spent), (Usd::ZERO, held));
    assert!(say(None).await.unwrap_err().contains("has ended"));
    let corrected = say(Some(300)).await.unwrap();
    let corrected = Row::decode(&corrected).unwrap();
    assert_eq!((corrected.kind, corrected.cost.nano()), (Kind::Adjust, -400));
    assert_eq!(call(Op::Renew(&[])).await.day_spent.nano(), 300);
}
