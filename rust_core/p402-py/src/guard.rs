//! Crosses the limits of the guard: what is written, as core reads and bounds it.
//! Does not decide what is a limit: `guard::Limits` does.

use p402_core::config::Guard;
use p402_core::guard::{Limits, OnExpiry, Period, UnknownPrice};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};

/// The limits that `written` (JSON tables, later ones over earlier ones) come to, as JSON.
/// `ValueError(key, why)` names the key that is wrong.
#[pyfunction]
pub fn guard_limits(written: Vec<String>) -> PyResult<String> {
    let mut limits = Limits::default();
    for text in written {
        let guard: Guard = serde_json::from_str(&text)
            .map_err(|error| PyValueError::new_err(("", error.to_string())))?;
        if !matches!(guard.refusal_status, None | Some(429 | 403 | 402)) {
            return Err(PyValueError::new_err(("refusal_status", "not one of 429, 403, 402")));
        }
        limits = limits.with(&guard).map_err(|error| {
            let told = error.to_string();
            let why = told.split_once(": ").map_or(&*told, |(_, why)| why).to_owned();
            PyValueError::new_err((error.key, why))
        })?;
    }
    Ok(told(&limits).to_string())
}

fn told(limits: &Limits) -> Value {
    let budget = limits.budget.map_or_else(|| "none".to_owned(), |budget| budget.to_string());
    let rate = limits.rate;
    json!({
        "rate": {"limit": rate.limit, "per_s": rate.per_s, "burst": rate.burst},
        "daily_cap_usd": limits.daily_cap.to_string(),
        "in_flight_max": limits.in_flight_max,
        "anomaly": {
            "mode": if limits.anomaly.block { "block" } else { "soft" },
            "z": limits.anomaly.z, "samples_min": limits.anomaly.samples_min,
            "alpha": limits.anomaly.alpha, "floor_usd": limits.anomaly.floor.to_string(),
        },
        "request_cap_usd": limits.request_cap.to_string(),
        "budget_usd": budget,
        "budget_period": match limits.period {
            Period::Month => "month",
            Period::Total => "total",
        },
        "hold_lease_s": limits.hold_lease_ms / 1_000,
        "slot_lease_s": limits.slot_lease_ms / 1_000,
        "renew_every_s": limits.renew_every_ms / 1_000,
        "on_expiry": match limits.on_expiry {
            OnExpiry::Suspense => "suspense",
            OnExpiry::Charge => "charge",
            OnExpiry::Release => "release",
        },
        "suspense_settle_h": limits.suspense_ms / 3_600_000,
        "unknown_price": match limits.unknown_price {
            UnknownPrice::Refuse => "refuse",
            UnknownPrice::Allow => "allow",
        },
        "default_max_tokens": limits.default_max_tokens,
        "outage_policy": limits.outage.name(),
        "slice_max_usd": limits.slice_max.to_string(),
        "outage_overdraft_usd": limits.outage_overdraft.to_string(),
    })
}
