//! Decides when request i of an open loop is due: t0 + i / rate, to the microsecond.
//! Deliberately not tokio's timer: its millisecond steps would be counted as the gateway's latency.

use rustix::event::Timespec;
use rustix::time::{self, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use std::io;
use std::time::{Duration, Instant};
use tokio::net::unix::pipe::Receiver;

#[derive(Debug)]
pub(super) struct Pacer {
    /// A timer is read like a pipe: eight bytes when it has fired.
    timer: Receiver,
    start: Instant,
    rate: f64,
    next: u64,
}

impl Pacer {
    pub(super) fn new(rate: f64) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let timer = Receiver::from_owned_fd_unchecked(timer)?;
        Ok(Self { timer, start: Instant::now(), rate, next: 0 })
    }

    /// Waits for the next due time and returns it; never skips one, however late it is.
    pub(super) async fn tick(&mut self) -> io::Result<Instant> {
        let due = self.start + Duration::from_secs_f64(self.next as f64 / self.rate);
        self.next += 1;
        while Instant::now() < due {
            let left = due.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let value = Timespec::try_from(left).map_err(io::Error::other)?;
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let spec = Itimerspec { it_interval: zero, it_value: value };
            time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
            self.timer.readable().await?;
            // Longer than the eight bytes, so that tokio knows it empty after one read; an early
            // wake has nothing to read and waits again.
            let mut expirations = [0_u8; 16];
            let _ = self.timer.try_read(&mut expirations);
        }
        Ok(due)
    }
}
