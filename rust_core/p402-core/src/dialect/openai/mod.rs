//! Decides how the OpenAI wire is read from any upstream that claims to speak it.
//! Does not translate other languages, and names no vendor: mending goes by what a frame shows.

mod answer;
mod choices;
mod error;
mod finish;
mod flow;
mod glance;
mod identity;
mod mend;
mod passed;
mod plain;
mod replay;
mod seal;
mod stream;
mod whole;

pub use answer::{Answer, AnswerFault, read_answer};
pub(super) use error::in_stream;
pub use error::{UpstreamError, UpstreamErrorKind, classify};
pub use flow::StreamFault;
pub use passed::{PassedAsk, read_passed};
pub use plain::{Plain, plain};
pub use replay::Replay;
pub use seal::Seal;
pub use stream::ChatStream;

use crate::catalog::UsageShape;
use crate::id::RequestId;

/// What the gateway asked one upstream for, and what stands in for what the upstream leaves out.
#[derive(Clone, Debug)]
pub struct StreamAsk {
    /// Number of choices asked for.
    pub n: u32,
    pub client_wants_usage: bool,
    /// Stands in where the upstream names no model.
    pub offer_model: String,
    pub usage_shape: UsageShape,
    /// Seconds since 1970; stands in where the upstream says nothing.
    pub created: i64,
    /// Names the answer where the upstream does not: `chatcmpl-` + 32 hex.
    pub request_id: RequestId,
}
