//! Decides the order of candidates in each mode: who is next, given who was taken.
//! Does not score (score.rs), hold sessions or draw among endpoints (plan.rs).

use super::types::Mode;
use std::cmp::Ordering;

/// Quality points of a tie between offers, and of "does not answer worse".
const TIE_POINTS: f32 = 2.0;
/// A fallback in cost mode may cost this many times the first choice.
const FALLBACK_TIMES_MAX: f64 = 8.0;
/// Speed mode: this close to the fastest counts as equally fast.
const FAST_SHARE: f32 = 1.10;
const FAST_MS: f32 = 50.0;
/// Balanced mode: scores this close are equal.
const SCORE_TIE: f32 = 0.01;

/// How an endpoint stands; lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Ready,
    /// Fails often, though not enough for its breaker.
    Shaky,
    /// Cooling or open: runs in panic mode only, soonest to retry first.
    Out {
        retry_at_us: u64,
    },
}

/// An eligible offer at the effort it would run with.
#[expect(clippy::struct_excessive_bools, reason = "four independent facts of one candidate")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Index into `Table::facts`; catalogue order, the last tie-break.
    pub(super) place: u32,
    pub(super) arm: u32,
    pub(super) provider: u32,
    pub(super) model: u32,
    pub(super) cap: u64,
    pub(super) cap_sent: bool,
    pub(super) measured: bool,
    pub(super) dedicated: bool,
    pub(super) taken: bool,
    pub(super) standing: Standing,
    pub(super) q: f32,
    pub(super) cost: f64,
    /// Zero outside speed mode.
    pub(super) ms: f32,
    pub(super) score: f32,
}

/// The order of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) mode: Mode,
    pub(super) hard: bool,
    pub(super) floor: f32,
    pub(super) floor_speed: f32,
    /// No candidate is shaky or out: nothing to tell apart.
    pub(super) all_ready: bool,
    /// Quality and cost of the first choice, once there is one.
    pub(super) first: Option<(f32, f64)>,
}

impl Candidate {
    /// What the mode ranks by, as shown to people.
    pub(super) fn shown(&self, mode: Mode) -> f64 {
        match mode {
            Mode::Balanced => f64::from(self.score),
            _ => f64::from(self.q),
        }
    }
}

impl Order {
    /// The next candidate among those not taken that `allowed` lets through.
    pub(super) fn next(
        &self,
        candidates: &[Candidate],
        allowed: impl Fn(&Candidate) -> bool,
    ) -> Option<usize> {
        let open = |c: &Candidate| !c.taken && allowed(c);
        if self.all_ready {
            return self.next_of(candidates, open);
        }
        let standing = candidates.iter().filter(|c| open(c)).map(|c| c.standing).min()?;
        self.next_of(candidates, |c: &Candidate| c.standing == standing && open(c))
    }

    fn next_of(&self, all: &[Candidate], pool: impl Fn(&Candidate) -> bool) -> Option<usize> {
        match self.mode {
            Mode::Cost => self.next_cost(all, pool),
            Mode::Quality => self.next_quality(all, pool),
            Mode::Speed => self.next_speed(all, pool),
            Mode::Balanced => self.next_balanced(all, pool),
        }
    }

    fn next_cost(&self, all: &[Candidate], pool: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let Some((q, cost)) = self.first else {
            return least(all, |c| pool(c) && c.q >= self.floor, by_cost)
                .or_else(|| least(all, &pool, by_quality));
        };
        // A failover may cost more, it must not answer worse; and not cost out of all proportion.
        let near = |c: &Candidate| pool(c) && c.cost <= cost * FALLBACK_TIMES_MAX;
        let equal = |c: &Candidate| c.q > q - TIE_POINTS;
        least(all, |c| near(c) && equal(c), by_cost)
            .or_else(|| least(all, near, by_quality))
            .or_else(|| least(all, |c| pool(c) && equal(c), by_cost))
            .or_else(|| least(all, &pool, by_quality))
    }

    fn next_quality(&self, all: &[Candidate], pool: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let leader = least(all, |c| pool(c) && c.measured, by_quality);
        let measured = leader.is_some();
        let leader = leader.or_else(|| least(all, &pool, by_quality))?;
        if self.hard {
            return Some(leader);
        }
        let best = all.get(leader)?.q;
        let tied = |c: &Candidate| pool(c) && c.measured >= measured && c.q >= best - TIE_POINTS;
        least(all, tied, by_cost)
    }

    fn next_speed(&self, all: &[Candidate], pool: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let good = |c: &Candidate| pool(c) && c.q >= self.floor_speed;
        let Some(fastest) = least(all, good, by_time) else {
            return least(all, &pool, by_quality);
        };
        let ms = all.get(fastest)?.ms;
        let band = (ms * FAST_SHARE).max(ms + FAST_MS);
        let order = |a: &Candidate, b: &Candidate| {
            b.dedicated.cmp(&a.dedicated).then_with(|| by_quality(a, b))
        };
        least(all, |c| good(c) && c.ms <= band, order)
    }

    fn next_balanced(&self, all: &[Candidate], pool: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let leader = least(all, &pool, by_score)?;
        if self.first.is_some() {
            return Some(leader);
        }
        let best = all.get(leader)?.score;
        least(all, |c| pool(c) && c.score >= best - SCORE_TIE, by_cost)
    }
}

fn least(
    all: &[Candidate],
    pool: impl Fn(&Candidate) -> bool,
    compare: impl Fn(&Candidate, &Candidate) -> Ordering,
) -> Option<usize> {
    let mut best: Option<(usize, &Candidate)> = None;
    for (at, candidate) in all.iter().enumerate() {
        if pool(candidate) && best.is_none_or(|(_, best)| compare(candidate, best).is_lt()) {
            best = Some((at, candidate));
        }
    }
    best.map(|(at, _)| at)
}

/// Cheapest, then better, then catalogue order: a total order.
pub(super) fn by_cost(a: &Candidate, b: &Candidate) -> Ordering {
    a.cost.total_cmp(&b.cost).then(b.q.total_cmp(&a.q)).then(a.place.cmp(&b.place))
}
fn by_quality(a: &Candidate, b: &Candidate) -> Ordering {
    b.q.total_cmp(&a.q).then(a.cost.total_cmp(&b.cost)).then(a.place.cmp(&b.place))
}
fn by_time(a: &Candidate, b: &Candidate) -> Ordering {
    a.ms.total_cmp(&b.ms).then(a.cost.total_cmp(&b.cost)).then(a.place.cmp(&b.place))
}
fn by_score(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.cost.total_cmp(&b.cost)).then(a.place.cmp(&b.place))
}
