//! Decides a vector by hashing words: texts with the same words are near. For tests and demos.
//! Does not know any meaning; shipped code, so that a test needs no weights.

use super::{Embedder, Embedding};
use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_core::text::words;
use std::time::Duration;

/// An encoder without weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed;

impl Hashed {
    /// The vector of a bag of words.
    pub fn vector(text: &str) -> Vector {
        let mut floats = [0.0_f32; DIMENSIONS];
        for word in words::split(text) {
            let mut state = word.folded.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            for value in &mut floats {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *value += if state >> 63 == 0 { 1.0 } else { -1.0 };
            }
        }
        Vector::of(&floats)
    }
}

impl Embedder for Hashed {
    fn id(&self) -> &'static str {
        "hashed"
    }

    fn embed(&self, _tenant: &str, text: &str, _deadline: Duration) -> Embedding {
        let vector = Self::vector(text);
        Box::pin(std::future::ready(Ok(vector)))
    }
}
