//! Decides how near two texts are: one cosine, of int8 vectors on both sides, higher is nearer.
//! Does not search (index.rs) and does not know what made the vectors.

pub const DIMENSIONS: usize = 384;
pub(super) const WORDS: usize = DIMENSIONS / 64;

/// The signs of a vector, one bit each.
pub type Signs = [u64; WORDS];

/// An embedding as it is stored, searched and compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    pub values: [i8; DIMENSIONS],
    pub signs: Signs,
    length: f32,
}

impl Vector {
    /// Scales so that the largest value is ±127; a vector of zeros is near to nothing.
    pub fn of(floats: &[f32; DIMENSIONS]) -> Self {
        let most = floats.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let scale = if most > 0.0 { 127.0 / most } else { 0.0 };
        Self::from_bytes(floats.map(|value| (value * scale).round() as i8))
    }

    /// A vector as it was stored.
    pub fn from_bytes(values: [i8; DIMENSIONS]) -> Self {
        let mut signs = Signs::default();
        for (word, chunk) in signs.iter_mut().zip(values.chunks_exact(64)) {
            for (bit, value) in chunk.iter().enumerate() {
                *word |= u64::from(*value > 0) << bit;
            }
        }
        let length = (dot(&values, &values) as f32).sqrt();
        Self { values, signs, length }
    }

    /// The root of the sum of squares.
    pub const fn length(&self) -> f32 {
        self.length
    }

    /// −1 … 1; 0 where either is all zeros.
    pub fn cosine(&self, other: &Self) -> f32 {
        cosine_of(self, &other.values, other.length)
    }
}

/// The cosine to a vector that is stored in parts.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
pub(super) fn cosine_of(one: &Vector, values: &[i8; DIMENSIONS], length: f32) -> f32 {
    let lengths = one.length * length;
    if lengths > 0.0 { dot(&one.values, values) as f32 / lengths } else { 0.0 }
}

/// In 32 bits: 384 products of 127 × 127 stay far below the top.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
fn dot(a: &[i8; DIMENSIONS], b: &[i8; DIMENSIONS]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
