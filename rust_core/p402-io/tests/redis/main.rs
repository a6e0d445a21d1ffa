//! Decides whether the Redis home is the core's machine, within its deadline, whatever Redis does.
//! Runs against a real redis-server; does not need one to be running: each test starts its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot set up must fail")]

mod answers;
mod failover;
mod faults;
mod heirs;
mod nodes;
#[path = "../papers/mod.rs"]
mod papers;
mod rig;
mod rolling;
mod server;
#[path = "../stage/mod.rs"]
mod stage;
mod store;
mod tls;
mod topology;
mod twin;
mod usual;
