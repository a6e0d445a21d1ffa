//! Decides which conversation a request belongs to, and what the last turn left behind.
//! Does not decide whether to stay (stay.rs) and stores no text: keys are hashes.

use super::types::{Ask, Mode};
use crate::catalog::Effort;
use crate::time::Ticks;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::hash::Hasher;

/// Conversations remembered; two generations, the older dropped when the newer is full.
pub const SESSIONS_MAX: usize = 100_000;
/// Prompt caches of providers live about this long.
const WARM_US: u64 = 300 * 1_000_000;

/// What a turn leaves for the next one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    pub offer: u32,
    pub effort: Option<Effort>,
    pub mode: Mode,
    /// Input and output tokens that the next turn's prompt begins with.
    pub tokens: u64,
    pub at: Ticks,
    pub probabilities: [f32; 9],
    pub difficulty: f32,
}

/// Sessions by key, bounded and forgetful.
#[derive(Debug, Default)]
pub struct Sessions {
    young: HashMap<u128, Turn>,
    old: HashMap<u128, Turn>,
}

impl Sessions {
    /// The last turn of this session unless it has been idle too long.
    pub fn get(&self, key: u128, now: Ticks, idle_s: u64) -> Option<&Turn> {
        let turn = self.young.get(&key).or_else(|| self.old.get(&key))?;
        (now.since(turn.at) <= idle_s.saturating_mul(1_000_000)).then_some(turn)
    }

    pub fn put(&mut self, key: u128, turn: Turn) {
        if self.young.len() >= SESSIONS_MAX / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, turn);
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Renames offers after a reload; turns of offers that are gone go with them.
    pub(super) fn rename(&mut self, renamed: &dyn Fn(u32) -> Option<u32>) {
        for turns in [&mut self.young, &mut self.old] {
            turns.retain(|_, turn| match renamed(turn.offer) {
                Some(offer) => {
                    turn.offer = offer;
                    true
                }
                None => false,
            });
        }
    }
}

impl Turn {
    /// Tokens of the prefix that the provider's cache still holds.
    pub(super) fn warm(&self, now: Ticks) -> u64 {
        if now.since(self.at) <= WARM_US { self.tokens } else { 0 }
    }
}

/// There is something to know the session by.
pub(super) fn has_key(ask: &Ask<'_>) -> bool {
    ask.options.session_id.is_some() || ask.scan.first_user.is_some()
}

/// The session of a request: its own id, else the beginning of its transcript. Never across
/// tenants. `None` where there is nothing to hold on to yet.
pub(super) fn key(ask: &Ask<'_>, mode: Mode) -> Option<u128> {
    let mut hasher = SipHasher13::new_with_keys(0x7034_3032, 0x7365_7373);
    let mut part = |tag: u8, bytes: &[u8]| {
        hasher.write_u8(tag);
        hasher.write_usize(bytes.len());
        hasher.write(bytes);
    };
    part(0, ask.tenant.as_bytes());
    if let Some(id) = &ask.options.session_id {
        part(1, id.as_bytes());
    } else {
        let scan = ask.scan;
        let first = scan.first_user?.of(ask.body);
        // The same opening in another mode is another wish, not the same conversation.
        part(2, mode.name().as_bytes());
        part(3, scan.system.map_or(b"", |span| span.of(ask.body)));
        part(4, scan.tools_field.map_or(b"", |field| field.value.of(ask.body)));
        part(5, first);
    }
    let hash = hasher.finish128();
    Some((u128::from(hash.h1) << 64) | u128::from(hash.h2))
}

/// The transcript shows that turns went before this one.
pub(super) fn is_follow_up(ask: &Ask<'_>) -> bool {
    ask.options.session_id.is_some() || ask.scan.user_turns > 1 || ask.scan.in_tool_loop
}
