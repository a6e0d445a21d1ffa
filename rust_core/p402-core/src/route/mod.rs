//! Decides who answers: the field, who may run, the four scores, the plan, and what outcomes teach.
//! Does no I/O and draws no randomness: every draw is a hash of the request id with a named salt.

mod attempts;
mod breaker;
mod budget;
mod draw;
mod eligible;
mod explain;
mod features;
mod health;
mod latency;
mod nearest;
mod observation;
mod options;
mod plan;
mod prior;
mod rank;
mod rates;
mod reason;
mod refusal;
mod router;
mod rules;
mod score;
mod session;
mod stay;
mod survey;
mod table;
mod task;
mod told;
mod types;
mod wish;
mod words;

pub use attempts::ATTEMPTS_MAX;
pub use breaker::{Breaker, Leave};
pub use budget::{RetryBudget, TENANTS_MAX, TenantBudgets};
pub use explain::Explanation;
pub use latency::Sketch;
pub use observation::{AttemptSeen, Observation, Outcome, Permit, Start};
pub use options::*;
pub use plan::World;
pub use reason::Reason;
pub use refusal::Refusal;
pub use router::Router;
pub use rules::Rules;
pub use session::{SESSIONS_MAX, Sessions, Turn};
pub use table::Table;
pub use types::*;
