//! Decides every error's status, type and default retry hint: the one table (compat.md § 5).
//! Does not word messages and does not decide when an error is due.

/// Every code that P402 itself answers with; an unknown one cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    InvalidJson,
    MissingRequiredParameter,
    InvalidType,
    InvalidValue,
    DuplicateField,
    UnsupportedParameter,
    UnsupportedContent,
    P402FieldUnknown,
    P402FieldInvalid,
    NoEligibleModel,
    ModelPriceUnknown,
    InvalidApiKey,
    KeyDisabled,
    ModelNotFound,
    UnknownUrl,
    RequestNotFound,
    MethodNotAllowed,
    BodyTimeout,
    RequestTooLarge,
    UnsupportedMediaType,
    HeadersTooLarge,
    UpstreamRateLimited,
    InternalError,
    ShuttingDown,
    Overloaded,
    AllAttemptsFailed,
    LatencyExceeded,
    UpstreamTimeout,
    UpstreamStreamCut,
    UpstreamStreamMalformed,
    UpstreamError,
    RateLimitExceeded,
    DailySpendLimitExceeded,
    ConcurrencyLimitExceeded,
    SpendAnomalyBlocked,
    RequestCostLimitExceeded,
    BudgetExceeded,
    ReservationExhausted,
    GuardUnavailable,
    LedgerUnavailable,
    IdempotencyConflict,
    RequestInProgress,
    CacheEntryNotFound,
    CacheUnavailable,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub code: Code,
    pub name: &'static str,
    pub status: u16,
    pub kind: &'static str,
    /// Default of `x-should-retry`; where an attempt decides it (500, 502, 504), the safe answer.
    pub retry: bool,
}

const INVALID: &str = "invalid_request_error";
const UPSTREAM: &str = "upstream_error";
const RATE: &str = "rate_limit_error";
const QUOTA: &str = "insufficient_quota";
const UNAVAILABLE: &str = "service_unavailable_error";

const fn row(code: Code, name: &'static str, status: u16, kind: &'static str, retry: bool) -> Row {
    Row { code, name, status, kind, retry }
}

/// The whole table, in the order of `Code`.
pub const TABLE: [Row; 44] = [
    row(Code::InvalidJson, "invalid_json", 400, INVALID, false),
    row(Code::MissingRequiredParameter, "missing_required_parameter", 400, INVALID, false),
    row(Code::InvalidType, "invalid_type", 400, INVALID, false),
    row(Code::InvalidValue, "invalid_value", 400, INVALID, false),
    row(Code::DuplicateField, "duplicate_field", 400, INVALID, false),
    row(Code::UnsupportedParameter, "unsupported_parameter", 400, INVALID, false),
    row(Code::UnsupportedContent, "unsupported_content", 400, INVALID, false),
    row(Code::P402FieldUnknown, "p402_field_unknown", 400, INVALID, false),
    row(Code::P402FieldInvalid, "p402_field_invalid", 400, INVALID, false),
    row(Code::NoEligibleModel, "no_eligible_model", 400, INVALID, false),
    row(Code::ModelPriceUnknown, "model_price_unknown", 400, INVALID, false),
    row(Code::InvalidApiKey, "invalid_api_key", 401, "authentication_error", false),
    row(Code::KeyDisabled, "key_disabled", 403, "permission_error", false),
    row(Code::ModelNotFound, "model_not_found", 404, INVALID, false),
    row(Code::UnknownUrl, "unknown_url", 404, INVALID, false),
    row(Code::RequestNotFound, "request_not_found", 404, INVALID, false),
    row(Code::MethodNotAllowed, "method_not_allowed", 405, INVALID, false),
    row(Code::BodyTimeout, "body_timeout", 408, INVALID, true),
    row(Code::RequestTooLarge, "request_too_large", 413, INVALID, false),
    row(Code::UnsupportedMediaType, "unsupported_media_type", 415, INVALID, false),
    row(Code::HeadersTooLarge, "headers_too_large", 431, INVALID, false),
    row(Code::UpstreamRateLimited, "upstream_rate_limited", 429, RATE, true),
    row(Code::InternalError, "internal_error", 500, "server_error", false),
    row(Code::ShuttingDown, "shutting_down", 503, UNAVAILABLE, true),
    row(Code::Overloaded, "overloaded", 503, UNAVAILABLE, true),
    row(Code::AllAttemptsFailed, "all_attempts_failed", 502, UPSTREAM, false),
    row(Code::LatencyExceeded, "latency_exceeded", 504, UPSTREAM, false),
    row(Code::UpstreamTimeout, "upstream_timeout", 504, UPSTREAM, false),
    row(Code::UpstreamStreamCut, "upstream_stream_cut", 502, UPSTREAM, false),
    row(Code::UpstreamStreamMalformed, "upstream_stream_malformed", 502, UPSTREAM, false),
    row(Code::UpstreamError, "upstream_error", 502, UPSTREAM, false),
    row(Code::RateLimitExceeded, "rate_limit_exceeded", 429, RATE, true),
    row(Code::DailySpendLimitExceeded, "daily_spend_limit_exceeded", 429, QUOTA, false),
    row(Code::ConcurrencyLimitExceeded, "concurrency_limit_exceeded", 429, RATE, true),
    row(Code::SpendAnomalyBlocked, "spend_anomaly_blocked", 429, QUOTA, false),
    row(Code::RequestCostLimitExceeded, "request_cost_limit_exceeded", 400, INVALID, false),
    row(Code::BudgetExceeded, "budget_exceeded", 429, QUOTA, false),
    row(Code::ReservationExhausted, "reservation_exhausted", 429, QUOTA, false),
    row(Code::GuardUnavailable, "guard_unavailable", 503, UNAVAILABLE, true),
    row(Code::LedgerUnavailable, "ledger_unavailable", 503, UNAVAILABLE, true),
    row(Code::IdempotencyConflict, "idempotency_conflict", 409, INVALID, false),
    row(Code::RequestInProgress, "request_in_progress", 409, INVALID, true),
    row(Code::CacheEntryNotFound, "cache_entry_not_found", 404, INVALID, false),
    row(Code::CacheUnavailable, "cache_unavailable", 503, UNAVAILABLE, true),
];

impl Code {
    /// This code's row.
    pub fn row(self) -> Row {
        // The table's order is the enum's; a test holds them together.
        TABLE.get(self as usize).copied().unwrap_or(row(self, "internal_error", 500, "", false))
    }
    pub fn name(self) -> &'static str {
        self.row().name
    }
    pub fn parse(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.code)
    }
}
