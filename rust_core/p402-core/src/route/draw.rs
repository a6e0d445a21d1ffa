//! Decides every draw of routing: a keyed hash of the request id and a named salt.
//! Does not hold state: the same request draws the same lots on every host.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// What is drawn for; each has its own salt, so draws are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Salt {
    /// Which endpoint of a model.
    Endpoint,
    /// How long a breaker stays open.
    BreakerJitter,
}

impl Salt {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Endpoint => b"p402.endpoint",
            Self::BreakerJitter => b"p402.breaker",
        }
    }
}

/// 64 drawn bits for this subject (a request id, an endpoint and its generation) and purpose.
pub(super) fn draw(subject: u128, salt: Salt, round: u64) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x7034_3032, round);
    hasher.write(salt.name());
    hasher.write_u128(subject);
    hasher.finish()
}

/// Two different places out of `count` (≥ 2): drawn without replacement, so a bad endpoint meets
/// a better one unless it is alone.
pub(super) fn two_of(count: usize, drawn: u64) -> (usize, usize) {
    let count = count.max(2) as u64;
    let first = (drawn & 0xffff_ffff) % count;
    let second = (drawn >> 32) % (count - 1);
    let second = if second >= first { second + 1 } else { second };
    (first as usize, second as usize)
}
