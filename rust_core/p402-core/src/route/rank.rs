//! Decides the order of candidates in each mode: who is next, given who was taken.
//! Does not score (score.rs), hold sessions or draw among endpoints (plan.rs).

use super::types::Mode;
use crate::time::Ticks;

/// Quality points of a tie between offers, and of "does not answer worse".
const TIE_POINTS: f32 = 2.0;
/// A fallback in cost mode may cost this many times the first choice.
const FALLBACK_TIMES_MAX: f64 = 8.0;
/// Speed mode: this close to the fastest counts as equally fast.
const FAST_SHARE: f32 = 1.10;
const FAST_MS: f32 = 50.0;
/// Balanced mode: scores this close are equal.
const SCORE_TIE: f32 = 0.01;

/// How an endpoint stands; lower is better. What is out runs in panic mode only, soonest to retry
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing(u64);

/// An eligible offer at the effort it would run with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) cost: f64,
    pub(super) standing: Standing,
    /// Index into `Table::facts`; catalogue order, the last tie-break.
    pub(super) place: u32,
    pub(super) arm: u32,
    pub(super) provider: u32,
    pub(super) cap: u32,
    pub(super) q: f32,
    /// The balanced score, or speed mode's milliseconds; zero in the other modes.
    pub(super) mark: f32,
    pub(super) cap_sent: bool,
    pub(super) measured: bool,
    pub(super) dedicated: bool,
}

/// The order of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) mode: Mode,
    pub(super) hard: bool,
    pub(super) floor: f32,
    pub(super) floor_speed: f32,
    /// Nothing stands badly: no need to tell apart.
    pub(super) all_ready: bool,
    /// Quality and cost of the first choice, once there is one.
    pub(super) first: Option<(f32, f64)>,
}

impl Standing {
    pub(super) const READY: Self = Self(0);
    /// Fails often, though not enough for its breaker.
    pub(super) const SHAKY: Self = Self(1);

    /// Cooling or open.
    pub(super) const fn out_until(retry_at: Ticks) -> Self {
        Self(retry_at.micros().saturating_add(2))
    }
    pub(super) const fn is_out(self) -> bool {
        self.0 > Self::SHAKY.0
    }
}

impl Candidate {
    /// What the mode ranks by, as shown to people.
    pub(super) fn shown(&self, mode: Mode) -> f64 {
        match mode {
            Mode::Balanced => f64::from(self.mark),
            _ => f64::from(self.q),
        }
    }
}

impl Order {
    /// The next of these candidates that is `open`.
    pub(super) fn next<'c>(
        &self,
        among: impl Iterator<Item = &'c Candidate> + Clone,
        open: impl Fn(&Candidate) -> bool,
    ) -> Option<&'c Candidate> {
        if self.all_ready {
            return Pool { among, open }.next(self);
        }
        let best = among.clone().filter(|c| open(c)).map(|c| c.standing).min()?;
        Pool { among, open: |c: &Candidate| c.standing == best && open(c) }.next(self)
    }
}

/// Candidates to choose from: those that are `open` of those it runs over.
struct Pool<I, P> {
    among: I,
    open: P,
}

impl<'c, I: Iterator<Item = &'c Candidate> + Clone, P: Fn(&Candidate) -> bool> Pool<I, P> {
    fn next(&self, order: &Order) -> Option<&'c Candidate> {
        match order.mode {
            Mode::Cost => self.next_by_cost(order),
            Mode::Quality => self.next_by_quality(order),
            Mode::Speed => self.next_by_speed(order),
            Mode::Balanced => self.next_by_balance(order),
        }
    }

    fn next_by_cost(&self, order: &Order) -> Option<&'c Candidate> {
        let Some((q, cost)) = order.first else {
            return self.cheapest(|c| c.q >= order.floor).or_else(|| self.best(|_| true));
        };
        // A failover may cost more, it must not answer worse; and not cost out of all proportion.
        let near = |c: &Candidate| c.cost <= cost * FALLBACK_TIMES_MAX;
        let equal = |c: &Candidate| c.q > q - TIE_POINTS;
        self.cheapest(|c| near(c) && equal(c))
            .or_else(|| self.best(near))
            .or_else(|| self.cheapest(equal))
            .or_else(|| self.best(|_| true))
    }

    fn next_by_quality(&self, order: &Order) -> Option<&'c Candidate> {
        let leader = self.best(|c| c.measured);
        let measured = leader.is_some();
        let leader = leader.or_else(|| self.best(|_| true))?;
        if order.hard {
            return Some(leader);
        }
        let tied = leader.q - TIE_POINTS;
        self.cheapest(|c| c.measured >= measured && c.q >= tied)
    }

    fn next_by_speed(&self, order: &Order) -> Option<&'c Candidate> {
        let good = |c: &Candidate| c.q >= order.floor_speed;
        let Some(fastest) = self.least(|c| f64::from(c.mark), good, cheaper) else {
            return self.best(|_| true);
        };
        let band = (fastest.mark * FAST_SHARE).max(fastest.mark + FAST_MS);
        let fast = |c: &Candidate| c.mark <= band && good(c);
        self.best(|c| c.dedicated && fast(c)).or_else(|| self.best(fast))
    }

    fn next_by_balance(&self, order: &Order) -> Option<&'c Candidate> {
        let leader = self.least(|c| -f64::from(c.mark), |_| true, cheaper)?;
        if order.first.is_some() {
            return Some(leader);
        }
        let tied = leader.mark - SCORE_TIE;
        self.cheapest(|c| c.mark >= tied)
    }

    /// Cheapest, then better, then catalogue order.
    fn cheapest(&self, fit: impl Fn(&Candidate) -> bool) -> Option<&'c Candidate> {
        self.least(|c| c.cost, fit, better)
    }

    /// Best, then cheapest, then catalogue order.
    fn best(&self, fit: impl Fn(&Candidate) -> bool) -> Option<&'c Candidate> {
        self.least(|c| -f64::from(c.q), fit, cheaper)
    }

    /// Of those that `fit` the one with the least key; of equals the one that wins the tie.
    fn least(
        &self,
        key: impl Fn(&Candidate) -> f64,
        fit: impl Fn(&Candidate) -> bool,
        tie: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Option<&'c Candidate> {
        let mut all = self.among.clone();
        let first = all.find(|c| fit(c) && (self.open)(c))?;
        Some(all.fold(first, |best, next| {
            let (own, least) = (key(next), key(best));
            // Both at once, without a branch between them: either alone would be a coin toss.
            let may = (own <= least) & fit(next);
            let wins = may && (own < least || tie(next, best)) && (self.open)(next);
            if wins { next } else { best }
        }))
    }
}

/// Cheapest, then better, then catalogue order: a total order.
pub(super) fn by_cost(a: &Candidate, b: &Candidate) -> bool {
    a.cost < b.cost || a.cost <= b.cost && better(a, b)
}
fn better(a: &Candidate, b: &Candidate) -> bool {
    a.q > b.q || a.q >= b.q && a.place < b.place
}
fn cheaper(a: &Candidate, b: &Candidate) -> bool {
    a.cost < b.cost || a.cost <= b.cost && a.place < b.place
}
