//! Decides when a tenant's account is asked in Redis, and what stands in while it cannot be.
//! Does not decide on requests: the server executes the core's own machine (guard.lua).

pub mod wire;
