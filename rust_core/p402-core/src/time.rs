//! Decides what an instant, a span and a day are; all of them integers of microseconds.
//! Does not read a clock: every instant comes in as an argument.

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A point of a monotonic clock, microseconds since an arbitrary start; only differences mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(u64);

/// One reading of both clocks, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: prices, windows, days, `created`.
    pub utc: Timestamp,
    /// Monotonic clock: latencies, cooldowns, budgets.
    pub ticks: Ticks,
}

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }
    pub const fn micros(self) -> i64 {
        self.0
    }
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl Ticks {
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }
    pub const fn micros(self) -> u64 {
        self.0
    }
    /// Microseconds from `earlier` to `self`, zero where the order is reversed.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
    /// The point `ms` milliseconds later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}
