//! Decides how a call to the store's functions is written down, and by which text they get there.
//! Does not send it; what comes back is read by the core (`Reply::decode`).

use p402_core::guard::{Account, Fence, Kind, Limits, OnExpiry, Op, Period};
use p402_core::money::Usd;
use p402_core::time::Timestamp;

/// The twin of the core's account; one text for Redis Functions and for EVAL.
const TWIN: &str = include_str!("guard.lua");
/// The library that this release's functions live in; another release loads another one.
pub const LIBRARY_NAME: &str = "p402_v1";
const REGISTER: &str = "
for at = 1, #EXPORTS do
  local export = EXPORTS[at]
  redis.register_function({ function_name = export[1], callback = export[2], flags = export[3] })
end
";
const SELECT: &str = "
for at = 1, #EXPORTS do
  if EXPORTS[at][1] == ARGV[1] then
    return EXPORTS[at][2](KEYS, { ARGV[2], ARGV[3] })
  end
end
";
/// Epoch and version: what makes a stored account this one and no other.
const HEAD_BYTES: usize = 16;

/// One call of one function on one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub function: &'static str,
    pub argument: Vec<u8>,
}

/// For `FUNCTION LOAD`.
pub fn library() -> String {
    ["#!lua name=", LIBRARY_NAME, "\n", TWIN, REGISTER].concat()
}

/// For `EVAL` where Redis has no functions: the function's name is the first argument.
pub fn script() -> String {
    [TWIN, SELECT].concat()
}

impl Call {
    pub fn new(fence: &Fence, op: Op<'_>, limits: &Limits) -> Self {
        let mut argument = head(fence, Some(limits));
        let function = match op {
            Op::Admit(claim) => {
                argument.extend(claim.rid.bits().to_be_bytes());
                number(&mut argument, claim.amount.nano());
                argument.extend(claim.owner.to_le_bytes());
                number(&mut argument, kind(claim.kind));
                "p402_admit_v1"
            }
            Op::Extend { rid, amount } => {
                argument.extend(rid.bits().to_be_bytes());
                number(&mut argument, amount.nano());
                "p402_extend_v1"
            }
            Op::Renew(rids) => {
                argument.extend(rids.iter().flat_map(|rid| rid.bits().to_be_bytes()));
                "p402_renew_v1"
            }
            Op::Settle { rid, owner, actual } => {
                argument.extend(rid.bits().to_be_bytes());
                number(&mut argument, actual.nano());
                argument.extend(owner.to_le_bytes());
                "p402_settle_v1"
            }
            Op::Adjust { day, nano } => {
                number(&mut argument, i64::from(day.days()));
                number(&mut argument, nano);
                "p402_adjust_v1"
            }
        };
        Self { function, argument }
    }

    /// The same call behind another fence: epoch, version and deadline are known when it is sent.
    pub fn fence(&mut self, fence: &Fence) {
        let deadline = fence.deadline.map_or(0, Timestamp::micros);
        let places = self.argument.chunks_exact_mut(8);
        for (place, value) in places.zip([fence.epoch, fence.version, deadline]) {
            place.copy_from_slice(&(value as f64).to_le_bytes());
        }
    }

    /// Writes an account that was read from the ledger, if the store still holds what was `seen`
    /// there (nothing, or a value that begins like this one).
    pub fn recover(deadline: Option<Timestamp>, seen: &[u8], account: &Account) -> Self {
        let mut argument = head(&Fence { epoch: 0, version: 0, deadline }, None);
        let seen = seen.get(..HEAD_BYTES).unwrap_or(seen);
        argument.extend((seen.len() as u32).to_le_bytes());
        argument.extend(seen);
        argument.extend(account.encode());
        Self { function: "p402_recover_v1", argument }
    }

    /// Reads the value as it is.
    pub const fn peek() -> Self {
        Self { function: "p402_peek_v1", argument: Vec::new() }
    }
}

/// What a peek brought: the store's clock, and the value (empty: there is none).
pub fn peeked(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (clock, value) = bytes.split_first_chunk::<8>()?;
    Some((Timestamp::from_micros(f64::from_le_bytes(*clock) as i64), value))
}

/// The thirteen numbers that every verb is told.
fn head(fence: &Fence, limits: Option<&Limits>) -> Vec<u8> {
    let fallback = Limits::default();
    let limits = limits.unwrap_or(&fallback);
    let bucket = limits.bucket();
    let numbers = [
        fence.epoch,
        fence.version,
        fence.deadline.map_or(0, Timestamp::micros),
        bucket.interval_us,
        bucket.tolerance_us,
        limits.daily_cap.nano(),
        limits.in_flight_max,
        // No budget is no number that a budget could have.
        limits.budget.map_or(-1, Usd::nano),
        i64::from(limits.period == Period::Total),
        limits.hold_lease_ms,
        limits.slot_lease_ms,
        on_expiry(limits.on_expiry),
        limits.suspense_ms,
    ];
    let mut argument = Vec::with_capacity(160);
    for value in numbers {
        number(&mut argument, value);
    }
    argument
}

fn number(argument: &mut Vec<u8>, value: i64) {
    argument.extend((value as f64).to_le_bytes());
}

const fn kind(kind: Kind) -> i64 {
    match kind {
        Kind::Request => 0,
        Kind::Closed => 1,
        Kind::Slice => 2,
    }
}

const fn on_expiry(on_expiry: OnExpiry) -> i64 {
    match on_expiry {
        OnExpiry::Suspense => 0,
        OnExpiry::Charge => 1,
        OnExpiry::Release => 2,
    }
}
