//! Crosses the answers that need no upstream: models, dry run, look-up, refusals.
//! Does not write JSON: core and io do.

use crate::gateway::{PyGateway, accepts_problem, call, door};
use crate::reply::{PyReply, head_tuple, header_list};
use bytes::Bytes;
use p402_core::catalog::{Charge, Resolved};
use p402_core::door::{Door, Shelf};
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, Code};
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use p402_io::heads::refusal;
use p402_io::inquiry::{self, Inquirer};
use p402_io::metrics::metrics;
use p402_io::node::Node;
use p402_io::outbox::{Head, Outbox};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::sync::Arc;

#[pymethods]
impl PyGateway {
    /// The body of `GET /models`.
    fn models<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.gateway.node.world.load().models())
    }

    /// The reply to `GET /models` in the words of the door at `path`: the page that `params` name.
    fn listing<'py>(
        &self,
        py: Python<'py>,
        headers: &Bound<'py, PyList>,
        params: Vec<(String, String)>,
        path: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (world, door) = (self.gateway.node.world.load_full(), door(path)?);
        if !door.words_models() {
            // Two megabytes, copied once.
            let body = world.models();
            let mut headers = self.answered(Vec::new()).headers;
            headers.push(("content-length", body.len().to_string()));
            return (200, header_list(py, &headers)?, PyBytes::new(py, body)).into_pyobject(py);
        }
        let shelf = Shelf { catalog: &world.catalog, live: &|offer| world.table.live(offer) };
        match door.models(shelf, &params) {
            Ok(body) => self.tell(py, body, door),
            Err(unsaid) => self.refuse_at(py, &unsaid.into(), (door, accepts_problem(headers)?)),
        }
    }

    /// The reply to `GET /models/{id}` in the words of the door at `path`: the entry, or 404
    /// `model_not_found` with near names.
    fn model<'py>(
        &self,
        py: Python<'py>,
        headers: &Bound<'py, PyList>,
        id: &str,
        path: &str,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (world, door) = (self.gateway.node.world.load_full(), door(path)?);
        let live = |offer: usize| world.table.live(offer);
        let found = if door.words_models() {
            door.model(&world.catalog, id)
        } else {
            world.catalog.model_json(id, &live)
        };
        if let Some(body) = found {
            return self.tell(py, body, door);
        }
        let near = world.catalog.near(id).join("`, `");
        let text = if near.is_empty() {
            format!("no model is called `{id}`; GET /models lists them all")
        } else {
            format!("no model is called `{id}`; near names: `{near}`")
        };
        let error = ApiError::new(Code::ModelNotFound, text).with_param("model");
        self.refuse_at(py, &error, (door, accepts_problem(headers)?))
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
            Ok(body) => self.tell(py, body, Door::Chat),
            Err(error) => self.refuse(py, &error, call.problem),
        }
    }

    /// The reply to whoever asks at `path` how long a request is, without calling anyone.
    fn count_tokens<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        asked: (Bound<'py, PyList>, String),
        body: &[u8],
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (headers, path) = asked;
        let door = door(&path)?;
        let asked = door.asked(&path, body).unwrap_or_else(|| body.to_vec());
        let mut call = call(tenant, &headers, Bytes::from(asked), self.ticks_now())?;
        call.door = door;
        let problem = call.problem;
        match self.gateway.count(call) {
            Ok(mut head) => {
                head.told_by(door);
                head_tuple(py, &head)
            }
            Err(error) => self.refuse_at(py, &error, (door, problem)),
        }
    }

    /// The reply to `GET /requests/{id}` for this tenant; `None` for what this node has forgotten.
    fn request<'py>(
        &self,
        py: Python<'py>,
        tenant: &str,
        id: &str,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let found = self.gateway.look_up(tenant, id);
        found.map(|body| self.tell(py, body, Door::Chat)).transpose()
    }

    /// The same from the ledger.
    fn booked_request(
        &self,
        tenant: &str,
        headers: &Bound<'_, PyList>,
        id: String,
    ) -> PyResult<PyReply> {
        let by = inquirer(Some(tenant), headers)?;
        self.reply(|node, outbox| inquiry::booked(node, by, id, outbox))
    }

    /// The reply to `GET /usage`, to a tenant or, for `None`, to the operator.
    fn usage(
        &self,
        tenant: Option<&str>,
        headers: &Bound<'_, PyList>,
        params: Vec<(String, String)>,
    ) -> PyResult<PyReply> {
        let by = inquirer(tenant, headers)?;
        self.reply(|node, outbox| inquiry::usage(node, by, params, outbox))
    }

    /// What is left to a tenant, as headers.
    fn standing<'py>(&self, py: Python<'py>, tenant: &str) -> PyResult<Bound<'py, PyList>> {
        let mut headers = Vec::new();
        let node = &self.gateway.node;
        inquiry::stand(node, tenant, &mut headers, node.clock.now());
        header_list(py, &headers)
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

    /// All that is counted, in Prometheus' text format.
    fn metrics(&self, py: Python<'_>) -> String {
        py.detach(|| metrics(&self.gateway.node))
    }

    /// An error reply by its stable code, to what was asked with (headers, path); `ValueError`
    /// for a code that is not in the table.
    fn refusal<'py>(
        &self,
        py: Python<'py>,
        code: &str,
        message: &str,
        asked: (Bound<'py, PyList>, Option<String>),
    ) -> PyResult<Bound<'py, PyTuple>> {
        let code = Code::parse(code)
            .ok_or_else(|| PyValueError::new_err(format!("no error has the code `{code}`")))?;
        let (headers, path) = asked;
        let door = path.as_deref().and_then(Door::at).unwrap_or_default();
        let problem = accepts_problem(&headers)?;
        self.refuse_at(py, &ApiError::new(code, message), (door, problem))
    }
}

impl PyGateway {
    /// A task on the lane that gives one reply.
    fn reply<F: Future<Output = ()> + Send + 'static>(
        &self,
        task: impl FnOnce(Arc<Node>, Arc<Outbox>) -> F,
    ) -> PyResult<PyReply> {
        let outbox = Arc::new(Outbox::default());
        self.lane()?.spawn(task(Arc::clone(&self.gateway.node), Arc::clone(&outbox)));
        Ok(PyReply::new(outbox, Arc::clone(&self.wakeups)))
    }

    pub fn refuse<'py>(
        &self,
        py: Python<'py>,
        error: &ApiError,
        problem: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        self.refuse_at(py, error, (Door::Chat, problem))
    }

    /// In the words of a door.
    fn refuse_at<'py>(
        &self,
        py: Python<'py>,
        error: &ApiError,
        (door, problem): (Door, bool),
    ) -> PyResult<Bound<'py, PyTuple>> {
        let id: RequestId = self.gateway.node.request_id(self.gateway.node.clock.now());
        let mut head = refusal(error, id, problem && !door.words_errors());
        head.told_by(door);
        head_tuple(py, &head)
    }

    /// What was asked, under an id of its own.
    fn answered(&self, body: Vec<u8>) -> Head {
        let id = self.gateway.node.request_id(self.gateway.node.clock.now()).to_string();
        let mut head = json(body);
        head.headers.push(("x-request-id", id.clone()));
        head.headers.push(("x-p402-request-id", id));
        head
    }

    fn tell<'py>(
        &self,
        py: Python<'py>,
        body: Vec<u8>,
        door: Door,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut head = self.answered(body);
        head.told_by(door);
        head_tuple(py, &head)
    }

    fn ticks_now(&self) -> u64 {
        self.gateway.node.clock.now().ticks.micros()
    }
}

fn inquirer(tenant: Option<&str>, headers: &Bound<'_, PyList>) -> PyResult<Inquirer> {
    Ok(Inquirer { tenant: tenant.map(Arc::from), problem: accepts_problem(headers)? })
}

pub fn json(body: Vec<u8>) -> Head {
    let headers = vec![("content-type", "application/json".to_owned())];
    Head { status: 200, headers, body: Some(body) }
}
