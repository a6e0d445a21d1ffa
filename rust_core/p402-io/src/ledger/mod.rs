//! Keeps the ledger: a row is in the journal before its acknowledgement leaves.
//! Does not decide what a row says, and never makes a request wait for the index.

mod answers;
mod audit;
mod books;
mod columns;
mod database;
mod folder;
mod follow;
mod fresh;
mod index;
mod journal;
mod keeper;
mod lane;
mod lines;
mod postgres;
mod recover;
mod rollup;
mod schema;
mod segment;
mod sqlite;
mod tail;

pub use audit::Audit;
pub use books::{Books, OpenRequest, RowBytes, Seed};
pub use database::IndexError;
pub use follow::IndexState;
pub use index::IndexAt;
pub use lane::Mark;
pub use recover::{Ended, Recovered};

use folder::{Folder, drop_spares};
use follow::{Follower, Sources};
use journal::Place;
use keeper::Keeper;
use lane::Lane;
use p402_core::id::RequestId;
use p402_core::ledger::{ByHandFault, Row, by_hand};
use p402_core::money::Usd;
use p402_core::time::{Now, Timestamp};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

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
    pub index: IndexAt,
    /// End what an earlier process left open; without, it stays open for a person to end.
    pub end_open: bool,
}

/// What waits for the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub rows: u64,
    /// Of the whole journal: a segment stays until all of it is indexed.
    pub bytes: u64,
}

/// Why the ledger could not do what was asked; the words are for the operator.
#[derive(Debug)]
pub enum LedgerError {
    /// Another process holds the data directory.
    Held(PathBuf),
    Open(PathBuf, io::Error),
    /// Without its index nobody knows what was spent before.
    Index(IndexError),
    /// No room for what is new; requests that are open can still end.
    Full,
    Write(io::Error),
    /// The disk did not confirm the row in time, or said that it lost it.
    NotDurable,
    /// There is nothing to end or correct.
    ByHand(ByHandFault),
}

/// The ledger of this process.
#[derive(Debug)]
pub struct Ledger {
    lanes: Arc<[Lane]>,
    keeper: Keeper,
    follower: Follower,
    durability: Durability,
    index: IndexAt,
    recovered: Recovered,
    owner: u32,
    folder: Folder,
}

impl Options {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            writers: 1,
            durability: Durability::Process,
            segment_bytes: SEGMENT_BYTES,
            index: IndexAt::Sqlite(None),
            end_open: true,
        }
    }
}

impl Ledger {
    /// Takes the data directory, ends what an earlier process left open, and begins a fresh
    /// segment for each writer.
    pub fn open(options: &Options, now: Now) -> Result<Self, LedgerError> {
        let folder = Folder::hold(&options.folder)?;
        let at = |error| LedgerError::open(&options.folder, error);
        let journal = folder.journal();
        let journal_id = folder.id().map_err(at)?;
        drop_spares(&journal).map_err(at)?;
        let mut index = recover::connect(&options.index, folder.root())?;
        let mut before = recover::scan(&mut index, &journal, journal_id)?;
        if !options.end_open {
            before.open.clear();
        }
        // The clock keeps numbers growing even where every segment is gone; the disk, where the
        // clock went back.
        let clock = u32::try_from(now.utc.seconds()).unwrap_or(0);
        let numbers = Arc::new(AtomicU32::new(clock.max(before.last.saturating_add(1))));
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
        let recovered = before.end(now.utc, |row| lane_of(&lanes, row).1.append(row).map(drop))?;
        folder::sync_names(&journal).map_err(at)?;
        let keeper = Keeper::start(Arc::clone(&lanes), options.durability).map_err(at)?;
        let sources = Sources {
            at: options.index.clone(),
            folder: folder.root().to_owned(),
            journal,
            journal_id,
            lanes: Arc::clone(&lanes),
        };
        let follower = Follower::start(sources, index, before.positions).map_err(at)?;
        let Options { durability, index, .. } = options.clone();
        let owner = folder::owner_of(journal_id);
        Ok(Self { lanes, keeper, follower, durability, index, recovered, owner, folder })
    }

    /// Writes the row into the journal: about a microsecond, one system call. What the row
    /// acknowledges may leave once `durable` has returned for its mark.
    pub fn append(&self, row: &Row<'_>) -> Result<Mark, LedgerError> {
        let (at, lane) = lane_of(&self.lanes, row);
        let seq = lane.append(row)?;
        let waits = self.durability.waits(row.kind);
        if waits {
            self.keeper.await_sync();
        }
        if seq.row() == 0 {
            self.keeper.await_spare();
        }
        Ok(Mark { lane: at, seq, waits })
    }

    /// Returns at once under `Durability::Process`; else when the disk has the row.
    pub async fn durable(&self, mark: Mark) -> Result<(), LedgerError> {
        match self.lanes.get(mark.lane) {
            Some(lane) if mark.waits => lane.durable(mark.seq).await,
            _ => Ok(()),
        }
    }

    /// Ends or corrects a request as a person says, and returns the row that says so.
    pub fn settle_by_hand(
        &self,
        rid: RequestId,
        cost: Option<Usd>,
        now: Timestamp,
    ) -> Result<RowBytes, LedgerError> {
        let rows = self.books().and_then(|mut books| books.request(rid));
        let rows = rows.map_err(LedgerError::Index)?;
        let rows: Vec<Row<'_>> = rows.iter().filter_map(|bytes| Row::decode(bytes).ok()).collect();
        let row = by_hand(&rows, cost, now).map_err(LedgerError::ByHand)?;
        self.append(&row).map(|mark| row.encode(mark.seq))
    }

    /// The disk is full: what is new is refused before it costs anything.
    pub fn is_refusing(&self) -> bool {
        self.lanes.iter().any(|lane| lane.journal.lock().is_refusing())
    }

    /// Syncs that failed and reservations of space that did.
    pub fn faults(&self) -> u64 {
        self.keeper.faults()
    }

    /// How the index fares.
    pub fn index_state(&self) -> IndexState {
        self.follower.state()
    }

    /// What is in the journal and not yet in the index, and the room that it takes on the disk.
    pub fn backlog(&self) -> Backlog {
        let written: u64 = self.lanes.iter().map(Lane::rows).sum();
        let rows = self.recovered.rows.saturating_add(written);
        let bytes = folder::bytes_of(&self.folder.journal());
        Backlog { rows: rows.saturating_sub(self.follower.state().indexed), bytes }
    }

    /// What the start found and ended.
    pub const fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Marks what this data directory's requests hold in a shared store, in every life.
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// A reader of its own; its answers hold every row that was appended before they began.
    /// Answers wait for a database: not for a thread that drives others.
    pub fn books(&self) -> Result<Books, IndexError> {
        Books::open(self.folder.root(), &self.index)
    }

    /// Brings every row that was appended before into the index, where other nodes read it;
    /// whether that was done in time. Waits: not for a thread that drives others.
    pub fn share(&self, within: Duration) -> bool {
        self.follower.caught_up(within)
    }

    /// The data directory.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }
}

/// A request's rows all go one way, so that they stay in order.
fn lane_of<'a>(lanes: &'a [Lane], row: &Row<'_>) -> (usize, &'a Lane) {
    let at = (row.rid.bits() % lanes.len() as u128) as usize;
    (at, &lanes[at])
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
            Self::Index(error) => {
                write!(
                    f,
                    "the ledger's index does not answer, so what was spent is unknown: {error}"
                )
            }
            Self::Full => f.write_str("the disk that holds the ledger is full"),
            Self::Write(error) => write!(f, "the ledger could not be written: {error}"),
            Self::ByHand(fault) => fault.fmt(f),
            Self::NotDurable => f.write_str("the disk did not confirm the ledger's row"),
        }
    }
}

impl std::error::Error for LedgerError {}
