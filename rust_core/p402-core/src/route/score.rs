//! Decides the terms of an arm — quality, cost, time, score — and the arm an offer runs with.
//! Does not compare offers (rank.rs).

use super::health::Health;
use super::prior;
use super::rank::Candidate;
use super::rates::{Load, Rates};
use super::table::{Facts, Table};
use super::types::{Mode, Typing};
use super::wish::Wish;
use crate::catalog::{Calibration, Script, Task};
use crate::number::{LN_GAP, grid, lesser, ln, ln_under, round};
use crate::time::Ticks;

/// Fixed anchors of the cost scale: $0.05 and $200 per million tokens, so that adding a candidate
/// never changes another's score.
const CHEAP_USD_PER_1K: f64 = 0.000_05;
/// ln 4,000.
const LN_SPAN: f64 = 8.294_049_640_102_028;
const PICO_USD: f64 = 1e-12;
/// Quality points within which two arms of an offer are equal and the cheaper one runs.
const TIE_POINTS: f32 = 2.0;
/// How far a balanced score may lie under the one `ln_under` gives, rounding included.
const SCORE_GAP: f64 = 0.5 * LN_GAP / LN_SPAN + 1e-5;

/// What one arm is expected to do with this request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) arm: u32,
    pub(super) q: f32,
    /// Pico-dollars.
    pub(super) cost: f64,
    factor: f32,
}

/// What the arms of one offer share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    /// Pico-dollars of the input and of the request itself.
    fixed: f64,
    /// Pico-dollars per output token, times the choices asked for.
    output: f64,
    /// Output tokens of one choice at most.
    cap: f64,
}

/// The parts of a candidate's terms that only people read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shown {
    /// q̃ and c̃.
    pub(super) quality: f64,
    pub(super) cost: f64,
    pub(super) usd_per_1k: f64,
    pub(super) ms_per_token: f64,
    pub(super) ttft_ms: f64,
    pub(super) ms: f64,
    pub(super) output: f64,
}

/// An arm's speed as it stands now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speed {
    pub(super) ttft_ms: f32,
    pub(super) ms_per_token: f32,
}

/// Everything of a request and its instant that scoring reads.
#[derive(Debug)]
pub(super) struct Lens<'a> {
    table: &'a Table,
    columns: Columns<'a>,
    script: Script,
    pub(super) mode: Mode,
    pub(super) hard: bool,
    /// Tokens of the answer itself, without thinking.
    pub(super) visible: f32,
    /// Cost mode's floor; speed mode's is `floor_speed`.
    pub(super) floor: f32,
    pub(super) floor_speed: f32,
    median: f32,
    span: f32,
    /// By tokenizer.
    input: [f64; 8],
    choices: f64,
    /// Pico-dollars of a request to effective dollars per 1,000 tokens.
    per_1k: f64,
    /// The live offer whose prompt cache holds this session's prefix, and how much of it.
    warm: (u32, f64),
}

/// The moving columns that a lens looks through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a> {
    pub(super) rates: &'a Rates,
    /// By arm.
    pub(super) speeds: &'a [Speed],
    pub(super) calibration: &'a Calibration,
    /// By arm: `Table::mix` of the request's tasks.
    pub(super) quality: &'a [f32],
    pub(super) health: &'a Health,
    pub(super) now: Ticks,
}

impl<'a> Lens<'a> {
    pub(super) fn new(
        table: &'a Table,
        columns: Columns<'a>,
        wish: &Wish<'_>,
        typing: &Typing,
        warm: Option<(u32, f64)>,
    ) -> Self {
        let p = &typing.probabilities;
        let quantile = |share: f32| table.quantiles().at(share, p);
        let median = quantile(0.5);
        let visible = prior::visible(p);
        let mut input = [0.0; 8];
        for (cell, tokens) in input.iter_mut().zip(wish.input) {
            *cell = tokens as f64;
        }
        Self {
            table,
            columns,
            script: wish.script,
            mode: wish.mode,
            hard: is_hard(typing.top()),
            visible,
            floor: quantile(0.25 + 0.35 * typing.difficulty),
            floor_speed: quantile(0.10 + 0.35 * typing.difficulty),
            median,
            span: (quantile(0.99) - median).max(1.0),
            input,
            choices: wish.choices as f64,
            per_1k: 1_000.0 * PICO_USD / (wish.input_of(0) as f64 + f64::from(visible)).max(1.0),
            warm: warm.unwrap_or((u32::MAX, 0.0)),
        }
    }

    /// Input tokens as this offer's tokenizer is expected to count them.
    fn input_of(&self, facts: &Facts) -> f64 {
        let estimate = self.estimate_of(facts);
        self.columns.calibration.corrected(facts.offer as usize, self.script, estimate)
    }

    #[inline]
    fn estimate_of(&self, facts: &Facts) -> f64 {
        self.input.get(usize::from(facts.tokenizer & 7)).copied().unwrap_or_default()
    }

    /// Tokens of a prompt cache that this offer holds.
    #[inline]
    fn warm_at(&self, place: u32) -> f64 {
        if self.warm.0 == place { self.warm.1 } else { 0.0 }
    }

    /// Expected output of all choices, thinking included, under the cap.
    fn output_of(&self, candidate: &Candidate) -> f64 {
        let volume = f64::from(self.visible) * f64::from(self.table.factor(candidate.arm));
        round(volume.min(f64::from(candidate.cap))) * self.choices
    }

    /// What a candidate is expected to read and write.
    pub(super) fn load(&self, candidate: &Candidate, facts: &Facts) -> Load {
        Load {
            input: self.input_of(facts),
            warm: self.warm_at(facts.place),
            output: self.output_of(candidate),
        }
    }

    /// Pico-dollars of a candidate that has the whole prompt still to read, and to keep.
    pub(super) fn cold_cost(&self, candidate: &Candidate) -> Option<f64> {
        let place = candidate.place as usize;
        let load = self.load(candidate, self.table.facts().get(place)?);
        Some(self.columns.rates.cold(place, load))
    }

    /// What all arms of an offer share: its input and the band that falls in. At a `fresh` one
    /// nobody has counted yet, so that the estimate stands.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn base(&self, facts: &Facts, cap: u32, fresh: bool) -> Base {
        let input = if fresh { self.estimate_of(facts) } else { self.input_of(facts) };
        let warm = self.warm_at(facts.place);
        let (fixed, output) = self.columns.rates.of(facts.place as usize, input, warm);
        Base { fixed, output: output * self.choices, cap: f64::from(cap) }
    }

    /// The terms of one arm.
    #[expect(clippy::inline_always, reason = "once an arm: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn terms(&self, base: Base, arm: u32) -> Terms {
        let q = self.columns.quality.get(arm as usize).copied().unwrap_or_default();
        let factor = self.table.factor(arm);
        let volume = lesser(f64::from(factor * self.visible), base.cap);
        Terms { arm, q, cost: base.fixed + volume * base.output, factor }
    }

    /// Runs a candidate with another arm of its offer.
    pub(super) fn retake(&self, candidate: &mut Candidate, facts: &Facts, arm: u32) {
        let terms = self.terms(self.base(facts, candidate.cap, false), arm);
        (candidate.arm, candidate.q, candidate.cost) = (arm, terms.q, terms.cost);
        self.judge(std::slice::from_mut(candidate));
    }

    /// Gives candidates what their mode ranks by beside quality and cost. Scores come eight side by
    /// side: plain columns without a branch are what a compiler makes vectors of.
    pub(super) fn judge(&self, candidates: &mut [Candidate]) {
        match self.mode {
            Mode::Cost | Mode::Quality => {}
            Mode::Speed => {
                for candidate in candidates {
                    candidate.mark = self.time(candidate).1 as f32;
                }
            }
            Mode::Balanced => {
                for eight in candidates.chunks_mut(8) {
                    let (mut q, mut cost) = ([0.0_f32; 8], [0.0_f64; 8]);
                    for ((q, cost), candidate) in q.iter_mut().zip(&mut cost).zip(eight.iter()) {
                        (*q, *cost) = (candidate.q, candidate.cost);
                    }
                    for (q, cost) in q.iter().zip(&mut cost) {
                        *cost = self.balance(*q, *cost);
                    }
                    for (candidate, score) in eight.iter_mut().zip(cost) {
                        candidate.mark = score as f32;
                    }
                }
            }
        }
    }

    /// Milliseconds to the first token, and in all.
    #[expect(clippy::inline_always, reason = "once a candidate: half of it is not asked for there")]
    #[inline(always)]
    pub(super) fn time(&self, candidate: &Candidate) -> (f64, f64) {
        let speed = self.speed(candidate.arm);
        let (ttft, per) = (f64::from(speed.ttft_ms), f64::from(speed.ms_per_token));
        let slow = self.slowness(candidate);
        let written = lesser(f64::from(self.visible), f64::from(candidate.cap));
        (grid(ttft * slow), grid((ttft + written * per) * slow))
    }

    #[inline]
    fn speed(&self, arm: u32) -> Speed {
        self.columns.speeds.get(arm as usize).copied().unwrap_or_default()
    }

    /// Speed mode alone looks at how much slower than expected an endpoint is at the moment.
    #[inline]
    fn slowness(&self, candidate: &Candidate) -> f64 {
        let (health, facts) = (self.columns.health, self.table.facts());
        let facts = facts.get(candidate.place as usize).filter(|_| self.mode == Mode::Speed);
        match facts.filter(|facts| health.is_used(facts.offer as usize)) {
            None => 1.0,
            Some(facts) => {
                let expected = f64::from(self.speed(facts.first).ttft_ms);
                let slow = health.slowness(facts.offer as usize, expected, self.columns.now);
                f64::from(slow as f32)
            }
        }
    }

    /// The parts of a candidate's terms that an explanation shows.
    pub(super) fn shown(&self, candidate: &Candidate) -> Shown {
        let (ttft_ms, ms) = self.time(candidate);
        Shown {
            quality: self.quality_share(candidate.q),
            cost: self.cost_share(candidate.cost, ln),
            usd_per_1k: self.usd_per_1k(candidate.cost),
            ms_per_token: f64::from(self.speed(candidate.arm).ms_per_token),
            ttft_ms,
            ms,
            output: self.output_of(candidate),
        }
    }

    /// ½ q̃ + ½ (1 − c̃).
    #[inline]
    pub(super) fn balance(&self, q: f32, cost: f64) -> f64 {
        grid(0.5 * self.quality_share(q) + 0.5 * (1.0 - self.cost_share(cost, ln)))
    }

    /// Whether one arm's balanced score is above another's, or equal and the arm cheaper. The
    /// logarithm is taken only where its bound cannot tell.
    fn outscores(&self, new: &Terms, old: &Terms) -> bool {
        let most = |arm: &Terms| {
            0.5 * self.quality_share(arm.q) + 0.5 * (1.0 - self.cost_share(arm.cost, ln_under))
        };
        let ahead = most(new) - most(old);
        if ahead.abs() > SCORE_GAP {
            return ahead > 0.0;
        }
        let (score, had) = (self.balance(new.q, new.cost), self.balance(old.q, old.cost));
        score > had || (score >= had && new.cheaper(old))
    }

    /// What so many points and so much dearer weigh in the balanced score.
    pub(super) fn margin(&self, points: f32, times: f64) -> f64 {
        0.5 * f64::from(points / self.span) + 0.5 * ln(times) / LN_SPAN
    }

    /// q̃: where the quality stands in the upper half of the shipped table.
    fn quality_share(&self, q: f32) -> f64 {
        f64::from(((q - self.median) / self.span).clamp(0.0, 1.0))
    }

    /// Effective dollars per 1,000 tokens. Thinking raises the cost, not the tokens; nor does a
    /// tokenizer that cuts the same text finer: the tokens are counted one way for all.
    fn usd_per_1k(&self, cost: f64) -> f64 {
        cost * self.per_1k
    }

    /// c̃: the cost on a log scale between the fixed anchors.
    fn cost_share(&self, cost: f64, ln: impl Fn(f64) -> f64) -> f64 {
        let times = self.usd_per_1k(cost) * (1.0 / CHEAP_USD_PER_1K);
        // The cheap end by a comparison and not by a branch: no branch, no missed guess.
        lesser(ln(if times > 1.0 { times } else { 1.0 }) * (1.0 / LN_SPAN), 1.0)
    }

    /// The arm this offer runs with in this mode, of those `allowed` (`None` = all).
    pub(super) fn choose(&self, base: Base, facts: &Facts, allowed: Allowed<'_>) -> Option<Terms> {
        let arms = facts.first..facts.end;
        let visible = f64::from(self.visible);
        let all = arms.filter(|arm| allowed.is_none_or(|allowed| allowed(*arm)));
        let all = all.map(|arm| self.terms(base, arm));
        // Thinking that would eat the whole cap leaves an empty answer.
        let able = all.clone().filter(|arm| {
            arm.factor <= 1.0 || f64::from(arm.factor * self.visible) - visible <= base.cap
        });
        let best = match self.mode {
            Mode::Cost => best(able, |new, old| match (new.q >= self.floor, old.q >= self.floor) {
                (true, true) => new.cheaper(old),
                (false, false) => new.better(old),
                (fits, _) => fits,
            }),
            Mode::Quality if self.hard => best(able, Terms::better),
            Mode::Quality => {
                let most = able.clone().map(|arm| arm.q).fold(0.0, f32::max);
                best(able.filter(|arm| arm.q >= most - TIE_POINTS), Terms::cheaper)
            }
            Mode::Speed => best(able, Terms::quicker),
            Mode::Balanced => best(able, |new, old| self.outscores(new, old)),
        };
        best.or_else(|| self::best(all, Terms::quicker))
    }
}

impl Terms {
    fn cheaper(&self, other: &Self) -> bool {
        (self.cost, self.factor) < (other.cost, other.factor)
    }
    fn better(&self, other: &Self) -> bool {
        self.q > other.q || (self.q >= other.q && self.cheaper(other))
    }
    /// Thinks less before it answers.
    fn quicker(&self, other: &Self) -> bool {
        self.factor < other.factor
    }
}

/// The arm that no other one beats; of equals the first.
fn best(
    mut arms: impl Iterator<Item = Terms>,
    beats: impl Fn(&Terms, &Terms) -> bool,
) -> Option<Terms> {
    let first = arms.next()?;
    Some(arms.fold(first, |old, new| if beats(&new, &old) { new } else { old }))
}

/// Which arms may run, by index; `None` = all of them.
pub(super) type Allowed<'a> = Option<&'a dyn Fn(u32) -> bool>;

pub(super) const fn is_hard(task: Task) -> bool {
    matches!(task, Task::Reasoning | Task::Math | Task::Coding | Task::Agentic)
}
