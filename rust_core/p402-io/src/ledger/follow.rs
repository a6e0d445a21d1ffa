//! Brings the journal's rows into the index, on a thread of its own, and removes what is in it.
//! Does not hold rows in memory: with the index away the journal grows on disk, and is read later.

use super::database::{Access, IndexError};
use super::folder::{JournalId, SegmentName, damaged_of, segments};
use super::index::{BATCH_ROWS_MAX, Batch, Index, IndexAt, Positions};
use super::lane::Lane;
use super::tail::{self, Ends};
use p402_core::ledger::{ROW_BYTES, Seq};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rows wait this long for company.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// Waits between tries of an index that is away: from the first, doubling, to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);
/// What a process that is stopped still does for rows that are in the journal anyway.
const BATCHES_AT_STOP_MAX: usize = 16;
/// Longest wait for the thread's end.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// The thread, and how it fares.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
}

/// What the thread is given.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) at: IndexAt,
    pub(super) folder: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) journal_id: JournalId,
    pub(super) lanes: Arc<[Lane]>,
}

#[derive(Debug)]
struct Shared {
    sources: Sources,
    phase: Mutex<Phase>,
    told: Condvar,
    away: AtomicBool,
    faults: AtomicU64,
    indexed: AtomicU64,
    damaged: AtomicU64,
    last_error: Mutex<Option<IndexError>>,
}

#[derive(Debug, Default)]
struct Phase {
    stop: bool,
    ended: bool,
    /// Who waits for the journal's end in the index, and how many of them have it.
    asked: u64,
    answered: u64,
}

/// How the index fares, for metrics and the operator's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexState {
    /// The last try failed; rows wait in the journal.
    pub away: bool,
    pub faults: u64,
    /// Rows that were brought in by this process.
    pub indexed: u64,
    /// Rows that did not read: their segments are kept beside the journal.
    pub damaged: u64,
    pub last_error: Option<IndexError>,
}

impl Follower {
    pub(super) fn start(sources: Sources, index: Index, from: Positions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            sources,
            phase: Mutex::default(),
            told: Condvar::new(),
            away: AtomicBool::new(false),
            faults: AtomicU64::new(0),
            indexed: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            last_error: Mutex::new(None),
        });
        let own = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("p402-index".into())
            .spawn(move || own.run(Some((index, from))))?;
        Ok(Self { shared })
    }

    pub(super) fn state(&self) -> IndexState {
        let shared = &self.shared;
        IndexState {
            away: shared.away.load(Ordering::Relaxed),
            faults: shared.faults.load(Ordering::Relaxed),
            indexed: shared.indexed.load(Ordering::Relaxed),
            damaged: shared.damaged.load(Ordering::Relaxed),
            last_error: shared.last_error.lock().clone(),
        }
    }
}

impl Follower {
    /// Waits until all rows that were written before are in the index; whether they are.
    pub(super) fn caught_up(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut phase = self.shared.phase.lock();
        phase.asked += 1;
        let turn = phase.asked;
        self.shared.told.notify_all();
        while phase.answered < turn {
            if self.shared.told.wait_until(&mut phase, end).timed_out() {
                break;
            }
        }
        phase.answered >= turn
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let shared = &self.shared;
        let end = Instant::now() + STOP_WAIT_MAX;
        let mut phase = shared.phase.lock();
        phase.stop = true;
        shared.told.notify_all();
        while !phase.ended {
            // A database that hangs must not hang the process: its rows are in the journal.
            if shared.told.wait_until(&mut phase, end).timed_out() {
                return;
            }
        }
    }
}

impl Shared {
    fn run(&self, index: Option<(Index, Positions)>) {
        self.follow(index);
        self.phase.lock().ended = true;
        self.told.notify_all();
    }

    fn follow(&self, mut index: Option<(Index, Positions)>) {
        let mut wait = RETRY_FIRST;
        let mut last_batches = BATCHES_AT_STOP_MAX;
        let mut seen = None;
        loop {
            // Asked first: what was appended before the stop is in the step that follows it.
            let (stopping, asked) = {
                let phase = self.phase.lock();
                (phase.stop, phase.asked)
            };
            let written: Vec<Seq> = self.sources.lanes.iter().map(Lane::written).collect();
            let nothing_new = seen.as_ref() == Some(&written);
            let outcome = if nothing_new { Ok(0) } else { self.step(&mut index) };
            seen = None;
            let idle = match outcome {
                Ok(BATCH_ROWS_MAX..) if stopping && last_batches > 0 => {
                    last_batches -= 1;
                    continue;
                }
                Ok(BATCH_ROWS_MAX..) if !stopping => continue,
                Ok(_) => {
                    seen = Some(written);
                    wait = RETRY_FIRST;
                    self.phase.lock().answered = asked;
                    self.told.notify_all();
                    BATCH_WAIT
                }
                Err(error) => {
                    index = None;
                    self.away.store(true, Ordering::Relaxed);
                    self.faults.fetch_add(1, Ordering::Relaxed);
                    *self.last_error.lock() = Some(error);
                    wait = (wait * 2).min(RETRY_LAST);
                    wait
                }
            };
            if stopping {
                return;
            }
            let mut phase = self.phase.lock();
            if !phase.stop && phase.asked == asked {
                self.told.wait_for(&mut phase, idle);
            }
        }
    }

    /// One batch: read, apply, remove what is wholly in the index. Returns the rows it had.
    fn step(&self, connected: &mut Option<(Index, Positions)>) -> Result<usize, IndexError> {
        let Sources { at, folder, journal, journal_id, .. } = &self.sources;
        if connected.is_none() {
            let mut index = Index::connect(at, folder, Access::Owner)?;
            let positions = index.positions(*journal_id)?;
            *connected = Some((index, positions));
        }
        let Some((index, positions)) = connected else { return Ok(0) };
        let (batch, damaged) = read_batch(journal, positions).map_err(IndexError::new)?;
        for name in damaged.keys() {
            // The evidence outlives the segment's removal; its rows are never called whole.
            let kept = damaged_of(journal, *name);
            std::fs::hard_link(name.path(journal), kept).or_else(there).map_err(IndexError::new)?;
        }
        if batch.positions != *positions {
            index.apply(*journal_id, &batch)?;
            positions.clone_from(&batch.positions);
        }
        self.damaged.fetch_add(damaged.values().sum(), Ordering::Relaxed);
        self.indexed.fetch_add(batch.rows.len() as u64, Ordering::Relaxed);
        self.away.store(false, Ordering::Relaxed);
        self.remove(index, positions)?;
        Ok(batch.rows.len())
    }

    /// Removes closed segments that are in the index for good.
    fn remove(&self, index: &mut Index, positions: &Positions) -> Result<(), IndexError> {
        let Sources { journal, lanes, .. } = &self.sources;
        let live: Vec<SegmentName> = lanes.iter().map(|lane| lane.journal.lock().name()).collect();
        let done: Vec<_> = segments(journal)
            .map_err(IndexError::new)?
            .into_iter()
            .filter(|name| !live.contains(name) && is_done(journal, positions, *name))
            .collect();
        if done.is_empty() || !index.flush()? {
            return Ok(());
        }
        for name in done {
            std::fs::remove_file(name.path(journal)).map_err(IndexError::new)?;
        }
        Ok(())
    }
}

type Damage = BTreeMap<SegmentName, u64>;

fn there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Is all of this closed segment behind the position? What it holds after its last whole row is
/// torn and was never acknowledged.
fn is_done(journal: &Path, positions: &Positions, name: SegmentName) -> bool {
    match tail::start(positions, name) {
        None => true,
        Some(from) => {
            let rows = std::fs::metadata(name.path(journal)).map_or(u64::MAX, |told| told.len());
            rows / ROW_BYTES as u64 <= u64::from(from)
        }
    }
}

fn read_batch(journal: &Path, positions: &Positions) -> io::Result<(Batch, Damage)> {
    let mut rows = Vec::new();
    let read = tail::rows(journal, positions, Ends::Keep, |_, bytes| {
        rows.push(*bytes);
        rows.len() < BATCH_ROWS_MAX
    })?;
    Ok((Batch { rows, positions: read.positions }, read.damaged))
}
