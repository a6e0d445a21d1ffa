//! Owns the one lane of the ASGI front: a thread with its own runtime, started in the worker.
//! Does not touch the interpreter lock: finished work is queued, one event wakes the loop.

use crate::reply::Waiting;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// Threads for what waits for a name server or a database; more work than that waits its turn.
const BLOCKING_MAX: usize = 16;
/// Longest wait for threads that read the ledger, once all else has ended.
const READERS_WAIT: Duration = Duration::from_millis(500);

/// Replies that have something for Python; drained by the event loop in one go.
#[derive(Debug)]
pub struct Wakeups {
    queue: Mutex<VecDeque<Arc<Waiting>>>,
    /// Written by the lane once per batch, watched by the event loop.
    event: OwnedFd,
}

/// A thread and its runtime.
#[derive(Debug)]
pub struct Lane {
    pub handle: Handle,
    quit: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Wakeups {
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { queue: Mutex::new(VecDeque::new()), event })
    }

    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Queues a reply; the loop is woken only when it is not yet going to look.
    pub fn add(&self, waiting: Arc<Waiting>) {
        let first = {
            let mut queue = self.queue.lock();
            queue.push_back(waiting);
            queue.len() == 1
        };
        if first {
            // It fails only when the loop has wake-ups enough.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    /// Everything queued so far.
    pub fn take(&self) -> VecDeque<Arc<Waiting>> {
        let mut count = [0_u8; 8];
        // Nothing to read means that somebody has taken the batch already.
        let _ = rustix::io::read(&self.event, &mut count);
        std::mem::take(&mut *self.queue.lock())
    }
}

impl Lane {
    /// Starts the thread. Called in the worker at start-up, never at import: threads do not
    /// survive `fork`.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(BLOCKING_MAX)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let quit = Arc::new(Notify::new());
        let told = Arc::clone(&quit);
        let thread = std::thread::Builder::new().name("p402-lane".to_owned()).spawn(move || {
            runtime.block_on(told.notified());
            // Whoever reads the ledger for a client that is gone must not hold up the end.
            runtime.shutdown_timeout(READERS_WAIT);
        })?;
        Ok(Self { handle, quit, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread and waits for it.
    pub fn stop(&self) {
        self.quit.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            drop(thread.join());
        }
    }
}
