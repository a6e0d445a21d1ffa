//! Decides whether the store's faults are borne: each scenario of the fault list, one number each.
//! Runs against real servers, one scenario at a time; the line's own faults are told over HTTP.

mod network;
mod proxy;
mod scene;
mod servers;

use std::future::Future;
use std::sync::Mutex;

/// One scenario at a time: latencies are measured.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a scenario on a runtime like that of a lane: one thread.
fn alone(scenario: impl Future<Output = ()>) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(scenario);
}
