//! Crosses what is said of the cache: its rules as written, and a tenant's hold on its answers.
//! Does not decide: core's rules and io's control do.

use crate::answers::json;
use crate::gateway::PyGateway;
use crate::reply::head_tuple;
use p402_core::cache::rules::{Rules, of_tenant, room};
use p402_core::config::Cache;
use p402_io::outbox::Head;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

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
    let rules = Rules::default().with(&written).map_err(wrong)?;
    if let Some(text) = tenants {
        let own = read(text)?;
        of_tenant(&own).map_err(wrong)?;
        rules.with(&own).map_err(wrong)?;
    }
    Ok(())
}

#[pymethods]
impl PyGateway {
    /// The reply to `GET /cache` for this tenant.
    fn cache_stats<'py>(&self, py: Python<'py>, tenant: &str) -> PyResult<Bound<'py, PyTuple>> {
        match self.gateway.cache_stats(tenant) {
            Ok(body) => head_tuple(py, &json(body)),
            Err(error) => self.refuse(py, &error),
        }
    }

    /// The reply to `DELETE /cache/{entry}`.
    fn forget<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        entry: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        match py.detach(|| self.gateway.forget(tenant, entry)) {
            Ok(()) => {
                head_tuple(py, &Head { status: 204, headers: Vec::new(), body: Some(Vec::new()) })
            }
            Err(error) => self.refuse(py, &error),
        }
    }

    /// The reply to `DELETE /cache`.
    #[pyo3(signature = (tenant, model = None, older_than_s = None))]
    fn purge<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        model: Option<String>,
        older_than_s: Option<u64>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        match py.detach(|| self.gateway.purge(tenant, model, older_than_s)) {
            Ok(gone) => head_tuple(py, &json(format!("{{\"purged\":{gone}}}").into_bytes())),
            Err(error) => self.refuse(py, &error),
        }
    }

    /// The reply to `POST /feedback`; it may wait for a database, so not on the loop that serves.
    fn feedback<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        body: &[u8],
    ) -> PyResult<Bound<'py, PyTuple>> {
        match py.detach(|| self.gateway.feedback(tenant, body)) {
            Ok(body) => head_tuple(py, &Head { status: 202, ..json(body) }),
            Err(error) => self.refuse(py, &error),
        }
    }
}
