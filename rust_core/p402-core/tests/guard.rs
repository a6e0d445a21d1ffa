//! Decides whether one account admits, refuses, settles and forgets as the six layers say.
//! Does not drive many nodes or crashes: guard_sim does.

use p402_core::guard::{
    AMOUNT_MAX, Account, CapRefusal, Claim, Code, Fate, Fence, Kind, Limits, OnExpiry, Op, Open,
    Period, RECORDS_MAX, Rate, Reply, Seed, Slice, UnknownPrice, request_cap, slot_retry_ms,
    tokens_within,
};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};

/// 2026-11-22T12:00:00Z.
const NOON: i64 = 1_795_348_800_000_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

fn at(after_us: i64) -> Timestamp {
    Timestamp::from_micros(NOON + after_us)
}

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

fn rid(number: u128) -> RequestId {
    RequestId::from_bits(number)
}

fn ask(number: u128, nano: i64, kind: Kind) -> Op<'static> {
    Op::Admit(Claim { rid: rid(number), amount: usd(nano), owner: 1, kind })
}

fn claim(number: u128, nano: i64) -> Op<'static> {
    ask(number, nano, Kind::Request)
}

fn settle(number: u128, nano: i64) -> Op<'static> {
    Op::Settle { rid: rid(number), owner: 1, actual: usd(nano) }
}

/// An account and its limits, driven by hand.
struct Tenant {
    account: Account,
    limits: Limits,
}

fn tenant(limits: Limits) -> Tenant {
    Tenant { account: Account::new(7, &limits, at(0)), limits }
}

impl Tenant {
    fn ask(&mut self, op: Op<'_>, after_us: i64) -> Reply {
        let reply = self.account.apply(op, &self.limits, at(after_us));
        assert_eq!(Account::decode(&self.account.encode()).as_ref(), Ok(&self.account));
        assert_eq!(Reply::decode(&reply.encode()).as_ref(), Ok(&reply));
        reply
    }
    fn code(&mut self, op: Op<'_>, after_us: i64) -> Code {
        self.ask(op, after_us).code
    }
}

fn capped(nano: i64) -> Limits {
    Limits { daily_cap: usd(nano), ..Limits::default() }
}

#[test]
fn a_hold_is_taken_settled_once_and_the_difference_freed() {
    let mut one = tenant(Limits::default());
    let held = one.ask(claim(1, 900), 0);
    assert_eq!((held.code, held.held, held.in_flight), (Code::Done, usd(900), 1));
    let settled = one.ask(settle(1, 400), 1);
    assert_eq!((settled.code, settled.held, settled.day_spent), (Code::Done, usd(0), usd(400)));
    let again = one.ask(settle(1, 400), 2);
    assert_eq!((again.code, again.day_spent), (Code::Unknown, usd(400)));
}

#[test]
fn the_first_layer_that_refuses_is_told_in_the_order_1_2_3_6() {
    let rate = Rate { limit: 2, per_s: 10, burst: 2 };
    let mut one = tenant(Limits { rate, in_flight_max: 1, budget: Some(usd(100)), ..capped(200) });
    assert_eq!(one.code(claim(1, 100), 0), Code::Done);
    assert_eq!(one.code(claim(2, 101), 0), Code::DailyCap);
    assert_eq!(one.code(claim(2, 1), 0), Code::Concurrency);
    assert_eq!(one.code(settle(1, 100), 0), Code::Done);
    assert_eq!(one.code(claim(2, 1), 0), Code::Budget);
    assert_eq!(one.code(claim(2, 0), 0), Code::Done);
    // The refusals took no token; the two admissions took both.
    let refused = one.ask(claim(3, 101), 0);
    assert_eq!((refused.code, refused.retry_ms), (Code::Rate, 5_000));
    assert_eq!(refused.code.layer(), Some(1));
    assert_eq!(one.code(claim(3, 101), 5 * SECOND), Code::DailyCap);
}

#[test]
fn a_bucket_refills_and_tells_what_is_left() {
    let limits = Limits { rate: Rate { limit: 3, per_s: 1, burst: 3 }, ..Limits::default() };
    let bucket = limits.bucket();
    assert_eq!(bucket.interval_us, 333_334, "rounded up: no window admits one more");
    let mut one = tenant(limits);
    for (number, left) in [(1, 2), (2, 1), (3, 0)] {
        let reply = one.ask(ask(number, 0, Kind::Closed), 0);
        assert_eq!(bucket.remaining(reply.tat_us, reply.now.micros()), left);
    }
    assert_eq!(one.ask(ask(4, 0, Kind::Closed), 0).retry_ms, 334);
    assert_eq!(one.code(ask(4, 0, Kind::Closed), 333_333), Code::Rate);
    assert_eq!(one.code(ask(4, 0, Kind::Closed), 333_334), Code::Done);
}

#[test]
fn a_day_holds_its_cap_and_holds_count() {
    let mut one = tenant(capped(100));
    assert_eq!(one.code(claim(1, 60), 0), Code::Done);
    let refused = one.ask(claim(2, 41), 0);
    assert_eq!((refused.code, refused.retry_ms), (Code::DailyCap, 12 * 3_600_000));
    assert_eq!(one.code(claim(2, 40), 0), Code::Done);
    assert_eq!(one.code(settle(1, 0), 0), Code::Done);
    assert_eq!(one.code(claim(3, 61), 0), Code::DailyCap);
    assert_eq!(one.code(claim(3, 60), 0), Code::Done);
    // More than was held is booked in full: the money is spent.
    assert_eq!(one.ask(settle(3, 90), 0).day_spent, usd(90));
    assert_eq!(one.code(claim(4, 1), 0), Code::DailyCap);
    assert_eq!(one.code(claim(4, 0), 0), Code::Done);
}

#[test]
fn a_hold_belongs_to_its_admission_day() {
    let mut one = tenant(capped(100));
    let late = 12 * HOUR - SECOND;
    let today = at(0).utc_day();
    assert_eq!(one.ask(claim(1, 100), late).admitted, today);
    // Lost answer, asked again on the other side of midnight: the request's own day is told.
    let again = one.ask(claim(1, 100), 12 * HOUR);
    assert_eq!((again.replayed, again.admitted), (true, today));
    assert_eq!(again.day, Day::from_days(today.days() + 1));
    assert_eq!((again.day_spent, again.day_held, again.held), (usd(0), usd(0), usd(100)));
    assert_eq!(one.code(claim(2, 100), 12 * HOUR), Code::Done);
    let settled = one.ask(settle(1, 70), 12 * HOUR);
    assert_eq!((settled.admitted, settled.day_spent), (today, usd(0)));
    let header = *one.account.header();
    assert_eq!((header.prev_day, header.prev_spent, header.prev_held), (header.day - 1, 70, 0));
}

#[test]
fn a_month_begins_anew_and_the_old_months_requests_do_not_touch_it() {
    let mut one = tenant(Limits { budget: Some(usd(100)), ..Limits::default() });
    let december = 8 * 24 * HOUR + 12 * HOUR;
    assert_eq!(one.code(claim(1, 60), december - SECOND), Code::Done);
    assert_eq!(one.ask(claim(2, 41), december).code, Code::Budget, "held counts until it ends");
    assert_eq!(one.ask(settle(1, 60), december).budget_spent, usd(0));
    assert_eq!(one.ask(claim(2, 100), december).code, Code::Done);
    assert_eq!(one.account.header().budget_from_day, i64::from(at(december).utc_day().days()));
}

#[test]
fn a_budget_for_ever_does_not_begin_anew() {
    let limits = Limits { budget: Some(usd(100)), period: Period::Total, ..Limits::default() };
    let mut one = tenant(limits);
    assert_eq!(one.code(claim(1, 60), 0), Code::Done);
    assert_eq!(one.code(settle(1, 60), 0), Code::Done);
    assert_eq!(one.code(claim(2, 41), 400 * 24 * HOUR), Code::Budget);
    // Another period is another sum: only the ledger has it.
    one.limits.period = Period::Month;
    let before = one.account.clone();
    assert_eq!(one.code(claim(2, 1), 400 * 24 * HOUR), Code::Recover);
    assert_eq!(one.account, before);
}

#[test]
fn without_a_budget_layer_six_never_refuses() {
    let mut one = tenant(capped(AMOUNT_MAX));
    assert_eq!(one.code(claim(1, 8_999_999_999_999_999), 0), Code::Done);
    assert_eq!(one.code(claim(2, 2), 0), Code::DailyCap);
    let settled = one.ask(settle(1, 8_999_999_999_999_999), 0);
    assert_eq!(settled.day_spent.to_string(), "8999999.999999999");
    assert_eq!(one.code(claim(2, 1), 0), Code::Done);
    // Counters stop where they can still be counted.
    assert_eq!(one.ask(settle(2, i64::MAX), 0).day_spent, usd(AMOUNT_MAX));
}

#[test]
fn what_is_no_amount_fits_nowhere() {
    let mut one = tenant(capped(AMOUNT_MAX));
    for nano in [-1, i64::MIN, i64::MAX, AMOUNT_MAX + 1] {
        assert_eq!(one.code(claim(1, nano), 0), Code::DailyCap, "{nano}");
    }
    assert_eq!(one.code(claim(1, AMOUNT_MAX), 0), Code::Done);
    assert_eq!(one.ask(settle(1, -5), 0).day_spent, usd(0));
}

#[test]
fn a_slot_lapses_alone_and_a_living_request_keeps_its_own() {
    let mut one = tenant(Limits { in_flight_max: 2, ..Limits::default() });
    assert_eq!(one.code(claim(1, 10), 0), Code::Done);
    assert_eq!(one.code(claim(2, 10), 0), Code::Done);
    assert_eq!(one.code(claim(3, 10), 14_999_000), Code::Concurrency);
    assert_eq!(one.ask(Op::Renew(&[rid(2)]), 14 * SECOND).fates, [Fate::Renewed]);
    // Only the first one's slot is free; both holds still count.
    let third = one.ask(claim(3, 10), 15 * SECOND);
    assert_eq!((third.code, third.in_flight, third.held), (Code::Done, 2, usd(30)));
    // The first one was running after all: above the cap, and told.
    let renewed = one.ask(Op::Renew(&[rid(1), rid(9), rid(3)]), 16 * SECOND);
    assert_eq!(renewed.fates, [Fate::Retaken, Fate::Unknown, Fate::Renewed]);
    assert_eq!(renewed.in_flight, 3);
}

#[test]
fn a_silent_owners_hold_is_suspended_still_counted_and_charged_after_a_day() {
    let mut one = tenant(capped(100));
    one.ask(claim(1, 60), 0);
    one.ask(claim(2, 40), 0);
    let lapsed = one.ask(claim(3, 1), 300 * SECOND);
    assert_eq!((lapsed.code, lapsed.suspense, lapsed.in_flight), (Code::DailyCap, usd(100), 0));
    // Its owner was alive: the truth is booked, and marked.
    let late = one.ask(settle(1, 5), 400 * SECOND);
    assert_eq!((late.code, late.late, late.suspense), (Code::Done, true, usd(40)));
    // Or renews: nothing is suspended any more.
    assert_eq!(one.ask(Op::Renew(&[rid(2)]), 500 * SECOND).suspense, usd(0));
    assert!(!one.ask(settle(2, 7), 600 * SECOND).late);

    one.ask(claim(4, 50), 601 * SECOND);
    assert_eq!(one.ask(claim(5, 0), 1_000 * SECOND).suspense, usd(50));
    let spent = one.ask(claim(6, 0), 901 * SECOND + 24 * HOUR);
    assert_eq!(spent.suspense, usd(0));
    assert_eq!(one.account.header().prev_spent, 5 + 7 + 50);
}

#[test]
fn an_expired_hold_is_charged_or_released_where_that_is_asked() {
    for (on_expiry, spent) in [(OnExpiry::Charge, 60), (OnExpiry::Release, 0)] {
        let mut one = tenant(Limits { on_expiry, ..capped(100) });
        one.ask(claim(1, 60), 0);
        let after = one.ask(claim(2, 1), 300 * SECOND);
        assert_eq!((after.day_spent, after.held), (usd(spent), usd(1)));
        assert_eq!(one.code(settle(1, 60), 301 * SECOND), Code::Unknown);
    }
}

#[test]
fn a_hit_takes_a_token_and_leaves_no_record() {
    let mut one = tenant(Limits { in_flight_max: 1, ..capped(0) });
    let hit = one.ask(ask(1, 0, Kind::Closed), 0);
    assert_eq!((hit.code, hit.in_flight), (Code::Done, 0));
    assert!(hit.tat_us > NOON);
    assert_eq!(one.account.records(), []);
    one.ask(claim(2, 0), 0);
    assert_eq!(one.code(ask(3, 0, Kind::Closed), 0), Code::Concurrency);
}

#[test]
fn an_admission_is_asked_twice_and_counted_once() {
    let mut one = tenant(Limits::default());
    let first = one.ask(claim(1, 60), 0);
    let before = one.account.clone();
    let again = one.ask(claim(1, 60), 1);
    assert_eq!((again.code, again.replayed), (Code::Done, true));
    assert_eq!((again.held, again.version), (first.held, first.version));
    assert_eq!(one.account, before);
    // Another node does not run what this one runs, and does not end it.
    let other = Claim { rid: rid(1), amount: usd(60), owner: 2, kind: Kind::Request };
    assert_eq!(one.code(Op::Admit(other), 2), Code::Taken);
    let foreign = Op::Settle { rid: rid(1), owner: 2, actual: usd(0) };
    assert_eq!(one.code(foreign, 2), Code::Unknown);
    assert_eq!(one.account, before);
}

#[test]
fn a_hold_grows_to_an_amount_or_not_at_all() {
    let to = |nano| Op::Extend { rid: rid(1), amount: usd(nano) };
    let mut one = tenant(Limits { budget: Some(usd(90)), ..capped(100) });
    one.ask(claim(1, 40), 0);
    for replayed in [false, true] {
        let grown = one.ask(to(70), 1);
        assert_eq!((grown.code, grown.held, grown.replayed), (Code::Done, usd(70), replayed));
    }
    let before = one.account.clone();
    assert_eq!(one.code(to(101), 2), Code::DailyCap);
    assert_eq!(one.code(to(91), 2), Code::Budget);
    assert_eq!(one.code(Op::Extend { rid: rid(9), amount: usd(1) }, 2), Code::Unknown);
    assert_eq!(one.account, before);
    // On the next day it is still measured against its own.
    assert_eq!(one.code(to(90), 12 * HOUR), Code::Done);
    assert_eq!(one.account.header().prev_held, 90);
}

#[test]
fn slices_are_called_in_before_a_claim_is_refused_for_good() {
    let mut one = tenant(Limits { in_flight_max: 1, budget: Some(usd(150)), ..capped(100) });
    let leased = one.ask(ask(1, 30, Kind::Slice), 0);
    assert_eq!((leased.in_flight, leased.tat_us, leased.parked), (0, 0, usd(30)));
    assert!(one.account.records().iter().all(|record| record.is_slice() && record.node() == 1));
    let fits_without = one.ask(claim(2, 71), 0);
    assert_eq!((fits_without.code, fits_without.retry_ms), (Code::DailyCap, 1_000));
    assert_eq!(fits_without.parked, usd(30));
    assert!(one.ask(claim(2, 101), 0).retry_ms > 1_000);
    assert_eq!(one.ask(Op::Renew(&[rid(1)]), SECOND).parked, usd(30));
    // Nobody renewed it: it cannot be called in, and is told no more.
    let silent = one.ask(claim(2, 71), 400 * SECOND);
    assert_eq!((silent.parked, silent.suspense), (usd(0), usd(30)));
    assert!(silent.retry_ms > 1_000);

    one.limits.daily_cap = usd(1_000);
    one.ask(ask(3, 100, Kind::Slice), 401 * SECOND);
    assert_eq!(one.ask(claim(4, 100), 401 * SECOND).retry_ms, 1_000, "the budget's alike");
}

#[test]
fn a_call_with_an_old_picture_or_after_its_time_changes_nothing() {
    let mut one = tenant(Limits::default());
    one.ask(claim(1, 60), 0);
    let before = one.account.clone();
    let good = Fence { epoch: 7, version: 1, deadline: Some(at(10)) };
    for (fence, code) in [
        (Fence { epoch: 8, ..good }, Code::Recover),
        (Fence { version: 2, ..good }, Code::Recover),
        (Fence { deadline: Some(at(9)), ..good }, Code::Late),
    ] {
        assert_eq!(one.account.call(&fence, claim(2, 1), &one.limits, at(10)).code, code);
        assert_eq!(one.account, before);
    }
    assert_eq!(one.account.call(&good, claim(2, 1), &one.limits, at(10)).code, Code::Done);
}

#[test]
fn a_clock_set_back_neither_leaks_a_slot_nor_locks_a_tenant_out() {
    let rate = Rate { limit: 2, per_s: 2, burst: 2 };
    let mut one = tenant(Limits { rate, in_flight_max: 1, ..Limits::default() });
    assert_eq!(one.code(claim(1, 10), HOUR), Code::Done);
    // An hour back: the slot ends one lease from here, the bucket is at worst empty.
    assert_eq!(one.code(claim(2, 10), 0), Code::Rate);
    assert_eq!(one.code(claim(2, 10), SECOND), Code::Concurrency);
    assert_eq!(one.code(claim(2, 10), 16 * SECOND), Code::Done);
}

#[test]
fn a_day_never_comes_back() {
    let mut one = tenant(capped(100));
    one.ask(claim(1, 60), 13 * HOUR);
    let tomorrow = one.ask(settle(1, 60), 13 * HOUR);
    assert_eq!(one.code(claim(2, 41), 0), Code::Rate);
    let back = one.ask(claim(2, 41), 4 * SECOND);
    assert_eq!((back.code, back.day), (Code::DailyCap, tomorrow.day));
}

#[test]
fn a_correction_is_booked_on_its_day() {
    let mut one = tenant(Limits { budget: Some(usd(1_000)), ..capped(100) });
    one.ask(claim(1, 60), 0);
    one.ask(settle(1, 60), 0);
    let today = at(0).utc_day();
    let adjust = |day, nano| Op::Adjust { day, nano };
    assert_eq!(one.ask(adjust(today, -20), 1).day_spent, usd(40));
    assert_eq!(one.ask(adjust(today, -90), 1).day_spent, usd(0), "never below nothing");
    assert_eq!(one.ask(adjust(today, i64::MAX), 1).day_spent, usd(AMOUNT_MAX));
    let old = one.ask(adjust(Day::from_days(today.days() - 9), 5), 2);
    assert_eq!((old.day_spent, old.budget_spent), (usd(AMOUNT_MAX), usd(AMOUNT_MAX)));
    assert_eq!(one.code(adjust(Day::from_days(today.days() + 1), 5), 2), Code::Unknown);
}

fn seed(open: Vec<Open>) -> Seed {
    Seed {
        epoch: 9,
        version: 50,
        tat_us: NOON + 7,
        day: at(0).utc_day(),
        day_spent: usd(30),
        prev_spent: usd(20),
        budget_spent: usd(80),
        open,
    }
}

#[test]
fn an_account_comes_back_from_the_ledger_with_its_open_requests() {
    let today = at(0).utc_day();
    let yesterday = Day::from_days(today.days() - 1);
    let open = |number, nano, day, slice| Open {
        rid: rid(number),
        amount: usd(nano),
        day,
        owner: 3,
        slice,
    };
    let found =
        vec![open(1, 10, today, false), open(2, 5, yesterday, false), open(3, 8, today, true)];
    let account = Account::seeded(&seed(found), &Limits::default(), at(0));
    let header = account.header();
    assert_eq!((header.epoch, header.tat_us, header.in_flight), (9, NOON + 7, 2));
    assert_eq!((header.day_spent, header.day_held, header.held), (30, 18, 23));
    assert_eq!((header.prev_spent, header.prev_held, header.budget_spent), (20, 5, 80));
    assert!(header.version >= NOON, "above every version that could have been written");
    assert_eq!(Account::decode(&account.encode()), Ok(account));
}

#[test]
fn more_open_requests_than_can_be_kept_are_booked() {
    let today = at(0).utc_day();
    let most = RECORDS_MAX as u128 + 2;
    let open = (0..most).map(|number| Open {
        rid: rid(number),
        amount: usd(1),
        day: today,
        owner: 1,
        slice: false,
    });
    let limits = Limits { in_flight_max: 256, ..Limits::default() };
    let mut account = Account::seeded(&seed(open.collect()), &limits, at(0));
    assert_eq!(account.records().len(), RECORDS_MAX);
    assert_eq!(account.header().day_spent, 32);
    assert_eq!(account.apply(claim(9_999, 1), &limits, at(16 * SECOND)).code, Code::Concurrency);
}

#[test]
fn layer_five_needs_no_account() {
    let limits = Limits { request_cap: usd(50), ..Limits::default() };
    assert_eq!(request_cap(Some(usd(50)), &limits), Ok(usd(50)));
    let over = CapRefusal::OverCap { claim: usd(51), cap: usd(50) };
    assert_eq!(request_cap(Some(usd(51)), &limits), Err(over));
    assert_eq!(request_cap(None, &limits), Err(CapRefusal::PriceUnknown));
    let allow = Limits { unknown_price: UnknownPrice::Allow, ..limits };
    assert_eq!(request_cap(None, &allow), Ok(usd(0)));
}

#[test]
fn the_tokens_that_fit_are_the_most_that_fit() {
    let claim = |tokens: u64| usd(100 + 7 * i64::try_from(tokens).unwrap_or(i64::MAX / 8));
    for cap in 100..200 {
        let brute = (1..=12).rev().find(|tokens| claim(*tokens) <= usd(cap));
        assert_eq!(tokens_within(usd(cap), 12, claim), brute, "{cap}");
    }
    assert_eq!(tokens_within(usd(1), 0, |_| usd(0)), None);
    assert_eq!(tokens_within(usd(1), u64::MAX, |_| usd(0)), Some(u64::MAX - 1));
}

#[test]
fn a_full_house_is_asked_again_when_a_slot_is_likely_free() {
    for number in 0..1_000_u128 {
        let wait = slot_retry_ms(8_000, 10, rid(number * 977));
        assert!((600..=1_000).contains(&wait), "{wait}");
    }
    let spread: Vec<i64> = [0, 0xffff].map(|bits| slot_retry_ms(8_000, 10, rid(bits))).into();
    assert_eq!(spread, [600, 1_000]);
    assert_eq!(slot_retry_ms(0, 10, rid(1)), 50);
    assert_eq!(slot_retry_ms(i64::MAX, 0, rid(1)), 5_000);
}

#[test]
fn a_slice_is_a_small_share_and_is_never_overdrawn() {
    assert_eq!(Slice::size(usd(8_000), usd(500), 5), usd(200));
    assert_eq!(Slice::size(usd(80_000), usd(500), 5), usd(500));
    assert_eq!(Slice::size(usd(-1), usd(500), 0), usd(0));
    let today = at(0).utc_day();
    let mut slice = Slice::new(rid(1), usd(200), today);
    assert!(!slice.is_too_large(usd(4_000), 5));
    assert!(slice.is_too_large(usd(3_999), 5));
    assert!(slice.draw(usd(150), today));
    assert!(!slice.draw(usd(51), today));
    slice.settle(usd(150), usd(20));
    assert!(slice.draw(usd(180), today));
    assert!(!slice.draw(usd(1), today));
    assert!(!slice.draw(usd(0), Day::from_days(today.days() + 1)), "another day");
    slice.settle(usd(180), usd(400));
    assert_eq!((slice.spent(), slice.held()), (usd(420), usd(0)));
    assert!(!slice.draw(usd(1), today));
}

#[test]
fn an_outage_shares_rate_and_slots_among_the_nodes() {
    let shared = Limits::default().shared_among(3);
    assert_eq!((shared.rate.limit, shared.rate.burst, shared.in_flight_max), (333, 333, 4));
    assert_eq!(shared.request_cap, Limits::default().request_cap);
    assert_eq!(Limits::default().shared_among(0).in_flight_max, 10);
}
