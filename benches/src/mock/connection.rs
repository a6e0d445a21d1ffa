//! Decides what one connection sends next: a prepared script, a step at a time, one send each.
//! Deliberately owns no clock and no timer: it says when it wants to go on and is called again.

use super::shapes::{End, Script};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Instant;

const INPUT_MAX: usize = 65 << 20;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) input: Vec<u8>,
    /// Bytes the kernel would not take yet.
    pending: Vec<u8>,
    running: Option<Running>,
    pub(super) told_to_continue: bool,
    pub(super) generation: u64,
    pub(super) watches_writes: bool,
}

#[derive(Debug)]
struct Running {
    script: Rc<Script>,
    step: usize,
    /// When the current step is due; steps count from the due time before, so gaps do not drift.
    due: Instant,
}

/// What became of a connection after it ran as far as it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Idle,
    WaitUntil(Instant),
    WaitForRoom,
    Close,
    Reset,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, generation: u64) -> Self {
        Self {
            socket,
            input: Vec::new(),
            pending: Vec::new(),
            running: None,
            told_to_continue: false,
            generation,
            watches_writes: false,
        }
    }

    pub(super) fn is_answering(&self) -> bool {
        self.running.is_some()
    }

    /// One read; false = the peer is gone or floods.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> bool {
        match self.socket.read(scratch) {
            Ok(0) => false,
            Ok(n) => {
                self.input.extend_from_slice(scratch.get(..n).unwrap_or_default());
                self.input.len() <= INPUT_MAX
            }
            Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    pub(super) fn begin(&mut self, script: Rc<Script>, now: Instant) {
        let first = script.steps.first().map_or(now, |step| now + step.after);
        self.running = Some(Running { script, step: 0, due: first });
    }

    /// Sends all that is due.
    pub(super) fn advance(&mut self, now: Instant) -> Then {
        if !self.flush() {
            return Then::Close;
        }
        if !self.pending.is_empty() {
            return Then::WaitForRoom;
        }
        let Some(mut running) = self.running.take() else { return Then::Idle };
        while let Some(step) = running.script.steps.get(running.step) {
            if running.due > now {
                let due = running.due;
                self.running = Some(running);
                return Then::WaitUntil(due);
            }
            if !self.send(&step.bytes) {
                return Then::Close;
            }
            running.step += 1;
            if let Some(next) = running.script.steps.get(running.step) {
                running.due += next.after;
            }
            if !self.pending.is_empty() {
                self.running = Some(running);
                return Then::WaitForRoom;
            }
        }
        match running.script.end {
            End::KeepAlive => Then::Idle,
            End::Close => Then::Close,
            End::Reset => Then::Reset,
            End::Hang => {
                // Stays "answering", so that nothing else is read as a request.
                self.running = Some(running);
                Then::WaitForRoom
            }
        }
    }

    /// Bytes outside a script (`100 Continue`).
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        match self.socket.write(bytes) {
            Ok(n) => self.pending.extend_from_slice(bytes.get(n..).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.pending.extend_from_slice(bytes),
            Err(_) => return false,
        }
        true
    }

    pub(super) fn wants_room(&self) -> bool {
        !self.pending.is_empty()
    }

    fn flush(&mut self) -> bool {
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(n) => {
                    self.pending.drain(..n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        true
    }
}
