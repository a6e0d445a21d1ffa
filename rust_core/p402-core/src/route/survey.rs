//! Decides, for one request, which offers run with which arm and how each stands.
//! Does not order them (rank.rs) and changes no state.

use super::eligible::{self, Gatekeeper, Shared};
use super::health::Health;
use super::plan::World;
use super::rank::{Candidate, Order, Standing};
use super::reason::{Reason, Tally};
use super::score::{Allowed, Lens};
use super::table::Facts;
use super::wish::Wish;
use crate::catalog::Effort;
use crate::time::Ticks;

/// Beyond this share of candidates out, breakers are ignored.
const OUT_PERCENT_MAX: usize = 70;

/// What a survey found. The candidates are scratch space of the router, reused.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) tally: Tally,
    pub(super) considered: u32,
    pub(super) panic: bool,
    /// Every rejection, kept where someone asked for them.
    pub(super) rejected: Vec<(usize, Reason)>,
}

/// What one request's survey looks at.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) wish: &'a Wish<'a>,
    pub(super) lens: &'a Lens<'a>,
    pub(super) health: &'a Health,
    /// The slowest an arm may be at its 95th percentile, where the client said so.
    pub(super) latency: Allowed<'a>,
    pub(super) now: Ticks,
}

impl Sight<'_> {
    /// Fills `candidates` with the eligible offers in catalogue order.
    pub(super) fn survey(
        &self,
        gate: &Gatekeeper<'_>,
        candidates: &mut Vec<Candidate>,
        keep_rejected: bool,
    ) -> Survey {
        candidates.clear();
        let mut found = Survey { tally: self.world.table.absent(), ..Survey::default() };
        let table = self.world.table;
        let shared = Shared::of(self.wish, gate);
        let mut consider = |place: usize| {
            let Some(facts) = table.facts().get(place) else { return };
            if let Err(reason) = self.consider((gate, shared.as_ref()), (place, facts), candidates)
            {
                found.tally.add(reason, 1);
                if keep_rejected {
                    found.rejected.push((facts.offer as usize, reason));
                }
            }
        };
        // What is barred stays barred unless someone names it: no need to look at it one by one.
        let named = !gate.is_open() || self.wish.is_pinned() || self.health.rests();
        if named || keep_rejected {
            (0..table.facts().len()).for_each(consider);
        } else {
            table.open().iter().for_each(|place| consider(*place as usize));
            found.tally.join(&table.barred());
        }
        self.lens.judge_all(candidates);
        found.considered = candidates.len() as u32;
        self.eject(candidates, &mut found, keep_rejected);
        found
    }

    /// Takes an offer in, or says why not.
    #[inline]
    fn consider(
        &self,
        (gate, shared): (&Gatekeeper<'_>, Option<&Shared>),
        (place, facts): (usize, &Facts),
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), Reason> {
        let (offer, provider) = (facts.offer as usize, facts.provider as usize);
        let standing = if self.health.is_fresh(offer, provider, self.now) {
            Standing::Ready
        } else {
            let (standing, out) = self.health.standing(offer, provider, self.now);
            if let Some(reason @ (Reason::NoKey | Reason::Disabled)) = out {
                return Err(reason);
            }
            standing
        };
        let waved = shared.and_then(|shared| shared.cap(facts));
        let cap = match waved {
            Some(cap) => cap,
            None => eligible::judge(self.world, self.wish, gate, facts)?,
        };
        let base = self.lens.base(place, facts);
        let (arm, terms) = match self.fixed(facts) {
            Some(arm) if self.latency.is_some_and(|quick| !quick(arm)) => {
                return Err(Reason::OverLatency);
            }
            Some(arm) => (arm, self.lens.terms(&base, arm, cap.tokens)),
            None => self
                .lens
                .choose(&base, facts, cap.tokens, self.latency)
                .ok_or(Reason::OverLatency)?,
        };
        candidates.push(Candidate {
            place: place as u32,
            arm,
            provider: facts.provider,
            model: facts.model,
            cap: cap.tokens,
            cap_sent: cap.sent,
            measured: facts.measured,
            dedicated: facts.dedicated,
            taken: false,
            standing,
            q: terms.q,
            cost: terms.cost,
            ms: terms.ms as f32,
            score: terms.score as f32,
        });
        Ok(())
    }

    /// The arm that the client's own effort, or a pin, leaves no choice about.
    #[inline]
    fn fixed(&self, facts: &Facts) -> Option<u32> {
        let asked = self.wish.effort.filter(|effort| *effort != Effort::Default);
        if self.wish.effort.is_none() && !self.wish.is_pinned() {
            return None;
        }
        let table = self.world.table;
        let same = |arm: &u32| table.arm(*arm).is_some_and(|arm| arm.sent == asked);
        asked.and_then(|_| (facts.first..facts.end).find(same)).or(Some(facts.plain))
    }

    /// Takes out what is cooling or open, unless too little would be left.
    fn eject(&self, candidates: &mut Vec<Candidate>, found: &mut Survey, keep_rejected: bool) {
        let out = |c: &Candidate| matches!(c.standing, Standing::Out { .. });
        let ejected = candidates.iter().filter(|c| out(c)).count();
        if ejected == 0 {
            return;
        }
        if ejected * 100 > candidates.len() * OUT_PERCENT_MAX {
            found.panic = true;
            return;
        }
        for candidate in candidates.iter().filter(|c| out(c)) {
            let facts = self.world.table.facts().get(candidate.place as usize);
            let Some(facts) = facts else { continue };
            let (offer, provider) = (facts.offer as usize, facts.provider as usize);
            let (_, reason) = self.health.standing(offer, provider, self.now);
            let reason = reason.unwrap_or(Reason::BreakerOpen);
            found.tally.add(reason, 1);
            if keep_rejected {
                found.rejected.push((offer, reason));
            }
        }
        candidates.retain(|candidate| !out(candidate));
    }

    /// The order this survey's candidates are ranked by.
    pub(super) fn order(&self, candidates: &[Candidate]) -> Order {
        Order {
            all_ready: candidates.iter().all(|c| c.standing == Standing::Ready),
            mode: self.wish.mode,
            hard: self.lens.hard,
            floor: self.lens.floor,
            floor_speed: self.lens.floor_speed,
            first: None,
        }
    }
}
