//! Crosses one reply: its head as ASGI wants it with what is there, then batches, each by a future.
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
    /// The next part: first `(status, headers, bytes, more)`, then `(bytes, more)` until `more` is
    /// false. Returned at once if it is there; else `None`, and `future` gets it later.
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
            return match self.outbox.poll_bytes(&context) {
                Poll::Pending => Ok(None),
                Poll::Ready(bytes) => {
                    let bytes = PyBytes::new(py, &bytes.unwrap_or_default());
                    Ok(Some((bytes, self.outbox.has_more()).into_pyobject(py)?.into_any()))
                }
            };
        }
        let Poll::Ready(head) = self.outbox.poll_head(&context) else { return Ok(None) };
        self.state.lock().headed = true;
        let headers = head_list(py, &head)?;
        let bytes = match &head.body {
            Some(body) => PyBytes::new(py, body),
            // A stream's head leaves with the content that committed it.
            None => match self.outbox.poll_bytes(&context) {
                Poll::Ready(bytes) => PyBytes::new(py, &bytes.unwrap_or_default()),
                Poll::Pending => PyBytes::new(py, b""),
            },
        };
        // A stream's end is told apart, or its host would announce a length.
        let more = head.body.is_none();
        Ok(Some((head.status, headers, bytes, more).into_pyobject(py)?.into_any()))
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
    let body = head.body.as_ref().map(|body| PyBytes::new(py, body));
    (head.status, head_list(py, head)?, body).into_pyobject(py)
}

/// Names and values as bytes.
pub fn header_list<'py>(
    py: Python<'py>,
    headers: &[(&'static str, String)],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (name, value) in headers {
        list.append((known(py, name), PyBytes::new(py, value.as_bytes())))?;
    }
    Ok(list)
}

fn head_list<'py>(py: Python<'py>, head: &Head) -> PyResult<Bound<'py, PyList>> {
    let headers = header_list(py, &head.headers)?;
    if let Some(body) = &head.body {
        let length = body.len().to_string();
        headers.append((known(py, "content-length"), PyBytes::new(py, length.as_bytes())))?;
    }
    Ok(headers)
}

/// A header's name as bytes; made once, for names are few and static.
fn known<'py>(py: Python<'py>, name: &'static str) -> Bound<'py, PyBytes> {
    static NAMES: Mutex<BTreeMap<&'static str, Py<PyBytes>>> = Mutex::new(BTreeMap::new());
    let mut names = NAMES.lock();
    let made = names.entry(name).or_insert_with(|| PyBytes::new(py, name.as_bytes()).unbind());
    made.bind(py).clone()
}
