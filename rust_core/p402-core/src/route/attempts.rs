//! Decides the attempts of a plan: first choice, session hold, draw among endpoints, failover.
//! Does not judge or score offers (survey.rs) and sends nothing.

use super::draw::{Salt, draw, two_of};
use super::rank::{Candidate, Order, by_cost};
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
    pub(super) held: Candidate,
    /// A tool loop or reasoning state: kept whatever the score says.
    pub(super) hard: bool,
}

/// A candidate that is attempted, and why it stands at its place.
pub(super) type Pick = (Candidate, Why);

/// Everything the line-up is made from.
pub(super) struct Picker<'a> {
    pub(super) sight: &'a Sight<'a>,
    pub(super) candidates: &'a [Candidate],
    pub(super) order: Order,
    pub(super) request: RequestId,
    pub(super) hold: Option<Hold>,
    /// Same model elsewhere first: the model of a held offer that is out.
    pub(super) prefer_model: Option<u32>,
    pub(super) picks: Vec<Pick>,
}

impl<'a> Picker<'a> {
    /// Picks so many candidates, the first attempt first.
    pub(super) fn line_up(mut self, attempts: usize) -> Vec<Pick> {
        let wanted = attempts.clamp(1, ATTEMPTS_MAX);
        while self.picks.len() < wanted {
            let next = match self.picks.last() {
                None => self.first(),
                Some((last, _)) => self.following(last),
            };
            let Some((chosen, why)) = next else { break };
            self.order.first = self.order.first.or(Some((chosen.q, chosen.cost)));
            self.picks.push((chosen, why));
        }
        self.picks
    }

    fn first(&self) -> Option<Pick> {
        if let Some(Hold { held, hard: true }) = self.hold {
            return Some((held, Why::HeldHard));
        }
        let leader = self.next(self.candidates, |_| true);
        let stays = |hold: &Hold| leader.is_none_or(|leader| self.stays(&hold.held, leader));
        if let Some(Hold { held, .. }) = self.hold.filter(stays) {
            return Some((held, Why::Held));
        }
        let elsewhere = self.prefer_model.and_then(|model| self.next(self.kin(model), |_| true));
        if let Some(chosen) = elsewhere {
            return Some(self.drawn(chosen, Why::SameModel, &|_| true));
        }
        leader.map(|chosen| self.drawn(chosen, Why::First, &|_| true))
    }

    fn stays(&self, held: &Candidate, leader: &Candidate) -> bool {
        let lens = self.sight.lens;
        let worth = || {
            let cold = lens.cold_cost(leader);
            cold.is_none_or(|cold| worth_moving(lens, held, leader, cold))
        };
        held.place == leader.place || held.standing <= leader.standing && !worth()
    }

    /// The next attempt: the same model elsewhere if near enough, else the mode's next, and never
    /// the provider that just failed while another remains.
    fn following(&self, last: &Candidate) -> Option<Pick> {
        let elsewhere = |c: &Candidate| c.provider != last.provider;
        let same = |c: &Candidate| {
            elsewhere(c)
                && c.standing <= last.standing
                && c.cost <= last.cost * SAME_MODEL_COST
                && c.q >= last.q - SAME_MODEL_POINTS
        };
        if let Some(chosen) = self.next(self.kin(self.model_of(last)), same) {
            return Some(self.drawn(chosen, Why::SameModel, &same));
        }
        if let Some(chosen) = self.next(self.candidates, elsewhere) {
            return Some(self.drawn(chosen, Why::Next, &elsewhere));
        }
        let chosen = self.next(self.candidates, |_| true)?;
        Some(self.drawn(chosen, Why::Next, &|_| true))
    }

    /// The next of these in the mode's order that is not picked yet and `allowed`.
    fn next(
        &self,
        among: impl IntoIterator<Item = &'a Candidate, IntoIter: Clone>,
        allowed: impl Fn(&Candidate) -> bool,
    ) -> Option<&'a Candidate> {
        self.order.next(among.into_iter(), |c| self.is_free(c) && allowed(c))
    }

    fn is_free(&self, candidate: &Candidate) -> bool {
        self.picks.iter().all(|(picked, _)| picked.place != candidate.place)
    }

    fn model_of(&self, candidate: &Candidate) -> u32 {
        self.sight.world.table.model_at(candidate.place)
    }

    /// The candidates of one model.
    fn kin(&self, model: u32) -> impl Iterator<Item = &'a Candidate> + Clone {
        let (candidates, kin) = (self.candidates, self.sight.world.table.kin(model));
        kin.iter().filter_map(|place| {
            let at = candidates.binary_search_by_key(place, |c| c.place);
            at.ok().and_then(|at| candidates.get(at))
        })
    }

    /// Spreads the load among endpoints of the chosen one's model that cost about the same.
    fn drawn(&self, chosen: &'a Candidate, why: Why, allowed: &dyn Fn(&Candidate) -> bool) -> Pick {
        let model = self.model_of(chosen);
        if self.sight.world.table.kin(model).len() < 2 {
            return (*chosen, why);
        }
        let as_fast = chosen.mark * 1.10 + 50.0;
        let equal = |c: &&Candidate| {
            c.standing == chosen.standing
                && allowed(c)
                && (self.sight.wish.mode != Mode::Speed || c.mark <= as_fast)
        };
        let kin = self.kin(model).filter(|c| self.is_free(c)).take(KIN_MAX);
        let mut group: Vec<&Candidate> = kin.filter(equal).collect();
        let limit = SAME_PRICE * group.iter().map(|c| c.cost).fold(f64::INFINITY, f64::min);
        if chosen.cost > limit {
            return (*chosen, why);
        }
        group.retain(|c| c.cost <= limit);
        match self.pick(&group) {
            Some(picked) if picked.place != chosen.place => (*picked, Why::Drawn),
            _ => (*chosen, why),
        }
    }

    fn pick(&self, group: &[&'a Candidate]) -> Option<&'a Candidate> {
        if group.len() < 2 {
            return None;
        }
        let lots = draw(self.request.bits(), Salt::Endpoint, group.len() as u64);
        let lighter = |a: &'a Candidate, b: &'a Candidate| {
            let loads = (self.load(a), self.load(b));
            let first = loads.0 < loads.1 || loads.0 <= loads.1 && by_cost(a, b);
            if first { a } else { b }
        };
        if group.len() >= CHOICES_MIN {
            let (one, two) = two_of(group.len(), lots);
            return Some(lighter(group.get(one)?, group.get(two)?));
        }
        let first = group.iter().copied().reduce(lighter)?;
        if !lots.is_multiple_of(SECOND_ONE_IN) {
            return Some(first);
        }
        group.iter().copied().filter(|other| other.place != first.place).reduce(lighter)
    }

    fn load(&self, candidate: &Candidate) -> f64 {
        let table = self.sight.world.table;
        let offer =
            table.facts().get(candidate.place as usize).map_or(usize::MAX, |f| f.offer as usize);
        let prior = table.arm(candidate.arm).map_or(1.0, |arm| f64::from(arm.ttft_ms));
        self.sight.health.load(offer, prior, self.sight.now)
    }
}
