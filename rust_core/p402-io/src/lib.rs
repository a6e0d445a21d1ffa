//! Does everything that touches the world: clocks, sockets, and the line that joins the stages.
//! Decides nothing that p402-core could decide.

#![forbid(unsafe_code)]

// Modules in rank order: a module may name only those above it.
pub mod clock;
pub mod embed;
pub mod outbox;
pub mod transport;

pub mod emit;
pub mod records;
pub mod world;

pub mod settling;

pub mod exchange;

pub mod dispatch;

pub mod pump;

pub mod gateway;
