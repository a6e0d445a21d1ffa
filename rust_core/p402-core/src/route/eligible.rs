//! Decides which offers may run a request, and how much output each may write.
//! Does not compare them (score.rs) and does not know health (router.rs).

use super::plan::World;
use super::reason::Reason;
use super::rules::Listed;
use super::table::Facts;
use super::types::{Ask, Lists};
use super::wish::{CAP_MIN, Wish};
use crate::catalog::{Effort, OfferKind};
use crate::money::Usd;
use crate::usage::Usage;

/// Percent of the estimate that must fit into the context.
const BOUND_PERCENT: u64 = 105;

/// How much an offer may write for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cap {
    /// Output tokens of one choice at most; what is left of a context fits.
    pub(super) tokens: u32,
    /// Sent upstream: P402 sets or lowers it.
    pub(super) sent: bool,
}

/// The lists of tenant and request together, and whether there are any.
#[derive(Debug)]
pub(super) struct Gatekeeper<'a> {
    models: [&'a Lists; 2],
    providers: [&'a Lists; 2],
    open: bool,
}

impl<'a> Gatekeeper<'a> {
    pub(super) fn new(world: &World<'a>, ask: &Ask<'a>) -> Self {
        let models = [&world.rules.models, &ask.options.models];
        let providers = [&world.rules.providers, &ask.options.providers];
        let open = models.iter().chain(&providers).all(|lists| lists.is_empty());
        Self { models, providers, open }
    }

    /// There is no list to look at.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The lists let this offer run.
    pub(super) fn allows(&self, world: &World<'_>, offer: usize) -> bool {
        matches!(self.judge(world, offer), Listed::Allowed { .. })
    }

    fn judge(&self, world: &World<'_>, offer: usize) -> Listed {
        let free = Listed::Allowed { exactly: false };
        if self.open {
            return free;
        }
        let models =
            self.models.iter().fold(free, |sum, l| sum.and(l.judge_model(world.catalog, offer)));
        let provider = world.catalog.offers.get(offer).map_or(usize::MAX, |o| o.provider);
        let id = world.catalog.providers.get(provider).map_or("", |provider| &*provider.id);
        self.providers.iter().fold(models, |sum, lists| sum.and(lists.judge_provider(id)))
    }
}

/// What most requests come down to: no lists, no pin, no effort, no cost limit. An offer that it
/// does not wave through is judged by `judge`, which names the reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    needs: u16,
    /// Tokens that must fit, by tokenizer.
    input: [u32; 8],
    cap: u32,
    /// The least room worth having: all of a client's own bound.
    least: u32,
    asked: bool,
}

impl Shared {
    pub(super) fn of(wish: &Wish<'_>, gate: &Gatekeeper<'_>) -> Option<Self> {
        let plain = wish.kind == OfferKind::Chat
            && gate.open
            && !wish.is_pinned()
            && wish.effort.is_none()
            && wish.max_cost.is_none();
        let cap = u32::try_from(wish.max_tokens.unwrap_or(wish.default_cap)).ok()?;
        let least = if wish.max_tokens.is_some() { cap.max(1) } else { cap.min(CAP_MIN as u32) };
        let mut input = [u32::MAX; 8];
        for (cell, tokens) in input.iter_mut().zip(wish.input) {
            *cell = u32::try_from(bounded(tokens)).unwrap_or(u32::MAX);
        }
        let asked = wish.max_tokens.is_some();
        plain.then_some(Self { needs: wish.needs.0, input, cap, least, asked })
    }

    #[inline]
    pub(super) fn cap(&self, facts: &Facts) -> Option<Cap> {
        let input = self.input.get(usize::from(facts.tokenizer) & 7).copied().unwrap_or(u32::MAX);
        let room = facts.context.saturating_sub(input).min(facts.max_output);
        let waved = facts.barred.is_none()
            && self.needs & !facts.has.0 == 0
            && input <= facts.max_input
            && room >= self.least;
        waved.then_some(Cap { tokens: self.cap.min(room), sent: !self.asked })
    }
}

/// The first reason that stands against an offer, else its output cap.
pub(super) fn judge(
    world: &World<'_>,
    wish: &Wish<'_>,
    gate: &Gatekeeper<'_>,
    facts: &Facts,
) -> Result<Cap, Reason> {
    let offer = facts.offer as usize;
    let exactly = match gate.judge(world, offer) {
        Listed::NotAllowed => return Err(Reason::NotAllowed),
        Listed::Denied => return Err(Reason::Denied),
        Listed::Allowed { exactly } => exactly,
    };
    if !wish.pin_allows(world, offer) {
        return Err(Reason::NotPinned);
    }
    if facts.kind != wish.kind {
        return Err(Reason::Kind);
    }
    if let Some(reason) = facts.barred {
        let named = matches!(wish.pinned, super::wish::Pinned::Offer(_));
        let lifted = match reason {
            Reason::Kind => world.rules.allow_unpriced || world.catalog.is_priced(offer),
            Reason::Stale => named,
            Reason::Unmeasured => exactly || wish.is_pinned(),
            Reason::Unpriced => world.rules.allow_unpriced && wish.is_pinned(),
            _ => false,
        };
        if !lifted {
            return Err(reason);
        }
    }
    let cap = room(wish, facts)?;
    if let Some(reason) = wish.needs.missing(facts.has) {
        // The wishes before and behind `effort` keep their order.
        return Err(if reason > Reason::Effort && !effort_fits(wish, facts) {
            Reason::Effort
        } else {
            reason
        });
    }
    if !effort_fits(wish, facts) {
        return Err(Reason::Effort);
    }
    under_max_cost(world, wish, facts, cap)
}

fn effort_fits(wish: &Wish<'_>, facts: &Facts) -> bool {
    let Some(effort) = wish.effort else { return true };
    if effort == Effort::Default || facts.words & (1 << (effort as u8)) != 0 {
        return true;
    }
    // A pinned request goes out untouched; where nobody lists efforts the upstream judges.
    wish.is_pinned() && facts.reasoning && facts.words == 0
}

/// Context and output limits.
fn room(wish: &Wish<'_>, facts: &Facts) -> Result<Cap, Reason> {
    if !matches!(wish.kind, OfferKind::Chat | OfferKind::Completion) {
        // Units fill no context, and a list of texts is embedded one by one: the provider judges.
        let units = wish.max_tokens.unwrap_or_default();
        return Ok(Cap { tokens: u32::try_from(units).unwrap_or(u32::MAX), sent: false });
    }
    let input = needed_input(wish, facts);
    let (context, max_output) = (u64::from(facts.context), u64::from(facts.max_output));
    if input > u64::from(facts.max_input) || input >= context {
        return Err(Reason::Context);
    }
    let left = context - input;
    let Some(asked) = wish.max_tokens else {
        // A small context is no reason to refuse a request that named no bound.
        let tokens = wish.default_cap.min(max_output).min(left);
        let least = CAP_MIN.min(wish.default_cap).min(max_output).min(context / 4);
        let cap = Cap { tokens: tokens as u32, sent: wish.default_cap < u64::MAX };
        return if tokens < least { Err(Reason::Context) } else { Ok(cap) };
    };
    let tokens = if wish.is_pinned() { asked.min(max_output) } else { asked };
    if tokens > left {
        Err(Reason::Context)
    } else if tokens > max_output {
        Err(Reason::MaxOutput)
    } else {
        Ok(Cap { tokens: tokens as u32, sent: tokens < asked })
    }
}

/// Tokens of input that must fit: the estimate with its margin.
pub(super) fn needed_input(wish: &Wish<'_>, facts: &Facts) -> u64 {
    bounded(wish.input_of(facts.tokenizer))
}

fn bounded(tokens: u64) -> u64 {
    tokens.saturating_mul(BOUND_PERCENT).div_ceil(100)
}

/// The most that one choice may be billed for: its cap, and what its language adds to that.
pub(super) fn output_bound(
    world: &World<'_>,
    facts: &Facts,
    (cap, effort): (u64, Option<Effort>),
) -> u64 {
    let raised = cap.saturating_add(world.catalog.thoughts_in_bound(facts.offer as usize, effort));
    raised.min(u64::from(facts.max_output).max(cap))
}

/// The most an attempt can cost: input bound and output bound at the dearest reading.
pub(super) fn claim(world: &World<'_>, wish: &Wish<'_>, facts: &Facts, tokens: u64) -> Usd {
    let offer = facts.offer as usize;
    let bound = wish.bound_of(facts.tokenizer);
    let output = tokens.saturating_mul(wish.choices);
    let usage = Usage { fresh: bound, output, ..Usage::default() };
    let fresh = world.catalog.price_peak_at(offer, &usage, wish.service);
    if !wish.writes_cache {
        return fresh;
    }
    let written = Usage { cache_write_1h: bound, output, ..Usage::default() };
    fresh.max(world.catalog.price_peak_at(offer, &written, wish.service))
}

/// Cuts the cap so that the claim fits `max_cost_usd`; a client's own bound is not cut.
fn under_max_cost(
    world: &World<'_>,
    wish: &Wish<'_>,
    facts: &Facts,
    cap: Cap,
) -> Result<Cap, Reason> {
    match wish.max_cost {
        None => Ok(cap),
        Some(max) => capped(world, wish, facts, (cap, max)),
    }
}

fn capped(
    world: &World<'_>,
    wish: &Wish<'_>,
    facts: &Facts,
    (cap, max): (Cap, Usd),
) -> Result<Cap, Reason> {
    // The effort is not chosen yet: whichever it is, its thoughts must be paid for.
    let effort =
        wish.effort.unwrap_or(if wish.is_pinned() { Effort::Default } else { Effort::Max });
    let claim =
        |tokens| claim(world, wish, facts, output_bound(world, facts, (tokens, Some(effort))));
    let most = u64::from(cap.tokens);
    if claim(most) <= max {
        return Ok(cap);
    }
    let least = CAP_MIN.min(most);
    if wish.max_tokens.is_some() || claim(least) > max {
        return Err(Reason::OverMaxCost);
    }
    // Claims rise with the cap: the largest one that fits lies between.
    let (mut fits, mut over) = (least, most);
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        if claim(middle) <= max { fits = middle } else { over = middle }
    }
    Ok(Cap { tokens: fits as u32, sent: true })
}
