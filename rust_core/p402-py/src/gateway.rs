//! Crosses the gateway: construction from plain values, chat, reload, start and stop.
//! Does not decide: configuration and catalogue are parsed and judged in core.

use crate::clock::PyManualClock;
use crate::reply::PyReply;
use crate::runtime::{Lane, Wakeups};
use bytes::Bytes;
use p402_core::cache::rules::shipped_weights;
use p402_core::door::Door;
use p402_core::reply::{ApiError, Code};
use p402_io::clock::{Clock, SystemClock};
use p402_io::embed::{Embedder, Hashed, Lazy};
use p402_io::gateway::{Call, Gateway, key_hash};
use p402_io::home::{Home, HomeError};
use p402_io::outbox::Outbox;
use p402_io::transport::Transport;
use p402_io::transport::http::HttpTransport;
use p402_io::transport::scripted::{Script, ScriptedTransport};
use p402_io::world::World;
use parking_lot::Mutex;
use pyo3::exceptions::{PyBlockingIOError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// One gateway process.
#[pyclass(name = "Gateway", module = "p402._core", frozen)]
pub struct PyGateway {
    pub gateway: Gateway,
    pub wakeups: Arc<Wakeups>,
    lane: Mutex<Option<Lane>>,
}

#[pymethods]
impl PyGateway {
    /// `config`: JSON of core's `Config`; `catalog`: JSON-lines layers, later ones override.
    /// `data_dir` is taken for this process, or `BlockingIOError` says that another one has it;
    /// without one the gateway explains, and serves nothing.
    /// `embedder`: the path of the encoder's weights, read when they are first needed, or
    /// `"hashed"`, which knows no meaning; without one the cache finds equal questions alone.
    /// `transport`: `"http"`, or a JSON list of scripts. `ValueError` names what is wrong.
    #[new]
    #[pyo3(signature = (config, *, catalog, data_dir = None, transport = "http", clock = None,
        embedder = None))]
    #[expect(clippy::too_many_arguments, reason = "one crossing, plain values")]
    fn new(
        config: &[u8],
        catalog: Vec<PyBackedLayer>,
        data_dir: Option<PathBuf>,
        transport: &str,
        clock: Option<&Bound<'_, PyManualClock>>,
        embedder: Option<PathBuf>,
    ) -> PyResult<Self> {
        let world = load(config, &catalog)?;
        let connect = Duration::from_millis(world.config.timeouts.connect_ms);
        let transport: Box<dyn Transport> = if transport == "http" {
            Box::new(HttpTransport::new(connect))
        } else {
            let scripts: Vec<Script> = serde_json::from_str(transport)
                .map_err(|error| PyValueError::new_err(format!("transport: {error}")))?;
            Box::new(ScriptedTransport::new(scripts))
        };
        let clock: Arc<dyn Clock> = match clock {
            Some(clock) => Arc::clone(&clock.get().0) as Arc<dyn Clock>,
            None => Arc::new(SystemClock::default()),
        };
        let limits = |tenant: &str| world.tenant(tenant).limits;
        let home = data_dir
            .map(|folder| Home::open(&world.config, &folder, &limits, clock.now()))
            .transpose()
            .map_err(|error| match error {
                HomeError::Held(text) => PyBlockingIOError::new_err(text),
                HomeError::Failed(text) => PyValueError::new_err(text),
            })?;
        let gateway = Gateway::new(world, transport, clock, home.map(Arc::new));
        if let Some(encoder) = embedder.map(encoder) {
            // Nobody has set another one: the gateway was made just now.
            gateway.node.embedder.set(encoder).unwrap_or_default();
        }
        Ok(Self { gateway, wakeups: Arc::new(Wakeups::new()?), lane: Mutex::new(None) })
    }

    /// Starts the lane, once; returns the descriptor that turns readable when `drain` is due.
    fn start(&self) -> PyResult<i32> {
        let mut lane = self.lane.lock();
        if lane.is_none() {
            let started = Lane::start()?;
            started.handle.spawn(Arc::clone(&self.gateway.node).tend());
            started.handle.spawn(self.gateway.clone().check_hits());
            *lane = Some(started);
        }
        Ok(self.wakeups.fd())
    }

    /// The descriptor that `start` returned.
    #[getter]
    fn wake_fd(&self) -> i32 {
        self.wakeups.fd()
    }

    /// Resolves every future whose part has come. The event loop calls it when told to.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        for waiting in self.wakeups.take() {
            waiting.resolve(py)?;
        }
        Ok(())
    }

    /// Refuses new requests, waits `drain_ms` for open ones, ends the rest, stops the lane.
    fn stop(&self, py: Python<'_>, drain_ms: u64) {
        let Some(lane) = self.lane.lock().take() else { return };
        let gateway = self.gateway.clone();
        py.detach(|| {
            let (done, wait) = std::sync::mpsc::channel();
            lane.handle.spawn(async move {
                gateway.node.drain(Duration::from_millis(drain_ms)).await;
                // The receiver may have given up waiting.
                let _ = done.send(());
            });
            let _ = wait.recv_timeout(Duration::from_millis(drain_ms + 2_000));
            lane.stop();
        });
    }

    /// Stops taking new requests; open ones go on (`/healthz` says `draining`).
    fn refuse_new(&self) {
        self.gateway.node.draining.store(true, std::sync::atomic::Ordering::Release);
    }

    #[getter]
    fn draining(&self) -> bool {
        self.gateway.node.draining.load(std::sync::atomic::Ordering::Acquire)
    }

    #[getter]
    fn in_flight(&self) -> usize {
        self.gateway.node.in_flight.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Microseconds of the gateway's monotonic clock: taken when a request's head is read.
    fn ticks(&self) -> u64 {
        self.gateway.node.clock.now().ticks.micros()
    }

    /// Swaps configuration and catalogue; `ValueError` changes nothing.
    fn reload(&self, config: &[u8], catalog: Vec<PyBackedLayer>) -> PyResult<()> {
        self.gateway.node.reload(load(config, &catalog)?);
        Ok(())
    }

    /// Starts one request that came to `path`. `headers` are the ASGI pairs; only `x-p402-*` and
    /// two `x-stainless-*` are read. The answer comes through the reply's `next`.
    #[expect(clippy::too_many_arguments, reason = "one crossing, plain values")]
    fn chat(
        &self,
        tenant: &str,
        headers: &Bound<'_, PyList>,
        body: &Bound<'_, PyBytes>,
        received: u64,
        path: &str,
    ) -> PyResult<PyReply> {
        let door = door(path)?;
        let lane = self.lane()?;
        let joined = door.asked(path, body.as_bytes());
        let asked = joined.map_or_else(|| Bytes::copy_from_slice(body.as_bytes()), Bytes::from);
        let mut call = call(tenant, headers, asked, received)?;
        call.door = door;
        call.problem &= !door.words_errors();
        let outbox = Arc::new(Outbox::of(door));
        lane.spawn(self.gateway.clone().serve(call, Arc::clone(&outbox)));
        Ok(PyReply::new(outbox, Arc::clone(&self.wakeups)))
    }
}

impl PyGateway {
    /// Where tasks run.
    pub fn lane(&self) -> PyResult<Handle> {
        let lane = self.lane.lock();
        let handle = lane.as_ref().map(|lane| lane.handle.clone());
        handle.ok_or_else(|| PyRuntimeError::new_err("the gateway has not been started"))
    }

    /// Waits for what is asked of the core, on the thread that calls, without the interpreter.
    pub fn wait<T: Send>(
        &self,
        py: Python<'_>,
        asked: impl Future<Output = Result<T, ApiError>> + Send,
    ) -> Result<T, ApiError> {
        let handle = self.lane().ok();
        let stopped = || ApiError::new(Code::ShuttingDown, "this gateway is not running");
        py.detach(|| handle.ok_or_else(stopped)?.block_on(asked))
    }
}

/// By its name, or by where its weights are; on a quarter of the processors.
fn encoder(named: PathBuf) -> Box<dyn Embedder> {
    if named.as_os_str() == "hashed" {
        return Box::new(Hashed);
    }
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 4).max(1);
    Box::new(Lazy::new(named, shipped_weights(), threads))
}

type PyBackedLayer = pyo3::pybacked::PyBackedBytes;

fn load(config: &[u8], layers: &[PyBackedLayer]) -> PyResult<World> {
    let layers: Vec<&[u8]> = layers.iter().map(|layer| &**layer).collect();
    World::load(config, &layers).map_err(PyValueError::new_err)
}

/// The door at this path of ours.
pub fn door(path: &str) -> PyResult<Door> {
    Door::at(path).ok_or_else(|| PyValueError::new_err(format!("there is no door at `{path}`")))
}

/// Errors are to be told as RFC 9457 has them.
pub fn accepts_problem(headers: &Bound<'_, PyList>) -> PyResult<bool> {
    for pair in headers.iter() {
        let pair = pair.cast::<PyTuple>()?;
        let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
        if name.cast::<PyBytes>()?.as_bytes() == b"accept" {
            return Ok(is_problem(value.cast::<PyBytes>()?.as_bytes()));
        }
    }
    Ok(false)
}

fn is_problem(accepted: &[u8]) -> bool {
    let wanted = b"application/problem+json";
    accepted.windows(wanted.len()).any(|window| window == wanted)
}

/// Reads the few headers that say something to the core.
pub fn call(
    tenant: &str,
    headers: &Bound<'_, PyList>,
    body: Bytes,
    received: u64,
) -> PyResult<Call> {
    let mut call = Call {
        door: Door::Chat,
        tenant: Arc::from(tenant),
        body,
        key: 0,
        twins: Vec::new(),
        idempotency_key: None,
        problem: false,
        received: p402_core::time::Ticks::from_micros(received),
        read_timeout_ms: None,
        retry_count: 0,
        shadow: false,
    };
    for pair in headers.iter() {
        let pair = pair.cast::<PyTuple>()?;
        let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
        let name = name.cast::<PyBytes>()?.as_bytes();
        let text = |value: &Bound<'_, PyAny>| -> PyResult<String> {
            Ok(String::from_utf8_lossy(value.cast::<PyBytes>()?.as_bytes()).into_owned())
        };
        if !name.starts_with(b"x-") {
            match name {
                b"idempotency-key" => call.idempotency_key = Some(text(&value)?),
                b"authorization" => {
                    let value = value.cast::<PyBytes>()?.as_bytes();
                    let token = value.iter().position(|byte| *byte == b' ').map(|at| at + 1);
                    call.key = key_hash(value.get(token.unwrap_or(0)..).unwrap_or_default());
                }
                b"accept" => call.problem = is_problem(value.cast::<PyBytes>()?.as_bytes()),
                b"api-key" => call.key = key_hash(value.cast::<PyBytes>()?.as_bytes().trim_ascii()),
                _ => {}
            }
            continue;
        }
        if name == b"x-api-key" || name == b"x-goog-api-key" {
            call.key = key_hash(value.cast::<PyBytes>()?.as_bytes().trim_ascii());
        } else if name.starts_with(b"x-p402-") {
            call.twins.push((String::from_utf8_lossy(name).into_owned(), text(&value)?));
        } else if name == b"x-stainless-read-timeout" {
            let seconds: Option<f64> = text(&value)?.parse().ok();
            call.read_timeout_ms = seconds.filter(|s| *s > 0.0).map(|s| (s * 1_000.0) as u64);
        } else if name == b"x-stainless-retry-count" {
            call.retry_count = text(&value)?.parse().unwrap_or(0);
        }
    }
    Ok(call)
}
