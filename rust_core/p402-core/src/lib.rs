//! Decides everything the gateway decides: pure functions of (state, request, now).
//! Does no I/O, reads no clock, no environment, no randomness, and knows no Python.

// Modules in rank order: a module may name only those above it.
pub mod id;
pub mod money;
pub mod number;
pub mod time;

pub mod usage;

pub mod catalog;
pub mod chat;
pub mod config;
pub mod envelope;
pub mod text;

pub mod guard;

pub mod bill;
pub mod cache;
pub mod dialect;
pub mod route;

pub mod claim;
pub mod ledger;
pub mod reply;

pub mod door;
