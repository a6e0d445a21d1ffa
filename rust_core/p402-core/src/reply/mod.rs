//! Decides how answers read: `p402_metadata`, headers, and every error's status, type and code.
//! Does not send them and does not decide when one is due.

mod code;
mod error;
mod headers;
mod json;
mod metadata;
mod refusal;
mod scrub;

pub use code::{Code, Row, TABLE};
pub use error::{ApiError, RETRY_HEADER_MS_MAX, UPSTREAM_ERROR_BYTES_MAX};
pub use headers::{ReplyHeaders, VALUE_BYTES_MAX, dropped_warning};
pub use metadata::{CostDetails, Metadata};
pub use scrub::scrub;
