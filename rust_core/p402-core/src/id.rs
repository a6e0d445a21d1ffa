//! Decides the form of the names that cross the house: request ids.
//! Does not draw randomness: the 80 random bits of a request id come in.

use crate::time::Timestamp;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::fmt;
use std::hash::Hasher;

/// `req_` + 32 hex digits: 48 bits of milliseconds, 80 bits handed in by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u128);

impl RequestId {
    /// Joins the instant and 80 low bits of `random`; ids sort by time.
    pub const fn new(at: Timestamp, random: u128) -> Self {
        let ms = (at.millis() as u128) & ((1 << 48) - 1);
        Self((ms << 80) | (random & ((1 << 80) - 1)))
    }
    /// An id no other request of this node has and nobody outside can guess: the 80 bits are a
    /// keyed hash of a counter; `seed` is drawn once per process by the caller.
    pub fn draw(at: Timestamp, seed: u64, count: u64) -> Self {
        let mut hasher = SipHasher13::new_with_keys(seed, !seed);
        hasher.write_u64(count);
        Self::new(at, hasher.finish128().as_u128())
    }
    /// Reads `req_` + 32 lower-case hex digits, `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("req_")?;
        let regular =
            hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if regular { u128::from_str_radix(hex, 16).ok().map(Self) } else { None }
    }
    /// The id with these bits: of a stored record, or of a digest that names a request.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{:032x}", self.0)
    }
}
