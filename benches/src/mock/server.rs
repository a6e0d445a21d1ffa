//! Decides who is served when: one thread, one epoll set, one timer for all delays.
//! Deliberately has no thread per request and no coarse timer: a 10 ms gap is 10 ms at any load.

use super::behaviour::Behaviour;
use super::connection::{Connection, Then};
use super::shapes::{self, Script, Scripts};
use super::wire::{self, Ask, Parsed};
use rustix::event::{Timespec, epoll};
use rustix::time::{self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const EVENTS_MAX: usize = 256;
const READ_BYTES: usize = 128 << 10;
const MODELS_MAX: usize = 4_096;
const TIMER_SLACK_NS: std::num::NonZeroU64 = std::num::NonZeroU64::MIN.saturating_add(999);

#[derive(Debug, Default)]
struct Counters {
    requests: u64,
    faults: u64,
    connections: u64,
    /// Connections that went away in the middle of an answer.
    abandoned: u64,
}

#[derive(Debug)]
pub struct Server {
    epoll: OwnedFd,
    timer: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    waiting: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    armed: Option<Instant>,
    models: HashMap<String, Rc<Scripts>>,
    counters: Counters,
    generation: u64,
}

impl Server {
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let watch = |fd, token| {
            epoll::add(&epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
        };
        watch(std::os::fd::AsFd::as_fd(&listener), LISTENER)?;
        watch(std::os::fd::AsFd::as_fd(&timer), TIMER)?;
        Ok(Self {
            epoll,
            timer,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            waiting: BinaryHeap::new(),
            armed: None,
            models: HashMap::new(),
            counters: Counters::default(),
            generation: 0,
        })
    }

    /// Serves until the process is killed.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut scratch = vec![0; READ_BYTES];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    TIMER => self.wake()?,
                    token => self.touched(token as usize, event.flags, &mut scratch)?,
                }
            }
            self.arm()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = epoll::EventData::new_u64(slot as u64);
            epoll::add(&self.epoll, &socket, data, epoll::EventFlags::IN)?;
            self.generation += 1;
            self.counters.connections += 1;
            if let Some(place) = self.connections.get_mut(slot) {
                *place = Some(Connection::new(socket, self.generation));
            }
        }
    }

    fn touched(
        &mut self,
        slot: usize,
        flags: epoll::EventFlags,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(readable) && !connection.fill(scratch) {
            self.counters.abandoned += u64::from(connection.is_answering());
            self.close(slot, false);
            return Ok(());
        }
        self.go_on(slot)
    }

    /// Runs a connection as far as it goes: the script at hand, then the next request.
    fn go_on(&mut self, slot: usize) -> io::Result<()> {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
            let now = Instant::now();
            match connection.advance(now) {
                Then::Idle => {}
                Then::WaitUntil(due) => {
                    self.waiting.push(Reverse((due, slot, connection.generation)));
                    return Ok(());
                }
                Then::WaitForRoom => return self.watch_writes(slot),
                then @ (Then::Close | Then::Reset) => {
                    self.close(slot, then == Then::Reset);
                    return Ok(());
                }
            }
            if !self.take_request(slot, now) {
                return self.watch_writes(slot);
            }
        }
    }

    /// Starts the answer to the next whole request in the buffer; false = there is none.
    fn take_request(&mut self, slot: usize, now: Instant) -> bool {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return false };
        if connection.input.is_empty() {
            return false;
        }
        let request = match wire::parse(&connection.input) {
            Parsed::Whole(request) => request,
            Parsed::Partial { expects } => {
                if expects && !connection.told_to_continue {
                    connection.told_to_continue = true;
                    // A peer that is gone shows itself at the next read.
                    let _ = connection.send(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                return false;
            }
            Parsed::Bad(why) => {
                connection.input.clear();
                connection.begin(Rc::new(shapes::error(400, why)), now);
                return true;
            }
        };
        connection.input.drain(..request.consumed);
        connection.told_to_continue = false;
        let script = self.answer(&request);
        if let Some(Some(connection)) = self.connections.get_mut(slot) {
            connection.begin(script, now);
        }
        true
    }

    fn answer(&mut self, request: &wire::Request) -> Rc<Script> {
        match request.path.as_str() {
            "/__stats" => return Rc::new(shapes::page(&self.counters.to_json())),
            "/health" => return Rc::new(shapes::page(r#"{"status":"ok"}"#)),
            "/v1/models" => {
                let models = r#"{"object":"list","data":[{"id":"mock","object":"model"}]}"#;
                return Rc::new(shapes::page(models));
            }
            path if path.ends_with("/chat/completions") => {}
            path => return Rc::new(shapes::error(404, &format!("no such path: {path}"))),
        }
        self.counters.requests += 1;
        let ask: Ask<'_> = match serde_json::from_slice(&request.body) {
            Ok(ask) => ask,
            Err(e) => return Rc::new(shapes::error(400, &e.to_string())),
        };
        match self.scripts(&ask.model) {
            Ok(scripts) => {
                let fails = draws_fault(&scripts.behaviour, self.counters.requests);
                self.counters.faults += u64::from(fails);
                scripts.pick(ask.stream, ask.wants_usage(), fails)
            }
            Err(why) => Rc::new(shapes::error(404, &why)),
        }
    }

    fn scripts(&mut self, model: &str) -> Result<Rc<Scripts>, String> {
        if let Some(known) = self.models.get(model) {
            return Ok(Rc::clone(known));
        }
        let scripts = Rc::new(Scripts::new(model, Behaviour::parse(model)?));
        if self.models.len() < MODELS_MAX {
            self.models.insert(model.to_owned(), Rc::clone(&scripts));
        }
        Ok(scripts)
    }

    fn wake(&mut self) -> io::Result<()> {
        let mut expirations = [0_u8; 8];
        // A timer that was set anew in between has nothing to read: both are fine.
        let _ = rustix::io::read(&self.timer, &mut expirations);
        self.armed = None;
        let now = Instant::now();
        while let Some(&Reverse((due, slot, generation))) = self.waiting.peek() {
            if due > now {
                break;
            }
            self.waiting.pop();
            let current = self.connections.get(slot).and_then(Option::as_ref);
            if current.is_some_and(|connection| connection.generation == generation) {
                self.go_on(slot)?;
            }
        }
        Ok(())
    }

    /// Sets the timer to the earliest wait, and only where that changed.
    fn arm(&mut self) -> io::Result<()> {
        let Some(&Reverse((due, _, _))) = self.waiting.peek() else { return Ok(()) };
        if self.armed.is_some_and(|armed| armed <= due) {
            return Ok(());
        }
        // A zero would disarm the timer.
        let left = due.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let value = Timespec::try_from(left).map_err(io::Error::other)?;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
        self.armed = Some(due);
        Ok(())
    }

    fn watch_writes(&mut self, slot: usize) -> io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return Ok(()) };
        let wanted = connection.wants_room();
        if wanted == connection.watches_writes {
            return Ok(());
        }
        connection.watches_writes = wanted;
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, wanted);
        let data = epoll::EventData::new_u64(slot as u64);
        Ok(epoll::modify(&self.epoll, &connection.socket, data, flags)?)
    }

    fn close(&mut self, slot: usize, reset: bool) {
        let Some(connection) = self.connections.get_mut(slot).and_then(Option::take) else {
            return;
        };
        if reset {
            // Best effort: a socket that refuses the option is closed in the ordinary way.
            let _ =
                rustix::net::sockopt::set_socket_linger(&connection.socket, Some(Duration::ZERO));
        }
        self.free.push(slot);
    }
}

impl Counters {
    fn to_json(&self) -> String {
        serde_json::json!({
            "requests": self.requests,
            "faults": self.faults,
            "connections": self.connections,
            "abandoned": self.abandoned,
        })
        .to_string()
    }
}

/// Spreads the faults evenly and repeatably: the same request number always fares alike.
fn draws_fault(behaviour: &Behaviour, number: u64) -> bool {
    if behaviour.fault == super::behaviour::Fault::None {
        return false;
    }
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    mixed % 100 < u64::from(behaviour.fault_percent)
}
