//! Decides a plan from everything at hand: wish, task, survey, line-up, money and deadlines.
//! Does not keep what outcomes teach (router.rs).

use super::attempts::{ATTEMPTS_MAX, Hold, Pick, Picker};
use super::eligible::{self, Gatekeeper};
use super::latency::size_of;
use super::rank::{Candidate, Order};
use super::refusal::Refusal;
use super::router::Router;
use super::rules::Rules;
use super::score::{Columns, Lens, Shown};
use super::session::{self, Turn};
use super::survey::{Sight, Survey};
use super::table::Table;
use super::types::{Ask, Attempt, Plan, RunnerUp, SessionState, Typing};
use super::wish::Wish;
use super::{nearest, task};
use crate::catalog::{Catalog, Charge};
use crate::time::Now;
use crate::usage::Usage;

/// What routing stands on between reloads.
#[derive(Clone, Copy)]
pub struct World<'a> {
    pub catalog: &'a Catalog,
    pub table: &'a Table,
    pub rules: &'a Rules,
}

/// A request weighed against every offer: what a plan, or an explanation, is made from.
pub(super) struct Weighed<'a> {
    pub(super) wish: Wish<'a>,
    pub(super) typing: Typing,
    pub(super) survey: Survey,
    pub(super) candidates: Vec<Candidate>,
    pub(super) picks: Vec<Pick>,
    pub(super) session: (SessionState, &'static str),
    pub(super) warm: Option<(usize, u64)>,
    pub(super) order: Order,
    pub(super) attempts: Vec<Attempt>,
    /// By live offer, filled for explanations only.
    pub(super) shown: Vec<Shown>,
}

/// How a weighing is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Keep every rejection with its reason, and the parts of every score.
    pub(super) explain: bool,
}

impl Router {
    /// Ranks every live offer for this request and lists the attempts, best first.
    pub fn plan(&mut self, world: &World<'_>, ask: &Ask<'_>, now: Now) -> Result<Plan, Refusal> {
        let weighed = self.weigh(world, ask, now, Manner::default())?;
        let (plan, candidates) = weighed.into_plan(world);
        self.pool = candidates;
        Ok(Plan { epoch: self.epoch, ..plan })
    }

    /// The one function behind plans and dry runs. It leaves sessions and health as they are.
    pub(super) fn weigh<'a>(
        &mut self,
        world: &World<'a>,
        ask: &Ask<'a>,
        now: Now,
        manner: Manner,
    ) -> Result<Weighed<'a>, Refusal> {
        self.ensure(world);
        self.rates.refresh(world.catalog, world.table, now.utc);
        let wish = Wish::read(world, ask, &self.config)?;
        let turn = self.turn(ask, &wish, now);
        let typing = task::read(ask, self.config.default_task(), turn.as_ref());
        world.table.mix(&typing.probabilities, &mut self.quality);
        let size = size_of(wish.input_of(0));
        let warm = turn.as_ref().filter(|turn| turn.warm(now.ticks) > 0).and_then(|turn| {
            let place = world.table.place(turn.offer as usize)?;
            Some((place as u32, turn.warm(now.ticks) as f64))
        });
        let mut candidates = std::mem::take(&mut self.pool);
        let columns = Columns {
            rates: &self.rates,
            speeds: &self.speeds[size],
            calibration: &self.calibration,
            quality: &self.quality,
            health: &self.health,
            now: now.ticks,
        };
        let lens = Lens::new(world.table, columns, &wish, &typing, warm);
        let quick = self.quick(world, &wish, size);
        let sight = Sight {
            world,
            wish: &wish,
            lens: &lens,
            health: &self.health,
            latency: quick.as_deref(),
            now: now.ticks,
        };
        let gate = Gatekeeper::new(world, ask);
        let survey = sight.survey(&gate, &mut candidates, manner.explain);
        if candidates.is_empty() {
            return Err(nearest::refuse(&sight, &survey, &gate));
        }
        let hold = find_hold(&sight, &mut candidates, turn.as_ref(), ask);
        let order = sight.order(&survey);
        let picker = Picker {
            sight: &sight,
            candidates: &candidates,
            order,
            request: ask.request,
            hold: hold.ok(),
            prefer_model: hold.err().flatten(),
            picks: Vec::with_capacity(ATTEMPTS_MAX),
        };
        let picks = picker.line_up(self.config.attempts);
        let session = state(&sight, &candidates, &picks, (ask, turn.as_ref()));
        let attempts = self.attempts(&sight, &picks, now);
        let warm = turn.map(|turn| (turn.offer as usize, turn.warm(now.ticks)));
        let shown = if manner.explain { shown(&sight, &candidates) } else { Vec::new() };
        Ok(Weighed {
            wish,
            typing,
            survey,
            candidates,
            picks,
            session,
            warm,
            order,
            attempts,
            shown,
        })
    }

    fn turn(&self, ask: &Ask<'_>, wish: &Wish<'_>, now: Now) -> Option<Turn> {
        if !session::is_follow_up(ask) || wish.is_pinned() {
            return None;
        }
        let key = session::key(ask, wish.mode)?;
        self.sessions.get(key, now.ticks, self.config.session_idle_s).copied()
    }

    /// The attempts with their money and deadlines.
    fn attempts(&self, sight: &Sight<'_>, picks: &[Pick], now: Now) -> Vec<Attempt> {
        let attempts = picks.iter().filter_map(|(candidate, why)| {
            let facts = sight.world.table.facts().get(candidate.place as usize)?;
            let arm = sight.world.table.arm(candidate.arm)?;
            let load = sight.lens.load(candidate, facts);
            let warm = load.warm.min(load.input);
            let usage = Usage {
                fresh: (load.input - warm) as u64,
                cache_read: warm as u64,
                output: load.output as u64,
                ..Usage::default()
            };
            let charge =
                Charge { usage: &usage, at: now.utc, service: sight.wish.service, fee_ppm: 0 };
            let (ttft_ms, ms) = sight.lens.time(candidate);
            let own = sight.wish.effort.is_some() || sight.wish.is_pinned();
            let effort = if own { None } else { arm.sent };
            let output_bound = eligible::output_bound(
                sight.world,
                facts,
                (u64::from(candidate.cap), effort.or(sight.wish.effort)),
            );
            Some(Attempt {
                offer: facts.offer as usize,
                arm: candidate.arm,
                effort,
                score: candidate.shown(sight.wish.mode),
                quality: candidate.q,
                input_tokens: sight.wish.input_of(facts.tokenizer),
                input_bound: sight.wish.bound_of(facts.tokenizer),
                expected: sight.world.catalog.price(facts.offer as usize, &charge).upstream,
                claim: eligible::claim(sight.world, sight.wish, facts, output_bound),
                expected_ttft_ms: ttft_ms.ceil() as u64,
                expected_ms: ms.ceil() as u64,
                deadline_ms: self.deadline_ms(sight, arm, candidate.arm),
                output_bound,
                output_cap: candidate.cap_sent.then_some(u64::from(candidate.cap)),
                why: *why,
            })
        });
        attempts.collect()
    }
}

impl Weighed<'_> {
    fn into_plan(mut self, world: &World<'_>) -> (Plan, Vec<Candidate>) {
        let clamped = self.wish.max_tokens.is_some_and(|asked| {
            self.attempts.iter().any(|a| a.output_cap.is_some_and(|cap| cap < asked))
        });
        if clamped {
            self.wish.warnings.push("max_tokens lowered to the model's maximum output".to_owned());
        }
        let first = self.attempts.first();
        let input = first.and_then(|first| world.table.place(first.offer)).and_then(|place| {
            let facts = world.table.facts().get(place)?;
            Some((self.wish.input_of(facts.tokenizer), self.wish.bound_of(facts.tokenizer)))
        });
        let (input_tokens, input_bound) = input.unwrap_or_default();
        let runner_up = self.runner_up(world);
        let plan = Plan {
            mode: self.wish.mode,
            pinned: self.wish.is_pinned(),
            typing: self.typing,
            session: self.session.0,
            session_why: self.session.1,
            warm: self.warm,
            attempts: self.attempts,
            baseline: self.wish.baseline,
            requested_known: self.wish.known,
            considered: self.survey.considered,
            rejected: self.survey.tally.counts(),
            runner_up,
            input_tokens,
            input_bound,
            script: self.wish.script,
            epoch: 0,
            panic: self.survey.panic,
            floor: self.order.floor,
            warnings: self.wish.warnings,
        };
        (plan, self.candidates)
    }

    /// The best offer of another model than the first: what the choice was made against.
    fn runner_up(&self, world: &World<'_>) -> Option<RunnerUp> {
        let mut picks = self.picks.iter().map(|(candidate, _)| candidate);
        let first = picks.next()?;
        let model = |c: &Candidate| world.table.model_at(c.place);
        let other = picks.find(|c| model(c) != model(first))?;
        let facts = world.table.facts().get(other.place as usize)?;
        Some(RunnerUp {
            offer: facts.offer as usize,
            score: other.shown(self.wish.mode),
            quality_under: first.q - other.q,
            dearer_percent: 100.0 * (other.cost - first.cost) / first.cost.max(1.0),
        })
    }
}

fn shown(sight: &Sight<'_>, candidates: &[Candidate]) -> Vec<Shown> {
    let mut shown = vec![Shown::default(); sight.world.table.facts().len()];
    for candidate in candidates {
        let place = candidate.place as usize;
        if let Some(cell) = shown.get_mut(place) {
            *cell = sight.lens.shown(candidate);
        }
    }
    shown
}

/// The candidate that the session holds (`Ok`), or the model to look for elsewhere (`Err`).
fn find_hold(
    sight: &Sight<'_>,
    candidates: &mut [Candidate],
    turn: Option<&Turn>,
    ask: &Ask<'_>,
) -> Result<Hold, Option<u32>> {
    let Some(turn) = turn else { return Err(None) };
    let hard = ask.scan.in_tool_loop || ask.scan.reasoning_state;
    if !hard && turn.mode != sight.wish.mode {
        return Err(None);
    }
    let table = sight.world.table;
    let Some(place) = table.place(turn.offer as usize) else { return Err(None) };
    let Some(facts) = table.facts().get(place) else { return Err(None) };
    let held = candidates.iter_mut().find(|c| c.place as usize == place);
    let Some(held) = held.filter(|c| !c.standing.is_out()) else {
        return Err(hard.then_some(facts.model));
    };
    if hard && sight.wish.effort.is_none() {
        // The same effort too: its reasoning state is of one kind.
        let same = |arm: &u32| table.arm(*arm).is_some_and(|arm| arm.sent == turn.effort);
        if let Some(arm) = (facts.plain..facts.end).find(same) {
            sight.lens.retake(held, facts, arm);
        }
    }
    Ok(Hold { held: *held, hard })
}

/// What became of the session, and why.
fn state(
    sight: &Sight<'_>,
    candidates: &[Candidate],
    picks: &[Pick],
    (ask, turn): (&Ask<'_>, Option<&Turn>),
) -> (SessionState, &'static str) {
    if sight.wish.is_pinned() {
        return (SessionState::None, "the request is pinned");
    }
    if !session::has_key(ask) {
        return (SessionState::None, "nothing to hold on to");
    }
    let Some(turn) = turn else { return (SessionState::New, "first turn seen here") };
    let hard = ask.scan.in_tool_loop || ask.scan.reasoning_state;
    let offer = picks
        .first()
        .and_then(|(c, _)| sight.world.table.facts().get(c.place as usize))
        .map_or(u32::MAX, |facts| facts.offer);
    if offer == turn.offer {
        let why = if hard { "tool loop or reasoning state" } else { "moving would not pay" };
        return (SessionState::Held, why);
    }
    let stands = candidates.iter().any(|c| {
        sight.world.table.facts().get(c.place as usize).is_some_and(|f| f.offer == turn.offer)
    });
    let why = if !stands {
        "the last turn's offer cannot run now"
    } else if turn.mode != sight.wish.mode {
        "another mode was asked for"
    } else {
        "the gain pays for the warm prefix"
    };
    (SessionState::Moved, why)
}
