//! Decides whether a record that nobody works on ends as the ledger tells, and no sooner.

use p402_core::guard::{
    Account, Claim, Code, Fate, Heir, Kind, Limits, Op, Record, Rest, Told, is_reseeded,
};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};

const START: Timestamp = Timestamp::from_seconds(1_795_158_000);
const RID: RequestId = RequestId::from_bits(1);
const OWNER: u32 = 7;

const fn after_ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(START.micros() + ms * 1_000)
}

fn heir(owner: u32, since: Timestamp, now: Timestamp) -> Heir {
    Heir { owner, since, now, every_ms: 60_000 }
}

/// An account that holds one claim of `OWNER`'s, as it is at `now`.
fn account(kind: Kind, now: Timestamp) -> Account {
    let limits = Limits::default();
    let mut account = Account::new(0, &limits, START);
    let claim = Claim { rid: RID, amount: Usd::from_nano(500), owner: OWNER, kind };
    assert_eq!(account.apply(Op::Admit(claim), &limits, START).code, Code::Done);
    let day = Day::from_days(START.utc_day().days());
    account.apply(Op::Adjust { day, nano: 0 }, &limits, now);
    account
}

fn record(kind: Kind, now: Timestamp) -> Record {
    account(kind, now).records()[0]
}

#[test]
fn a_former_life_ends_what_it_held_as_the_ledger_tells() {
    let (limits, now) = (Limits::default(), after_ms(1_000));
    let record = record(Kind::Request, now);
    let again = heir(OWNER, now, now);
    assert!(again.doubts(&record, &limits));
    let cost = Usd::from_nano(9);
    assert_eq!(again.rest(&record, Told::Ended(cost), &limits), Rest::Settle(cost));
    assert_eq!(again.rest(&record, Told::Nothing, &limits), Rest::Settle(Usd::ZERO));
    assert_eq!(again.rest(&record, Told::Open, &limits), Rest::Leave);
    // What this life holds, and what others hold, is nobody's heritage.
    assert!(!heir(OWNER, START, now).doubts(&record, &limits));
    assert!(!heir(OWNER + 1, now, now).doubts(&record, &limits));
}

#[test]
fn a_suspended_hold_ends_by_its_row_and_one_without_a_row_at_the_last_look() {
    let limits = Limits::default();
    let lapsed = after_ms(limits.hold_lease_ms + 1);
    let record = record(Kind::Request, lapsed);
    assert!(record.is_suspended());
    let other = heir(OWNER + 1, START, lapsed);
    assert!(other.doubts(&record, &limits));
    let cost = Usd::from_nano(9);
    assert_eq!(other.rest(&record, Told::Ended(cost), &limits), Rest::Settle(cost));
    assert_eq!(other.rest(&record, Told::Open, &limits), Rest::Leave);
    assert_eq!(other.rest(&record, Told::Nothing, &limits), Rest::Leave);
    let last = heir(OWNER + 1, START, after_ms(limits.hold_lease_ms + limits.suspense_ms - 90_000));
    assert_eq!(last.rest(&record, Told::Open, &limits), Rest::Leave);
    assert_eq!(last.rest(&record, Told::Nothing, &limits), Rest::Settle(Usd::ZERO));
}

#[test]
fn a_settlement_under_a_records_marks_spares_what_its_owner_has_renewed() {
    let limits = Limits::default();
    let lapsed = after_ms(limits.hold_lease_ms + 1);
    let mut account = account(Kind::Request, lapsed);
    let marked = account.records()[0].owner;
    assert_ne!(marked, OWNER);
    let renewed = account.apply(Op::Renew(&[RID]), &limits, lapsed);
    assert_eq!(renewed.fates, [Fate::Retaken]);
    let settle = |owner| Op::Settle { rid: RID, owner, actual: Usd::ZERO };
    assert_eq!(account.apply(settle(marked), &limits, lapsed).code, Code::Unknown);
    assert_eq!(account.apply(settle(OWNER), &limits, lapsed).code, Code::Done);
}

#[test]
fn a_slice_is_never_settled_for_its_owner() {
    let limits = Limits::default();
    let lapsed = after_ms(limits.hold_lease_ms + 1);
    let record = record(Kind::Slice, lapsed);
    let (again, other) = (heir(OWNER, lapsed, lapsed), heir(OWNER + 1, START, lapsed));
    assert_eq!(again.rest(&record, Told::Ended(Usd::ZERO), &limits), Rest::Reread);
    assert_eq!(other.rest(&record, Told::Ended(Usd::ZERO), &limits), Rest::Reread);
    assert_eq!(other.rest(&record, Told::Open, &limits), Rest::Leave);
}

#[test]
fn a_seed_shows_in_the_version() {
    let limits = Limits::default();
    let mut account = account(Kind::Request, START);
    let before = account.header().version;
    account.apply(Op::Renew(&[RID]), &limits, START);
    assert!(!is_reseeded(before, account.header().version));
    assert!(is_reseeded(before, START.micros() + 1));
}
