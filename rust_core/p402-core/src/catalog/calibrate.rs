//! Decides how far the byte estimate is off at each offer, from what upstreams report.
//! Does not estimate (estimate.rs); holds learnt data only, bounded by offers × scripts.

use super::estimate::Script;

/// Ratios of reported to estimated input, one cell per offer and script.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// By script: a request reads one row of them, offer by offer.
    cells: [Vec<Cell>; Script::ALL.len()],
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    samples: u32,
    mean: f32,
    /// Decayed mean of the squared distance from the mean.
    variance: f32,
}

/// Before this many samples the factor table stands alone.
const SAMPLES_MIN: u32 = 20;
/// The weight of the newest sample never falls below one in this many.
const MEMORY_SAMPLES: u32 = 64;
const RATIO_MIN: f32 = 0.5;
const RATIO_MAX: f32 = 3.0;
/// Standard deviations from the mean to the 99th percentile of a normal distribution.
const P99_DEVIATIONS: f32 = 2.326;
/// Headroom over the 99th percentile in a claim.
const CLAIM_HEADROOM: f32 = 1.05;

impl Calibration {
    /// A table for a catalogue of so many offers.
    pub fn new(offers: usize) -> Self {
        let blank = Cell { samples: 0, mean: 1.0, variance: 0.0 };
        Self { cells: Script::ALL.map(|_| vec![blank; offers]) }
    }

    /// Learns from one answer; nothing is learnt from empty counts or an unknown offer.
    pub fn record(&mut self, offer: usize, script: Script, estimated: u64, reported: u64) {
        if estimated == 0 || reported == 0 {
            return;
        }
        let cells = self.cells.get_mut(script as usize);
        let Some(cell) = cells.and_then(|cells| cells.get_mut(offer)) else { return };
        let ratio = (reported as f32 / estimated as f32).clamp(RATIO_MIN, RATIO_MAX);
        cell.samples = cell.samples.saturating_add(1);
        let weight = 1.0 / cell.samples.min(MEMORY_SAMPLES) as f32;
        let distance = ratio - cell.mean;
        cell.mean += weight * distance;
        cell.variance += weight * (distance * (ratio - cell.mean) - cell.variance);
    }

    /// The estimate, corrected where enough answers were seen.
    pub fn correct(&self, offer: usize, script: Script, estimated: u64) -> u64 {
        self.corrected(offer, script, estimated as f64) as u64
    }

    /// The same where a number of tokens is needed as a float.
    #[inline]
    pub(crate) fn corrected(&self, offer: usize, script: Script, estimated: f64) -> f64 {
        match self.learnt(offer, script) {
            Some(cell) => scale(estimated, cell.mean),
            None => estimated,
        }
    }

    /// The bound of a claim: the byte bound, or less once the 99th percentile is known.
    pub fn bound(&self, offer: usize, script: Script, estimated: u64, bytes_bound: u64) -> u64 {
        match self.learnt(offer, script) {
            Some(cell) => {
                let p99 = cell.mean + P99_DEVIATIONS * cell.variance.max(0.0).sqrt();
                bytes_bound.min(scale(estimated as f64, p99 * CLAIM_HEADROOM) as u64)
            }
            None => bytes_bound,
        }
    }

    fn learnt(&self, offer: usize, script: Script) -> Option<&Cell> {
        let cell = self.cells.get(script as usize)?.get(offer)?;
        (cell.samples >= SAMPLES_MIN).then_some(cell)
    }
}

fn scale(tokens: f64, ratio: f32) -> f64 {
    (tokens * f64::from(ratio)).ceil()
}
