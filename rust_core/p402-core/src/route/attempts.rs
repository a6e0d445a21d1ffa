//! Decides the attempts of a plan: first choice, session hold, draw among endpoints, failover.
//! Does not judge or score offers (survey.rs) and sends nothing.

use super::draw::{Salt, draw, two_of};
use super::rank::{Candidate, Order, Standing, by_cost};
use super::stay::worth_moving;
use super::survey::Sight;
use super::types::{Mode, Why};
use crate::id::RequestId;

/// Attempts of one request at most, whatever is configured.
pub const ATTEMPTS_MAX: usize = 5;
/// Endpoints of one model within this of its cheapest share the load.
const SAME_PRICE: f64 = 1.05;
/// A failover stays with the model where another provider is this close.
const SAME_MODEL_COST: f64 = 1.10;
const SAME_MODEL_POINTS: f32 = 2.0;
/// Of fewer than four endpoints the second lowest load gets one request in fifty.
const SECOND_ONE_IN: u64 = 50;
const CHOICES_MIN: usize = 4;
/// Endpoints of one model that are looked at for a draw.
const KIN_MAX: usize = 64;

/// The offer of the session's last turn among the candidates, if any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// Index into the candidates.
    pub(super) at: usize,
    /// A tool loop or reasoning state: kept whatever the score says.
    pub(super) hard: bool,
}

/// The order of attempts: indices into the candidates, and why each stands there.
#[derive(Clone, Debug, Default)]
pub(super) struct Lineup {
    pub(super) picks: Vec<(usize, Why)>,
    /// The mode's own first choice, before hold and draw.
    pub(super) leader: Option<usize>,
}

/// Everything the line-up is made from.
pub(super) struct Picker<'a> {
    pub(super) sight: &'a Sight<'a>,
    pub(super) request: RequestId,
    pub(super) hold: Option<Hold>,
    /// Same model elsewhere first: the model of a held offer that is out.
    pub(super) prefer_model: Option<u32>,
    pub(super) attempts: usize,
}

impl Picker<'_> {
    pub(super) fn line_up(&self, candidates: &mut [Candidate]) -> Lineup {
        let mut order = self.sight.order(candidates);
        let mut lineup = Lineup { leader: order.next(candidates, |_| true), ..Lineup::default() };
        let wanted = self.attempts.clamp(1, ATTEMPTS_MAX);
        while lineup.picks.len() < wanted {
            let last = lineup.picks.last().and_then(|(at, _)| candidates.get(*at)).copied();
            let next = match last {
                None => self.first(candidates, &order, lineup.leader),
                Some(last) => self.following(candidates, &order, &last),
            };
            let Some((at, why)) = next else { break };
            let Some(chosen) = candidates.get_mut(at) else { break };
            chosen.taken = true;
            if order.first.is_none() {
                order.first = Some((chosen.q, chosen.cost));
            }
            lineup.picks.push((at, why));
        }
        lineup
    }

    fn first(
        &self,
        candidates: &[Candidate],
        order: &Order,
        leader: Option<usize>,
    ) -> Option<(usize, Why)> {
        if let Some(hold) = self.hold {
            if hold.hard {
                return Some((hold.at, Why::HeldHard));
            }
            if self.stays(candidates, hold.at, leader) {
                return Some((hold.at, Why::Held));
            }
        }
        if let Some(model) = self.prefer_model {
            let elsewhere = order.next(candidates, |c| c.model == model);
            if let Some(at) = elsewhere {
                return Some(self.drawn(candidates, at, Why::SameModel, &|_| true));
            }
        }
        leader.map(|at| self.drawn(candidates, at, Why::First, &|_| true))
    }

    fn stays(&self, candidates: &[Candidate], held: usize, leader: Option<usize>) -> bool {
        let Some(leader_at) = leader.filter(|leader| *leader != held) else { return true };
        let pair = (candidates.get(held), candidates.get(leader_at));
        let (Some(held), Some(leader)) = pair else { return false };
        if held.standing > leader.standing {
            return false;
        }
        let lens = self.sight.lens;
        let facts = self.sight.world.table.facts().get(leader.place as usize);
        let arm = self.sight.world.table.arm(leader.arm);
        let (Some(facts), Some(arm)) = (facts, arm) else { return false };
        let load = lens.load(leader.place as usize, facts, arm, leader.cap);
        let (rate, fee) = lens.rates.at(leader.place as usize, load.input);
        !worth_moving(lens, held, leader, rate.pico_cold(load) + fee)
    }

    /// The next attempt: the same model elsewhere if near enough, else the mode's next, and never
    /// the provider that just failed while another remains.
    fn following(
        &self,
        candidates: &[Candidate],
        order: &Order,
        last: &Candidate,
    ) -> Option<(usize, Why)> {
        let elsewhere = |c: &Candidate| c.provider != last.provider;
        let same = |c: &Candidate| {
            elsewhere(c)
                && c.model == last.model
                && c.standing <= last.standing.max(Standing::Ready)
                && c.cost <= last.cost * SAME_MODEL_COST
                && c.q >= last.q - SAME_MODEL_POINTS
        };
        let at = if candidates.iter().any(|c| !c.taken && same(c)) {
            order.next(candidates, same)
        } else {
            None
        };
        if let Some(at) = at {
            return Some(self.drawn(candidates, at, Why::SameModel, &same));
        }
        let next = order.next(candidates, elsewhere);
        let other = next.is_some();
        let next = next.or_else(|| order.next(candidates, |_| true));
        let allowed = |c: &Candidate| !other || elsewhere(c);
        next.map(|at| self.drawn(candidates, at, Why::Next, &allowed))
    }

    /// Spreads the load among endpoints of the chosen one's model that cost about the same.
    fn drawn(
        &self,
        candidates: &[Candidate],
        at: usize,
        why: Why,
        allowed: &dyn Fn(&Candidate) -> bool,
    ) -> (usize, Why) {
        let Some(chosen) = candidates.get(at) else { return (at, why) };
        let mut kin = [0_usize; KIN_MAX];
        let mut count = 0;
        let related = candidates.iter().enumerate();
        let related = related.filter(|(_, c)| c.model == chosen.model && !c.taken);
        for ((index, _), cell) in related.zip(&mut kin) {
            *cell = index;
            count += 1;
        }
        if count < 2 {
            return (at, why);
        }
        let as_fast = chosen.ms * 1.10 + 50.0;
        let equal = |c: &Candidate| {
            c.standing == chosen.standing
                && allowed(c)
                && (self.sight.wish.mode != Mode::Speed || c.ms <= as_fast)
        };
        let group = kin.get(..count).unwrap_or_default();
        let group = || {
            group
                .iter()
                .filter_map(|at| candidates.get(*at).map(|c| (*at, c)))
                .filter(|(_, c)| equal(c))
        };
        let limit = SAME_PRICE * group().map(|(_, c)| c.cost).fold(f64::INFINITY, f64::min);
        if chosen.cost > limit {
            return (at, why);
        }
        let mut drawn = [0_usize; KIN_MAX];
        let mut count = 0;
        for ((index, _), cell) in group().filter(|(_, c)| c.cost <= limit).zip(&mut drawn) {
            *cell = index;
            count += 1;
        }
        let group = drawn.get(..count).unwrap_or_default();
        match self.pick(candidates, group) {
            Some(picked) if picked != at => (picked, Why::Drawn),
            _ => (at, why),
        }
    }

    fn pick(&self, candidates: &[Candidate], group: &[usize]) -> Option<usize> {
        if group.len() < 2 {
            return None;
        }
        let lots = draw(self.request.bits(), Salt::Endpoint, group.len() as u64);
        let load = |at: usize| candidates.get(at).map_or(f64::INFINITY, |c| self.load(c));
        let lighter = |a: usize, b: usize| {
            let pair = (candidates.get(a), candidates.get(b));
            let tie = pair.0.zip(pair.1).map_or(std::cmp::Ordering::Equal, |(a, b)| by_cost(a, b));
            load(a).total_cmp(&load(b)).then(tie)
        };
        if group.len() >= CHOICES_MIN {
            let (one, two) = two_of(group.len(), lots);
            let (one, two) = (*group.get(one)?, *group.get(two)?);
            return Some(if lighter(one, two).is_le() { one } else { two });
        }
        let first = group.iter().copied().min_by(|a, b| lighter(*a, *b))?;
        if !lots.is_multiple_of(SECOND_ONE_IN) {
            return Some(first);
        }
        group.iter().copied().filter(|at| *at != first).min_by(|a, b| lighter(*a, *b))
    }

    fn load(&self, candidate: &Candidate) -> f64 {
        let table = self.sight.world.table;
        let offer =
            table.facts().get(candidate.place as usize).map_or(usize::MAX, |f| f.offer as usize);
        let prior = table.arm(candidate.arm).map_or(1.0, |arm| f64::from(arm.ttft_ms));
        self.sight.health.load(offer, prior, self.sight.now)
    }
}
