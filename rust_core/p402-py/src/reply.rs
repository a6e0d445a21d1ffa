//! Crosses one reply: its head as ASGI wants it, then batches of bytes, each by one future.
//! Does not await: a future is resolved when the loop drains the wake-ups.

use crate::runtime::Wakeups;
use p402_io::outbox::{Head, Outbox};
use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Whoever waits for the next part of one reply.
#[derive(Debug)]
pub struct Waiting {
    outbox: Arc<Outbox>,
    wakeups: Arc<Wakeups>,
    state: Mutex<Want>,
}

#[derive(Debug, Default)]
struct Want {
    future: Option<Py<PyAny>>,
    headed: bool,
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let wakeups = Arc::clone(&self.wakeups);
        wakeups.add(self);
    }
}

/// One reply. Dropping or closing it tells the gateway that the client has left.
#[pyclass(name = "Reply", module = "p402._core", frozen)]
pub struct PyReply {
    waiting: Arc<Waiting>,
}

impl PyReply {
    pub fn new(outbox: Arc<Outbox>, wakeups: Arc<Wakeups>) -> Self {
        let waiting = Waiting { outbox, wakeups, state: Mutex::new(Want::default()) };
        Self { waiting: Arc::new(waiting) }
    }
}

#[pymethods]
impl PyReply {
    /// The next part: first `(status, headers, body | None)`, then `bytes`, at the end `b""`.
    /// Returned at once if it is there; else `None`, and `future` is resolved with it later.
    fn next<'py>(
        &self,
        py: Python<'py>,
        future: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let part = self.waiting.poll(py)?;
        if part.is_none() {
            // `drain` runs on this same thread: what comes from now on finds the future noted.
            self.waiting.state.lock().future = Some(future.clone().unbind());
        }
        Ok(part)
    }

    /// The client has left: the upstream is cut or drained, the usage is still accounted.
    fn close(&self) {
        self.waiting.outbox.leave();
    }
}

impl Drop for PyReply {
    fn drop(&mut self) {
        self.waiting.outbox.leave();
    }
}

impl Waiting {
    fn poll<'py>(self: &Arc<Self>, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let waker = Waker::from(Arc::clone(self));
        let context = Context::from_waker(&waker);
        if self.state.lock().headed {
            return Ok(match self.outbox.poll_bytes(&context) {
                Poll::Pending => None,
                Poll::Ready(bytes) => Some(PyBytes::new(py, &bytes.unwrap_or_default()).into_any()),
            });
        }
        match self.outbox.poll_head(&context) {
            Poll::Pending => Ok(None),
            Poll::Ready(head) => {
                self.state.lock().headed = true;
                head_tuple(py, &head).map(|tuple| Some(tuple.into_any()))
            }
        }
    }

    /// Resolves the waiting future, if there is one and the part is there.
    pub fn resolve(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(future) = self.state.lock().future.take() else { return Ok(()) };
        let future = future.into_bound(py);
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        match self.poll(py)? {
            Some(part) => {
                future.call_method1(intern!(py, "set_result"), (part,))?;
            }
            None => self.state.lock().future = Some(future.unbind()),
        }
        Ok(())
    }
}

/// `(status, [(name, value), …], body | None)`, names and values as bytes.
pub fn head_tuple<'py>(py: Python<'py>, head: &Head) -> PyResult<Bound<'py, PyTuple>> {
    let headers = PyList::empty(py);
    for (name, value) in &head.headers {
        headers.append((known(py, name), PyBytes::new(py, value.as_bytes())))?;
    }
    if let Some(body) = &head.body {
        let length = body.len().to_string();
        headers.append((known(py, "content-length"), PyBytes::new(py, length.as_bytes())))?;
    }
    let body = head.body.as_ref().map(|body| PyBytes::new(py, body));
    (head.status, headers, body).into_pyobject(py)
}

/// A header's name as bytes; made once, for names are few and static.
fn known<'py>(py: Python<'py>, name: &'static str) -> Bound<'py, PyBytes> {
    static NAMES: Mutex<BTreeMap<&'static str, Py<PyBytes>>> = Mutex::new(BTreeMap::new());
    let mut names = NAMES.lock();
    let made = names.entry(name).or_insert_with(|| PyBytes::new(py, name.as_bytes()).unbind());
    made.bind(py).clone()
}
