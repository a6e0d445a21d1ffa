//! Names the two instruments of the benches: a mock upstream and a load generator.
//! Deliberately knows nothing of the gateway: both speak plain HTTP, so anyone can be measured.

pub mod figures;
pub mod fixture;
pub mod load;
pub mod mock;
