//! Keeps the ledger: a row is in the journal before its acknowledgement leaves.
//! Does not decide what a row says, and never makes a request wait for the index.

mod folder;
mod journal;
mod keeper;
mod lane;
mod segment;

pub use lane::Mark;

use folder::{Folder, JournalId, drop_spares, segments};
use journal::Place;
use keeper::Keeper;
use lane::Lane;
use p402_core::ledger::Row;
use p402_core::time::Now;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Journals of one process; a request's rows are all in one of them, in order.
pub const WRITERS_MAX: u8 = 16;
/// The size of a segment: 262,144 rows.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The kernel has the row: no end of the process loses it, a power loss costs ≤ 1 s.
    #[default]
    Process,
    /// The end of a request waits for the disk, many sharing one sync.
    Group,
    /// A dispatch waits for the disk, too.
    Strict,
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub folder: PathBuf,
    /// Journals, at most `WRITERS_MAX`; one per thread that serves requests.
    pub writers: u8,
    pub durability: Durability,
    pub segment_bytes: u64,
}

/// Why the ledger could not do what was asked; the words are for the operator.
#[derive(Debug)]
pub enum LedgerError {
    /// Another process holds the data directory.
    Held(PathBuf),
    Open(PathBuf, io::Error),
    /// No room for what is new; requests that are open can still end.
    Full,
    Write(io::Error),
    /// The disk did not confirm the row in time, or said that it lost it.
    NotDurable,
}

/// The ledger of this process.
#[derive(Debug)]
pub struct Ledger {
    lanes: Arc<[Lane]>,
    keeper: Keeper,
    durability: Durability,
    journal_id: JournalId,
    damaged: u64,
    folder: Folder,
}

impl Options {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            writers: 1,
            durability: Durability::Process,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

impl Ledger {
    /// Takes the data directory and begins a fresh segment for each writer.
    pub fn open(options: &Options, now: Now) -> Result<Self, LedgerError> {
        let folder = Folder::hold(&options.folder)?;
        let at = |error| LedgerError::open(&options.folder, error);
        let journal = folder.journal();
        let journal_id = folder.id().map_err(at)?;
        drop_spares(&journal).map_err(at)?;
        let before = segments(&journal).map_err(at)?;
        let mut damaged = 0;
        for name in &before {
            damaged += segment::cut_tail(&journal, *name).map_err(at)?.damaged;
        }
        let last = before.last().map_or(0, |name| name.number);
        // The clock keeps numbers growing even where every segment is gone; the disk, where the
        // clock went back.
        let first = u32::try_from(now.utc.seconds()).unwrap_or(0).max(last.saturating_add(1));
        let numbers = Arc::new(AtomicU32::new(first));
        let lanes = (0..options.writers.clamp(1, WRITERS_MAX))
            .map(|writer| {
                Lane::open(Place {
                    journal: journal.clone(),
                    writer,
                    numbers: Arc::clone(&numbers),
                    segment_bytes: options.segment_bytes,
                })
            })
            .collect::<io::Result<Arc<[Lane]>>>()
            .map_err(at)?;
        folder::sync_names(&journal).map_err(at)?;
        let keeper = Keeper::start(Arc::clone(&lanes), options.durability).map_err(at)?;
        Ok(Self { lanes, keeper, durability: options.durability, journal_id, damaged, folder })
    }

    /// Writes the row into the journal: about a microsecond, one system call. What the row
    /// acknowledges may leave once `durable` has returned for its mark.
    pub fn append(&self, row: &Row<'_>) -> Result<Mark, LedgerError> {
        let lane = (row.rid.bits() % self.lanes.len() as u128) as usize;
        let seq = self.lanes[lane].append(row)?;
        let waits = self.durability.waits(row.kind);
        if waits {
            self.keeper.await_sync();
        }
        if seq.row() == 0 {
            self.keeper.await_spare();
        }
        Ok(Mark { lane, seq, waits })
    }

    /// Returns at once under `Durability::Process`; else when the disk has the row.
    pub async fn durable(&self, mark: Mark) -> Result<(), LedgerError> {
        match self.lanes.get(mark.lane) {
            Some(lane) if mark.waits => lane.durable(mark.seq).await,
            _ => Ok(()),
        }
    }

    /// The disk is full: what is new is refused before it costs anything.
    pub fn is_refusing(&self) -> bool {
        self.lanes.iter().any(|lane| lane.journal.lock().is_refusing())
    }

    /// Syncs that failed and reservations of space that did.
    pub fn faults(&self) -> u64 {
        self.keeper.faults()
    }

    /// What tells this journal's rows from those of another node in a shared index.
    pub const fn journal_id(&self) -> [u8; 16] {
        self.journal_id
    }

    /// Rows of earlier processes that did not read when the ledger was opened.
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The data directory.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }
}

impl LedgerError {
    fn open(folder: &Path, error: io::Error) -> Self {
        Self::Open(folder.to_owned(), error)
    }
    fn write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Write(error),
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(folder) => {
                let folder = folder.display();
                write!(f, "{folder} is in use by another p402 process; give each its own data_dir")
            }
            Self::Open(folder, error) => write!(f, "{}: {error}", folder.display()),
            Self::Full => f.write_str("the disk that holds the ledger is full"),
            Self::Write(error) => write!(f, "the ledger could not be written: {error}"),
            Self::NotDurable => f.write_str("the disk did not confirm the ledger's row"),
        }
    }
}

impl std::error::Error for LedgerError {}
