//! Decides whether one account admits, refuses, settles and forgets as the six layers say.
//! Does not drive many nodes or crashes: guard_sim does.

use p402_core::guard::{Account, Claim, Code, Kind, Limits, Op};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;

const NOON: i64 = 1_795_348_800_000_000;

fn at(after_us: i64) -> Timestamp {
    Timestamp::from_micros(NOON + after_us)
}

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

fn rid(number: u128) -> RequestId {
    RequestId::from_bits(number)
}

fn claim(number: u128, nano: i64) -> Op<'static> {
    Op::Admit(Claim { rid: rid(number), amount: usd(nano), owner: 1, kind: Kind::Request })
}

fn settle(number: u128, nano: i64) -> Op<'static> {
    Op::Settle { rid: rid(number), owner: 1, actual: usd(nano) }
}

#[test]
fn a_hold_is_taken_settled_once_and_the_difference_freed() {
    let limits = Limits::default();
    let mut account = Account::new(7, &limits, at(0));
    let held = account.apply(claim(1, 900), &limits, at(0));
    assert_eq!((held.code, held.held, held.in_flight), (Code::Done, usd(900), 1));
    let settled = account.apply(settle(1, 400), &limits, at(1));
    assert_eq!((settled.code, settled.held, settled.day_spent), (Code::Done, usd(0), usd(400)));
    let again = account.apply(settle(1, 400), &limits, at(2));
    assert_eq!((again.code, again.day_spent), (Code::Unknown, usd(400)));
    assert_eq!(Account::decode(&account.encode()), Ok(account));
}
