//! Decides how a decision is shown before it is made: the object of the dry run.
//! Does not decide anything: it reads what plan.rs weighed (told.rs shows it afterwards).

use super::nearest;
use super::plan::{Manner, Weighed, World};
use super::prior::TASKS;
use super::rank::{Candidate, Standing};
use super::reason::Reason;
use super::refusal::Refusal;
use super::router::Router;
use super::score::Shown;
use super::told::{Money, figure, figure32, whole};
use super::types::{Ask, Attempt, Typing};
use crate::catalog::{CapabilityEffort, Effort, Task};
use crate::time::Now;
use serde::Serialize;
use std::collections::BTreeMap;

/// Candidates listed where not all are asked for.
const SHOWN: usize = 20;

/// A decision made and not carried out, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation(Vec<u8>);

#[derive(Serialize)]
struct Told<'a> {
    object: &'static str,
    mode: &'static str,
    pinned: bool,
    task: TaskTold,
    difficulty: f64,
    session: SessionTold<'a>,
    cache: CacheTold,
    plan: Vec<StepTold<'a>>,
    candidates: Vec<CandidateTold<'a>>,
    rejected: Vec<RejectedTold<'a>>,
    rejected_counts: BTreeMap<&'static str, u32>,
    estimate: EstimateTold,
    warnings: &'a [String],
    snapshot: SnapshotTold<'a>,
}

#[derive(Serialize)]
pub(super) struct TaskTold {
    #[serde(rename = "type")]
    name: &'static str,
    confidence: f64,
    probabilities: BTreeMap<&'static str, f64>,
    source: &'static str,
}

#[derive(Serialize)]
struct SessionTold<'a> {
    state: &'static str,
    model: Option<&'a str>,
    reason: &'static str,
}

#[derive(Serialize)]
struct CacheTold {
    would_look_up: bool,
}

#[derive(Serialize)]
struct StepTold<'a> {
    attempt: usize,
    provider: &'a str,
    model: &'a str,
    effort: Option<&'static str>,
    expected_usd: Money,
    claim_usd: Money,
    expected_ttft_ms: u64,
    expected_ms: u64,
    deadline_ms: u64,
    output_cap: Option<u64>,
    why: String,
}

#[derive(Serialize)]
struct CandidateTold<'a> {
    rank: usize,
    provider: &'a str,
    model: &'a str,
    effort: Option<&'static str>,
    score: f64,
    parts: PartsTold,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct PartsTold {
    capability: f64,
    confidence: f64,
    lower: f64,
    learnt: f64,
    quality: f64,
    usd: f64,
    usd_per_1k: f64,
    cost: f64,
    ttft_ms: u64,
    tokens_per_s: u64,
    ms: u64,
    health: &'static str,
}

#[derive(Serialize)]
struct RejectedTold<'a> {
    provider: &'a str,
    model: &'a str,
    reason: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct EstimateTold {
    input_tokens: u64,
    input_bound: u64,
    output_tokens: u64,
    expected_usd: Money,
    claim_usd: Money,
    ttft_ms: u64,
    ms: u64,
}

#[derive(Serialize)]
struct SnapshotTold<'a> {
    weights: &'static str,
    catalog: &'a str,
    as_of: &'a str,
}

impl Explanation {
    /// The object of `POST /api/v2/route`.
    pub fn to_json(&self) -> Vec<u8> {
        self.0.clone()
    }
}

impl Router {
    /// The live decision, told and not carried out; `all` lists every candidate and rejection,
    /// `looks`: the cache would be asked first.
    pub fn explain(
        &mut self,
        world: &World<'_>,
        ask: &Ask<'_>,
        now: Now,
        (all, looks): (bool, bool),
    ) -> Result<Explanation, Refusal> {
        let weighed = self.weigh(world, ask, now, Manner { explain: true })?;
        let mut told = tell(world, &weighed, all);
        told.cache.would_look_up = looks;
        let json = serde_json::to_vec(&told).unwrap_or_default();
        self.pool = weighed.candidates;
        Ok(Explanation(json))
    }

    /// The input tokens of this request at the offer that would serve it, as far as they are known
    /// before it has.
    pub fn count(&mut self, world: &World<'_>, ask: &Ask<'_>, now: Now) -> Result<u64, Refusal> {
        let weighed = self.weigh(world, ask, now, Manner::default())?;
        let script = weighed.wish.script;
        let first = weighed.attempts.first();
        let tokens = first.map_or(0, |attempt| {
            self.calibration.correct(attempt.offer, script, attempt.input_tokens)
        });
        self.pool = weighed.candidates;
        Ok(tokens)
    }
}

fn tell<'a>(world: &World<'a>, weighed: &'a Weighed<'_>, all: bool) -> Told<'a> {
    let first = weighed.attempts.first();
    let held = weighed.warm.and_then(|(offer, _)| world.catalog.offers.get(offer));
    Told {
        object: "route",
        mode: weighed.wish.mode.name(),
        pinned: weighed.wish.is_pinned(),
        task: task_told(&weighed.typing),
        difficulty: figure32(weighed.typing.difficulty),
        session: SessionTold {
            state: weighed.session.0.name(),
            model: held.map(|offer| &*offer.model),
            reason: weighed.session.1,
        },
        cache: CacheTold { would_look_up: false },
        plan: weighed
            .attempts
            .iter()
            .enumerate()
            .map(|(at, a)| step(world, weighed, at, a))
            .collect(),
        candidates: candidates(world, weighed, if all { usize::MAX } else { SHOWN }),
        rejected: rejected(world, weighed, all),
        rejected_counts: weighed.survey.tally.counts().into_iter().collect(),
        estimate: estimate(world, weighed, first),
        warnings: &weighed.wish.warnings,
        snapshot: SnapshotTold {
            weights: "prior",
            catalog: &world.catalog.digest,
            as_of: &world.catalog.date,
        },
    }
}

pub(super) fn task_told(typing: &Typing) -> TaskTold {
    let (task, confidence) = typing.top_with_confidence();
    let named = Task::ALL.into_iter().zip(typing.probabilities);
    TaskTold {
        name: task.name(),
        confidence: figure32(confidence),
        probabilities: named.map(|(task, p)| (task.name(), figure32(p))).collect(),
        source: typing.source.name(),
    }
}

/// An offer's provider and model, as told.
pub(super) fn names<'a>(world: &World<'a>, offer: usize) -> (&'a str, &'a str) {
    let Some(offer) = world.catalog.offers.get(offer) else { return ("", "") };
    let provider = world.catalog.providers.get(offer.provider).map_or("", |p| &*p.id);
    (provider, &offer.model)
}

fn step<'a>(
    world: &World<'a>,
    weighed: &Weighed<'_>,
    at: usize,
    attempt: &Attempt,
) -> StepTold<'a> {
    let (provider, model) = names(world, attempt.offer);
    StepTold {
        attempt: at + 1,
        provider,
        model,
        effort: attempt.effort.map(Effort::name),
        expected_usd: Money(attempt.expected),
        claim_usd: Money(attempt.claim),
        expected_ttft_ms: attempt.expected_ttft_ms,
        expected_ms: attempt.expected_ms,
        deadline_ms: attempt.deadline_ms,
        output_cap: attempt.output_cap,
        why: weighed.why(attempt),
    }
}

/// The mode's order over all candidates, as far as it is listed.
fn candidates<'a>(
    world: &World<'a>,
    weighed: &Weighed<'_>,
    limit: usize,
) -> Vec<CandidateTold<'a>> {
    let mut left = weighed.candidates.clone();
    let mut order = weighed.order;
    let mut told = Vec::new();
    while told.len() < limit {
        let Some(next) = order.next(left.iter(), |_| true).copied() else { break };
        left.retain(|other| other.place != next.place);
        order.first = order.first.or(Some((next.q, next.cost)));
        told.push(candidate(world, weighed, told.len() + 1, &next));
    }
    told
}

fn candidate<'a>(
    world: &World<'a>,
    weighed: &Weighed<'_>,
    rank: usize,
    candidate: &Candidate,
) -> CandidateTold<'a> {
    let facts = world.table.facts().get(candidate.place as usize);
    let offer = facts.map_or(usize::MAX, |facts| facts.offer as usize);
    let (provider, model) = names(world, offer);
    let shown = weighed.shown.get(candidate.place as usize).copied().unwrap_or_default();
    let (capability, confidence) = evidence(world, weighed, candidate.arm);
    let per_token = shown.ms_per_token.max(0.001);
    let (health, reasons) = match candidate.standing {
        Standing::READY => ("ready", vec![]),
        Standing::SHAKY => ("shaky", vec!["fails often, goes last"]),
        _ => ("out", vec!["cooling or open, used in panic mode"]),
    };
    CandidateTold {
        rank,
        provider,
        model,
        effort: world.table.arm(candidate.arm).and_then(|arm| arm.sent).map(Effort::name),
        score: figure(candidate.shown(weighed.wish.mode)),
        parts: PartsTold {
            capability: figure32(capability),
            confidence: figure32(confidence),
            lower: figure32(candidate.q),
            learnt: 0.0,
            quality: figure(shown.quality),
            usd: candidate.cost.round() / 1e12,
            usd_per_1k: figure(shown.usd_per_1k * 1e6) / 1e6,
            cost: figure(shown.cost),
            ttft_ms: whole(shown.ttft_ms),
            tokens_per_s: whole(1_000.0 / per_token),
            ms: whole(shown.ms),
            health,
        },
        reasons,
    }
}

/// Score and confidence of the row behind an arm, before the error is taken off.
fn evidence(world: &World<'_>, weighed: &Weighed<'_>, arm: u32) -> (f32, f32) {
    let Some(arm) = world.table.arm(arm) else { return (0.0, 0.0) };
    let Some(offer) = world.catalog.offers.get(arm.offer as usize) else { return (0.0, 0.0) };
    let rows = || offer.capability.iter().filter_map(|row| world.catalog.capabilities.get(*row));
    let own = rows().find(|row| row.effort == CapabilityEffort::At(arm.level));
    let Some(row) = own.or_else(|| rows().next()) else { return (0.0, 0.0) };
    let mix = |column: &[f32; TASKS]| {
        column.iter().zip(weighed.typing.probabilities).map(|(cell, p)| cell * p).sum()
    };
    (mix(&row.scores), mix(&row.conf))
}

fn rejected<'a>(world: &World<'a>, weighed: &Weighed<'_>, all: bool) -> Vec<RejectedTold<'a>> {
    let tell = |offer: usize, reason: Reason, detail: String| {
        let (provider, model) = names(world, offer);
        RejectedTold { provider, model, reason: reason.name(), detail }
    };
    let live = weighed.survey.rejected.iter().map(|(offer, reason)| {
        let facts = world.table.place(*offer).and_then(|place| world.table.facts().get(place));
        let detail = facts.map_or_else(
            || nearest::in_words(*reason).to_owned(),
            |facts| nearest::detail(world, &weighed.wish, facts, *reason),
        );
        tell(*offer, *reason, detail)
    });
    let mut told: Vec<_> = live.collect();
    if all {
        let absent = (0..world.catalog.offers.len())
            .filter_map(|offer| Some((offer, world.table.absent_of(offer)?)));
        told.extend(
            absent.map(|(o, reason)| tell(o, reason, nearest::in_words(reason).to_owned())),
        );
    }
    told
}

fn estimate(world: &World<'_>, weighed: &Weighed<'_>, first: Option<&Attempt>) -> EstimateTold {
    let facts = first
        .and_then(|first| world.table.place(first.offer))
        .and_then(|place| world.table.facts().get(place));
    let tokens = facts.map(|facts| {
        (weighed.wish.input_of(facts.tokenizer), weighed.wish.bound_of(facts.tokenizer))
    });
    let (input_tokens, input_bound) = tokens.unwrap_or_default();
    let shown = weighed.picks.first().and_then(|(c, _)| weighed.shown.get(c.place as usize));
    let dearest = weighed.attempts.iter().map(|attempt| attempt.claim).max();
    EstimateTold {
        input_tokens,
        input_bound,
        output_tokens: whole(shown.copied().unwrap_or_else(Shown::default).output),
        expected_usd: Money(first.map(|first| first.expected).unwrap_or_default()),
        claim_usd: Money(dearest.unwrap_or_default()),
        ttft_ms: first.map_or(0, |first| first.expected_ttft_ms),
        ms: first.map_or(0, |first| first.expected_ms),
    }
}
