//! Decides how one node's memory of a tenant's spending is written down, and which bytes are none.
//! Does not decide what is unusual, or what the memories of several nodes come to (anomaly.rs).

use super::series::{SERIES_MAX, Series, SeriesKey};

/// The first byte. A node that finds another one leaves the bytes to whoever can read them.
const VERSION: u8 = 1;
/// Key, samples, mean, variance.
const SERIES_BYTES: usize = 32;
/// Logarithms of amounts lie below 44.
const MEAN_MAX: f64 = 64.0;

/// What one node has seen of a tenant's spending; each series once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub(super) series: Vec<(SeriesKey, Series)>,
}

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotError;

impl Snapshot {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.series.len() * SERIES_BYTES);
        out.push(VERSION);
        for (key, series) in &self.series {
            out.extend(key.0.to_le_bytes());
            out.extend(series.samples.to_le_bytes());
            out.extend(series.mean.to_le_bytes());
            out.extend(series.variance.to_le_bytes());
        }
        out
    }

    /// # Errors
    /// Another version, another length, a series twice, or a number that no series can have.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(SnapshotError) };
        let chunks = rest.chunks_exact(SERIES_BYTES);
        if !chunks.remainder().is_empty() || chunks.len() > SERIES_MAX {
            return Err(SnapshotError);
        }
        let mut read = Self::default();
        for chunk in chunks {
            let (key, series) = one(chunk).ok_or(SnapshotError)?;
            if read.series.iter().any(|(known, _)| *known == key) {
                return Err(SnapshotError);
            }
            read.series.push((key, series));
        }
        Ok(read)
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

/// One series, if its numbers can be those of one.
fn one(chunk: &[u8]) -> Option<(SeriesKey, Series)> {
    let word = |at: usize| chunk.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let (samples, mean) = (word(8)?, f64::from_bits(word(16)?));
    let variance = f64::from_bits(word(24)?);
    let sane =
        samples > 0 && mean.abs() <= MEAN_MAX && (0.0..=MEAN_MAX * MEAN_MAX).contains(&variance);
    sane.then_some((SeriesKey(word(0)?), Series { samples, mean, variance }))
}
