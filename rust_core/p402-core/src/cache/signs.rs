//! Decides which of eight entries that stand side by side differ from a wanted one in few signs.
//! Does not know how many are few (index.rs) nor what the signs are of.

/// Entries whose words stand side by side: one instruction looks at all of them.
pub const LANES: usize = 8;

/// The same word of each, word after word.
pub type Block<const N: usize> = [[u64; LANES]; N];

/// With eight words counted in one instruction; the compiler alone finds it for two words, no more.
#[cfg(target_arch = "x86_64")]
pub mod wide {
    use super::Block;
    use std::arch::x86_64::{
        _mm512_add_epi64, _mm512_cmple_epu64_mask, _mm512_popcnt_epi64, _mm512_set_epi64,
        _mm512_set1_epi64, _mm512_setzero_si512, _mm512_xor_si512,
    };

    /// # Safety
    /// The processor has what is named below; the compiler checks it of safe callers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    pub fn within<const N: usize>(block: &Block<N>, wanted: &[u64; N], radius: u64) -> u8 {
        let mut apart = _mm512_setzero_si512();
        for (words, wanted) in block.iter().zip(wanted) {
            let [w0, w1, w2, w3, w4, w5, w6, w7] = words.map(u64::cast_signed);
            let words = _mm512_set_epi64(w7, w6, w5, w4, w3, w2, w1, w0);
            let differ = _mm512_xor_si512(words, _mm512_set1_epi64(wanted.cast_signed()));
            apart = _mm512_add_epi64(apart, _mm512_popcnt_epi64(differ));
        }
        _mm512_cmple_epu64_mask(apart, _mm512_set1_epi64(radius.cast_signed()))
    }
}

/// One bit for each that differs in at most `radius` signs; on any processor.
#[inline(always)]
#[expect(clippy::inline_always, reason = "only inlined code is compiled for the processor found")]
pub fn within<const N: usize>(block: &Block<N>, wanted: &[u64; N], radius: u64) -> u8 {
    let mut apart = [0; LANES];
    for (words, wanted) in block.iter().zip(wanted) {
        for (apart, word) in apart.iter_mut().zip(words) {
            *apart += u64::from((word ^ wanted).count_ones());
        }
    }
    let bits = apart.iter().enumerate();
    bits.fold(0, |bits, (lane, apart)| bits | u8::from(*apart <= radius) << lane)
}
