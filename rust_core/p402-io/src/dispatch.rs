//! Walks the plan: one attempt after the other until one answers; the first content byte commits.
//! Does not order attempts (core's rank.rs) and does not forward a committed stream (pump.rs).

use crate::exchange::{Begun, Fault, exchange};
use crate::settling::Settling;
use crate::transport::WireBody;
use crate::turn::{Served, Tried, Turn};
use p402_core::dialect::openai::{Answer, ChatStream, UpstreamError, UpstreamErrorKind};
use p402_core::reply::{ApiError, Code};
use p402_core::route::{Attempt, Observation, Outcome, Permit};
use p402_core::time::Now;
use p402_core::usage::Usage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Attempts of one request, whatever the plan and the keys would still allow.
pub const TRIES_MAX: usize = 5;
/// The longest wait on the path: a lone endpoint's short 429 (routing.md § 5.2).
const LONE_WAIT_MS_MAX: u64 = 1_000;

/// An answer that has begun.
#[derive(Debug)]
pub enum Dispatched {
    Whole(Box<Whole>),
    Streaming { served: Served, begun: Box<BegunStream>, warnings: Vec<String> },
}

/// An answer that came whole, with the names of fields its upstream was not told.
#[derive(Debug)]
pub struct Whole {
    pub served: Served,
    pub answer: Answer,
    pub warnings: Vec<String>,
}

/// A committed stream: what the upstream still has to send, and the endpoint it keeps busy.
#[derive(Debug)]
pub struct BegunStream {
    pub body: WireBody,
    pub stream: Box<ChatStream>,
    pub busy: Busy,
}

/// What the walk remembers of its failures, to say so if all fail.
#[derive(Debug, Default)]
struct Failures {
    others: u32,
    rate_limited: u32,
    timeouts: u32,
    possibly_billed: bool,
    soonest_ms: Option<u64>,
    /// The largest window that was too small, and the refusal that said so.
    unfit: Option<(u64, Box<UpstreamError>)>,
    /// The one wait that a walk may make was made.
    waited: bool,
}

/// Counts an endpoint as busy until its verdict; dropped without one it is freed unjudged.
pub struct Busy {
    turn: Arc<Turn>,
    permit: Permit,
    sent: Now,
    seen: Option<Observation>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.verdict(Outcome::ClientGone, self.turn.node.clock.now());
    }
}

/// Tries the plan's attempts in order; the error is what the client is told if none answers. Once
/// it has `left`, what is on its way is still heard out, but nothing more is begun for it.
pub async fn walk(settling: &mut Settling, left: &AtomicBool) -> Result<Dispatched, ApiError> {
    let turn = Arc::clone(&settling.turn);
    let deadline = deadline(&turn);
    let mut failures = Failures::default();
    let mut tries = 0;
    for index in 0..turn.plan.attempts.len() {
        // One attempt may be sent again with another key, or after a lone endpoint's short wait.
        while let Some(attempt) = turn.plan.attempts.get(index) {
            if failures.too_small(&turn, attempt) {
                break;
            }
            let over = tries >= TRIES_MAX || left.load(Ordering::Acquire);
            if over || !may_try(&turn, attempt, tries) {
                return Err(failures.into_error(settling, deadline));
            }
            let Some(permit) = begin(&turn, attempt, tries == 0) else { break };
            tries += 1;
            let busy = Busy::new(&turn, permit, turn.node.clock.now());
            let covered = settling.cover_attempt(attempt, tries as u8).await;
            covered.map_err(|error| failures.hint(error))?;
            let fault = match one(settling, index, busy, deadline).await {
                Ok(dispatched) => return Ok(dispatched),
                Err(fault) => fault,
            };
            if !fault.error.retryable {
                let error = &fault.error;
                return Err(ApiError::from_upstream(error.status, &error.body));
            }
            failures.count(&turn, attempt, &fault.error);
            if Instant::now() >= deadline {
                return Err(failures.into_error(settling, deadline));
            }
            if !failures.again(&turn, attempt, &fault.error, deadline).await {
                break;
            }
        }
    }
    Err(failures.into_error(settling, deadline))
}

/// When the whole walk must have brought a first byte (stream) or the answer (not stream).
fn deadline(turn: &Turn) -> Instant {
    let config = &turn.world.config.timeouts;
    let mut total_ms = config.total_ms;
    if let Some(latency_ms) = turn.options.max_latency_ms {
        total_ms = total_ms.min(latency_ms);
    }
    if let (false, Some(read_ms)) = (turn.scan.stream, turn.read_timeout_ms) {
        total_ms = total_ms.min(read_ms);
    }
    let spent_us = turn.node.clock.now().ticks.since(turn.received);
    let left = Duration::from_millis(total_ms).saturating_sub(Duration::from_micros(spent_us));
    Instant::now() + left
}

/// The most input tokens this attempt's offer takes.
fn window(turn: &Turn, attempt: &Attempt) -> u64 {
    let offer = turn.world.catalog.offers.get(attempt.offer);
    offer.map_or(0, |offer| offer.max_input.unwrap_or(offer.context))
}

fn may_try(turn: &Turn, attempt: &Attempt, tries: usize) -> bool {
    let Some(offer) = turn.world.catalog.offers.get(attempt.offer) else { return false };
    let now = turn.node.clock.now();
    let mut router = turn.node.router.lock();
    if tries == 0 {
        router.first_attempt(&turn.tenant, offer.provider, now);
        return true;
    }
    router.may_retry(&turn.tenant, offer.provider, now)
}

fn begin(turn: &Turn, attempt: &Attempt, first: bool) -> Option<Permit> {
    let provider = turn.world.catalog.offers.get(attempt.offer)?.provider;
    let start = turn.plan.start_of(attempt, turn.world.keys(provider), first);
    let world = turn.world.routing(&turn.tenant);
    let now = turn.node.clock.now();
    turn.node.router.lock().begin(&world, &start, now)
}

/// One attempt, from its bytes to its verdict; the router and the settling learn how it ended.
async fn one(
    settling: &mut Settling,
    index: usize,
    mut busy: Busy,
    deadline: Instant,
) -> Result<Dispatched, Fault> {
    let turn = Arc::clone(&settling.turn);
    let Some(attempt) = turn.plan.attempts.get(index) else {
        return Err(Fault::internal("the plan has no such attempt"));
    };
    let (sent, permit) = (busy.sent, busy.permit);
    let offer = attempt.offer;
    settling.sending = Some(Served { attempt: index, offer, sent, provider_request_id: None });
    let own = Instant::now() + Duration::from_millis(attempt.deadline_ms);
    let result = match timeout_at(own.min(deadline), exchange(&turn, attempt, &permit)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Fault::timeout()),
    };
    let ended = turn.node.clock.now();
    let took_us = ended.ticks.since(sent.ticks);
    settling.provider_us += took_us;
    let mut tried = Tried {
        offer: attempt.offer,
        outcome: "ok",
        status: 200,
        ms: took_us / 1_000,
        provider_request_id: None,
    };
    match result {
        Ok(exchanged) => {
            tried.provider_request_id.clone_from(&exchanged.request_id);
            settling.tried.push(tried);
            let served = Served {
                attempt: index,
                offer: attempt.offer,
                sent,
                provider_request_id: exchanged.request_id,
            };
            let warnings = exchanged.warnings;
            Ok(match exchanged.answer {
                Begun::Whole(answer) => {
                    if let Some(reported) = answer.reported.as_ref().filter(|_| !answer.usage_fault)
                    {
                        busy.counted(&reported.usage);
                    }
                    busy.verdict(Outcome::Success, ended);
                    Dispatched::Whole(Box::new(Whole { served, answer: *answer, warnings }))
                }
                Begun::Streaming(body, stream) => {
                    busy.began(took_us);
                    let begun = Box::new(BegunStream { body, stream, busy });
                    Dispatched::Streaming { served, begun, warnings }
                }
            })
        }
        Err(fault) => {
            settling.sending = None;
            tried.outcome = fault.error.kind.name();
            tried.status = fault.error.status;
            turn.node.emit.attempt_failed(&turn.world.catalog, turn.id, tried.ended());
            settling.tried.push(tried);
            busy.verdict(outcome(&fault.error), ended);
            if fault.error.possibly_billed {
                settling.waste(attempt.offer, sent, fault.text_bytes);
            }
            Err(fault)
        }
    }
}

fn outcome(error: &UpstreamError) -> Outcome {
    use UpstreamErrorKind as Kind;
    match error.kind {
        Kind::Server | Kind::Timeout | Kind::Connect | Kind::Malformed | Kind::Cut => {
            Outcome::Failure
        }
        Kind::RateLimit => Outcome::RateLimited { retry_after_ms: error.retry_after_ms },
        Kind::Auth | Kind::Billing | Kind::Forbidden => Outcome::KeyRefused,
        Kind::ModelGone => Outcome::ModelGone,
        Kind::ContextLength => Outcome::ContextTooLong,
        Kind::BadRequest | Kind::ContentFilter => Outcome::ReturnedAsIs,
    }
}

impl Busy {
    fn new(turn: &Arc<Turn>, permit: Permit, sent: Now) -> Self {
        let seen = Observation {
            permit,
            outcome: Outcome::ClientGone,
            ttft_ms: None,
            total_ms: 0,
            input_tokens: None,
            output_tokens: None,
        };
        Self { turn: Arc::clone(turn), permit, sent, seen: Some(seen) }
    }

    /// Notes when a stream's first content came.
    fn began(&mut self, took_us: u64) {
        if let Some(seen) = &mut self.seen {
            seen.ttft_ms = Some(took_us / 1_000);
        }
    }

    /// Notes what the upstream counted.
    pub fn counted(&mut self, usage: &Usage) {
        if let Some(seen) = &mut self.seen {
            seen.input_tokens = Some(usage.input());
            seen.output_tokens = Some(usage.output);
        }
    }

    /// Says once how the attempt ended; the router learns it.
    pub fn verdict(&mut self, outcome: Outcome, now: Now) {
        if let Some(mut seen) = self.seen.take() {
            seen.outcome = outcome;
            seen.total_ms = now.ticks.since(self.sent.ticks) / 1_000;
            self.turn.node.router.lock().observe(&seen, now);
        }
    }
}

impl std::fmt::Debug for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Busy").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Failures {
    fn count(&mut self, turn: &Turn, attempt: &Attempt, error: &UpstreamError) {
        self.possibly_billed |= error.possibly_billed;
        match error.kind {
            UpstreamErrorKind::RateLimit => {
                self.rate_limited += 1;
                let wait = error.retry_after_ms.unwrap_or(1_000);
                self.soonest_ms = Some(self.soonest_ms.map_or(wait, |soonest| soonest.min(wait)));
            }
            UpstreamErrorKind::Timeout => self.timeouts += 1,
            UpstreamErrorKind::ContextLength => {
                let window = window(turn, attempt);
                let known = self.unfit.as_ref().map_or(0, |(known, _)| *known);
                self.unfit = Some((known.max(window), Box::new(error.clone())));
            }
            _ => self.others += 1,
        }
    }

    /// The prompt did not fit a window as large as this attempt's: it need not be sent again.
    fn too_small(&self, turn: &Turn, attempt: &Attempt) -> bool {
        self.unfit.as_ref().is_some_and(|(known, _)| window(turn, attempt) <= *known)
    }

    /// Whether the same attempt is sent once more: another key, or alone and told to wait ≤ 1 s.
    async fn again(
        &mut self,
        turn: &Turn,
        attempt: &Attempt,
        error: &UpstreamError,
        deadline: Instant,
    ) -> bool {
        let provider = turn.world.catalog.offers.get(attempt.offer).map(|offer| offer.provider);
        let keys = provider.map_or(0, |provider| turn.world.keys(provider));
        let key_matter = matches!(
            error.kind,
            UpstreamErrorKind::Auth
                | UpstreamErrorKind::Forbidden
                | UpstreamErrorKind::Billing
                | UpstreamErrorKind::RateLimit
        );
        if key_matter && keys > 1 {
            return true;
        }
        let alone = turn.plan.attempts.len() == 1 && error.kind == UpstreamErrorKind::RateLimit;
        let wait_ms = error.retry_after_ms.unwrap_or(u64::MAX);
        let wait = Duration::from_millis(wait_ms.min(LONE_WAIT_MS_MAX));
        let short = wait_ms <= LONE_WAIT_MS_MAX && Instant::now() + wait < deadline;
        if !alone || !short || self.waited {
            return false;
        }
        self.waited = true;
        tokio::time::sleep(wait).await;
        true
    }

    fn into_error(self, settling: &Settling, deadline: Instant) -> ApiError {
        let turn = &settling.turn;
        let list = attempts_json(settling);
        if let (Some((_, unfit)), 0) =
            (&self.unfit, self.others + self.rate_limited + self.timeouts)
        {
            return ApiError::from_upstream(unfit.status, &unfit.body);
        }
        let error = if Instant::now() >= deadline && turn.options.max_latency_ms.is_some() {
            let text = "no upstream answered within max_latency_ms; raise it or leave it out";
            ApiError::new(Code::LatencyExceeded, text)
        } else if self.rate_limited > 0 && self.others + self.timeouts == 0 {
            let text = "every upstream this request may use is rate-limiting; try again later";
            return ApiError::new(Code::UpstreamRateLimited, text)
                .with_retry_after_ms(self.soonest_ms.unwrap_or(1_000))
                .with_extra("attempts", list);
        } else if self.timeouts > 0 && self.others + self.rate_limited == 0 {
            ApiError::new(Code::UpstreamTimeout, "no upstream answered in time")
        } else {
            let text = "every attempt at an upstream failed; the list is in `attempts`";
            ApiError::new(Code::AllAttemptsFailed, text)
        };
        let error = error.with_extra("attempts", list);
        if self.possibly_billed {
            return error.with_should_retry(false);
        }
        error.with_should_retry(true).with_retry_after_ms(1_000)
    }

    /// Whoever may have been billed once must not come again by itself.
    fn hint(&self, error: ApiError) -> ApiError {
        if self.possibly_billed { error.with_should_retry(false) } else { error }
    }
}

fn attempts_json(settling: &Settling) -> serde_json::Value {
    let catalog = &settling.turn.world.catalog;
    let rows = settling.tried.iter().map(|tried| {
        let model = catalog.offers.get(tried.offer).map(|offer| &*offer.model).unwrap_or_default();
        serde_json::json!({
            "provider": &*catalog.provider(tried.offer).id, "model": model,
            "outcome": tried.outcome, "status": tried.status, "ms": tried.ms,
        })
    });
    rows.collect()
}
