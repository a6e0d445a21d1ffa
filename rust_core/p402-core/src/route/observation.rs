//! Decides what dispatch hands over and gets back around one attempt.
//! Does not learn from it (router.rs).

use super::breaker::Leave;
use super::types::{Attempt, Plan};
use crate::catalog::Script;

/// An attempt about to be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    pub offer: usize,
    /// Arm of the attempt; latencies are kept by it.
    pub arm: u32,
    /// How many keys the provider has.
    pub keys: usize,
    /// It is the plan's first attempt, with failover behind it: it may probe.
    pub first: bool,
    /// The plan ignores breakers.
    pub panic: bool,
    /// The reload the plan was made under.
    pub epoch: u32,
    /// Estimated input in this offer's tokens, before calibration, and of what script.
    pub input_tokens: u64,
    pub script: Script,
}

impl Plan {
    /// What `Router::begin` is told of attempt `index` of this plan.
    pub fn start(&self, index: usize, keys: usize, first: bool) -> Option<Start> {
        self.attempts.get(index).map(|attempt| self.start_of(attempt, keys, first))
    }

    /// The same of an attempt at hand.
    pub fn start_of(&self, attempt: &Attempt, keys: usize, first: bool) -> Start {
        Start {
            offer: attempt.offer,
            arm: attempt.arm,
            keys,
            first,
            panic: self.panic,
            epoch: self.epoch,
            input_tokens: attempt.input_tokens,
            script: self.script,
        }
    }
}

/// Leave to send one attempt with one key; goes back with its `Observation`, exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Index of the provider's key to use.
    pub key: usize,
    /// The one request that tries a half-open endpoint.
    pub probe: bool,
    pub(super) offer: usize,
    pub(super) provider: usize,
    pub(super) arm: u32,
    pub(super) leave: Leave,
    pub(super) epoch: u32,
    pub(super) input_tokens: u64,
    pub(super) script: Script,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// Connect, TLS, reset, 5xx, time-out, cut or malformed stream: the breaker counts it.
    Failure,
    RateLimited {
        retry_after_ms: Option<u64>,
    },
    /// 401, 402, 403, or a quota or key-limit text: the key rests.
    KeyRefused,
    /// 404: the upstream does not know the model.
    ModelGone,
    ContextTooLong,
    /// Any other 4xx: neutral, not a success.
    ReturnedAsIs,
    ClientGone,
}

/// What an attempt showed. Counts are those of one answer; absent = unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub permit: Permit,
    pub outcome: Outcome,
    /// To the first content byte; `None` for answers that came whole.
    pub ttft_ms: Option<u64>,
    pub total_ms: u64,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
}

/// An attempt as `p402_metadata.routing` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptSeen {
    pub offer: usize,
    pub outcome: &'static str,
    pub status: u16,
    pub ms: u64,
}
