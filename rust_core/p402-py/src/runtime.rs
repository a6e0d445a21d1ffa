//! Owns the one lane of the ASGI front: a thread with its own runtime, started in the worker.
//! Does not touch the interpreter lock: finished work is queued, a byte on a socket wakes the loop.

use crate::reply::Waiting;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// Replies that have something for Python; drained by the event loop in one go.
#[derive(Debug)]
pub struct Wakeups {
    queue: Mutex<VecDeque<Arc<Waiting>>>,
    /// Written by the lane, one byte per batch.
    tell: UnixStream,
    /// Read by the event loop.
    hear: UnixStream,
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
        let (tell, hear) = UnixStream::pair()?;
        tell.set_nonblocking(true)?;
        hear.set_nonblocking(true)?;
        Ok(Self { queue: Mutex::new(VecDeque::new()), tell, hear })
    }

    pub fn fd(&self) -> RawFd {
        self.hear.as_raw_fd()
    }

    /// Queues a reply; the loop is woken only when it is not yet going to look.
    pub fn add(&self, waiting: Arc<Waiting>) {
        let first = {
            let mut queue = self.queue.lock();
            queue.push_back(waiting);
            queue.len() == 1
        };
        if first {
            // A full socket means the loop has wake-ups enough.
            drop((&self.tell).write(&[1]));
        }
    }

    /// Everything queued so far.
    pub fn take(&self) -> VecDeque<Arc<Waiting>> {
        let mut sink = [0_u8; 64];
        while matches!((&self.hear).read(&mut sink), Ok(read) if read == sink.len()) {}
        std::mem::take(&mut *self.queue.lock())
    }
}

impl Lane {
    /// Starts the thread. Called in the worker at start-up, never at import: threads do not
    /// survive `fork`.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let quit = Arc::new(Notify::new());
        let told = Arc::clone(&quit);
        let thread = std::thread::Builder::new()
            .name("p402-lane".to_owned())
            .spawn(move || runtime.block_on(told.notified()))?;
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
