//! Accounts of many tenants, across restarts and other limits: their past is never lost.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::config::Config;
use p402_core::guard::{Claim, Code, Kind, Limits, Op, Period, Reply};
use p402_core::id::RequestId;
use p402_core::ledger::{self, Row};
use p402_core::money::Usd;
use p402_core::time::{Day, Now, Ticks, Timestamp};
use p402_io::home::Home;
use p402_io::store::{Tenant, Trip};
use std::path::Path;

/// 2026-11-21, a Saturday.
const TODAY: Day = Day::from_days(20_778);
const BUDGET: Usd = Usd::from_nano(1_000);

fn now() -> Now {
    let utc = Timestamp::from_micros(TODAY.start().micros() + 3_600_000_000);
    Now { utc, ticks: Ticks::default() }
}

fn limits() -> Limits {
    Limits { budget: Some(BUDGET), ..Limits::default() }
}

fn home(folder: &Path) -> Home {
    let config: Config = serde_json::from_str("{}").unwrap();
    Home::open(&config, folder, &|_| limits(), now()).unwrap()
}

fn call(home: &Home, id: &str, limits: &Limits, op: Op<'_>) -> Reply {
    match home.store.call(&Tenant { id, limits }, op, now().utc) {
        Trip::Made(answer) => answer.unwrap(),
        Trip::Underway(_) => unreachable!("memory answers at once"),
    }
}

fn rid(n: u128) -> RequestId {
    RequestId::new(now().utc, n)
}

fn spend(home: &Home, tenant: &str, n: u128, nano: i64) {
    let amount = Usd::from_nano(nano);
    let claim = Claim { rid: rid(n), amount, owner: home.owner, kind: Kind::Request };
    assert_eq!(call(home, tenant, &limits(), Op::Admit(claim)).code, Code::Done);
    let settle = Op::Settle { rid: rid(n), owner: home.owner, actual: amount };
    assert_eq!(call(home, tenant, &limits(), settle).code, Code::Done);
}

#[test]
fn more_tenants_than_are_kept_at_hand_keep_what_they_have_spent() {
    // More than sixty-four shards of 256 hold.
    const TENANTS: u128 = 18_000;
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path());
    let claim = Claim { rid: rid(0), amount: BUDGET, owner: home.owner, kind: Kind::Request };
    call(&home, "open", &limits(), Op::Admit(claim));
    for round in 1..=2 {
        for n in 0..TENANTS {
            spend(&home, &format!("tenant-{n}"), round * TENANTS + n, 1 + (n % 7) as i64);
        }
    }
    for n in 0..TENANTS {
        let told = call(&home, &format!("tenant-{n}"), &limits(), Op::Renew(&[]));
        let spent = Usd::from_nano(2 * (1 + (n % 7) as i64));
        assert_eq!((told.day_spent, told.budget_spent, told.held), (spent, spent, Usd::ZERO));
    }
    assert_eq!(call(&home, "open", &limits(), Op::Renew(&[rid(0)])).held, BUDGET);
}

#[test]
fn a_restart_finds_today_yesterday_and_the_budgets_period_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let first = home(folder.path());
    let days = [(-60, 400), (-22, 30), (-1, 7), (0, 5)];
    for (n, (days, nano)) in days.into_iter().enumerate() {
        let day = Day::from_days(TODAY.days() + days);
        let row = Row::new(ledger::Kind::Settle, rid(n as u128), "acme", day, day.start());
        let row = Row { cost: Usd::from_nano(nano - 1), wasted: Usd::from_nano(1), ..row };
        let _mark = first.ledger.append(&row).unwrap();
    }
    // One that was on its way: it ends at its hold.
    let row = Row::new(ledger::Kind::Dispatch, rid(9), "acme", TODAY, now().utc);
    let _mark = first.ledger.append(&Row { held: Usd::from_nano(100), ..row }).unwrap();
    drop(first);

    let again = home(folder.path());
    let told = call(&again, "acme", &limits(), Op::Renew(&[]));
    assert_eq!((told.day_spent, told.held), (Usd::from_nano(105), Usd::ZERO));
    assert_eq!(told.budget_spent, Usd::from_nano(7 + 105), "November alone");
    // Another period, by a reload: its spending is read anew, open holds stay.
    spend(&again, "acme", 20, 50);
    let amount = Usd::from_nano(60);
    let claim = Claim { rid: rid(21), amount, owner: again.owner, kind: Kind::Request };
    call(&again, "acme", &limits(), Op::Admit(claim));
    let row = Row::new(ledger::Kind::Settle, rid(20), "acme", TODAY, now().utc);
    let _mark = again.ledger.append(&Row { cost: Usd::from_nano(50), ..row }).unwrap();
    let forever = Limits { period: Period::Total, ..limits() };
    let told = call(&again, "acme", &forever, Op::Renew(&[]));
    assert_eq!(told.code, Code::Done);
    assert_eq!((told.budget_spent, told.held), (Usd::from_nano(400 + 30 + 7 + 105 + 50), amount));
}

#[test]
fn a_second_home_in_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = home(folder.path());
    let config: Config = serde_json::from_str("{}").unwrap();
    let refused = Home::open(&config, folder.path(), &|_| limits(), now()).unwrap_err();
    assert!(matches!(refused, p402_io::home::HomeError::Held(_)));
    spend(&first, "acme", 1, 5);
}
