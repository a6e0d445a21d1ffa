//! Decides how fast an arm is: decayed percentiles, leaning on the prior while samples are few.
//! Does not know what is normal for a provider: priors come from the table.

use crate::time::Ticks;

/// Sketches kept; beyond them an arm stays with its prior.
pub(super) const SKETCHES_MAX: usize = 2_048;
/// Prompt sizes that are told apart, in tokens.
pub(super) const SIZES: usize = 4;
/// Weight of the prior, in observations.
const PRIOR: f64 = 5.0;
const HALF_LIFE_US: f64 = 30.0 * 60.0 * 1e6;
/// Cells grow by a seventh: 10 ms to 11 min in 84 of them.
const CELLS: usize = 84;
const LOWEST_MS: f64 = 10.0;
const GROWTH_LOG2: f64 = 0.192_645_077_942_396;
/// Cells are scaled down before they lose precision.
const WEIGHT_MAX: f64 = 1e6;

/// Which of the four prompt sizes a request belongs to.
pub(super) const fn size_of(input_tokens: u64) -> usize {
    match input_tokens {
        0..=1_000 => 0,
        1_001..=8_000 => 1,
        8_001..=32_000 => 2,
        _ => 3,
    }
}

/// A histogram on a log scale whose old samples weigh less and less.
#[derive(Clone, Debug)]
pub struct Sketch {
    cells: [f32; CELLS],
    total: f64,
    /// Samples seen in all.
    count: u32,
    /// Weights are powers of two of the time since this instant.
    origin: Ticks,
}

impl Sketch {
    pub fn new(now: Ticks) -> Self {
        Self { cells: [0.0; CELLS], total: 0.0, count: 0, origin: now }
    }

    pub fn add(&mut self, ms: f64, now: Ticks) {
        let mut weight = (now.since(self.origin) as f64 / HALF_LIFE_US).exp2();
        if weight > WEIGHT_MAX {
            self.cells.iter_mut().for_each(|cell| *cell = (f64::from(*cell) / weight) as f32);
            self.total /= weight;
            self.origin = now;
            weight = 1.0;
        }
        let cell = ((ms.max(LOWEST_MS) / LOWEST_MS).log2() / GROWTH_LOG2) as usize;
        if let Some(cell) = self.cells.get_mut(cell.min(CELLS - 1)) {
            *cell += weight as f32;
            self.total += weight;
            self.count = self.count.saturating_add(1);
        }
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// The `share`-quantile, interpolated within its cell; `None` without samples.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.total <= 0.0 {
            return None;
        }
        let wanted = share * self.total;
        let mut below = 0.0;
        for (at, cell) in self.cells.iter().enumerate() {
            let weight = f64::from(*cell);
            if weight > 0.0 && below + weight >= wanted {
                let part = ((wanted - below) / weight).clamp(0.0, 1.0);
                return Some(LOWEST_MS * ((at as f64 + part) * GROWTH_LOG2).exp2());
            }
            below += weight;
        }
        Some(LOWEST_MS * (CELLS as f64 * GROWTH_LOG2).exp2())
    }

    /// The quantile and the prior, weighed by how much has been seen.
    pub fn blended(&self, share: f64, prior_ms: f64) -> f64 {
        let seen = f64::from(self.count.min(1_000));
        self.quantile(share).map_or(prior_ms, |ms| (PRIOR * prior_ms + seen * ms) / (PRIOR + seen))
    }
}
