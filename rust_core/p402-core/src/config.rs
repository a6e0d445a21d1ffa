//! Decides the knobs of the core and their defaults.
//! Does not read files or the environment: settings.py does, and hands over JSON.

use crate::catalog::Task;
use serde::Deserialize;

/// Everything the gateway is told at start; unknown keys are refused (settings.py names the line).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub routing: Routing,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub stream: Stream,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub pricing: Pricing,
    /// Keys by provider id, in order of preference; a provider without auth has one empty key.
    #[serde(default)]
    pub keys: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// What holds for every tenant that does not say otherwise.
    #[serde(default)]
    pub guard: Guard,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub ledger: Ledger,
    /// What holds for every tenant that does not say otherwise, and how much this node keeps.
    #[serde(default)]
    pub cache: Cache,
}

/// A tenant's own defaults and lists; its id is the one its key resolves to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    pub id: String,
    pub mode: Option<String>,
    /// `"pin"` serves plain OpenAI requests as named; `"route"` is the default.
    pub route_default: Option<String>,
    pub models_allow: Vec<String>,
    pub models_deny: Vec<String>,
    pub providers_allow: Vec<String>,
    pub providers_deny: Vec<String>,
    pub cost_details: bool,
    /// Put over the gateway's own, key by key.
    pub guard: Guard,
    /// Put over the gateway's own, key by key.
    pub cache: Cache,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    pub mode: String,
    pub attempts: usize,
    /// Output bound where a request names none: claimed, and sent upstream.
    pub max_output_tokens: u64,
    /// Default task where nothing is known; `None` = spread.
    pub task: Option<String>,
    pub session_idle_s: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    pub connect_ms: u64,
    /// Bounds of the first-byte deadline; 0 in the middle term = derived from p95.
    pub first_byte_min_ms: u64,
    pub first_byte_max_ms: u64,
    /// First byte at high effort.
    pub first_byte_thinking_ms: u64,
    pub body_min_ms: u64,
    pub idle_ms: u64,
    pub total_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stream {
    pub usage_wait_ms: u64,
    /// Silence before the first keep-alive comment, ms; the next ones come every `keepalive_ms`.
    pub keepalive_first_ms: u64,
    pub keepalive_ms: u64,
    pub drain_max: usize,
    pub drain_ms: u64,
    pub slow_reader_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub body_bytes: usize,
    /// Largest non-stream answer accepted from an upstream.
    pub answer_bytes: usize,
    /// Requests kept for `GET /requests/{id}`.
    pub requests_kept: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pricing {
    pub platform_fee_bps: u32,
    /// `"served"` forces the narrow reading of direct_cost.
    pub direct_basis: Option<String>,
}

/// The billing guard as it is written down: what is absent keeps its value. Dollars are decimal
/// text, never a float; `guard::Limits::with` reads and bounds them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    pub rate: GuardRate,
    pub daily_cap_usd: Option<String>,
    pub in_flight_max: Option<i64>,
    pub anomaly: GuardAnomaly,
    pub request_cap_usd: Option<String>,
    /// Dollars, or `"none"`.
    pub budget_usd: Option<String>,
    pub budget_period: Option<String>,
    pub hold_lease_s: Option<i64>,
    pub slot_lease_s: Option<i64>,
    pub renew_every_s: Option<i64>,
    pub on_expiry: Option<String>,
    pub suspense_settle_h: Option<i64>,
    pub unknown_price: Option<String>,
    pub default_max_tokens: Option<MaxTokens>,
    pub outage_policy: Option<String>,
    pub slice_max_usd: Option<String>,
    pub outage_overdraft_usd: Option<String>,
    /// Status of the hard stops: 429, 403 or 402 (compat.md § 5).
    pub refusal_status: Option<u16>,
}

/// The semantic cache as it is written down: what is absent keeps its value; `cache::Rules` and
/// `cache::Room` read and bound it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Requests that say nothing are looked up.
    pub default: Option<bool>,
    /// The same for requests in cost mode.
    pub cost_mode_default: Option<bool>,
    /// `tenant`, `user` or `session`: among whom answers are shared.
    pub share: Option<String>,
    pub ttl_s: Option<u64>,
    pub ttl_max_s: Option<u64>,
    /// The cosine from which a candidate is looked at; belongs to the encoder named beside it.
    pub threshold: Option<f64>,
    pub embedder: Option<String>,
    pub temperature_max: Option<f64>,
    /// Answers that one API key may store in an hour.
    pub stores_per_hour: Option<u32>,
    /// `original`: a hit takes as long as the answer once took, so that time tells nothing.
    pub timing: Option<String>,
    /// Pairs of questions that feedback calls wrong are kept, for whoever trains.
    pub keep_pairs: Option<bool>,
    /// Wrong hits per hit by meaning that are promised, as an upper bound; checked by asking again.
    pub delta: Option<f64>,
    /// The share of hits that is asked again, and dollars a day for it.
    pub shadow_rate: Option<f64>,
    pub shadow_daily_usd: Option<String>,
    /// The model that says whether two answers agree.
    pub judge: Option<String>,
    /// Of the node, not of a tenant.
    pub bytes_max: Option<u64>,
    pub entries_max: Option<u64>,
    /// Of the node: the Redis that keeps the answers; without one, this node's memory.
    pub redis_url: Option<String>,
    /// Longest wait of a lookup for it.
    pub redis_deadline_ms: Option<u64>,
}

/// Where accounts and the ledger are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `redis://…`; `None` keeps accounts in this process.
    pub url: Option<String>,
    /// `postgres://…`; `None` indexes the ledger in the data directory.
    pub ledger: Option<String>,
    /// Files of certificates (PEM): by which servers of Redis are believed that speak TLS, and
    /// this node's own with its key.
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    /// One budget for everything that a trip to Redis needs.
    pub deadline_ms: u64,
    /// How long a request waits for an account that is seeded from the ledger.
    pub seed_deadline_ms: u64,
    /// Replicas that must have a hold before it counts.
    pub wait_replicas: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// `process`, `group` or `strict`.
    pub durability: Option<String>,
    /// Refusals get a row, too.
    pub denials: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardRate {
    pub limit: Option<i64>,
    pub per_s: Option<i64>,
    pub burst: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardAnomaly {
    pub z: Option<f64>,
    pub samples_min: Option<u64>,
    pub alpha: Option<f64>,
    pub floor_usd: Option<String>,
    pub mode: Option<String>,
}

/// A bound on output where a request names none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum MaxTokens {
    Tokens(u64),
    /// `"model"`: the model's own maximum.
    Word(String),
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            mode: "balanced".to_owned(),
            attempts: 3,
            max_output_tokens: 8_192,
            task: None,
            session_idle_s: 3_600,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 2_000,
            first_byte_min_ms: 2_000,
            first_byte_max_ms: 60_000,
            first_byte_thinking_ms: 300_000,
            body_min_ms: 30_000,
            idle_ms: 30_000,
            total_ms: 600_000,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            usage_wait_ms: 1_000,
            keepalive_first_ms: 10_000,
            keepalive_ms: 15_000,
            drain_max: 64,
            drain_ms: 60_000,
            slow_reader_ms: 60_000,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        let (deadline_ms, seed_deadline_ms) = (10, 250);
        Self {
            url: None,
            ledger: None,
            ca: None,
            cert: None,
            key: None,
            deadline_ms,
            seed_deadline_ms,
            wait_replicas: 0,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 32 << 20, answer_bytes: 64 << 20, requests_kept: 10_000 }
    }
}

impl Routing {
    /// The configured default task, `None` where unset or not one of the nine.
    pub fn default_task(&self) -> Option<Task> {
        self.task.as_deref().and_then(Task::parse)
    }
}
