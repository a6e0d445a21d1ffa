//! Decides who sends when: the closed loop (the next when the last is done) and the open one.
//! Deliberately lets an open loop's queue grow with a stall: that wait is the stall's latency.

use super::exchange::{Failure, Prepared, Seat};
use super::pacer::Pacer;
use super::record::Record;
use hyper::header::HeaderName;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Failures in a row after which a run that tolerates none gives up.
const FAILURES_MAX: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Warming,
    Open,
    Over,
}

/// What all senders of one run share; one thread, hence cells.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) phase: Cell<Phase>,
    pub(super) timeout: Duration,
    pub(super) tolerate: bool,
    pub(super) tally: Option<HeaderName>,
    /// Requests that may still be started, where the run is a count.
    pub(super) left: Cell<Option<u64>>,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) prepared: Prepared,
    pub(super) record: RefCell<Record>,
    idle: RefCell<Vec<Seat>>,
    room: Semaphore,
}

impl Lane {
    pub(super) fn new(prepared: Prepared, connections: usize) -> Result<Self, String> {
        Ok(Self {
            prepared,
            record: RefCell::new(Record::new()?),
            idle: RefCell::new(Vec::new()),
            room: Semaphore::new(connections),
        })
    }

    async fn seat(&self) -> Result<Seat, Failure> {
        while let Some(seat) = self.idle.borrow_mut().pop() {
            if !seat.sender.is_closed() && seat.sender.is_ready() {
                return Ok(seat);
            }
        }
        let seat = self.prepared.connect().await?;
        self.record.borrow_mut().connections += 1;
        Ok(seat)
    }

    /// One request on an idle or a new connection, counted if the window was open at `intended`.
    async fn request(&self, stage: &Stage, intended: Option<Instant>) {
        let counted = stage.phase.get() == Phase::Open;
        let work = async {
            let mut seat = self.seat().await?;
            let sample = self.prepared.exchange(&mut seat, stage.tally.as_ref()).await;
            // A refusal that came whole leaves its connection as good as an answer does.
            if seat.sender.ready().await.is_ok() {
                self.idle.borrow_mut().push(seat);
            }
            sample
        };
        let result = match tokio::time::timeout(stage.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new("no end before the deadline")),
        };
        let mut record = self.record.borrow_mut();
        match result {
            Err(failure) => {
                record.bad(failure);
                if !stage.tolerate && record.failed() >= FAILURES_MAX {
                    stage.phase.set(Phase::Over);
                }
            }
            // Open loop: what was due inside the window counts whenever it ends. Closed: what
            // ends inside it, since the CPU beside it was sampled at the window's edges.
            Ok(sample) if intended.is_some() => {
                if counted {
                    record.good(&sample, intended.unwrap_or(sample.started));
                }
            }
            Ok(sample) => {
                if stage.phase.get() == Phase::Open {
                    record.good(&sample, sample.started);
                }
            }
        }
    }
}

pub(super) async fn closed(lane: Rc<Lane>, stage: Rc<Stage>) {
    while stage.phase.get() != Phase::Over {
        if let Some(left) = stage.left.get() {
            let Some(left) = left.checked_sub(1) else { return };
            stage.left.set(Some(left));
        }
        lane.request(&stage, None).await;
    }
}

/// Request i goes to lane i mod n; all lanes see the same rate in the same window.
pub(super) async fn open(lanes: Vec<Rc<Lane>>, stage: Rc<Stage>, rate: f64) -> Result<(), String> {
    let mut pacer = Pacer::new(rate * lanes.len() as f64).map_err(|e| e.to_string())?;
    let mut sent = JoinSet::new();
    'run: loop {
        for lane in &lanes {
            let due = pacer.tick().await.map_err(|e| e.to_string())?;
            if stage.phase.get() == Phase::Over {
                break 'run;
            }
            let (lane, stage) = (Rc::clone(lane), Rc::clone(&stage));
            sent.spawn_local(async move {
                // A closed semaphore is impossible: nothing closes it.
                let _room = lane.room.acquire().await;
                lane.request(&stage, Some(due)).await;
            });
            while sent.try_join_next().is_some() {}
        }
    }
    while sent.join_next().await.is_some() {}
    Ok(())
}
