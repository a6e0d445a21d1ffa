//! The mock upstream: an OpenAI-shaped provider whose own cost is negligible and constant.
//! Deliberately not a sandbox: fixed bytes, no tools, no schema, nothing that would need thought.

pub mod behaviour;
mod connection;
pub mod server;
pub mod shapes;
mod wire;
