//! Carries one reply from the line to whoever writes it out: head first, then bytes, bounded.
//! Does not know what front reads it: anything with a `std::task::Waker` can.

use p402_core::door::{Door, Retell, Twice};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Bytes a stream may run ahead of its reader before the upstream is no longer read.
pub const AHEAD_BYTES_MAX: usize = 256 << 10;

/// Status, headers and, where the answer is whole, its body.
#[derive(Debug, Default)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// `None`: a stream follows.
    pub body: Option<Vec<u8>>,
}

impl Head {
    /// Puts it in the words of a door: an error has its form, and the request's id its header.
    pub fn told_by(&mut self, door: Door) {
        let error = self.body.as_ref().filter(|_| self.status >= 400);
        if let Some(told) = error.and_then(|body| door.error(self.status, body)) {
            self.body = Some(told);
        }
        let id = self.headers.iter().find(|(name, _)| *name == "x-request-id");
        if let Some((name, (_, id))) = door.names_request().zip(id) {
            let id = id.clone();
            self.headers.push((name, id));
        }
    }
}

#[derive(Debug, Default)]
struct State {
    head: Option<Head>,
    /// A head was given once: later heads are dropped.
    headed: bool,
    bytes: Vec<u8>,
    /// Tells the answer in the language of its door, where that is not the line's own.
    reply: Option<Box<dyn Retell>>,
    ended: bool,
    waker: Option<Waker>,
}

/// The one reply of one request. The line writes, a front reads; either may leave first.
#[derive(Debug, Default)]
pub struct Outbox {
    door: Door,
    state: Mutex<State>,
    gone: AtomicBool,
    left: Notify,
    taken: Notify,
}

impl Outbox {
    /// The reply of a request that came by this door.
    pub fn of(door: Door) -> Self {
        Self { door, ..Self::default() }
    }

    /// From here on answers are told so.
    pub fn retell(&self, reply: Box<dyn Retell>) {
        self.state.lock().reply = Some(reply);
    }

    /// From here on answers are told so before they are told in the words of the door.
    pub fn retell_first(&self, first: Box<dyn Retell>) {
        let mut state = self.state.lock();
        state.reply = Some(match state.reply.take() {
            Some(then) => Box::new(Twice(first, then)),
            None => first,
        });
    }

    /// Gives the head; only the first one counts. A whole answer ends the reply.
    pub fn head(&self, mut head: Head) {
        let waker = {
            let mut state = self.state.lock();
            if state.headed {
                return;
            }
            state.headed = true;
            state.ended = head.body.is_some();
            if let Some(reply) = state.reply.as_mut().filter(|_| head.status < 400) {
                head.body = head.body.map(|body| reply.whole(&body));
            }
            head.told_by(self.door);
            state.head = Some(head);
            state.waker.take()
        };
        wake(waker);
    }

    /// A head has been given.
    pub fn headed(&self) -> bool {
        self.state.lock().headed
    }

    /// Adds frames of a stream.
    pub fn push(&self, frames: &[u8]) {
        self.add(|state| state.add(frames));
    }

    /// Adds a comment: it is one in every language that comes as events.
    pub fn comment(&self, bytes: &[u8]) {
        self.add(|state| state.bytes.extend_from_slice(bytes));
    }

    fn add(&self, what: impl FnOnce(&mut State)) {
        if self.gone() {
            return;
        }
        let waker = {
            let mut state = self.state.lock();
            what(&mut state);
            state.waker.take()
        };
        wake(waker);
    }

    /// No more bytes will come.
    pub fn end(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.ended = true;
            state.waker.take()
        };
        wake(waker);
    }

    /// Adds the last bytes of a stream: they and its end are one piece of news.
    pub fn last(&self, bytes: &[u8]) {
        let waker = {
            let mut state = self.state.lock();
            state.add(bytes);
            state.ended = true;
            state.waker.take()
        };
        wake(waker);
    }

    /// The reader has left; nothing pushed from now on is read.
    pub fn leave(&self) {
        self.gone.store(true, Ordering::Release);
        self.left.notify_waiters();
        self.taken.notify_waiters();
    }

    pub fn gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Resolves when the reader has left.
    pub async fn until_gone(&self) {
        loop {
            let left = self.left.notified();
            if self.gone() {
                return;
            }
            left.await;
        }
    }

    /// The reader is more than `AHEAD_BYTES_MAX` behind.
    pub fn full(&self) -> bool {
        self.state.lock().bytes.len() > AHEAD_BYTES_MAX
    }

    /// Resolves when the reader has caught up, or left.
    pub async fn until_room(&self) {
        loop {
            let taken = self.taken.notified();
            if self.gone() || !self.full() {
                return;
            }
            taken.await;
        }
    }

    /// The head, once it is there.
    pub fn poll_head(&self, context: &Context<'_>) -> Poll<Head> {
        let mut state = self.state.lock();
        if let Some(head) = state.head.take() {
            return Poll::Ready(head);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The line has said its last.
    pub fn ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Bytes are there that nobody has taken, or may still come.
    pub fn has_more(&self) -> bool {
        let state = self.state.lock();
        !state.ended || !state.bytes.is_empty()
    }

    /// All bytes that are there; `None` after the last ones.
    pub fn poll_bytes(&self, context: &Context<'_>) -> Poll<Option<Vec<u8>>> {
        let mut state = self.state.lock();
        if !state.bytes.is_empty() {
            let bytes = std::mem::take(&mut state.bytes);
            drop(state);
            self.taken.notify_waiters();
            return Poll::Ready(Some(bytes));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl State {
    /// Whole frames, in the words of the door.
    fn add(&mut self, frames: &[u8]) {
        match &mut self.reply {
            Some(reply) => self.bytes.extend(reply.frames(frames)),
            None => self.bytes.extend_from_slice(frames),
        }
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
