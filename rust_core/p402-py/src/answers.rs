//! Crosses the answers that need no upstream: models, dry run, look-up, refusals.
//! Does not write JSON: core and io do.

use crate::gateway::{PyGateway, call};
use crate::reply::head_tuple;
use bytes::Bytes;
use p402_core::catalog::{Charge, Resolved};
use p402_core::door::Door;
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, Code};
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use p402_io::heads::refusal;
use p402_io::outbox::Head;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

#[pymethods]
impl PyGateway {
    /// The body of `GET /models`.
    fn models<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.gateway.node.world.load().models())
    }

    /// The reply to `GET /models/{id}`: the entry, or 404 `model_not_found` with near names.
    fn model<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyTuple>> {
        let world = self.gateway.node.world.load_full();
        let live = |offer: usize| world.table.live(offer);
        if let Some(body) = world.catalog.model_json(id, &live) {
            return head_tuple(py, &json(body));
        }
        let near = world.catalog.near(id).join("`, `");
        let text = if near.is_empty() {
            format!("no model is called `{id}`; GET /models lists them all")
        } else {
            format!("no model is called `{id}`; near names: `{near}`")
        };
        self.refuse(py, &ApiError::new(Code::ModelNotFound, text).with_param("model"))
    }

    /// The reply to `POST /route`: the whole decision, without calling anyone.
    #[expect(clippy::too_many_arguments, reason = "one crossing, plain values")]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        headers: &Bound<'py, PyList>,
        body: &[u8],
        all: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let call = call(tenant, headers, Bytes::copy_from_slice(body), self.ticks_now())?;
        match self.gateway.explain(&call, all) {
            Ok(body) => head_tuple(py, &json(body)),
            Err(error) => self.refuse(py, &error),
        }
    }

    /// The reply to `GET /requests/{id}` for this tenant.
    fn request<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        id: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        if let Some(body) = self.gateway.look_up(tenant, id) {
            return head_tuple(py, &json(body));
        }
        self.unknown_request(py)
    }

    /// The same from the ledger; it waits for a database, so not on the loop that serves.
    fn booked_request<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        id: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        match py.detach(|| self.gateway.look_up_booked(tenant, id)) {
            Some(body) => head_tuple(py, &json(body)),
            None => self.unknown_request(py),
        }
    }

    /// What usage costs at an offer, in nano-dollars: the one pricing function, for audits.
    /// `usage` = (fresh, cache_read, cache_write, cache_write_1h, output); `at` in microseconds.
    /// `None` for a name that is not one offer.
    #[pyo3(signature = (offer, usage, at, service = None))]
    fn price(
        &self,
        offer: &str,
        usage: (u64, u64, u64, u64, u64),
        at: i64,
        service: Option<&str>,
    ) -> Option<i64> {
        let world = self.gateway.node.world.load_full();
        let Resolved::Pin(&[index]) = world.catalog.resolve(offer) else { return None };
        let (fresh, cache_read, cache_write, cache_write_1h, output) = usage;
        let usage =
            Usage { fresh, cache_read, cache_write, cache_write_1h, output, ..Usage::default() };
        let at = Timestamp::from_micros(at);
        let charge = Charge { usage: &usage, at, service, fee_ppm: 0 };
        Some(world.catalog.price(index, &charge).upstream.nano())
    }

    /// What the operator should hear since the last call: (lines, how many were dropped).
    fn events(&self) -> (Vec<String>, u64) {
        self.gateway.node.events()
    }

    /// Alarms since the last call, as the bodies of a webhook.
    fn alarms<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let alarms = self.gateway.node.emit.take_alarms();
        alarms.iter().map(|alarm| PyBytes::new(py, &alarm.to_json())).collect()
    }

    /// The guard's counters in Prometheus' text format.
    fn metrics(&self) -> String {
        self.gateway.node.meter.render()
    }

    /// An error reply by its stable code, in the form of the API at `path`; `ValueError` for a code
    /// that is not in the table.
    #[pyo3(signature = (code, message, path = None))]
    fn refusal<'py>(
        &self,
        py: Python<'py>,
        code: &str,
        message: &str,
        path: Option<&str>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let code = Code::parse(code)
            .ok_or_else(|| PyValueError::new_err(format!("no error has the code `{code}`")))?;
        let now = self.gateway.node.clock.now();
        let id = self.gateway.node.request_id(now);
        let mut head = refusal(&ApiError::new(code, message), id, false);
        let door = path.and_then(Door::at).unwrap_or_default();
        head.body = head.body.map(|body| door.error(&body).unwrap_or(body));
        head_tuple(py, &head)
    }
}

impl PyGateway {
    fn unknown_request<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let text = "no request of yours has this id";
        self.refuse(py, &ApiError::new(Code::RequestNotFound, text).with_param("request_id"))
    }

    fn refuse<'py>(&self, py: Python<'py>, error: &ApiError) -> PyResult<Bound<'py, PyTuple>> {
        let now = self.gateway.node.clock.now();
        let id: RequestId = self.gateway.node.request_id(now);
        head_tuple(py, &refusal(error, id, false))
    }

    fn ticks_now(&self) -> u64 {
        self.gateway.node.clock.now().ticks.micros()
    }
}

fn json(body: Vec<u8>) -> Head {
    let headers = vec![("content-type", "application/json".to_owned())];
    Head { status: 200, headers, body: Some(body) }
}
