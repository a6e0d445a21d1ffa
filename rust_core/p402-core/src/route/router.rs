//! Decides what outcomes teach this node: health, latency, keys, budgets, sessions, calibration.
//! Does not make plans (plan.rs); nothing here is shared between nodes or lowers a quality score.

use super::breaker::Leave;
use super::budget::{RetryBudget, TenantBudgets};
use super::health::{Health, Spot};
use super::latency::{SIZES, SKETCHES_MAX, Sketch, size_of};
use super::observation::{Observation, Outcome, Permit, Start};
use super::plan::World;
use super::rank::Candidate;
use super::rates::Rates;
use super::score::Speed;
use super::session::{self, Sessions, Turn};
use super::survey::Sight;
use super::table::{Arm, Table};
use super::types::{Ask, Plan};
use super::wish::Wish;
use crate::catalog::{Calibration, Catalog, Effort};
use crate::config::{Routing, Timeouts};
use crate::time::{Now, Ticks};
use std::collections::HashMap;

/// Providers whose retry budgets are kept.
const PROVIDERS_MAX: usize = 4_096;
/// Samples before a measured p95 may reject an arm.
const SAMPLES_MIN: u32 = 5;
/// p95 of an arm nobody has measured, as a multiple of its expectation.
const P95_PRIOR: f64 = 2.0;
const FIRST_BYTE_TIMES: f64 = 4.0;
const WHOLE_TIMES: f64 = 3.0;

/// What is known of an arm's speed at one prompt size.
#[derive(Clone, Debug)]
struct Track {
    ttft: Sketch,
    whole: Sketch,
    ms_per_token: f64,
    samples: u32,
}

/// All mutable routing state of this node. Bounded; one lock in I/O.
#[derive(Debug)]
pub struct Router {
    pub(super) config: Routing,
    timeouts: Timeouts,
    /// Counts reloads: what an older catalogue's attempts report is not mistaken for this one's.
    pub(super) epoch: u32,
    pub(super) health: Health,
    pub(super) rates: Rates,
    pub(super) speeds: [Vec<Speed>; SIZES],
    /// By arm, for the request at hand.
    pub(super) quality: Vec<f32>,
    sketches: HashMap<(u32, u8), Box<Track>>,
    pub(super) calibration: Calibration,
    pub(super) sessions: Sessions,
    tenants: TenantBudgets,
    providers: Vec<RetryBudget>,
    /// By arm: what was expected before anything was measured.
    priors: Vec<Speed>,
    /// Scratch space of a survey, handed from request to request.
    pub(super) pool: Vec<Candidate>,
}

impl Router {
    pub fn new(config: &Routing, timeouts: &Timeouts) -> Self {
        Self {
            config: config.clone(),
            timeouts: timeouts.clone(),
            epoch: 0,
            health: Health::default(),
            rates: Rates::default(),
            speeds: Default::default(),
            quality: Vec::new(),
            sketches: HashMap::new(),
            calibration: Calibration::new(0),
            sessions: Sessions::default(),
            tenants: TenantBudgets::default(),
            providers: Vec::new(),
            priors: Vec::new(),
            pool: Vec::new(),
        }
    }

    /// Sizes the state for this catalogue where it is not yet.
    pub(super) fn ensure(&mut self, world: &World<'_>) {
        let (catalog, table) = (world.catalog, world.table);
        let arms = self.speeds.first().map_or(0, Vec::len);
        if self.health.fits(catalog.offers.len(), table.providers()) && arms == table.arms() {
            return;
        }
        self.health.resize(owners(catalog), table.providers());
        self.calibration = Calibration::new(catalog.offers.len());
        self.rates.forget();
        self.sketches.clear();
        self.lay_speeds(table);
    }

    fn lay_speeds(&mut self, table: &Table) {
        let prior = |arm: &Arm| Speed { ttft_ms: arm.ttft_ms, ms_per_token: arm.ms_per_token };
        self.priors = table.all_arms().iter().map(prior).collect();
        self.speeds = std::array::from_fn(|_| self.priors.clone());
    }

    /// An attempt is about to be sent: the key to use, or `None` to skip to the next attempt.
    pub fn begin(&mut self, world: &World<'_>, start: &Start, now: Now) -> Option<Permit> {
        let provider = world.catalog.offers.get(start.offer)?.provider;
        if start.epoch != self.epoch {
            // The plan is older than the last reload: it goes on, and teaches nothing.
            let leave = Leave { generation: 0, probe: false };
            return (start.keys > 0).then(|| permit(start, provider, (0, leave)));
        }
        self.ensure(world);
        let spot = Spot { offer: start.offer, provider, key: 0 };
        let manner = (start.first, start.panic);
        let (key, leave) = self.health.begin(spot, start.keys, manner, now.ticks)?;
        Some(permit(start, provider, (key, leave)))
    }

    /// What an attempt showed. Only failures and successes move the breaker.
    pub fn observe(&mut self, seen: &Observation, now: Now) {
        let permit = &seen.permit;
        if permit.epoch != self.epoch {
            return;
        }
        let spot = Spot { offer: permit.offer, provider: permit.provider, key: permit.key };
        let leave: Leave = permit.leave;
        match seen.outcome {
            Outcome::Success => {
                let ms = self.learn_speed(seen, now.ticks);
                self.health.succeeded(spot, leave, ms, now.ticks);
            }
            Outcome::Failure => self.health.failed(spot, leave, now.ticks),
            Outcome::RateLimited { retry_after_ms } => {
                self.health.limited(spot, retry_after_ms, now.ticks);
            }
            Outcome::KeyRefused => self.health.key_refused(spot, now.ticks),
            Outcome::ModelGone => self.health.model_gone(spot, now.ticks),
            Outcome::ContextTooLong | Outcome::ReturnedAsIs | Outcome::ClientGone => {}
        }
        if let Some(reported) = seen.input_tokens {
            self.calibration.record(permit.offer, permit.script, permit.input_tokens, reported);
        }
        self.health.ended(spot, leave);
    }

    /// Learns how fast the arm was; gives the time to the first token, measured or implied.
    fn learn_speed(&mut self, seen: &Observation, now: Ticks) -> f64 {
        let permit = &seen.permit;
        let size = size_of(permit.input_tokens);
        let total = seen.total_ms as f64;
        let Some(prior) = self.priors.get(permit.arm as usize) else { return total };
        let (prior_ttft, prior_per) = (f64::from(prior.ttft_ms), f64::from(prior.ms_per_token));
        let tokens = seen.output_tokens.unwrap_or_default() as f64;
        let ttft = seen.ttft_ms.map_or_else(
            // A whole answer hides its first token: take out the time its tokens should have taken.
            || (total - tokens * prior_per).max(total * 0.1),
            |ttft| ttft as f64,
        );
        let key = (permit.arm, size as u8);
        if !self.sketches.contains_key(&key) && self.sketches.len() >= SKETCHES_MAX {
            return ttft;
        }
        let speed = self.sketches.entry(key).or_insert_with(|| {
            let (ttft, whole) = (Sketch::new(now), Sketch::new(now));
            Box::new(Track { ttft, whole, ms_per_token: prior_per, samples: 0 })
        });
        speed.ttft.add(ttft, now);
        speed.whole.add(total, now);
        if tokens >= 16.0 && seen.ttft_ms.is_some() {
            speed.samples = speed.samples.saturating_add(1);
            let weight = 1.0 / f64::from(speed.samples.min(50) + 5);
            speed.ms_per_token += weight * ((total - ttft).max(0.0) / tokens - speed.ms_per_token);
        }
        let (median, per) = (speed.ttft.blended(0.5, prior_ttft), speed.ms_per_token);
        let cell = self.speeds.get_mut(size).and_then(|arms| arms.get_mut(permit.arm as usize));
        if let Some(cell) = cell {
            *cell = Speed { ttft_ms: median as f32, ms_per_token: per as f32 };
        }
        ttft
    }

    /// Whether an arm's p95 keeps the client's limit; `None` where there is no limit.
    pub(super) fn quick<'a>(
        &'a self,
        world: &World<'a>,
        wish: &Wish<'_>,
        size: usize,
    ) -> Option<Box<dyn Fn(u32) -> bool + 'a>> {
        let limit = wish.max_latency_ms? as f64;
        let (table, stream) = (world.table, wish.stream);
        Some(Box::new(move |arm| {
            let Some(known) = table.arm(arm) else { return false };
            let speed = self.sketches.get(&(arm, size as u8));
            let speed = speed.filter(|speed| speed.whole.count() >= SAMPLES_MIN);
            // Nobody has measured it: its expectation must do.
            let p95 = match speed {
                Some(speed) if stream => speed.ttft.blended(0.95, f64::from(known.ttft_ms)),
                Some(speed) => speed.whole.quantile(0.95).unwrap_or_default(),
                None => f64::from(known.ttft_ms),
            };
            p95 <= limit
        }))
    }

    /// How long an attempt is waited for: to its first content byte, or to the whole answer.
    pub(super) fn deadline_ms(&self, sight: &Sight<'_>, arm: &Arm, index: u32) -> u64 {
        let factor = sight.world.table.factor(index);
        let wish = sight.wish;
        let size = size_of(wish.input_of(0)) as u8;
        let speed = self.sketches.get(&(index, size));
        let limits = &self.timeouts;
        let ttft = f64::from(arm.ttft_ms) * P95_PRIOR;
        let thinks =
            factor > 1.0 && matches!(arm.level, Effort::High | Effort::Max | Effort::Default);
        let waited = if wish.stream {
            let p95 = speed.map_or(ttft, |speed| speed.ttft.blended(0.95, ttft));
            let most =
                if thinks { limits.first_byte_thinking_ms } else { limits.first_byte_max_ms };
            let least = limits.first_byte_min_ms.min(most);
            ((p95 * FIRST_BYTE_TIMES) as u64).clamp(least, most)
        } else {
            let output = f64::from(sight.lens.visible) * f64::from(factor);
            let whole = ttft + output * f64::from(arm.ms_per_token) * P95_PRIOR;
            let p95 = speed.map_or(whole, |speed| speed.whole.blended(0.95, whole));
            let least = limits.body_min_ms.min(limits.total_ms);
            ((p95 * WHOLE_TIMES) as u64).clamp(least, limits.total_ms)
        };
        wish.max_latency_ms.map_or(waited, |limit| waited.min(limit))
    }

    /// A first attempt goes out: it earns a fifth of a further one.
    pub fn first_attempt(&mut self, tenant: &str, provider: usize, now: Now) {
        self.tenants.of(tenant, now.ticks).earn(now.ticks);
        self.provider(provider, now.ticks).earn(now.ticks);
    }

    /// Whether one more attempt may go out for this tenant at this provider; takes the tokens.
    pub fn may_retry(&mut self, tenant: &str, provider: usize, now: Now) -> bool {
        let affords = self.provider(provider, now.ticks).affords(now.ticks);
        let own = self.tenants.of(tenant, now.ticks);
        if !affords || !own.affords(now.ticks) {
            return false;
        }
        own.spend();
        self.provider(provider, now.ticks).spend();
        true
    }

    #[expect(clippy::indexing_slicing, reason = "resized to hold the index just above")]
    fn provider(&mut self, provider: usize, now: Ticks) -> &mut RetryBudget {
        let provider = provider.min(PROVIDERS_MAX);
        if provider >= self.providers.len() {
            self.providers.resize(provider + 1, RetryBudget::new(now));
        }
        &mut self.providers[provider]
    }

    /// A turn was served by this attempt: the next one of its conversation leans this way.
    /// `tokens` is what its prompt held, as the upstream counted it.
    pub fn served(
        &mut self,
        ask: &Ask<'_>,
        plan: &Plan,
        (attempt, tokens): (usize, u64),
        now: Now,
    ) {
        let told = !plan.pinned && plan.epoch == self.epoch;
        let Some(served) = plan.attempts.get(attempt).filter(|_| told) else { return };
        let Some(key) = session::key(ask, plan.mode) else { return };
        let turn = Turn {
            offer: served.offer as u32,
            effort: served.effort,
            mode: plan.mode,
            tokens,
            at: now.ticks,
            probabilities: plan.typing.probabilities,
            difficulty: plan.typing.difficulty,
        };
        self.sessions.put(key, turn);
    }

    /// The soonest wait among offers that answered 429, in milliseconds.
    pub fn soonest_retry_ms(&self, offers: &[usize], now: Now) -> Option<u64> {
        let waits = offers.iter().filter_map(|offer| self.health.retry_at(*offer, now.ticks));
        waits.map(|at| at.since(now.ticks).div_ceil(1_000)).min()
    }

    /// After a reload: health and sessions go with the names that stayed.
    pub fn swap(&mut self, old: &Catalog, new: &Catalog) {
        let name = |catalog: &'_ Catalog, offer: usize| {
            let offer = catalog.offers.get(offer)?;
            Some((catalog.providers.get(offer.provider)?.id.clone(), offer.model.clone()))
        };
        let places: HashMap<_, usize> =
            (0..new.offers.len()).filter_map(|at| Some((name(new, at)?, at))).collect();
        let offer = |from: usize| places.get(&name(old, from)?).copied();
        let provider = |from: usize| {
            let id = &old.providers.get(from)?.id;
            new.providers.iter().position(|provider| provider.id == *id)
        };
        self.health.carry(&offer, &provider, (owners(new), new.providers.len()));
        self.sessions.rename(&|from| offer(from as usize).map(|to| to as u32));
        self.calibration = Calibration::new(new.offers.len());
        self.sketches.clear();
        self.speeds = Default::default();
        self.providers.clear();
        self.rates.forget();
        self.epoch = self.epoch.wrapping_add(1);
    }
}

fn permit(start: &Start, provider: usize, (key, leave): (usize, Leave)) -> Permit {
    Permit {
        key,
        probe: leave.probe,
        offer: start.offer,
        provider,
        arm: start.arm,
        leave,
        epoch: start.epoch,
        input_tokens: start.input_tokens,
        script: start.script,
    }
}

fn owners(catalog: &Catalog) -> Vec<u32> {
    catalog.offers.iter().map(|offer| offer.provider as u32).collect()
}
