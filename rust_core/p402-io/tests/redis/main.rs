//! Decides whether the Redis home is the core's machine, within its deadline, whatever Redis does.
//! Runs against a real redis-server; does not need one to be running: each test starts its own.

mod server;
mod twin;
