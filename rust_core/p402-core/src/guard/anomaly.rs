//! Decides layer 4: which costs, and which minutes of spending, are unlike the tenant's own past.
//! Does not stop anything by itself (block mode is the caller's) and asks no store.

use super::series::{Flag, Series, Watch};
use crate::money::Usd;
use crate::time::{Day, Timestamp};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// Series kept per tenant; the one not used for longest goes.
pub const SERIES_MAX: usize = 64;
/// A series in a snapshot: key, samples, mean, variance.
const SERIES_BYTES: usize = 32;
/// The spending rate is seen in parts of this length, four to the minute.
const PART_US: i64 = 15_000_000;
const PARTS: usize = 4;

/// What is compared with what: claims with claims, bills with bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Estimate,
    Actual,
}

/// Names a series: planned model × kind of route × stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey(u64);

#[derive(Clone, Copy, Debug)]
struct Kept {
    key: SeriesKey,
    own: Series,
    /// What the other nodes have seen.
    foreign: Series,
    used: u64,
}

/// What one tenant usually spends, as this node knows it.
#[derive(Clone, Debug, Default)]
pub struct Anomaly {
    series: Vec<Kept>,
    uses: u64,
    minute: Minute,
}

/// The last minute of spending, of all nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    day: Day,
    /// The day's total as last seen; none before the first sight.
    total: Option<i64>,
    /// Number of the current part since 1970.
    part: i64,
    parts: [i64; PARTS],
}

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotError;

impl SeriesKey {
    /// The series of spending per minute.
    const RATE: Self = Self(0);

    pub fn new(model: &str, kind: &str, stage: Stage) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0, stage as u64);
        hasher.write(model.as_bytes());
        // No byte of a name: two halves cannot be divided in another place.
        hasher.write_u8(0xff);
        hasher.write(kind.as_bytes());
        Self(hasher.finish().max(1))
    }
}

impl Anomaly {
    /// Whether this cost is unusual in its series; nothing is learnt.
    pub fn judge(&self, key: SeriesKey, cost: Usd, watch: &Watch) -> Option<Flag> {
        let kept = self.series.iter().find(|kept| kept.key == key)?;
        kept.pooled(watch).judge(watch.sample(cost)?, watch)
    }

    /// Judges a cost and takes it in.
    pub fn observe(&mut self, key: SeriesKey, cost: Usd, watch: &Watch) -> Option<Flag> {
        let sample = watch.sample(cost)?;
        let kept = self.kept(key);
        let pooled = kept.pooled(watch);
        kept.own.learn(sample, &pooled, watch);
        pooled.judge(sample, watch)
    }

    /// Looks at the day's total in a reply of the account: is the last minute's spending unusual?
    pub fn observe_total(
        &mut self,
        day: Day,
        spent: Usd,
        now: Timestamp,
        watch: &Watch,
    ) -> Option<Flag> {
        let ended = self.minute.turn(now.micros().div_euclid(PART_US));
        self.minute.add(day, spent.nano());
        if let Some(sample) = ended.and_then(|minute| watch.sample(minute)) {
            let kept = self.kept(SeriesKey::RATE);
            let pooled = kept.pooled(watch);
            kept.own.learn(sample, &pooled, watch);
        }
        let window = Usd::from_nano(self.minute.parts.iter().sum());
        self.judge(SeriesKey::RATE, window, watch)
    }

    /// What this node itself has seen, least recently used first.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut kept: Vec<&Kept> = self.series.iter().filter(|kept| kept.own.samples > 0).collect();
        kept.sort_unstable_by_key(|kept| kept.used);
        let mut out = Vec::with_capacity(kept.len() * SERIES_BYTES);
        for kept in kept {
            out.extend(kept.key.0.to_le_bytes());
            out.extend(kept.own.samples.to_le_bytes());
            out.extend(kept.own.mean.to_le_bytes());
            out.extend(kept.own.variance.to_le_bytes());
        }
        out
    }

    /// A node's memory from its own snapshot.
    pub fn restored(snapshot: &[u8]) -> Result<Self, SnapshotError> {
        let mut anomaly = Self::default();
        for (key, own) in read(snapshot)? {
            anomaly.kept(key).own = own;
        }
        Ok(anomaly)
    }

    /// Replaces what is known of the other nodes by their snapshots.
    pub fn pool<'a>(
        &mut self,
        others: impl IntoIterator<Item = &'a [u8]>,
        watch: &Watch,
    ) -> Result<(), SnapshotError> {
        let others = others.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for kept in &mut self.series {
            kept.foreign = Series::default();
        }
        for (key, theirs) in others.into_iter().flatten() {
            // A full table keeps what this node itself has used.
            let known = self.series.iter().any(|kept| kept.key == key);
            if known || self.series.len() < SERIES_MAX {
                let kept = self.kept(key);
                kept.foreign = kept.foreign.merged(&theirs, watch);
            }
        }
        Ok(())
    }

    /// The series of this name, made if need be in the place of the one not used for longest.
    fn kept(&mut self, key: SeriesKey) -> &mut Kept {
        self.uses += 1;
        let found = self.series.iter().position(|kept| kept.key == key);
        let at = found.unwrap_or_else(|| self.place(key));
        let kept = &mut self.series[at];
        kept.used = self.uses;
        kept
    }

    fn place(&mut self, key: SeriesKey) -> usize {
        let empty = Kept { key, own: Series::default(), foreign: Series::default(), used: 0 };
        if self.series.len() < SERIES_MAX {
            self.series.push(empty);
            return self.series.len() - 1;
        }
        let oldest = self.series.iter().enumerate().min_by_key(|(_, kept)| kept.used);
        let at = oldest.map_or(0, |(at, _)| at);
        self.series[at] = empty;
        at
    }
}

impl Kept {
    fn pooled(&self, watch: &Watch) -> Series {
        self.own.merged(&self.foreign, watch)
    }
}

impl Minute {
    /// Moves on to a part of time; the last whole minute's spending, if one has ended.
    fn turn(&mut self, part: i64) -> Option<Usd> {
        if self.total.is_none() {
            self.part = part;
        }
        let mut ended = None;
        // After a whole window of silence there is nothing left to move out.
        for step in 1..=(part - self.part).clamp(0, 2 * PARTS as i64) {
            let index = (self.part + step).rem_euclid(PARTS as i64) as usize;
            if index == 0 {
                let minute: i64 = self.parts.iter().sum();
                ended = ended.or((minute > 0).then_some(Usd::from_nano(minute)));
            }
            self.parts[index] = 0;
        }
        self.part = self.part.max(part);
        ended
    }

    /// What the total has grown by belongs to the current part. A smaller one of the same day
    /// (the account was seeded anew) spends nothing.
    fn add(&mut self, day: Day, total: i64) {
        let before = match self.total {
            Some(before) if day == self.day => before,
            Some(_) if day > self.day => 0,
            _ => total,
        };
        let index = self.part.rem_euclid(PARTS as i64) as usize;
        self.parts[index] = self.parts[index].saturating_add((total - before).max(0));
        if self.total.is_none() || day >= self.day {
            (self.day, self.total) = (day, Some(total));
        }
    }
}

fn read(snapshot: &[u8]) -> Result<Vec<(SeriesKey, Series)>, SnapshotError> {
    let chunks = snapshot.chunks_exact(SERIES_BYTES);
    if !chunks.remainder().is_empty() || chunks.len() > SERIES_MAX {
        return Err(SnapshotError);
    }
    chunks.map(|chunk| series(chunk).ok_or(SnapshotError)).collect()
}

/// One series of a snapshot, if its numbers can be those of one.
fn series(chunk: &[u8]) -> Option<(SeriesKey, Series)> {
    let word = |at: usize| chunk.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let (samples, mean) = (word(8)?, f64::from_bits(word(16)?));
    let variance = f64::from_bits(word(24)?);
    // Logarithms of amounts lie below 44.
    let sane = samples > 0 && mean.abs() <= 64.0 && (0.0..=64.0 * 64.0).contains(&variance);
    sane.then_some((SeriesKey(word(0)?), Series { samples, mean, variance }))
}
