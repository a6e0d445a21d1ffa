//! Decides whose answers a request would take, should one be at hand: its pin, mode and lists.
//! Does not weigh offers: nothing is dispatched for an answer that is there already.

use super::eligible::Gatekeeper;
use super::plan::World;
use super::refusal::Refusal;
use super::types::{Ask, Lists, Mode, Plan, SessionState, Typing, TypingSource};
use super::wish::{Pinned, Wish};
use crate::config::Routing;

/// What a request seeks, before anything is weighed.
pub struct Sought<'a> {
    catalogued: World<'a>,
    gate: Gatekeeper<'a>,
    wish: Wish<'a>,
}

impl<'a> Sought<'a> {
    /// # Errors
    /// What routing would refuse the request with.
    pub fn read(world: &World<'a>, ask: &Ask<'a>, config: &Routing) -> Result<Self, Refusal> {
        let wish = Wish::read(world, ask, config)?;
        Ok(Self { catalogued: *world, gate: Gatekeeper::new(world, ask), wish })
    }

    pub fn mode(&self) -> Mode {
        self.wish.mode
    }

    /// The one model, or offer, that the request is pinned to.
    pub fn pinned(&self) -> Option<String> {
        let catalog = self.catalogued.catalog;
        match self.wish.pinned {
            Pinned::Not => None,
            Pinned::Model(model) => Some(model.to_owned()),
            Pinned::Offer(offers) => {
                let names = offers.iter().filter_map(|at| {
                    let offer = catalog.offers.get(*at)?;
                    Some(format!("{}/{}", catalog.provider(*at).id, offer.model))
                });
                Some(names.collect::<Vec<_>>().join(" "))
            }
        }
    }

    /// The pin, and the lists of tenant and request, let this offer answer.
    pub fn takes(&self, offer: usize) -> bool {
        let listed = self.gate.allows(&self.catalogued, offer);
        listed && self.wish.pin_allows(&self.catalogued, offer)
    }

    /// A plan that has nothing to try: what is left of one where the answer is there already.
    pub fn into_plan(self) -> Plan {
        let wish = self.wish;
        Plan {
            mode: wish.mode,
            pinned: wish.is_pinned(),
            typing: Typing {
                probabilities: [0.0; 9],
                difficulty: 0.0,
                source: TypingSource::Structure,
            },
            session: SessionState::None,
            session_why: "",
            warm: None,
            attempts: Vec::new(),
            baseline: wish.baseline,
            requested_known: wish.known,
            considered: 0,
            rejected: Vec::new(),
            runner_up: None,
            input_tokens: wish.input_of(0),
            input_bound: wish.bound_of(0),
            script: wish.script,
            epoch: 0,
            panic: false,
            floor: 0.0,
            warnings: wish.warnings,
        }
    }
}

/// Both lists as the words of one: what is denied is marked, so that no two pairs read alike.
pub fn words_of(lists: &Lists) -> Vec<String> {
    let denied = lists.deny.iter().map(|name| format!("!{name}"));
    let mut words: Vec<String> = lists.allow.iter().cloned().chain(denied).collect();
    words.sort();
    words.dedup();
    words
}
