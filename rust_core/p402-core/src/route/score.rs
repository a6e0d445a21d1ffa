//! Decides the terms of an arm — quality, cost, time, score — and the arm an offer runs with.
//! Does not compare offers (rank.rs).

use super::prior;
use super::rank::Candidate;
use super::rates::{Load, Rates};
use super::table::{Arm, Facts, Mixed, Table};
use super::types::{Mode, Typing};
use super::wish::Wish;
use crate::catalog::{Calibration, Script, Task};
use crate::number::{grid, ln, round};

/// Fixed anchors of the cost scale: $0.05 and $200 per million tokens, so that adding a candidate
/// never changes another's score.
const CHEAP_USD_PER_1K: f64 = 0.000_05;
/// ln 4,000.
const LN_SPAN: f64 = 8.294_049_640_102_028;
const PICO_USD: f64 = 1e-12;
/// Quality points within which two arms of an offer are equal and the cheaper one runs.
pub(super) const TIE_POINTS: f32 = 2.0;

/// What one arm is expected to do with this request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Terms {
    pub(super) q: f32,
    /// Pico-dollars.
    pub(super) cost: f64,
    /// Zero outside speed mode.
    pub(super) ms: f64,
    /// The balanced score; what the other modes rank by stands above.
    pub(super) score: f64,
}

/// What the arms of one offer share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    place: usize,
    /// Pico-dollars of the input and of the request itself.
    fixed: f64,
    /// Pico-dollars per output token, times the choices asked for.
    output: f64,
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

/// Speed as it stands now: milliseconds to the first token per arm, and per token.
#[derive(Clone, Debug, Default)]
pub(super) struct Speeds {
    pub(super) ttft_ms: Vec<f32>,
    pub(super) ms_per_token: Vec<f32>,
}

/// Everything of a request and its instant that scoring reads.
#[derive(Debug)]
pub(super) struct Lens<'a> {
    pub(super) table: &'a Table,
    pub(super) rates: &'a Rates,
    pub(super) speeds: &'a Speeds,
    pub(super) calibration: &'a Calibration,
    script: Script,
    pub(super) slowness: &'a [f32],
    pub(super) mode: Mode,
    /// By arm, on this request's mix of tasks.
    mixed: &'a [Mixed],
    pub(super) hard: bool,
    pub(super) visible: f64,
    /// Cost mode's floor; speed mode's is `floor_speed`.
    pub(super) floor: f32,
    pub(super) floor_speed: f32,
    median: f32,
    span: f32,
    pub(super) input: [u64; super::table::TOKENIZERS],
    choices: f64,
    /// Pico-dollars of a request to effective dollars per 1,000 tokens.
    per_1k: f64,
    /// The live offer whose prompt cache holds this session's prefix, and how much of it.
    pub(super) warm: Option<(usize, f64)>,
}

/// The moving columns that a lens looks through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'a> {
    pub(super) rates: &'a Rates,
    pub(super) speeds: &'a Speeds,
    pub(super) calibration: &'a Calibration,
    /// By live offer, 1 = as expected; empty outside speed mode.
    pub(super) slowness: &'a [f32],
    /// By arm: `Table::mix` of the request's tasks.
    pub(super) mixed: &'a [Mixed],
}

impl<'a> Lens<'a> {
    pub(super) fn new(
        table: &'a Table,
        columns: Columns<'a>,
        wish: &Wish<'_>,
        typing: &Typing,
        warm: Option<(usize, f64)>,
    ) -> Self {
        let p = &typing.probabilities;
        let quantile = |share: f32| table.quantiles().at(share, p);
        let median = quantile(0.5);
        let visible = f64::from(prior::visible(p));
        Self {
            table,
            rates: columns.rates,
            speeds: columns.speeds,
            calibration: columns.calibration,
            script: wish.script,
            slowness: columns.slowness,
            mode: wish.mode,
            mixed: columns.mixed,
            hard: is_hard(typing.top()),
            visible,
            floor: quantile(0.25 + 0.35 * typing.difficulty),
            floor_speed: quantile(0.10 + 0.35 * typing.difficulty),
            median,
            span: (quantile(0.99) - median).max(1.0),
            input: wish.input,
            choices: wish.choices as f64,
            per_1k: 1_000.0 * PICO_USD / (wish.input_of(0) as f64 + visible).max(1.0),
            warm,
        }
    }

    /// Input tokens as this offer's tokenizer is expected to count them.
    pub(super) fn input_of(&self, facts: &Facts) -> f64 {
        let estimate = self.input.get(usize::from(facts.tokenizer)).copied().unwrap_or_default();
        self.calibration.correct(facts.offer as usize, self.script, estimate) as f64
    }

    /// Expected output of all choices, thinking included, under the cap.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn output_of(&self, arm: &Arm, cap: u64) -> f64 {
        round((self.visible * f64::from(arm.factor)).min(cap as f64)) * self.choices
    }

    pub(super) fn load(&self, place: usize, facts: &Facts, arm: &Arm, cap: u64) -> Load {
        let warm = self.warm.filter(|(at, _)| *at == place).map_or(0.0, |(_, tokens)| tokens);
        Load { input: self.input_of(facts), warm, output: self.output_of(arm, cap) }
    }

    /// What all arms of an offer share: its input and the band that falls in.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn base(&self, place: usize, facts: &Facts) -> Base {
        let warm = self.warm.filter(|(at, _)| *at == place).map_or(0.0, |(_, tokens)| tokens);
        let load = Load { input: self.input_of(facts), warm, output: 0.0 };
        let (rate, fee) = self.rates.at(place, load.input);
        Base { place, fixed: rate.pico(load) + fee, output: rate.output * self.choices }
    }

    /// The terms of one arm. Time is told in speed mode alone: `time` gives it where it is shown.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn terms(&self, base: &Base, index: u32, cap: u64) -> Terms {
        let arm = self.mixed.get(index as usize).copied().unwrap_or_default();
        let cost = base.fixed + f64::from(arm.volume).min(cap as f64) * base.output;
        self.timed(self.judged(arm.q, cost), base, (index, cap))
    }

    /// Gives every candidate its balanced score, eight side by side: plain columns without a branch
    /// are what a compiler makes vectors of.
    pub(super) fn judge_all(&self, candidates: &mut [Candidate]) {
        if self.mode != Mode::Balanced {
            return;
        }
        for eight in candidates.chunks_mut(8) {
            let (mut q, mut cost) = ([0.0_f32; 8], [0.0_f64; 8]);
            for ((q, cost), candidate) in q.iter_mut().zip(&mut cost).zip(eight.iter()) {
                (*q, *cost) = (candidate.q, candidate.cost);
            }
            for (q, cost) in q.iter().zip(&mut cost) {
                *cost = self.balance(*q, *cost);
            }
            for (candidate, score) in eight.iter_mut().zip(cost) {
                candidate.score = score as f32;
            }
        }
    }

    #[expect(clippy::inline_always, reason = "once an arm: its parts must stay in registers")]
    #[inline(always)]
    fn judged(&self, q: f32, cost: f64) -> Terms {
        let score = if self.mode == Mode::Balanced { self.balance(q, cost) } else { 0.0 };
        Terms { q, cost, ms: 0.0, score }
    }

    fn timed(&self, terms: Terms, base: &Base, (index, cap): (u32, u64)) -> Terms {
        let speed = self.mode == Mode::Speed;
        Terms { ms: if speed { self.time(base.place, index, cap).1 } else { 0.0 }, ..terms }
    }

    /// Milliseconds to the first token, and in all.
    pub(super) fn time(&self, place: usize, index: u32, cap: u64) -> (f64, f64) {
        let Some(arm) = self.table.arm(index) else { return (0.0, 0.0) };
        let at = index as usize;
        let slow = f64::from(self.slowness.get(place).copied().unwrap_or(1.0));
        let ttft = f64::from(self.speeds.ttft_ms.get(at).copied().unwrap_or(arm.ttft_ms));
        let per = f64::from(self.speeds.ms_per_token.get(at).copied().unwrap_or(arm.ms_per_token));
        (grid(ttft * slow), grid((ttft + self.visible.min(cap as f64) * per) * slow))
    }

    /// The parts of a candidate's terms that an explanation shows.
    pub(super) fn shown(&self, candidate: &Candidate) -> Shown {
        let Some(arm) = self.table.arm(candidate.arm) else { return Shown::default() };
        let per = self.speeds.ms_per_token.get(candidate.arm as usize).copied();
        let (ttft_ms, ms) = self.time(candidate.place as usize, candidate.arm, candidate.cap);
        Shown {
            quality: self.quality_share(candidate.q),
            cost: self.cost_share(candidate.cost),
            usd_per_1k: self.usd_per_1k(candidate.cost),
            ms_per_token: f64::from(per.unwrap_or(arm.ms_per_token)),
            ttft_ms,
            ms,
            output: self.output_of(arm, candidate.cap),
        }
    }

    /// ½ q̃ + ½ (1 − c̃).
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn balance(&self, q: f32, cost: f64) -> f64 {
        grid(0.5 * self.quality_share(q) + 0.5 * (1.0 - self.cost_share(cost)))
    }

    /// What so many points and so much dearer weigh in the balanced score.
    pub(super) fn margin(&self, points: f32, times: f64) -> f64 {
        0.5 * f64::from(points / self.span) + 0.5 * ln(times) / LN_SPAN
    }

    /// q̃: where the quality stands in the upper half of the shipped table.
    pub(super) fn quality_share(&self, q: f32) -> f64 {
        f64::from(((q - self.median) / self.span).clamp(0.0, 1.0))
    }

    /// Effective dollars per 1,000 tokens. Thinking raises the cost, not the tokens; nor does a
    /// tokenizer that cuts the same text finer: the tokens are counted one way for all.
    pub(super) fn usd_per_1k(&self, cost: f64) -> f64 {
        cost * self.per_1k
    }

    /// c̃: the cost on a log scale between the fixed anchors.
    pub(super) fn cost_share(&self, cost: f64) -> f64 {
        let times = self.usd_per_1k(cost) * (1.0 / CHEAP_USD_PER_1K);
        // The cheap end by a comparison and not by a branch: no branch, no missed guess.
        let share = ln(if times > 1.0 { times } else { 1.0 }) * (1.0 / LN_SPAN);
        if share < 1.0 { share } else { 1.0 }
    }

    /// Whether arm `new` is to run instead of `old` in this offer.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    fn better(&self, new: (&Terms, f32), old: (&Terms, f32)) -> bool {
        let ((new, new_factor), (old, old_factor)) = (new, old);
        let cheaper = (new.cost, new_factor) < (old.cost, old_factor);
        match self.mode {
            Mode::Cost => {
                let floors = (new.q >= self.floor, old.q >= self.floor);
                match floors {
                    (true, true) => cheaper,
                    (false, false) => new.q > old.q || (new.q >= old.q && cheaper),
                    (fits, _) => fits,
                }
            }
            Mode::Quality if self.hard => new.q > old.q || (new.q >= old.q && cheaper),
            // The tie is resolved by the caller, which knows the offer's best arm.
            Mode::Quality => new.q > old.q,
            Mode::Speed => new_factor < old_factor,
            Mode::Balanced => new.score > old.score || (new.score >= old.score && cheaper),
        }
    }

    /// The arm this offer runs with in this mode, of those `allowed` (`None` = all). Where there is
    /// no choice its score is left to `judge_all`.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    pub(super) fn choose(
        &self,
        base: &Base,
        facts: &Facts,
        cap: u64,
        allowed: Allowed<'_>,
    ) -> Option<(u32, Terms)> {
        let most = cap as f64;
        let arms = self.mixed.get(facts.first as usize..facts.end as usize).unwrap_or_default();
        if let ([arm], None) = (arms, allowed) {
            let cost = base.fixed + f64::from(arm.volume).min(most) * base.output;
            let alone = Terms { q: arm.q, cost, ..Terms::default() };
            return Some((facts.first, self.timed(alone, base, (facts.first, cap))));
        }
        let mut best: Option<(u32, f32, Terms)> = None;
        let mut index = facts.first;
        for arm in arms {
            // Thinking that would eat the whole cap leaves an empty answer.
            let volume = f64::from(arm.volume);
            let fits = arm.factor <= 1.0 || volume - self.visible <= most;
            if fits && allowed.is_none_or(|allowed| allowed(index)) {
                let cost = base.fixed + volume.min(most) * base.output;
                let terms = self.judged(arm.q, cost);
                let wins = match &best {
                    Some((_, factor, had)) => self.better((&terms, arm.factor), (had, *factor)),
                    None => true,
                };
                if wins {
                    best = Some((index, arm.factor, terms));
                }
            }
            index = index.wrapping_add(1);
        }
        let Some((index, _, terms)) = best else { return self.least(base, facts, cap, allowed) };
        if self.mode == Mode::Speed {
            return Some((index, self.timed(terms, base, (index, cap))));
        }
        if self.mode != Mode::Quality || self.hard || arms.len() == 1 {
            return Some((index, terms));
        }
        Some(self.cheapest_tie(base, facts, cap, ((index, terms), allowed)))
    }

    /// Tokens that an arm is expected to think before it answers.
    fn thinking(&self, index: u32) -> f64 {
        let arm = self.mixed.get(index as usize).copied().unwrap_or_default();
        f64::from(arm.volume) - self.visible
    }

    /// The arm that thinks least.
    fn least(
        &self,
        base: &Base,
        facts: &Facts,
        cap: u64,
        allowed: Allowed<'_>,
    ) -> Option<(u32, Terms)> {
        let least = (facts.first..facts.end)
            .filter_map(|index| self.table.arm(index).map(|arm| (index, arm)))
            .filter(|(index, _)| allowed.is_none_or(|allowed| allowed(*index)))
            .min_by(|a, b| a.1.factor.total_cmp(&b.1.factor))?;
        Some((least.0, self.terms(base, least.0, cap)))
    }

    /// The cheapest arm within the tie band of this offer's best.
    fn cheapest_tie(
        &self,
        base: &Base,
        facts: &Facts,
        cap: u64,
        (best, allowed): ((u32, Terms), Allowed<'_>),
    ) -> (u32, Terms) {
        let band = (facts.first..facts.end)
            .filter(|other| allowed.is_none_or(|allowed| allowed(*other)))
            .filter(|other| self.thinking(*other) <= cap as f64)
            .map(|other| (other, self.terms(base, other, cap)))
            .filter(|(_, other)| other.q >= best.1.q - TIE_POINTS);
        let factor = |arm: u32| self.table.arm(arm).map_or(f32::MAX, |arm| arm.factor);
        band.min_by(|a, b| a.1.cost.total_cmp(&b.1.cost).then(factor(a.0).total_cmp(&factor(b.0))))
            .unwrap_or(best)
    }
}

/// Which arms may run, by index; `None` = all of them.
pub(super) type Allowed<'a> = Option<&'a dyn Fn(u32) -> bool>;

pub(super) const fn is_hard(task: Task) -> bool {
    matches!(task, Task::Reasoning | Task::Math | Task::Coding | Task::Agentic)
}
