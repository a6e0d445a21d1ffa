//! Decides whether a server of the store is asked at all: open, closed, and what changes it.
//! Does not probe and reads no clock: outcomes and instants come in.

use p402_core::time::Ticks;

/// Failures in a row that open it.
const ROW: u32 = 3;
/// Or half of the calls of a second, where there were this many.
const SAMPLE: u32 = 20;
const WINDOW_US: u64 = 1_000_000;
/// Good probes that close it; more of them after it has opened twice within the memory below.
const GOOD: u32 = 2;
const GOOD_AFTER_FLAPS: u32 = 5;
const FLAPS: usize = 2;
const FLAPS_US: u64 = 10_000_000;

/// How a call that counts has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Failed,
    /// Nobody listens there: no second opinion is needed.
    Refused,
}

/// The breaker of one server.
#[derive(Debug, Default)]
pub struct Breaker {
    is_open: bool,
    in_a_row: u32,
    good_probes: u32,
    tally: Tally,
    /// When it last opened, newest first.
    opened: [Option<Ticks>; FLAPS],
}

/// Calls of the window that began at `from`.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    from: Ticks,
    calls: u32,
    failed: u32,
}

impl Breaker {
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// A call has ended; whether this opened the breaker. What was still on the wire when it
    /// opened teaches nothing.
    pub fn note(&mut self, outcome: Outcome, now: Ticks) -> bool {
        if self.is_open {
            return false;
        }
        let failed = outcome != Outcome::Answered;
        self.tally.count(failed, now);
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        let opens = outcome == Outcome::Refused || self.in_a_row >= ROW || self.tally.is_bad();
        if failed && opens {
            self.open(now);
        }
        failed && opens
    }

    /// A probe has ended; whether this closed the breaker.
    pub fn probed(&mut self, good: bool, now: Ticks) -> bool {
        self.good_probes = if good { self.good_probes + 1 } else { 0 };
        let closes = self.is_open && self.good_probes >= self.needed(now);
        if closes {
            *self = Self { opened: self.opened, ..Self::default() };
        }
        closes
    }

    /// One good probe was not enough, the next one will be: it need not wait for its turn.
    pub fn is_nearly_closed(&self, now: Ticks) -> bool {
        self.is_open && self.good_probes > 0 && self.needed(now) == GOOD
    }

    fn needed(&self, now: Ticks) -> u32 {
        let flaps = self.opened.iter().flatten().filter(|at| now.since(**at) < FLAPS_US).count();
        if flaps >= FLAPS { GOOD_AFTER_FLAPS } else { GOOD }
    }

    fn open(&mut self, now: Ticks) {
        self.opened.rotate_right(1);
        self.opened[0] = Some(now);
        *self = Self { is_open: true, opened: self.opened, ..Self::default() };
    }
}

impl Tally {
    fn count(&mut self, failed: bool, now: Ticks) {
        if now.since(self.from) >= WINDOW_US {
            *self = Self { from: now, ..Self::default() };
        }
        self.calls += 1;
        self.failed += u32::from(failed);
    }

    const fn is_bad(self) -> bool {
        self.calls >= SAMPLE && self.failed * 2 >= self.calls
    }
}
