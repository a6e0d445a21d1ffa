//! Decides what is unusual in a series of spending: mean and variance of logarithms, one z-score.
//! Does not hold or move money: floats live here and in anomaly.rs, and only judge.

use crate::money::Usd;
use crate::number::ln;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Series kept per tenant; the one not used for longest goes.
pub const SERIES_MAX: usize = 64;

/// When a sample is unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watch {
    /// Standard deviations above the mean from which a sample is flagged.
    pub z: f64,
    /// Samples before anything is flagged.
    pub samples_min: u64,
    /// Weight of a new sample once `1 / n` is smaller.
    pub alpha: f64,
    /// Smaller amounts are not looked at.
    pub floor: Usd,
    /// A flagged claim is refused; else it is only told.
    pub block: bool,
}

/// What is compared with what: claims with claims, bills with bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Estimate,
    Actual,
}

/// Names a series: planned model × kind of route × stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey(pub(super) u64);

/// A growing mean and variance (Welford's while young, exponentially forgetting after).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Series {
    pub(super) samples: u64,
    pub(super) mean: f64,
    pub(super) variance: f64,
}

/// What several nodes have seen of one series, each at the weight of what it still remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pool {
    seen: Series,
    weight: f64,
}

/// One unusual sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flag {
    pub z: f64,
    pub samples: u64,
    /// The geometric mean it was compared with.
    pub typical: Usd,
}

/// A history without spread flags what is above × 1.35, not the first odd cent: e^(3 · √0.01).
const VARIANCE_MIN: f64 = 0.01;

impl Watch {
    /// The logarithm of an amount worth looking at.
    pub(super) fn sample(&self, amount: Usd) -> Option<f64> {
        let looked_at = amount > Usd::ZERO && amount >= self.floor;
        looked_at.then(|| ln(amount.nano() as f64))
    }
}

impl SeriesKey {
    /// The series of spending per minute.
    pub(super) const RATE: Self = Self(0);

    pub fn new(model: &str, kind: &str, stage: Stage) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0, stage as u64);
        hasher.write(model.as_bytes());
        // No byte of a name: two halves cannot be divided in another place.
        hasher.write_u8(0xff);
        hasher.write(kind.as_bytes());
        Self(hasher.finish().max(1))
    }
}

impl Series {
    /// Whether the sample is unusual, if the series is old enough to tell.
    pub fn judge(&self, sample: f64, watch: &Watch) -> Option<Flag> {
        let z = (sample - self.mean) / self.deviation();
        // Told to people only: no decision hangs on the last bit of this exponential.
        let typical = Usd::from_nano(self.mean.exp() as i64);
        let flagged = self.samples >= watch.samples_min && z >= watch.z;
        flagged.then_some(Flag { z, samples: self.samples, typical })
    }

    /// Takes a sample in; one that `seen` (this series, or the pool of all nodes) finds unusual
    /// enters cut to the edge of the usual, so that a loop cannot teach that loops are normal.
    pub fn learn(&mut self, sample: f64, seen: &Self, watch: &Watch) {
        let edge = watch.z * seen.deviation();
        let sample = match seen.judge(sample, watch) {
            Some(_) => sample.clamp(seen.mean - edge, seen.mean + edge),
            None => sample,
        };
        self.samples = self.samples.saturating_add(1);
        let weight = (1.0 / self.samples as f64).max(watch.alpha);
        let off = sample - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
    }

    fn deviation(&self) -> f64 {
        self.variance.max(VARIANCE_MIN).sqrt()
    }
}

impl Pool {
    /// One node's. A count weighs no more than what the forgetting leaves of it.
    pub fn of(seen: Series, watch: &Watch) -> Self {
        Self { seen, weight: (seen.samples as f64).min(1.0 / watch.alpha) }
    }

    /// Both as one: the parallel form of the variance. In which order nodes come tells nothing.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let weight = self.weight + other.weight;
        if weight <= 0.0 {
            return *self;
        }
        let (ours, theirs) = (&self.seen, &other.seen);
        let (share, apart) = (other.weight / weight, theirs.mean - ours.mean);
        let seen = Series {
            samples: ours.samples.saturating_add(theirs.samples),
            mean: ours.mean + apart * share,
            variance: ours.variance * (1.0 - share)
                + theirs.variance * share
                + apart * apart * share * (1.0 - share),
        };
        Self { seen, weight }
    }

    pub const fn seen(&self) -> &Series {
        &self.seen
    }
}
