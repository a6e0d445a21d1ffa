//! Decides, for one request, which offers run with which arm and how each stands.
//! Does not order them (rank.rs) and changes no state.

use super::eligible::{self, Gatekeeper, Shared};
use super::health::Health;
use super::plan::World;
use super::rank::{Candidate, Order, Standing};
use super::reason::{Reason, Tally};
use super::score::{Allowed, Base, Lens, Terms};
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
    /// Candidates that are shaky or out, and those that are out.
    unready: usize,
    out: usize,
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
        // What is barred stays barred unless someone names it: no need to look at it one by one.
        let named = !gate.is_open() || self.wish.is_pinned() || self.health.rests();
        let offers = if named || keep_rejected {
            table.facts()
        } else {
            found.tally.join(&table.barred());
            table.open()
        };
        self.sift((gate, offers), candidates, &mut found, keep_rejected);
        self.lens.judge(candidates);
        found.considered = candidates.len() as u32;
        if found.out * 100 > candidates.len() * OUT_PERCENT_MAX {
            found.panic = true;
        } else if found.out > 0 {
            self.eject(candidates, &mut found, keep_rejected);
        }
        found
    }

    /// Offer by offer: a candidate, or a reason.
    #[inline(never)]
    fn sift(
        &self,
        (gate, offers): (&Gatekeeper<'_>, &[Facts]),
        candidates: &mut Vec<Candidate>,
        found: &mut Survey,
        keep_rejected: bool,
    ) {
        let shared = Shared::of(self.wish, gate).filter(|_| self.latency.is_none());
        let calm = self.health.is_calm(self.now);
        for facts in offers {
            match self.consider((gate, shared.as_ref(), calm), facts) {
                Ok(candidate) => {
                    if candidate.standing > Standing::READY {
                        found.unready += 1;
                        found.out += usize::from(candidate.standing.is_out());
                    }
                    candidates.push(candidate);
                }
                Err(reason) => {
                    found.tally.add(reason, 1);
                    if keep_rejected {
                        found.rejected.push((facts.offer as usize, reason));
                    }
                }
            }
        }
    }

    /// Takes an offer in, or says why not.
    #[expect(clippy::inline_always, reason = "once an offer: its parts must stay in registers")]
    #[inline(always)]
    fn consider(
        &self,
        (gate, shared, calm): (&Gatekeeper<'_>, Option<&Shared>, bool),
        facts: &Facts,
    ) -> Result<Candidate, Reason> {
        // What was never used has shown nothing: no health, no tokens counted.
        let fresh = !self.health.is_used(facts.offer as usize);
        let standing = if fresh && calm { Standing::READY } else { self.standing(facts)? };
        let (cap, alone) = match shared.and_then(|shared| shared.cap(facts)) {
            Some(cap) => (cap, facts.is_plain()),
            None => (eligible::judge(self.world, self.wish, gate, facts)?, false),
        };
        let base = self.lens.base(facts, cap.tokens, fresh);
        let terms = if alone {
            self.lens.terms(base, facts.first)
        } else {
            self.choose(base, facts).ok_or(Reason::OverLatency)?
        };
        Ok(Candidate {
            cost: terms.cost,
            standing,
            place: facts.place,
            arm: terms.arm,
            provider: facts.provider,
            cap: cap.tokens,
            q: terms.q,
            mark: 0.0,
            cap_sent: cap.sent,
            measured: facts.measured,
            dedicated: facts.dedicated,
        })
    }

    /// How an offer stands that may not be ready; what no panic lifts is a reason.
    fn standing(&self, facts: &Facts) -> Result<Standing, Reason> {
        let (offer, provider) = (facts.offer as usize, facts.provider as usize);
        match self.health.standing(offer, provider, self.now) {
            (_, Some(reason @ (Reason::NoKey | Reason::Disabled))) => Err(reason),
            (standing, _) => Ok(standing),
        }
    }

    /// The arm to run with, where there may be several.
    #[inline(never)]
    fn choose(&self, base: Base, facts: &Facts) -> Option<Terms> {
        match self.fixed(facts) {
            Some(arm) if self.latency.is_some_and(|quick| !quick(arm)) => None,
            Some(arm) => Some(self.lens.terms(base, arm)),
            None => self.lens.choose(base, facts, self.latency),
        }
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

    /// Takes out what is cooling or open.
    fn eject(&self, candidates: &mut Vec<Candidate>, found: &mut Survey, keep_rejected: bool) {
        for candidate in candidates.iter().filter(|c| c.standing.is_out()) {
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
        candidates.retain(|candidate| !candidate.standing.is_out());
        found.unready -= std::mem::take(&mut found.out);
    }

    /// The order this survey's candidates are ranked by.
    pub(super) fn order(&self, found: &Survey) -> Order {
        Order {
            all_ready: found.unready == 0,
            mode: self.wish.mode,
            hard: self.lens.hard,
            floor: self.lens.floor,
            floor_speed: self.lens.floor_speed,
            first: None,
        }
    }
}
