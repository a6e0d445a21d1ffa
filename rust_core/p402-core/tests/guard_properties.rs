//! Decides whether an account keeps its invariants under every sequence of operations.
//! Does not judge single decisions (guard.rs) or whole clusters (guard_sim).

use p402_core::guard::{
    AMOUNT_MAX, Account, Claim, Code, HEADER_BYTES, Kind, LayoutError, Limits, OnExpiry, Op,
    Period, RECORD_BYTES, Rate, Record, Reply,
};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2026-11-30T23:59:00Z: a day and a month end within reach.
const START: i64 = 1_796_083_140_000_000;
const SECOND: i64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Admit(u128, i64, Kind),
    Extend(u128, i64),
    Renew(u128, u128),
    Settle(u128, i64),
    Adjust(i32, i64),
}

fn rid(number: u128) -> RequestId {
    RequestId::from_bits(number)
}

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

fn apply(account: &mut Account, step: Step, limits: &Limits, now: i64) -> Reply {
    let now = Timestamp::from_micros(now);
    match step {
        Step::Admit(id, nano, kind) => {
            let claim = Claim { rid: rid(id), amount: usd(nano), owner: 1, kind };
            account.apply(Op::Admit(claim), limits, now)
        }
        Step::Extend(id, nano) => {
            account.apply(Op::Extend { rid: rid(id), amount: usd(nano) }, limits, now)
        }
        Step::Renew(one, two) => account.apply(Op::Renew(&[rid(one), rid(two)]), limits, now),
        Step::Settle(id, nano) => {
            account.apply(Op::Settle { rid: rid(id), owner: 1, actual: usd(nano) }, limits, now)
        }
        Step::Adjust(back, nano) => {
            let day = Day::from_days(now.utc_day().days() - back);
            account.apply(Op::Adjust { day, nano }, limits, now)
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<(Step, i64)>> {
    let id = 0..12_u128;
    let nano = prop_oneof![8 => 0..400_i64, 1 => Just(i64::MAX), 1 => Just(-1), 1 => any::<i64>()];
    let kind =
        prop_oneof![6 => Just(Kind::Request), 1 => Just(Kind::Closed), 1 => Just(Kind::Slice)];
    let step = prop_oneof![
        6 => (id.clone(), nano.clone(), kind)
            .prop_map(|(id, nano, kind)| Step::Admit(id, nano, kind)),
        2 => (id.clone(), nano.clone()).prop_map(|(id, nano)| Step::Extend(id, nano)),
        2 => (id.clone(), id.clone()).prop_map(|(one, two)| Step::Renew(one, two)),
        5 => (id, nano.clone()).prop_map(|(id, nano)| Step::Settle(id, nano)),
        1 => (-1..3_i32, nano).prop_map(|(back, nano)| Step::Adjust(back, nano)),
    ];
    let pause = prop_oneof![
        8 => 0..2 * SECOND,
        3 => 0..20 * SECOND,
        1 => 0..400 * SECOND,
        1 => 0..100_000 * SECOND,
        1 => -4_000 * SECOND..0,
    ];
    prop::collection::vec((step, pause), 1..120)
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = (1..20_i64, 1..10_i64, 1..20_i64);
    let ends = prop_oneof![
        3 => Just(OnExpiry::Suspense), 1 => Just(OnExpiry::Charge), 1 => Just(OnExpiry::Release)
    ];
    let budget = prop_oneof![Just(None), (0..3_000_i64).prop_map(|nano| Some(usd(nano)))];
    let period = prop_oneof![Just(Period::Month), Just(Period::Total)];
    (rate, 1..6_i64, 0..1_500_i64, budget, period, ends).prop_map(
        |((limit, per_s, burst), in_flight_max, cap, budget, period, on_expiry)| Limits {
            rate: Rate { limit, per_s, burst },
            in_flight_max,
            daily_cap: usd(cap),
            budget,
            period,
            on_expiry,
            ..Limits::default()
        },
    )
}

/// What was booked, by admission day, as an observer of records sees it.
#[derive(Default)]
struct Books(BTreeMap<i64, i64>);

impl Books {
    /// Records that are gone were settled by this step, or ended by time alone.
    fn follow(&mut self, before: &[Record], after: &Account, step: Step, reply: &Reply) {
        let settled = match step {
            Step::Settle(id, nano) if reply.code == Code::Done => {
                Some((id, nano.clamp(0, AMOUNT_MAX)))
            }
            _ => None,
        };
        for record in before {
            if after.records().iter().any(|kept| kept.rid == record.rid) {
                continue;
            }
            let booked = match settled {
                Some((id, nano)) if record.rid == rid(id) => nano,
                _ => record.amount,
            };
            let sum = self.0.entry(i64::from(record.day)).or_default();
            *sum = sum.saturating_add(booked).min(AMOUNT_MAX);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// I2, I3, I7, and all or nothing.
    #[test]
    fn no_sequence_breaks_an_account(limits in limits(), steps in steps()) {
        let mut now = START;
        let mut account = Account::new(1, &limits, Timestamp::from_micros(now));
        for (step, pause) in steps {
            now += pause;
            let before = account.clone();
            let reply = apply(&mut account, step, &limits, now);
            let stored = account.encode();
            prop_assert_eq!(Account::decode(&stored), Ok(account.clone()));
            prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply.clone()));
            prop_assert!(account.header().version >= before.header().version);
            if account.header().version == before.header().version {
                prop_assert_eq!(&account, &before, "a write without a version");
            }
            let header = account.header();
            match (step, reply.code) {
                (Step::Admit(_, nano, kind), Code::Done) if !reply.replayed => {
                    if kind != Kind::Slice {
                        prop_assert!(header.in_flight <= limits.in_flight_max);
                    }
                    if kind != Kind::Closed && nano > 0 {
                        prop_assert!(header.day_spent + header.day_held <= limits.daily_cap.nano());
                        let spent = header.budget_spent + header.held;
                        prop_assert!(limits.budget.is_none_or(|budget| spent <= budget.nano()));
                    }
                }
                (Step::Admit(..) | Step::Extend(..), code) if code != Code::Done => {
                    // Time alone: what any other refusal at this instant leaves behind.
                    let mut other = before.clone();
                    apply(&mut other, Step::Extend(u128::MAX, 1), &limits, now);
                    prop_assert_eq!(&account, &other, "a refusal that wrote");
                }
                _ => {}
            }
        }
    }

    /// I10: asked twice is asked once.
    #[test]
    fn every_verb_but_a_correction_is_idempotent(limits in limits(), steps in steps()) {
        let mut now = START;
        let mut once = Account::new(1, &limits, Timestamp::from_micros(now));
        for (step, pause) in steps {
            now += pause;
            if matches!(step, Step::Adjust(..) | Step::Admit(_, _, Kind::Closed)) {
                continue;
            }
            let first = apply(&mut once, step, &limits, now);
            let mut twice = once.clone();
            let second = apply(&mut twice, step, &limits, now);
            prop_assert_eq!(twice.records(), once.records());
            let bare = |account: &Account| p402_core::guard::Header {
                version: 0,
                ..*account.header()
            };
            prop_assert_eq!(bare(&twice), bare(&once));
            if matches!(step, Step::Admit(..)) && first.code == Code::Done {
                prop_assert!(second.replayed);
            }
            if matches!(step, Step::Settle(..)) {
                prop_assert_eq!(second.code, Code::Unknown);
            }
        }
    }

    /// I6: counters are the sums of what ended, by admission day. I5: at rest nothing is held.
    #[test]
    fn books_and_counters_agree(limits in limits(), steps in steps()) {
        prop_assume!(limits.on_expiry != OnExpiry::Release);
        let mut now = START;
        let mut account = Account::new(1, &limits, Timestamp::from_micros(now));
        let mut books = Books::default();
        let ends = (0..12).map(|id| (Step::Settle(id, 3), 0));
        for (step, pause) in steps.into_iter().chain(ends) {
            if matches!(step, Step::Adjust(..)) {
                continue;
            }
            now += pause;
            // Time first, alone: a record may end by it and its request be admitted anew.
            let before = account.records().to_vec();
            let look = Step::Extend(u128::MAX, 1);
            let reply = apply(&mut account, look, &limits, now);
            books.follow(&before, &account, look, &reply);
            let before = account.records().to_vec();
            let reply = apply(&mut account, step, &limits, now);
            books.follow(&before, &account, step, &reply);
            let header = account.header();
            let of = |day: i64| books.0.get(&day).copied().unwrap_or(0);
            prop_assert_eq!(header.day_spent, of(header.day));
            prop_assert_eq!(header.prev_spent, of(header.prev_day));
            if limits.period == Period::Total {
                let all = books.0.values().fold(0_i64, |sum, nano| sum.saturating_add(*nano));
                prop_assert_eq!(header.budget_spent, all.min(AMOUNT_MAX));
            }
        }
        let header = account.header();
        prop_assert_eq!((header.held, header.in_flight, header.suspense), (0, 0, 0));
        prop_assert_eq!(account.records().len(), 0);
    }

    /// I9: no window admits more than the burst and what it refills.
    #[test]
    fn no_window_admits_more_than_its_rate(
        limits in limits(),
        pauses in prop::collection::vec(0..3 * SECOND, 1..150),
    ) {
        let bucket = limits.bucket();
        let mut now = START;
        let mut account = Account::new(1, &limits, Timestamp::from_micros(now));
        let mut taken: Vec<i64> = Vec::new();
        for pause in pauses {
            now += pause;
            let reply = apply(&mut account, Step::Admit(1, 0, Kind::Closed), &limits, now);
            if reply.code == Code::Done {
                taken.push(now);
            } else {
                // The wait is exact: not a millisecond before, surely then.
                let wait = reply.retry_ms * 1_000;
                for (later, code) in [(wait - 1_001, Code::Rate), (wait, Code::Done)] {
                    let mut other = account.clone();
                    let step = Step::Admit(1, 0, Kind::Closed);
                    if later >= 0 {
                        prop_assert_eq!(apply(&mut other, step, &limits, now + later).code, code);
                    }
                }
            }
        }
        for (at, first) in taken.iter().enumerate() {
            for (count, last) in taken[at..].iter().enumerate() {
                let most = limits.rate.burst + (last - first) / bucket.interval_us;
                prop_assert!((count as i64) < most.max(1), "{count} in {}", last - first);
            }
        }
    }

    /// What lets a twin count in doubles.
    #[test]
    fn doubles_compare_with_a_cap_as_integers_do(
        parts in prop::array::uniform3(0..=AMOUNT_MAX),
        (cap, off) in (0..=AMOUNT_MAX, -2..=2_i64),
    ) {
        let sum: i64 = parts.iter().sum();
        let doubles = parts[0] as f64 + parts[1] as f64 + parts[2] as f64;
        for cap in [cap, sum + off, AMOUNT_MAX] {
            if (0..=AMOUNT_MAX).contains(&cap) {
                prop_assert_eq!(doubles <= cap as f64, sum <= cap);
            }
        }
        let grown = (parts[0] as f64 + parts[1] as f64).min(AMOUNT_MAX as f64);
        prop_assert_eq!(grown as i64, (parts[0] + parts[1]).min(AMOUNT_MAX));
    }

    #[test]
    fn a_hostile_blob_is_refused_or_is_an_account(
        blob in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        if let Ok(account) = Account::decode(&blob) {
            prop_assert_eq!(account.encode(), blob);
        }
    }

    #[test]
    fn a_changed_blob_is_refused_or_is_an_account(
        limits in limits(),
        steps in steps(),
        (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
    ) {
        let mut account = Account::new(1, &limits, Timestamp::from_micros(START));
        for (step, _) in steps {
            apply(&mut account, step, &limits, START);
        }
        let mut blob = account.encode();
        let at = at.index(blob.len());
        blob[at] = byte;
        if let Ok(read) = Account::decode(&blob) {
            prop_assert_eq!(read.encode(), blob);
        }
        let cut = account.encode();
        prop_assert_eq!(Account::decode(&cut[..cut.len() - 1]), Err(LayoutError::Length));
    }
}

#[test]
fn hostile_numbers_are_named() {
    let limits = Limits::default();
    let mut account = Account::new(1, &limits, Timestamp::from_micros(START));
    apply(&mut account, Step::Admit(1, 5, Kind::Request), &limits, START);
    let good = account.encode();
    assert_eq!(good.len(), HEADER_BYTES + RECORD_BYTES);
    let with = |at: usize, number: f64| {
        let mut blob = good.clone();
        blob[at..at + 8].copy_from_slice(&number.to_le_bytes());
        Account::decode(&blob)
    };
    for number in [f64::NAN, f64::INFINITY, -1.0, -0.0, 0.5, 9.1e15, 1e300] {
        assert_eq!(with(8, number), Err(LayoutError::Number), "{number}");
    }
    assert_eq!(with(15 * 8, 2.0), Err(LayoutError::Version));
    assert_eq!(with(11 * 8, 6.0), Err(LayoutError::Sums));
    assert_eq!(with(HEADER_BYTES + 32, 9e15), Err(LayoutError::Sums));
    assert_eq!(Account::decode(&[]), Err(LayoutError::Length));
    assert_eq!(Reply::decode(&[0; 127]), Err(LayoutError::Length));
}

/// Every sequence of five operations over two requests, a cap of two and one slot.
#[test]
fn every_short_history_is_sound() {
    let limits = Limits {
        daily_cap: usd(2),
        in_flight_max: 1,
        rate: Rate { limit: 3, per_s: 60, burst: 3 },
        on_expiry: OnExpiry::Suspense,
        ..Limits::default()
    };
    let verbs = [
        (Step::Admit(1, 1, Kind::Request), 0),
        (Step::Admit(2, 2, Kind::Request), 0),
        (Step::Admit(2, 1, Kind::Slice), 0),
        (Step::Extend(1, 2), 0),
        (Step::Renew(1, 2), 16 * SECOND),
        (Step::Settle(1, 1), 0),
        (Step::Settle(2, 0), 301 * SECOND),
        (Step::Admit(3, 0, Kind::Closed), 16 * SECOND),
        (Step::Admit(3, 1, Kind::Request), 60 * SECOND),
    ];
    let mut now = [START; 6];
    let fresh = Account::new(1, &limits, Timestamp::from_micros(START));
    let mut accounts: [Account; 6] = std::array::from_fn(|_| fresh.clone());
    let mut history = [0_usize; 5];
    let mut depth = 0;
    let mut count = 0;
    loop {
        // Only what follows the digit that changed is played again.
        for level in depth..5 {
            let (step, pause) = verbs[history[level]];
            now[level + 1] = now[level] + pause;
            let mut account = accounts[level].clone();
            let reply = apply(&mut account, step, &limits, now[level + 1]);
            let header = account.header();
            assert!(header.day_spent + header.day_held <= 2, "{history:?}");
            let admitted = matches!(step, Step::Admit(_, _, Kind::Request | Kind::Closed))
                && reply.code == Code::Done
                && !reply.replayed;
            assert!(header.in_flight <= 1 || !admitted, "{history:?}");
            assert_eq!(Account::decode(&account.encode()).as_ref(), Ok(&account), "{history:?}");
            accounts[level + 1] = account;
            count += 1;
        }
        depth = 5;
        while depth > 0 && history[depth - 1] == verbs.len() - 1 {
            depth -= 1;
            history[depth] = 0;
        }
        if depth == 0 {
            break;
        }
        depth -= 1;
        history[depth] += 1;
    }
    assert_eq!(count, 9 + 81 + 729 + 6_561 + 59_049);
}
