//! Decides how a refusal of the guard reads: code, words, and every field a client can act on.
//! Does not decide when to refuse (guard/) and never says 402 unless the operator asks for it.

use super::code::Code;
use super::error::ApiError;
use crate::guard::{self, Flag, Limits, Reply, slot_retry_ms};
use crate::id::RequestId;
use crate::money::Usd;
use crate::time::Day;

/// A ledger or guard that is away is asked again after this.
const LEDGER_RETRY_MS: u64 = 2_000;
const GUARD_RETRY_MS: u64 = 1_000;
const IN_PROGRESS_RETRY_MS: u64 = 500;

/// Who was refused, by which limits, and what it wanted.
#[derive(Clone, Copy, Debug)]
pub struct Denied<'a> {
    pub rid: RequestId,
    pub tenant: &'a str,
    pub limits: &'a Limits,
    pub claim: Usd,
    /// Status of the hard stops.
    pub status: u16,
    /// How long this tenant's requests take.
    pub mean_ms: i64,
}

impl Denied<'_> {
    /// What the account refused.
    pub fn by_account(&self, reply: &Reply) -> ApiError {
        match reply.code {
            guard::Code::Rate => self.rate(reply),
            guard::Code::DailyCap => self.daily(reply),
            guard::Code::Concurrency => self.concurrency(reply),
            guard::Code::Budget => self.budget(reply),
            // A home recovers and seeds by itself: what is left of it is an absence.
            _ => guard_unavailable("escrow"),
        }
    }

    /// Layer 4 in block mode.
    pub fn by_anomaly(&self, flag: &Flag) -> ApiError {
        let text = format!(
            "this request may cost {} USD, unlike this tenant's usual {} USD",
            self.claim, flag.typical
        );
        ApiError::new(Code::SpendAnomalyBlocked, text)
            .with_status(self.status)
            .with_extra("layer", "anomaly")
            .with_extra("z", (flag.z * 10.0).round() / 10.0)
            .with_usd("mean_usd", flag.typical)
            .with_extra("samples", flag.samples)
            .with_usd("estimated_cost_usd", self.claim)
    }

    /// Layer 5: `allowed` is the `max_tokens` that would have passed.
    pub fn by_request_cap(&self, model: &str, allowed: Option<u64>) -> ApiError {
        let cap = self.limits.request_cap;
        let hint = match allowed {
            Some(tokens) => format!("max_tokens up to {tokens} would pass"),
            None => "shorten the input or name a cheaper model".to_owned(),
        };
        let text = format!(
            "this request may cost {} USD and one request may cost {cap} USD at most; {hint}",
            self.claim
        );
        ApiError::new(Code::RequestCostLimitExceeded, text)
            .with_param("max_tokens")
            .with_extra("layer", "request_cap")
            .with_usd("cap_usd", cap)
            .with_usd("estimated_cost_usd", self.claim)
            .with_extra("max_tokens_allowed", allowed)
            .with_extra("model", model)
    }

    fn rate(&self, reply: &Reply) -> ApiError {
        let rate = self.limits.rate;
        let text = format!("more than {} requests in {} s", rate.limit, rate.per_s);
        ApiError::new(Code::RateLimitExceeded, text)
            .with_extra("layer", "rate_limit")
            .with_extra("limit", rate.limit)
            .with_extra("remaining", 0)
            .with_extra("window_s", rate.per_s)
            .with_retry_after_ms(wait_ms(reply))
    }

    fn daily(&self, reply: &Reply) -> ApiError {
        let cap = self.limits.daily_cap;
        let text = format!(
            "the daily limit of {cap} USD would be exceeded: {} USD spent, {} USD held",
            reply.day_spent, reply.day_held
        );
        let next = Day::from_days(reply.day.days() + 1);
        let error = ApiError::new(Code::DailySpendLimitExceeded, text)
            .with_status(self.status)
            .with_extra("layer", "daily_cap")
            .with_usd("limit_usd", cap)
            .with_usd("spent_usd", reply.day_spent)
            .with_usd("held_usd", reply.day_held)
            .with_usd("estimated_cost_usd", self.claim)
            .with_extra("resets_at", next.start().to_rfc3339());
        soon(reply, error).with_retry_after_ms(wait_ms(reply))
    }

    fn concurrency(&self, reply: &Reply) -> ApiError {
        let most = self.limits.in_flight_max;
        let text = format!("{} requests are in flight and {most} may be", reply.in_flight);
        let wait = slot_retry_ms(self.mean_ms, most, self.rid);
        ApiError::new(Code::ConcurrencyLimitExceeded, text)
            .with_extra("layer", "concurrency")
            .with_extra("limit", most)
            .with_extra("in_flight", reply.in_flight)
            .with_retry_after_ms(u64::try_from(wait).unwrap_or_default())
    }

    fn budget(&self, reply: &Reply) -> ApiError {
        let budget = self.limits.budget.unwrap_or_default();
        let taken = reply.budget_spent.saturating_add(reply.held);
        let left = Usd::from_nano(budget.saturating_sub(taken).nano().max(0));
        let text = format!(
            "the budget of {budget} USD would be exceeded: {} USD spent, {} USD held",
            reply.budget_spent, reply.held
        );
        let resets = self.limits.period.end(reply.day).map(|day| day.start().to_rfc3339());
        let error = ApiError::new(Code::BudgetExceeded, text)
            .with_status(self.status)
            .with_extra("layer", "reservation")
            .with_extra("budget_id", self.tenant)
            .with_usd("limit_usd", budget)
            .with_usd("spent_usd", reply.budget_spent)
            .with_usd("held_usd", reply.held)
            .with_usd("remaining_usd", left)
            .with_usd("estimated_cost_usd", self.claim)
            .with_extra("resets_at", resets);
        let error = soon(reply, error);
        if reply.retry_ms > 0 { error.with_retry_after_ms(wait_ms(reply)) } else { error }
    }
}

/// Only slices stand in the way: they are called in, and the same request may come again.
fn soon(reply: &Reply, error: ApiError) -> ApiError {
    let called_in = reply.parked > Usd::ZERO && (1..=1_000).contains(&reply.retry_ms);
    error.with_should_retry(called_in)
}

fn wait_ms(reply: &Reply) -> u64 {
    u64::try_from(reply.retry_ms).unwrap_or_default()
}

/// Layer 6 while the store is away.
pub fn guard_unavailable(mode: &'static str) -> ApiError {
    let text = "the store that guards this tenant's spending is away; nothing was sent";
    ApiError::new(Code::GuardUnavailable, text)
        .with_extra("layer", "reservation")
        .with_extra("mode", mode)
        .with_retry_after_ms(GUARD_RETRY_MS)
}

/// The ledger cannot take what would have to be written before dispatch.
pub fn ledger_unavailable() -> ApiError {
    let text = "the ledger cannot be written, so nothing was sent";
    ApiError::new(Code::LedgerUnavailable, text)
        .with_extra("layer", "ledger")
        .with_retry_after_ms(LEDGER_RETRY_MS)
}

/// This process ends; another one may answer.
pub fn shutting_down() -> ApiError {
    ApiError::new(Code::ShuttingDown, "this gateway is shutting down")
}

/// A hold could not grow to what a further attempt, or a longer answer, may cost.
pub fn reservation_exhausted(held: Usd, needed: Usd) -> ApiError {
    let text =
        format!("{needed} USD would be needed where {held} USD are held, and no more may be spent");
    ApiError::new(Code::ReservationExhausted, text)
        .with_extra("layer", "reservation")
        .with_usd("held_usd", held)
        .with_usd("needed_usd", needed)
}

/// The idempotency key is in use by another body.
pub fn idempotency_conflict(rid: RequestId) -> ApiError {
    let text = "this Idempotency-Key was used with another body";
    ApiError::new(Code::IdempotencyConflict, text)
        .with_extra("layer", "reservation")
        .with_extra("rid", rid.to_string())
}

/// The same request is on its way.
pub fn request_in_progress(rid: RequestId) -> ApiError {
    let text = "a request with this Idempotency-Key is in flight";
    ApiError::new(Code::RequestInProgress, text)
        .with_extra("layer", "reservation")
        .with_extra("rid", rid.to_string())
        .with_retry_after_ms(IN_PROGRESS_RETRY_MS)
}
