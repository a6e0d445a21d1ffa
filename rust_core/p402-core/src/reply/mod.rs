//! Decides how answers read: `p402_metadata`, headers, and every error's status, type and code.
//! Does not send them and does not decide when one is due.

mod booked;
mod code;
mod denial;
mod error;
mod headers;
mod json;
mod metadata;
mod refusal;
mod scrub;
mod standing;
mod usage;

pub use booked::booked_json;
pub use code::{Code, Row, TABLE};
pub use denial::{
    Denied, guard_unavailable, idempotency_conflict, ledger_unavailable, request_in_progress,
    reservation_exhausted, shutting_down,
};
pub use error::{ApiError, Extra, RETRY_HEADER_MS_MAX, UPSTREAM_ERROR_BYTES_MAX};
pub use headers::{ReplyHeaders, VALUE_BYTES_MAX, dropped_warning};
pub use metadata::{CostDetails, Metadata};
pub use scrub::scrub;
pub use standing::{Standing, anomaly_header, guard_json};
pub use usage::{Left, usage_json};
