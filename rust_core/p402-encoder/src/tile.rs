//! Decides the sums of a few rows with 64 columns of weights, on the widest integer unit there is.
//! Does not know scales or layers (linear.rs): unsigned times signed bytes, summed in 32 bits.

/// Columns of a tile.
pub const COLUMNS: usize = 64;
/// Rows of a tile: with 64 columns their sums fill the registers, and leave room for the factors.
pub const ROWS_MAX: usize = 6;

/// Four inputs of sixteen columns: `[column][input]`.
/// On a cache line of its own: a load never touches two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Block(pub [i8; 64]);
/// One column block of a matrix: for each four inputs, four [`Block`]s side by side.
pub type Column = [[Block; 4]];
pub type Sums = [i32; COLUMNS];

/// With dot products of four bytes in one instruction.
#[cfg(target_arch = "x86_64")]
pub mod wide {
    use super::{COLUMNS, Column, Sums};
    use std::arch::x86_64::{_mm512_dpbusd_epi32, _mm512_set1_epi32, _mm512_setzero_si512};

    /// # Safety
    /// The processor has what is named below; the compiler checks it of safe callers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub fn sums<const ROWS: usize>(rows: &[&[[u8; 4]]; ROWS], column: &Column) -> [Sums; ROWS] {
        let mut sums = [[_mm512_setzero_si512(); 4]; ROWS];
        if rows.iter().all(|row| row.len() == column.len()) {
            for (at, blocks) in column.iter().enumerate() {
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let inputs = _mm512_set1_epi32(i32::from_le_bytes(row[at]));
                    for (sum, weights) in sums.iter_mut().zip(blocks) {
                        *sum = _mm512_dpbusd_epi32(*sum, inputs, bytemuck::cast(weights.0));
                    }
                }
            }
        }
        let mut all = [[0; COLUMNS]; ROWS];
        for (all, sums) in all.iter_mut().zip(&sums) {
            for (all, sum) in all.as_chunks_mut::<16>().0.iter_mut().zip(sums) {
                *all = bytemuck::cast(*sum);
            }
        }
        all
    }
}

/// With two products a 16-bit sum: 255 × 63 × 2 fits.
#[cfg(target_arch = "x86_64")]
pub mod narrow {
    use super::{COLUMNS, Column, Sums};
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_setzero_si256,
    };

    /// # Safety
    /// The processor has what is named below; the compiler checks it of safe callers.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub fn sums<const ROWS: usize>(rows: &[&[[u8; 4]]; ROWS], column: &Column) -> [Sums; ROWS] {
        let mut all = [[0; COLUMNS]; ROWS];
        let ones = _mm256_set1_epi16(1);
        for quarter in 0..4 {
            let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
            for (at, blocks) in column.iter().enumerate() {
                let weights: [__m256i; 2] = bytemuck::cast(blocks[quarter].0);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let inputs = row.get(at).copied().unwrap_or_default();
                    let inputs = _mm256_set1_epi32(i32::from_le_bytes(inputs));
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        let pairs = _mm256_maddubs_epi16(inputs, weights);
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                    }
                }
            }
            for (all, sums) in all.iter_mut().zip(sums) {
                let own: [i32; 16] = bytemuck::cast(sums);
                all[quarter * 16..][..16].copy_from_slice(&own);
            }
        }
        all
    }
}

/// On any processor; the compiler may find better.
#[inline]
pub fn plain<const ROWS: usize>(rows: &[&[[u8; 4]]; ROWS], column: &Column) -> [Sums; ROWS] {
    let mut all = [[0_i32; COLUMNS]; ROWS];
    for (at, blocks) in column.iter().enumerate() {
        for (sums, row) in all.iter_mut().zip(rows) {
            let inputs = row.get(at).copied().unwrap_or_default().map(i32::from);
            for (sums, block) in sums.chunks_exact_mut(16).zip(blocks) {
                for (sum, weights) in sums.iter_mut().zip(block.0.as_chunks::<4>().0) {
                    let products = inputs.iter().zip(weights);
                    let products = products.map(|(input, weight)| input * i32::from(*weight));
                    *sum = sum.wrapping_add(products.sum());
                }
            }
        }
    }
    all
}
