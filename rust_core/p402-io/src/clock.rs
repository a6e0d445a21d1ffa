//! Reads the two clocks, wall and monotonic, together.
//! Does not decide with them: core takes `Now` as an argument.

use p402_core::time::{Now, Ticks, Timestamp};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// Where the gateway's time comes from.
pub trait Clock: Send + Sync {
    fn now(&self) -> Now;
}

/// The host's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

/// A clock that stands until it is moved; for tests and replays, in Rust and in Python alike.
#[derive(Debug, Default)]
pub struct ManualClock {
    utc_micros: AtomicI64,
    ticks_micros: AtomicU64,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let utc = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let ticks = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { utc: Timestamp::from_micros(utc), ticks: Ticks::from_micros(ticks) }
    }
}

impl ManualClock {
    /// Starts at this wall-clock instant and at zero ticks.
    pub fn at(utc: Timestamp) -> Self {
        Self { utc_micros: AtomicI64::new(utc.micros()), ticks_micros: AtomicU64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance_micros(&self, micros: u64) {
        self.utc_micros.fetch_add(micros as i64, Ordering::SeqCst);
        self.ticks_micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        Now {
            utc: Timestamp::from_micros(self.utc_micros.load(Ordering::SeqCst)),
            ticks: Ticks::from_micros(self.ticks_micros.load(Ordering::SeqCst)),
        }
    }
}
