//! Decides which endpoints (offer × key) may be used now, and how loaded each is.
//! Does not rank offers, and an outage here never lowers a model's quality.

use super::breaker::{Breaker, Leave};
use super::draw::{Salt, draw};
use super::rank::Standing;
use super::reason::Reason;
use crate::time::Ticks;

/// Keys of one provider that are told apart; further ones are not used.
pub(super) const KEYS_MAX: usize = 16;
/// A 429 without a wait, and the longest wait that only cools one endpoint.
const COOLING_DEFAULT_MS: u64 = 5_000;
const COOLING_MAX_MS: u64 = 60_000;
/// A refused key rests a quarter of an hour, doubling to six hours.
const KEY_FIRST_MS: u64 = 15 * 60_000;
const KEY_MAX_MS: u64 = 6 * 3_600_000;
const MODEL_GONE_MS: u64 = 3_600_000;
/// Peak-EWMA of latency: jumps up at once, falls with this time constant.
const EWMA_US: f64 = 10e6;
/// Failure share: samples fade with this time constant.
const SHARE_US: f64 = 30e6;
const SHARE_SAMPLES: f64 = 5.0;
/// An endpoint failing more than this goes behind the others: it is what the retry budget, a fifth
/// of the first attempts, can carry.
const SHAKY_SHARE: f64 = 0.2;
/// How strongly failures count as load among endpoints of one model.
const FAILURE_LOAD: f64 = 20.0;
/// A provider with this percentage of its used endpoints open is open as a whole.
const PROVIDER_OPEN_PERCENT: usize = 60;
const PROVIDER_OPEN_MIN: usize = 3;

/// One endpoint's moving state.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoint {
    pub(super) breaker: Breaker,
    cooling: Ticks,
    ewma_ms: f64,
    ewma_at: Ticks,
    failed: f64,
    total: f64,
    share_at: Ticks,
    pub(super) in_flight: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct OfferHealth {
    disabled: Ticks,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Default)]
struct Key {
    suspended: Ticks,
    level: u32,
}

#[derive(Clone, Debug, Default)]
struct ProviderHealth {
    keys: Vec<Key>,
    /// The whole provider counts as open until then.
    open: Ticks,
}

/// State of every endpoint that was used, by offer and by provider.
#[derive(Debug, Default)]
pub(super) struct Health {
    offers: Vec<Option<Box<OfferHealth>>>,
    provider_of: Vec<u32>,
    providers: Vec<ProviderHealth>,
    /// A key was suspended or a model disabled since the last reload.
    rests: bool,
    /// No provider counts as open as a whole after this.
    open: Ticks,
}

/// Where an observation lands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) offer: usize,
    pub(super) provider: usize,
    pub(super) key: usize,
}

impl Endpoint {
    fn shut(&self, now: Ticks) -> Option<(Ticks, Reason)> {
        if self.cooling > now {
            return Some((self.cooling, Reason::Cooling));
        }
        self.breaker.shut_until(now).map(|until| (until, Reason::BreakerOpen))
    }

    /// Fails often, by what is remembered of enough samples.
    fn is_shaky(&self, now: Ticks) -> bool {
        self.failed / self.total > SHAKY_SHARE && self.total * self.kept(now) >= SHARE_SAMPLES
    }

    /// What has not faded yet of the counted samples.
    fn kept(&self, now: Ticks) -> f64 {
        (-(now.since(self.share_at) as f64) / SHARE_US).exp()
    }

    fn count(&mut self, failed: bool, now: Ticks) {
        let kept = self.kept(now);
        self.failed = self.failed * kept + f64::from(u8::from(failed));
        self.total = self.total * kept + 1.0;
        self.share_at = now;
    }

    fn took(&mut self, ms: f64, now: Ticks) {
        let kept = (-(now.since(self.ewma_at) as f64) / EWMA_US).exp();
        self.ewma_ms = if ms > self.ewma_ms || self.ewma_ms <= 0.0 {
            ms
        } else {
            ms + (self.ewma_ms - ms) * kept
        };
        self.ewma_at = now;
    }

    /// Peak-EWMA × (in flight + 1), dearer the more it fails.
    fn load(&self, prior_ms: f64, now: Ticks) -> f64 {
        let ewma = if self.ewma_ms <= 0.0 { prior_ms } else { self.ewma_ms };
        // One failure counts at once, and fades: there is another endpoint of the same model.
        let kept = self.kept(now);
        let risk = self.failed * kept / (self.total * kept + 1.0);
        ewma * f64::from(self.in_flight + 1) * (1.0 + FAILURE_LOAD * risk)
    }
}

impl Health {
    pub(super) fn resize(&mut self, provider_of: Vec<u32>, providers: usize) {
        self.offers.resize_with(provider_of.len(), || None);
        self.providers.resize_with(providers, ProviderHealth::default);
        self.provider_of = provider_of;
    }
    pub(super) fn fits(&self, offers: usize, providers: usize) -> bool {
        self.offers.len() == offers && self.providers.len() == providers
    }

    /// Whether keys or offers may be resting.
    pub(super) fn rests(&self) -> bool {
        self.rests
    }

    /// No key rests and no provider is open as a whole: an offer that was never used is ready.
    pub(super) fn is_calm(&self, now: Ticks) -> bool {
        !self.rests && self.open <= now
    }
    #[inline]
    pub(super) fn is_used(&self, offer: usize) -> bool {
        self.offers.get(offer).is_some_and(Option::is_some)
    }

    /// How an offer stands, and the reason where it is out; `NoKey` and `Disabled` are final.
    pub(super) fn standing(
        &self,
        offer: usize,
        provider: usize,
        now: Ticks,
    ) -> (Standing, Option<Reason>) {
        let whole = self.providers.get(provider);
        if whole.is_some_and(|p| !p.keys.is_empty() && p.keys.iter().all(|k| k.suspended > now)) {
            return (Standing::READY, Some(Reason::NoKey));
        }
        let out = |until: Ticks, reason| (Standing::out_until(until), Some(reason));
        let Some(own) = self.offers.get(offer).and_then(Option::as_deref) else {
            return match whole.map(|p| p.open).filter(|open| *open > now) {
                Some(open) => out(open, Reason::BreakerOpen),
                None => (Standing::READY, None),
            };
        };
        if own.disabled > now {
            return (Standing::READY, Some(Reason::Disabled));
        }
        let usable =
            |key: usize| whole.and_then(|p| p.keys.get(key)).is_none_or(|key| key.suspended <= now);
        let known = whole.map_or(1, |p| p.keys.len().max(1));
        let mut soonest: Option<(Ticks, Reason)> = None;
        let mut shaky = true;
        for key in (0..known).filter(|key| usable(*key)) {
            let endpoint = own.endpoints.get(key);
            match endpoint.and_then(|endpoint| endpoint.shut(now)) {
                Some(shut) if soonest.is_none_or(|(until, _)| shut.0 < until) => {
                    soonest = Some(shut);
                }
                Some(_) => {}
                None => {
                    shaky &= endpoint.is_some_and(|e| e.is_shaky(now));
                    if !shaky {
                        return (Standing::READY, None);
                    }
                    soonest = Some((Ticks::default(), Reason::BreakerOpen));
                }
            }
        }
        match soonest {
            Some((until, reason)) if until > now => out(until, reason),
            Some(_) => (Standing::SHAKY, None),
            None => (Standing::READY, Some(Reason::NoKey)),
        }
    }

    /// The lowest load among an offer's endpoints.
    pub(super) fn load(&self, offer: usize, prior_ms: f64, now: Ticks) -> f64 {
        let own = self.offers.get(offer).and_then(Option::as_deref);
        let loads = own.into_iter().flat_map(|own| &own.endpoints).map(|e| e.load(prior_ms, now));
        loads.min_by(f64::total_cmp).unwrap_or(prior_ms)
    }

    /// How much slower than expected the endpoint is at the moment, 1–10.
    pub(super) fn slowness(&self, offer: usize, prior_ms: f64, now: Ticks) -> f64 {
        let Some(own) = self.offers.get(offer).and_then(Option::as_deref) else { return 1.0 };
        let recent = own.endpoints.iter().filter(|e| e.ewma_ms > 0.0);
        let slow = recent.map(|e| {
            let over = e.ewma_ms / prior_ms.max(1.0) - 1.0;
            let kept = || (-(now.since(e.ewma_at) as f64) / (3.0 * EWMA_US)).exp();
            if over > 0.0 { 1.0 + over * kept() } else { 1.0 }
        });
        slow.min_by(f64::total_cmp).unwrap_or(1.0).clamp(1.0, 10.0)
    }

    /// The first usable key of an offer, and leave to send. `None` = none is usable now.
    pub(super) fn begin(
        &mut self,
        spot: Spot,
        keys: usize,
        (first, forced): (bool, bool),
        now: Ticks,
    ) -> Option<(usize, Leave)> {
        let keys = keys.clamp(1, KEYS_MAX);
        let provider = self.providers.get_mut(spot.provider)?;
        provider.keys.resize_with(keys, Key::default);
        let suspended: Vec<bool> = provider.keys.iter().map(|key| key.suspended > now).collect();
        let own = self.offers.get_mut(spot.offer)?.get_or_insert_default();
        own.endpoints.resize_with(keys.max(own.endpoints.len()), Endpoint::default);
        if own.disabled > now {
            return None;
        }
        let usable = || {
            let open = suspended.iter().enumerate().filter(|(_, suspended)| !**suspended);
            open.map(|(key, _)| key)
        };
        for key in usable() {
            let endpoint = own.endpoints.get_mut(key)?;
            if endpoint.cooling > now {
                continue;
            }
            if let Some(leave) = endpoint.breaker.leave(now, first, false) {
                endpoint.in_flight += 1;
                return Some((key, leave));
            }
        }
        if !forced {
            return None;
        }
        let key = usable().min_by_key(|key| {
            own.endpoints.get(*key).and_then(|e| e.shut(now)).map_or(0, |(until, _)| until.micros())
        })?;
        let endpoint = own.endpoints.get_mut(key)?;
        let leave = endpoint.breaker.leave(now, first, true)?;
        endpoint.in_flight += 1;
        Some((key, leave))
    }

    pub(super) fn endpoint(&mut self, spot: Spot) -> Option<&mut Endpoint> {
        self.offers.get_mut(spot.offer)?.as_deref_mut()?.endpoints.get_mut(spot.key)
    }

    pub(super) fn ended(&mut self, spot: Spot, leave: Leave) {
        if let Some(endpoint) = self.endpoint(spot) {
            endpoint.in_flight = endpoint.in_flight.saturating_sub(1);
            endpoint.breaker.release(leave);
        }
    }

    pub(super) fn succeeded(&mut self, spot: Spot, leave: Leave, ms: f64, now: Ticks) {
        let Some(endpoint) = self.endpoint(spot) else { return };
        let was_open = endpoint.breaker.is_open();
        endpoint.breaker.succeeded(leave, now);
        endpoint.count(false, now);
        endpoint.took(ms, now);
        let closed = was_open && !endpoint.breaker.is_open();
        if let Some(key) =
            self.providers.get_mut(spot.provider).and_then(|p| p.keys.get_mut(spot.key))
        {
            key.level = 0;
        }
        if closed {
            self.judge_provider(spot.provider, now);
        }
    }

    pub(super) fn failed(&mut self, spot: Spot, leave: Leave, now: Ticks) {
        let Some(endpoint) = self.endpoint(spot) else { return };
        let subject = (spot.offer as u128) << 64 | (spot.key as u128) << 32;
        let jitter = draw(subject, Salt::BreakerJitter, u64::from(leave.generation));
        let was_open = endpoint.breaker.is_open();
        endpoint.breaker.failed(leave, now, jitter);
        endpoint.count(true, now);
        if !was_open && endpoint.breaker.is_open() {
            self.judge_provider(spot.provider, now);
        }
    }

    pub(super) fn limited(&mut self, spot: Spot, retry_after_ms: Option<u64>, now: Ticks) {
        let wait_ms = retry_after_ms.unwrap_or(COOLING_DEFAULT_MS);
        if wait_ms > COOLING_MAX_MS {
            self.suspend(spot, now.plus_ms(wait_ms.min(KEY_MAX_MS)));
        } else if let Some(endpoint) = self.endpoint(spot) {
            endpoint.cooling = endpoint.cooling.max(now.plus_ms(wait_ms));
        }
    }

    pub(super) fn key_refused(&mut self, spot: Spot, now: Ticks) {
        self.rests = true;
        let Some(provider) = self.providers.get_mut(spot.provider) else { return };
        let Some(key) = provider.keys.get_mut(spot.key) else { return };
        // Requests in flight together report one refusal, not many.
        if key.suspended <= now {
            let wait_ms = (KEY_FIRST_MS << key.level.min(10)).min(KEY_MAX_MS);
            key.suspended = now.plus_ms(wait_ms);
            key.level += 1;
        }
    }

    pub(super) fn model_gone(&mut self, spot: Spot, now: Ticks) {
        self.rests = true;
        if let Some(own) = self.offers.get_mut(spot.offer).and_then(Option::as_deref_mut) {
            own.disabled = now.plus_ms(MODEL_GONE_MS);
        }
    }

    /// When an offer may be asked again after a 429, if it is cooling or its keys rest.
    pub(super) fn retry_at(&self, offer: usize, now: Ticks) -> Option<Ticks> {
        let provider = self.provider_of.get(offer).copied()? as usize;
        let keys = self.providers.get(provider).map(|p| p.keys.as_slice()).unwrap_or_default();
        let own = self.offers.get(offer)?.as_deref()?;
        let at = own.endpoints.iter().enumerate().map(|(key, endpoint)| {
            let suspended = keys.get(key).map_or(Ticks::default(), |key| key.suspended);
            endpoint.cooling.max(suspended)
        });
        at.min().filter(|at| *at > now)
    }

    fn suspend(&mut self, spot: Spot, until: Ticks) {
        self.rests = true;
        let keys = self.providers.get_mut(spot.provider).map(|p| &mut p.keys);
        if let Some(key) = keys.and_then(|keys| keys.get_mut(spot.key)) {
            key.suspended = key.suspended.max(until);
        }
    }

    /// Opens a provider as a whole while most of its used endpoints are open.
    fn judge_provider(&mut self, provider: usize, now: Ticks) {
        let own = self.provider_of.iter().zip(&self.offers);
        let own = own.filter(|(owner, _)| **owner as usize == provider);
        let used = own.filter_map(|(_, health)| health.as_deref()).flat_map(|h| &h.endpoints);
        let (mut total, mut open, mut soonest) = (0, 0, None::<Ticks>);
        for endpoint in used {
            total += 1;
            if let Some(until) = endpoint.breaker.shut_until(now) {
                open += 1;
                soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
            }
        }
        let all = open >= PROVIDER_OPEN_MIN && open * 100 >= total * PROVIDER_OPEN_PERCENT;
        if let Some(provider) = self.providers.get_mut(provider) {
            provider.open = soonest.filter(|_| all).unwrap_or_default();
            self.open = self.open.max(provider.open);
        }
    }

    /// The state of everything that kept its name after a reload.
    pub(super) fn carry(
        &mut self,
        offer: &dyn Fn(usize) -> Option<usize>,
        provider: &dyn Fn(usize) -> Option<usize>,
        sizes: (Vec<u32>, usize),
    ) {
        let mut next = Self::default();
        next.resize(sizes.0, sizes.1);
        (next.rests, next.open) = (self.rests, self.open);
        for (from, own) in std::mem::take(&mut self.offers).into_iter().enumerate() {
            let Some(mut own) = own else { continue };
            // Requests in flight report to the old epoch: nothing is in flight in the new one.
            own.endpoints.iter_mut().for_each(|endpoint| endpoint.in_flight = 0);
            if let Some(cell) = offer(from).and_then(|to| next.offers.get_mut(to)) {
                *cell = Some(own);
            }
        }
        for (from, own) in std::mem::take(&mut self.providers).into_iter().enumerate() {
            if let Some(cell) = provider(from).and_then(|to| next.providers.get_mut(to)) {
                *cell = own;
            }
        }
        *self = next;
    }
}
