//! Decides who answers: the field, who may run, the four scores, the plan, and what outcomes teach.
//! Does no I/O and draws no randomness: every draw is a hash of the request id with a named salt.

mod types;

pub use types::*;
