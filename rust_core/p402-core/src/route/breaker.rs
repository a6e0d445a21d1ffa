//! Decides when an endpoint is left alone after failures, and when one request may try it again.
//! Does not know what failed or why; 429s and client faults never reach it.

use crate::time::Ticks;

const CONSECUTIVE_MAX: u32 = 5;
const SHARE_SAMPLES_MIN: u32 = 10;
const WINDOW_S: u64 = 10;
const OPEN_FIRST_MS: u64 = 5_000;
const OPEN_MAX_MS: u64 = 120_000;
/// Jitter: ± 20 % in thousandths.
const JITTER_MILLI: u64 = 200;
const CLOSE_AFTER: u32 = 2;
/// A probe that never reported is given up after this; it cannot shut the endpoint for ever.
const PROBE_LOST_MS: u64 = 600_000;
const SLOTS: usize = WINDOW_S as usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Ticks,
    },
    /// Exactly one request is let through at a time.
    HalfOpen {
        probe: Option<Ticks>,
        successes: u32,
    },
}

/// One second of results.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u64,
    failed: u32,
    total: u32,
}

/// One endpoint's breaker: three named states and a ten-second window.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    consecutive: u32,
    slots: [Slot; SLOTS],
    /// How often it opened without closing between: doubles the wait.
    level: u32,
    /// Counts openings; a result of an older generation began before the opening and is ignored.
    generation: u32,
}

/// Leave to send one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leave {
    pub generation: u32,
    /// It is the one request that tries a half-open endpoint.
    pub probe: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed,
            consecutive: 0,
            slots: [Slot::default(); SLOTS],
            level: 0,
            generation: 0,
        }
    }
}

impl Breaker {
    /// When a request may go to this endpoint again; `None` = now.
    pub fn shut_until(&self, now: Ticks) -> Option<Ticks> {
        match self.state {
            State::Closed => None,
            State::Open { until } => (until > now).then_some(until),
            State::HalfOpen { probe, .. } => {
                probe.map(|sent| sent.plus_ms(PROBE_LOST_MS)).filter(|lost| *lost > now)
            }
        }
    }

    /// True from the opening until it closes again.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Asks to send one request now. Half-open admits one, and only where failover stands behind
    /// it (`first`); `forced` is panic mode, which sends past an open breaker.
    pub fn leave(&mut self, now: Ticks, first: bool, forced: bool) -> Option<Leave> {
        let generation = self.generation;
        if self.shut_until(now).is_some() {
            return forced.then_some(Leave { generation, probe: false });
        }
        match self.state {
            State::Closed => Some(Leave { generation, probe: false }),
            State::Open { .. } | State::HalfOpen { .. } if first || forced => {
                let successes = match self.state {
                    State::HalfOpen { successes, .. } => successes,
                    _ => 0,
                };
                self.state = State::HalfOpen { probe: Some(now), successes };
                Some(Leave { generation, probe: true })
            }
            State::Open { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// A probe ended without a verdict (client gone, 429): the next request may probe.
    pub fn release(&mut self, leave: Leave) {
        let own = leave.probe && leave.generation == self.generation;
        if let (true, State::HalfOpen { successes, .. }) = (own, self.state) {
            self.state = State::HalfOpen { probe: None, successes };
        }
    }

    pub fn succeeded(&mut self, leave: Leave, now: Ticks) {
        if leave.generation != self.generation {
            return;
        }
        match self.state {
            State::Closed => {
                self.consecutive = 0;
                self.count(now, false);
            }
            State::HalfOpen { successes, .. } if leave.probe => {
                let successes = successes + 1;
                if successes >= CLOSE_AFTER {
                    *self = Self { generation: self.generation, ..Self::default() };
                } else {
                    self.state = State::HalfOpen { probe: None, successes };
                }
            }
            // A forced request through an open breaker proves as little as a late one.
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// `jitter` is 64 drawn bits.
    pub fn failed(&mut self, leave: Leave, now: Ticks, jitter: u64) {
        if leave.generation != self.generation {
            return;
        }
        match self.state {
            State::Closed => {
                self.consecutive += 1;
                self.count(now, true);
                let (failed, total) = self.window(now);
                let share = total >= SHARE_SAMPLES_MIN && failed * 2 >= total;
                if self.consecutive >= CONSECUTIVE_MAX || share {
                    self.open(now, jitter);
                }
            }
            State::HalfOpen { .. } if leave.probe => self.open(now, jitter),
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    fn open(&mut self, now: Ticks, jitter: u64) {
        let base = (OPEN_FIRST_MS << self.level.min(10)).min(OPEN_MAX_MS);
        let milli = 1_000 - JITTER_MILLI + jitter % (2 * JITTER_MILLI + 1);
        self.state = State::Open { until: now.plus_ms(base * milli / 1_000) };
        self.level += 1;
        self.generation = self.generation.wrapping_add(1);
        self.consecutive = 0;
        self.slots = [Slot::default(); SLOTS];
    }

    fn count(&mut self, now: Ticks, failed: bool) {
        let second = now.micros() / 1_000_000;
        if let Some(slot) = self.slots.get_mut((second % WINDOW_S) as usize) {
            if slot.second != second {
                *slot = Slot { second, ..Slot::default() };
            }
            slot.total += 1;
            slot.failed += u32::from(failed);
        }
    }

    fn window(&self, now: Ticks) -> (u32, u32) {
        let second = now.micros() / 1_000_000;
        let live = self.slots.iter().filter(|slot| slot.second + WINDOW_S > second);
        live.fold((0, 0), |(failed, total), slot| (failed + slot.failed, total + slot.total))
    }
}
