//! Crosses what is said of the cache: its rules as written, and a tenant's hold on its answers.
//! Does not decide: core's rules and io's control do.

use crate::answers::json as whole;
use crate::gateway::{PyGateway, accepts_problem};
use crate::reply::head_tuple;
use p402_core::cache::rules::{Rules, of_tenant, redis_wait_ms, room};
use p402_core::cache::shelf::Bounds;
use p402_core::config::Cache;
use p402_core::time::Timestamp;
use p402_io::clock::{Clock, SystemClock};
use p402_io::hit::entry_of;
use p402_io::ledger::{Ledger, Options};
use p402_io::outbox::Head;
use p402_io::store::answers::{Answers, Purge};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::runtime::{Builder, Runtime};

/// Judges `[cache]`, then a `[tenant.cache]` over it where there is one, both as JSON tables.
/// `ValueError(key, why)` names the key that is wrong.
#[pyfunction]
#[pyo3(signature = (gateways, tenants = None))]
pub fn cache_rules(gateways: &str, tenants: Option<&str>) -> PyResult<()> {
    let read = |text: &str| -> PyResult<Cache> {
        serde_json::from_str(text).map_err(|error| PyValueError::new_err(("", error.to_string())))
    };
    let wrong =
        |error: p402_core::cache::rules::RuleError| PyValueError::new_err((error.key, error.why));
    let written = read(gateways)?;
    room(&written).map_err(wrong)?;
    redis_wait_ms(&written).map_err(wrong)?;
    let rules = Rules::default().with(&written).map_err(wrong)?;
    if let Some(text) = tenants {
        let own = read(text)?;
        of_tenant(&own).map_err(wrong)?;
        rules.with(&own).map_err(wrong)?;
    }
    Ok(())
}

/// What the cache's file in a data directory holds, after taking from it what `purge` (JSON:
/// tenant, entry, model, older_than_s) names. `OSError` where a gateway runs on the directory.
#[pyfunction]
#[pyo3(signature = (data_dir, purge = None))]
pub fn cache_file<'py>(
    py: Python<'py>,
    data_dir: PathBuf,
    purge: Option<&str>,
) -> PyResult<Bound<'py, PyBytes>> {
    let named: Option<Value> = purge
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let told = py.detach(|| on_file(&data_dir, named));
    let told = told.map_err(PyOSError::new_err)?;
    Ok(PyBytes::new(py, told.to_string().as_bytes()))
}

/// A runtime for one wait, where no lane runs.
fn alone() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

fn on_file(data_dir: &Path, named: Option<Value>) -> Result<Value, String> {
    let now = SystemClock::default().now();
    // Whoever changes the file holds the folder while doing so.
    let held = named.is_some().then(|| Ledger::open(&Options::new(data_dir), now)).transpose();
    let _held = held.map_err(|error| error.to_string())?;
    // Nothing is crowded out while it is looked at.
    let bounds = Bounds { entries: usize::MAX, bytes: usize::MAX };
    let answers = Answers::new(bounds, Some(data_dir));
    answers.restore(now.utc).map_err(|why| format!("the cache's file {why}"))?;
    let purged = named.map(|named| {
        let text = |key: &str| named.get(key).and_then(Value::as_str).map(str::to_owned);
        let age_s = named.get("older_than_s").and_then(Value::as_i64);
        let age_us = age_s.map(|age_s| age_s.saturating_mul(1_000_000));
        let before = age_us.map(|us| Timestamp::from_micros(now.utc.micros().saturating_sub(us)));
        let entry = text("entry").map(|name| entry_of(&name).unwrap_or_default());
        let purge = Purge { tenant: text("tenant"), entry, model: text("model"), before };
        alone()?.block_on(answers.purge(&purge)).map_err(|error| error.to_string())
    });
    let purged = purged.transpose()?;
    answers.save().map_err(|error| error.to_string())?;
    let (fill, tenants) = (answers.fill(), answers.tenants());
    let tenants: serde_json::Map<String, Value> =
        tenants.into_iter().map(|(name, count)| (name, count.into())).collect();
    Ok(json!({
        "object": "cache", "entries": fill.entries, "bytes": fill.bytes, "tenants": tenants,
        "purged": purged,
    }))
}

#[pymethods]
impl PyGateway {
    /// The reply to `GET /cache` for this tenant.
    fn cache_stats<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        headers: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        match self.gateway.cache_stats(tenant) {
            Ok(body) => head_tuple(py, &whole(body)),
            Err(error) => self.refuse(py, &error, accepts_problem(headers)?),
        }
    }

    /// The reply to `DELETE /cache/{entry}`.
    fn forget<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        headers: &Bound<'py, PyList>,
        entry: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        match self.wait(py, self.gateway.forget(tenant, entry)) {
            Ok(()) => {
                head_tuple(py, &Head { status: 204, headers: Vec::new(), body: Some(Vec::new()) })
            }
            Err(error) => self.refuse(py, &error, accepts_problem(headers)?),
        }
    }

    /// The reply to `DELETE /cache`; what goes is `(model, older_than_s)`.
    fn purge<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        headers: &Bound<'py, PyList>,
        what: (Option<String>, Option<u64>),
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (model, older_than_s) = what;
        match self.wait(py, self.gateway.purge(tenant, model, older_than_s)) {
            Ok(gone) => head_tuple(py, &whole(format!("{{\"purged\":{gone}}}").into_bytes())),
            Err(error) => self.refuse(py, &error, accepts_problem(headers)?),
        }
    }

    /// The reply to `POST /feedback`; it may wait for a database, so not on the loop that serves.
    fn feedback<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        headers: &Bound<'py, PyList>,
        body: &[u8],
    ) -> PyResult<Bound<'py, PyTuple>> {
        match self.wait(py, self.gateway.feedback(tenant, body)) {
            Ok(body) => head_tuple(py, &Head { status: 202, ..whole(body) }),
            Err(error) => self.refuse(py, &error, accepts_problem(headers)?),
        }
    }
}
