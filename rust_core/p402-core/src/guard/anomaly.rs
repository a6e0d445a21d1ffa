//! Decides layer 4: which costs, and which minutes of spending, are unlike the tenant's own past.
//! Does not stop anything by itself (block mode is the caller's) and asks no store.

use super::series::{Flag, Pool, SERIES_MAX, Series, SeriesKey, Watch};
use super::snapshot::Snapshot;
use crate::money::Usd;
use crate::time::{Day, Timestamp};

/// The spending rate is seen in parts of this length, four to the minute.
const PART_US: i64 = 15_000_000;
const PARTS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Kept {
    key: SeriesKey,
    own: Series,
    /// What the other nodes have seen.
    foreign: Pool,
    used: u64,
}

/// What one tenant usually spends, as this node knows it.
#[derive(Clone, Debug, Default)]
pub struct Anomaly {
    series: Vec<Kept>,
    uses: u64,
    learnt: u64,
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

impl Anomaly {
    /// Whether this cost is unusual in its series; nothing is learnt.
    pub fn judge(&self, key: SeriesKey, cost: Usd, watch: &Watch) -> Option<Flag> {
        let kept = self.series.iter().find(|kept| kept.key == key)?;
        kept.pooled(watch).judge(watch.sample(cost)?, watch)
    }

    /// Judges a cost and takes it in.
    pub fn observe(&mut self, key: SeriesKey, cost: Usd, watch: &Watch) -> Option<Flag> {
        let sample = watch.sample(cost)?;
        self.learn(key, sample, watch).judge(sample, watch)
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
            self.learn(SeriesKey::RATE, sample, watch);
        }
        let window = Usd::from_nano(self.minute.parts.iter().sum());
        self.judge(SeriesKey::RATE, window, watch)
    }

    /// Takes a sample in; what was known before it.
    fn learn(&mut self, key: SeriesKey, sample: f64, watch: &Watch) -> Series {
        self.learnt += 1;
        let kept = self.kept(key);
        let pooled = kept.pooled(watch);
        kept.own.learn(sample, &pooled, watch);
        pooled
    }

    /// Grows with everything that makes another snapshot.
    pub const fn learnt(&self) -> u64 {
        self.learnt
    }

    /// What this node itself has seen, least recently used first.
    pub fn snapshot(&self) -> Snapshot {
        let mut kept: Vec<&Kept> = self.series.iter().filter(|kept| kept.own.samples > 0).collect();
        kept.sort_by_key(|kept| kept.used);
        Snapshot { series: kept.into_iter().map(|kept| (kept.key, kept.own)).collect() }
    }

    /// Takes in as its own what this node saw in an earlier life, or a node that is gone for good.
    pub fn recall(&mut self, earlier: &Snapshot, watch: &Watch) {
        for (key, seen) in &earlier.series {
            if let Some(kept) = self.if_room(*key) {
                let (own, seen) = (Pool::of(kept.own, watch), Pool::of(*seen, watch));
                kept.own = *kept.together(&own, &seen).seen();
            }
        }
        self.learnt += u64::from(!earlier.is_empty());
    }

    /// Replaces what is known of the other nodes by their snapshots.
    pub fn pool<'a>(&mut self, others: impl IntoIterator<Item = &'a Snapshot>, watch: &Watch) {
        for kept in &mut self.series {
            kept.foreign = Pool::default();
        }
        for (key, theirs) in others.into_iter().flat_map(|other| &other.series) {
            if let Some(kept) = self.if_room(*key) {
                kept.foreign = kept.together(&kept.foreign, &Pool::of(*theirs, watch));
            }
        }
    }

    /// The series of this name for what others saw: a full table keeps what this node has used.
    fn if_room(&mut self, key: SeriesKey) -> Option<&mut Kept> {
        let found = self.series.iter().position(|kept| kept.key == key);
        let at = match found {
            None if self.series.len() >= SERIES_MAX => return None,
            None => self.place(key),
            Some(at) => at,
        };
        self.series.get_mut(at)
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
        let empty = Kept { key, own: Series::default(), foreign: Pool::default(), used: 0 };
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
        *self.together(&Pool::of(self.own, watch), &self.foreign).seen()
    }

    /// What two memories of this series come to. Minutes of spending are those of all nodes: who
    /// has seen more of them has seen the same ones.
    fn together(&self, one: &Pool, other: &Pool) -> Pool {
        match self.key {
            SeriesKey::RATE if other.seen().samples > one.seen().samples => *other,
            SeriesKey::RATE => *one,
            _ => one.merged(other),
        }
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
