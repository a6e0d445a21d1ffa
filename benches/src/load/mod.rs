//! The load generator: closed and open loop, streams, the CPU of process trees, one JSON report.
//! Deliberately one thread: it must cost little and stay on the core it is pinned to.

mod drive;
mod exchange;
mod pacer;
pub mod plan;
mod probe;
mod record;
pub mod run;
mod tree;
