//! Decides how long a name may be in a row, and what stands there for a longer one.
//! Does not resolve names: a shortened one is compared with another shortened one.

use siphasher::sip::SipHasher13;
use std::borrow::Cow;
use std::hash::Hasher;

pub const TENANT_BYTES_MAX: usize = 40;
pub const PROVIDER_BYTES_MAX: usize = 24;
/// Holds all but four of the shipped catalogue's 3,356 offers whole.
pub const MODEL_BYTES_MAX: usize = 60;

/// What follows the kept beginning of a long name: `~` and the hash of the whole in hex.
const TAIL_BYTES: usize = 17;

/// The name itself where it fits; else its beginning, `~` and the hash of the whole, so that two
/// long names stay two and a look-up by the whole name finds what was written.
pub fn short_name(name: &str, bytes_max: usize) -> Cow<'_, str> {
    if name.len() <= bytes_max {
        return Cow::Borrowed(name);
    }
    let head = &name[..name.floor_char_boundary(bytes_max.saturating_sub(TAIL_BYTES))];
    Cow::Owned(format!("{head}~{:016x}", stable_hash(name)))
}

/// What a row keeps of a session's id: it may be a person's name, so it does not stand there.
pub fn session_hash(session: &str) -> u64 {
    stable_hash(session)
}

/// SipHash-1-3 under the zero key: the same on every host and in every release.
fn stable_hash(text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
