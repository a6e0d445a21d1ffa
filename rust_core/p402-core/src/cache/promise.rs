//! Decides what a tenant may promise itself of the cache's hits, and what checking them may cost.
//! Does not keep the promise (bound.rs) and checks nothing.

use super::bound::{DELTA_MAX, DELTA_MIN};
use crate::config::Cache;
use crate::money::Usd;

/// Of a hundred hits by meaning five are asked again, where a tenant says nothing else.
const RATE: f64 = 0.05;
const DAILY: Usd = Usd::from_nano(1_000_000_000);

/// A tenant's promise, and how it is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// Wrong hits per hit, as an upper bound at 95 %; none: nothing is promised or checked.
    pub delta: Option<f64>,
    /// The share of hits that is asked again.
    pub rate: f64,
    /// What that may cost in a day.
    pub daily: Usd,
    /// The model that says whether two answers agree, where they are not the same.
    pub judge: Option<String>,
}

impl Default for Promise {
    fn default() -> Self {
        Self { delta: None, rate: RATE, daily: DAILY, judge: None }
    }
}

impl Promise {
    /// This promise with what is written put over it.
    ///
    /// # Errors
    /// The first key that is wrong, and why.
    pub(super) fn with(mut self, written: &Cache) -> Result<Self, (&'static str, &'static str)> {
        if let Some(delta) = written.delta {
            if !(DELTA_MIN..=DELTA_MAX).contains(&delta) {
                return Err(("delta", "is not a share of wrong hits from 0.005 to 0.05"));
            }
            self.delta = Some(delta);
        }
        if let Some(rate) = written.shadow_rate {
            if !(rate > 0.0 && rate <= 1.0) {
                return Err(("shadow_rate", "is not a share of hits above 0 and at most 1"));
            }
            self.rate = rate;
        }
        if let Some(text) = &written.shadow_daily_usd {
            let daily = Usd::parse(text).ok().filter(|daily| *daily >= Usd::ZERO);
            self.daily = daily.ok_or(("shadow_daily_usd", "is not an amount of dollars"))?;
        }
        if let Some(judge) = &written.judge {
            let named = Some(judge.clone()).filter(|name| !name.is_empty());
            self.judge = Some(named.ok_or(("judge", "names no model"))?);
        }
        Ok(self)
    }
}
