//! Decides how a tenant's balances read in the headers of every reply (guard.md § 10).
//! Does not refuse: denial.rs words what an account refused.

use super::json;
use crate::guard::{Flag, Limits, Reply};
use crate::money::Usd;
use crate::time::Timestamp;

/// What is left to a tenant, as of its account's last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    limit: i64,
    window_s: i64,
    remaining: i64,
    /// Until the bucket is full again.
    reset_s: i64,
    daily: Usd,
    budget: Option<Usd>,
}

impl Standing {
    /// Read at `now`, which may be later than the answer. Remaining amounts are rounded down by
    /// being integers, and never negative.
    pub fn of(reply: &Reply, limits: &Limits, now: Timestamp) -> Self {
        let today = now.utc_day() <= reply.day;
        let of_today = |amount: Usd| if today { amount } else { Usd::ZERO };
        let left = |cap: Usd, spent: Usd, held: Usd| {
            Usd::from_nano((cap.nano() - spent.nano() - held.nano()).max(0))
        };
        Self {
            daily: left(limits.daily_cap, of_today(reply.day_spent), of_today(reply.day_held)),
            budget: limits.budget.map(|budget| left(budget, reply.budget_spent, reply.held)),
            ..Self::rate(reply.tat_us, limits, now)
        }
    }

    fn rate(tat_us: i64, limits: &Limits, now: Timestamp) -> Self {
        let ahead_us = (tat_us - now.micros()).max(0);
        Self {
            limit: limits.rate.limit,
            window_s: limits.rate.per_s,
            remaining: limits.bucket().remaining(tat_us, now.micros()).max(0),
            reset_s: ahead_us / 1_000_000 + i64::from(ahead_us % 1_000_000 > 0),
            daily: Usd::ZERO,
            budget: None,
        }
    }

    /// Name and value of each header.
    pub fn headers(&self, out: &mut Vec<(&'static str, String)>) {
        let Self { limit, window_s, remaining, reset_s, daily, budget } = self;
        let window = window_name(*window_s);
        out.push(("x-ratelimit-limit-requests", limit.to_string()));
        out.push(("x-ratelimit-remaining-requests", remaining.to_string()));
        out.push(("x-ratelimit-reset-requests", format!("{reset_s}s")));
        out.push(("ratelimit-policy", format!("\"{window}\";q={limit};w={window_s}")));
        out.push(("ratelimit", format!("\"{window}\";r={remaining};t={reset_s}")));
        out.push(("x-p402-daily-remaining-usd", daily.to_string()));
        out.extend(budget.map(|left| ("x-p402-budget-remaining-usd", left.to_string())));
    }
}

fn window_name(window_s: i64) -> &'static str {
    match window_s {
        1 => "second",
        60 => "minute",
        3_600 => "hour",
        86_400 => "day",
        _ => "window",
    }
}

/// `z=4.1;n=812;series=cost`: what is unlike the tenant's past, for a header.
pub fn anomaly_header(flag: &Flag, series: &str) -> String {
    format!("z={:.1};n={};series={series}", flag.z, flag.samples)
}

/// `p402_metadata.guard`: only where the guard was not itself, or saw what was unusual.
pub fn guard_json(degraded: bool, anomaly: Option<(&Flag, &str)>) -> Option<Vec<u8>> {
    if !degraded && anomaly.is_none() {
        return None;
    }
    let mut out = vec![b'{'];
    if degraded {
        json::member(&mut out, "degraded", true);
    }
    if let Some((flag, series)) = anomaly {
        json::key(&mut out, "anomaly");
        out.push(b'{');
        json::member(&mut out, "z", format_args!("{:.1}", flag.z));
        json::member(&mut out, "n", flag.samples);
        json::text_member(&mut out, "series", series);
        out.push(b'}');
    }
    out.push(b'}');
    Some(out)
}
