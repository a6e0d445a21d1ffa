//! Measures one decision of the embedded home, and one draw on a slice, each by itself.
//! Includes two clock readings each; a whole request is the kernel `line`.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use p402_benches::figures::{Durations, durations};
use p402_core::guard::{Claim, Code, Kind, Limits, Op, Rate, Slice};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_io::store::Tenant;
use p402_io::store::memory::Memory;
use std::hint::black_box;
use std::time::Instant;

const NOON: i64 = 1_795_348_800_000_000;
const TENANTS: u64 = 1_000;
/// Open requests of each tenant, as of a busy one.
const HOLDS: u64 = 5;
const DECISIONS: u64 = 1_000_000;
const PRICE: Usd = Usd::from_nano(1_000);

fn limits() -> Limits {
    let rate = Rate { limit: 1_000_000, per_s: 1, burst: 1_000_000_000 };
    Limits { rate, in_flight_max: 256, ..Limits::default() }
}

fn admit(number: u64) -> Op<'static> {
    let rid = RequestId::from_bits(u128::from(number));
    Op::Admit(Claim { rid, amount: PRICE, owner: 1, kind: Kind::Request })
}

fn settle(number: u64) -> Op<'static> {
    Op::Settle { rid: RequestId::from_bits(u128::from(number)), owner: 1, actual: PRICE }
}

/// Spreads turns over tenants as requests come: in no order.
fn scattered(turn: u64) -> usize {
    (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % TENANTS as usize
}

fn timed(spread: &mut Durations, decide: impl FnOnce() -> bool) {
    let begun = Instant::now();
    let done = black_box(decide());
    spread.add(begun.elapsed());
    assert!(done, "every decision is a yes");
}

fn embedded() {
    let (limits, now) = (limits(), Timestamp::from_micros(NOON));
    let names: Vec<String> = (0..TENANTS).map(|n| format!("tenant-{n}")).collect();
    let home = Memory::default();
    let of = |turn| Tenant { id: &names[scattered(turn)], limits: &limits };
    for id in &names {
        for hold in 0..HOLDS {
            let tenant = Tenant { id, limits: &limits };
            home.apply(&tenant, admit(u64::MAX - hold), now).expect("an account");
        }
    }
    let [mut admits, mut settles] = [(); 2].map(|()| durations().expect("bounds that hold"));
    for turn in 1..=DECISIONS {
        let done = |op| home.apply(&of(turn), op, now).is_ok_and(|reply| reply.code == Code::Done);
        timed(&mut admits, || done(admit(turn)));
        timed(&mut settles, || done(settle(turn)));
    }
    admits.tell("accounts/embedded admit").expect("a file for figures");
    settles.tell("accounts/embedded settle").expect("a file for figures");
}

fn slice() {
    let day = Timestamp::from_micros(NOON).utc_day();
    let rid = RequestId::from_bits(1);
    let granted = Usd::from_nano(PRICE.nano() * (DECISIONS as i64 + 1));
    let mut slices = vec![Slice::new(rid, granted, day); TENANTS as usize];
    let mut draws = durations().expect("bounds that hold");
    for turn in 0..DECISIONS {
        let slice = &mut slices[scattered(turn)];
        timed(&mut draws, || slice.draw(PRICE, day));
        slice.settle(PRICE, PRICE);
    }
    draws.tell("accounts/slice draw").expect("a file for figures");
}

fn main() {
    embedded();
    slice();
}
