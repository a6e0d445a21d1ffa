//! Decides who answers: the field, who may run, the four scores, the plan, and what outcomes teach.
//! Does no I/O and draws no randomness: every draw is a hash of the request id with a named salt.

mod options;
mod types;

pub use options::*;
pub use types::*;
