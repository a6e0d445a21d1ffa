//! Decides what a tenant allows of the cache, and what becomes of a request's wish under it.
//! Does not look anything up; what is written down wrong is named and refused.

use super::key::Share;
use super::policy::{self, THRESHOLD, TTL_DEFAULT_S};
use super::promise::Promise;
use super::shelf::{self, Bounds};
use super::wish::{SECONDS_MAX, Sharing, Wish, WishError, invalid};
use crate::config::Cache;
use std::fmt;

/// The shipped encoder's weights, in hex; its vectors are named by the first twelve digits.
const WEIGHTS: &str = include_str!("../../../../p402/embedder/minilm-l6-i8.sha256");
/// Answers that one API key stores in an hour.
pub const STORES_PER_HOUR: u32 = 2_000;
const REDIS_WAIT_MS: u64 = 5;
const REDIS_WAIT_MS_MOST: u64 = 50;
const BYTES_MIN: u64 = 1 << 20;
const BYTES_MOST: u64 = 64 << 30;

/// A tenant's rules.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own, none a state")]
pub struct Rules {
    pub default: bool,
    pub cost_mode_default: bool,
    pub share: Sharing,
    pub ttl_s: u64,
    pub ttl_max_s: u64,
    pub threshold: f32,
    pub temperature_tenths_max: u16,
    pub stores_per_hour: u32,
    /// A hit takes as long as the answer once took.
    pub slow_as_original: bool,
    /// What feedback calls wrong is kept with its words.
    pub keep_pairs: bool,
    pub promise: Promise,
}

/// Which key is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub key: &'static str,
    pub why: String,
}

/// What a request says of itself, as far as the rules ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking<'a> {
    pub cost_mode: bool,
    pub temperature_tenths: Option<u16>,
    pub user: Option<&'a str>,
    pub session: Option<&'a str>,
}

/// How a request uses the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms<'a> {
    pub share: Share<'a>,
    /// Stored answers may be served.
    pub serve: bool,
    /// The new answer may be stored.
    pub keep: bool,
    pub max_age_s: Option<u64>,
    pub ttl_s: Option<u64>,
    pub threshold: f32,
}

/// Whether a request uses the cache at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Use<'a> {
    On(Terms<'a>),
    /// It, or its tenant, does not want to.
    Off,
    /// It wants to, and may not: nothing to tell it apart by, or too hot.
    Barred,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            default: false,
            cost_mode_default: true,
            share: Sharing::Tenant,
            ttl_s: TTL_DEFAULT_S,
            ttl_max_s: TTL_DEFAULT_S,
            threshold: THRESHOLD,
            temperature_tenths_max: policy::TEMPERATURE_TENTHS_MAX,
            stores_per_hour: STORES_PER_HOUR,
            slow_as_original: false,
            keep_pairs: false,
            promise: Promise::default(),
        }
    }
}

/// Names the vectors of the shipped encoder.
pub fn shipped_encoder() -> &'static str {
    WEIGHTS.get(..12).unwrap_or_default()
}

/// All digits of the shipped weights' sum.
pub fn shipped_weights() -> &'static str {
    WEIGHTS.trim()
}

impl Rules {
    /// These rules with what is written put over them: the defaults, then all tenants', then one
    /// tenant's own.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn with(mut self, written: &Cache) -> Result<Self, RuleError> {
        put(&mut self.default, written.default);
        put(&mut self.cost_mode_default, written.cost_mode_default);
        if let Some(word) = &written.share {
            let why = "is not one of tenant, user, session";
            self.share = Sharing::parse(word).ok_or_else(|| wrong("share", why))?;
        }
        put(&mut self.ttl_max_s, seconds("ttl_max_s", written.ttl_max_s)?);
        self.ttl_s = self.ttl_s.min(self.ttl_max_s);
        put(&mut self.ttl_s, seconds("ttl_s", written.ttl_s)?);
        if self.ttl_s > self.ttl_max_s {
            return Err(wrong("ttl_s", "is above ttl_max_s"));
        }
        self.read_threshold(written)?;
        if let Some(heat) = written.temperature_max {
            if !(0.0..=2.0).contains(&heat) {
                return Err(wrong("temperature_max", "is not between 0 and 2"));
            }
            self.temperature_tenths_max = (heat * 10.0).round() as u16;
        }
        put(&mut self.stores_per_hour, written.stores_per_hour);
        put(&mut self.keep_pairs, written.keep_pairs);
        self.promise = self.promise.with(written).map_err(|(key, why)| wrong(key, why))?;
        match written.timing.as_deref() {
            None => {}
            Some("quick") => self.slow_as_original = false,
            Some("original") => self.slow_as_original = true,
            Some(_) => return Err(wrong("timing", "is not one of quick, original")),
        }
        Ok(self)
    }

    /// A threshold says nothing of another encoder's vectors, so it names its own.
    fn read_threshold(&mut self, written: &Cache) -> Result<(), RuleError> {
        if let Some(named) = &written.embedder
            && named != shipped_encoder()
        {
            let why = format!("is not the encoder of this release, {}", shipped_encoder());
            return Err(wrong("embedder", &why));
        }
        let Some(cosine) = written.threshold else { return Ok(()) };
        if written.embedder.is_none() {
            let why = format!(
                "belongs to an encoder: name it beside, embedder = \"{}\"",
                shipped_encoder()
            );
            return Err(wrong("threshold", &why));
        }
        if !(0.0..=1.0).contains(&cosine) || (cosine as f32) < THRESHOLD {
            return Err(wrong("threshold", "is not a cosine from 0.92 to 1: higher is nearer"));
        }
        self.threshold = cosine as f32;
        Ok(())
    }

    /// What becomes of a request's wish.
    ///
    /// # Errors
    /// It asks for more than its tenant allows.
    pub fn judge<'a>(&self, wish: &Wish, asking: &Asking<'a>) -> Result<Use<'a>, WishError> {
        let share = wish.share.unwrap_or(self.share);
        if share < self.share {
            let rule = format!("may only narrow its tenant's `{}`", self.share.name());
            return Err(invalid("p402.cache.share", &rule));
        }
        if wish.threshold.is_some_and(|cosine| cosine < self.threshold) {
            let rule = format!("may only be raised, from {}", self.threshold);
            return Err(invalid("p402.cache.threshold", &rule));
        }
        if wish.ttl_s.is_some_and(|ttl_s| ttl_s > self.ttl_max_s) {
            let rule = format!("must be at most {} seconds", self.ttl_max_s);
            return Err(invalid("p402.cache.ttl", &rule));
        }
        let default = self.default || asking.cost_mode && self.cost_mode_default;
        if !wish.on.unwrap_or(default) {
            return Ok(Use::Off);
        }
        let heat = asking.temperature_tenths;
        if !policy::deterministic_enough(heat, self.temperature_tenths_max) {
            return Ok(Use::Barred);
        }
        let named = |word: Option<&'a str>| word.filter(|word| !word.is_empty());
        let share = match share {
            Sharing::Tenant => Some(Share::Tenant),
            Sharing::User => named(asking.user).map(Share::User),
            Sharing::Session => named(asking.session).map(Share::Session),
        };
        // Nobody to share with is no reason to share with everybody.
        let Some(share) = share else { return Ok(Use::Barred) };
        Ok(Use::On(Terms {
            share,
            serve: !wish.refresh,
            keep: !wish.no_store,
            max_age_s: wish.max_age_s,
            ttl_s: wish.ttl_s.or(Some(self.ttl_s)),
            threshold: wish.threshold.unwrap_or(self.threshold),
        }))
    }
}

/// How much a node keeps.
///
/// # Errors
/// The first key that is wrong.
pub fn room(written: &Cache) -> Result<Bounds, RuleError> {
    let bytes = written.bytes_max.unwrap_or(shelf::BYTES_MAX as u64);
    if !(BYTES_MIN..=BYTES_MOST).contains(&bytes) {
        return Err(wrong("bytes_max", "is not between 1 MiB and 64 GiB"));
    }
    let entries = written.entries_max.unwrap_or(shelf::ENTRIES_MAX as u64);
    if !(1..=1 << 32).contains(&entries) {
        return Err(wrong("entries_max", "is not a number of entries above 0"));
    }
    let whole = |number| usize::try_from(number).unwrap_or(usize::MAX);
    Ok(Bounds { entries: whole(entries), bytes: whole(bytes) })
}

/// How long a lookup waits for answers that lie elsewhere, in milliseconds.
///
/// # Errors
/// It is no wait that a lookup has time for.
pub fn redis_wait_ms(written: &Cache) -> Result<u64, RuleError> {
    match written.redis_deadline_ms {
        None => Ok(REDIS_WAIT_MS),
        Some(ms) if (1..=REDIS_WAIT_MS_MOST).contains(&ms) => Ok(ms),
        Some(_) => Err(wrong("redis_deadline_ms", "is not between 1 and 50")),
    }
}

/// What is the node's cannot be a tenant's.
///
/// # Errors
/// The first key of a tenant's that is the node's.
pub fn of_tenant(written: &Cache) -> Result<(), RuleError> {
    let nodes = [
        ("bytes_max", written.bytes_max.is_some()),
        ("entries_max", written.entries_max.is_some()),
        ("redis_url", written.redis_url.is_some()),
        ("redis_deadline_ms", written.redis_deadline_ms.is_some()),
    ];
    match nodes.into_iter().find(|(_, written)| *written) {
        Some((key, _)) => Err(wrong(key, "is the gateway's own: it belongs into [cache]")),
        None => Ok(()),
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cache.{} {}", self.key, self.why)
    }
}

fn wrong(key: &'static str, why: &str) -> RuleError {
    RuleError { key, why: why.to_owned() }
}

fn put<T>(rule: &mut T, written: Option<T>) {
    if let Some(written) = written {
        *rule = written;
    }
}

fn seconds(key: &'static str, written: Option<u64>) -> Result<Option<u64>, RuleError> {
    match written {
        Some(seconds) if !(1..=SECONDS_MAX).contains(&seconds) => {
            Err(wrong(key, "is not between 1 second and 31 days"))
        }
        fine => Ok(fine),
    }
}
