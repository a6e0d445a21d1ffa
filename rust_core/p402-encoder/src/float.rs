//! Decides what happens to rows of floats between the layers: norm, activation, exponents.
//! Does not multiply matrices (linear.rs, attention.rs).

use multiversion::multiversion;
use p402_core::cache::similarity::DIMENSIONS;

/// As many floats as are summed side by side.
pub(crate) const LANES: usize = 16;
const EPSILON: f32 = 1e-12;
/// Adding this to a small float leaves its nearest integer in the lowest bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Weight and bias of a normalisation.
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Norm {
    /// Each row gets mean 0 and variance 1, then the learnt scale.
    pub(crate) fn apply(&self, rows: &mut [f32]) {
        normalise(self, rows);
    }
}

/// Folds a row lane by lane, which the compiler can do in one register.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
pub(crate) fn lanes(row: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut all = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in all.iter_mut().zip(chunk) {
            *lane = fold(*lane, *value);
        }
    }
    for (lane, value) in all.iter_mut().zip(rest) {
        *lane = fold(*lane, *value);
    }
    all
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+fma", "x86_64+avx2+fma"))]
fn normalise(norm: &Norm, rows: &mut [f32]) {
    for row in rows.chunks_exact_mut(DIMENSIONS) {
        let sum: f32 = lanes(row, 0.0, |sum, value| sum + value).iter().sum();
        let mean = sum / DIMENSIONS as f32;
        let off = |sum, value| sum + (value - mean) * (value - mean);
        let variance: f32 = lanes(row, 0.0, off).iter().sum::<f32>() / DIMENSIONS as f32;
        let scale = (variance + EPSILON).sqrt().recip();
        for (value, (weight, bias)) in row.iter_mut().zip(norm.weight.iter().zip(&norm.bias)) {
            *value = (*value - mean) * scale * weight + bias;
        }
    }
}

/// Adds row to row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+fma", "x86_64+avx2+fma"))]
pub(crate) fn add(rows: &mut [f32], more: &[f32]) {
    for (value, more) in rows.iter_mut().zip(more) {
        *value += more;
    }
}

/// The Gaussian error linear unit, each value's own.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+fma", "x86_64+avx2+fma"))]
pub(crate) fn gelu(values: &mut [f32]) {
    for value in values {
        *value *= 0.5 * (1.0 + erf(*value * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// Abramowitz and Stegun 7.1.26: off by less than 2e-7.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let terms = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let sum = terms.iter().fold(0.0, |sum, term| sum * t + term) * t;
    (1.0 - sum * exp(-size * size)).copysign(x)
}

/// e to the power of x ≤ 0; what is too small to matter is nearly nothing.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
pub(crate) fn exp(x: f32) -> f32 {
    let x = if x > -87.0 { x } else { -87.0 };
    let whole = x * std::f32::consts::LOG2_E + ROUND;
    let scale = f32::from_bits((whole.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let rest = x - (whole - ROUND) * std::f32::consts::LN_2;
    let terms = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    terms.iter().fold(0.0, |sum, term| sum * rest + term) * scale
}
