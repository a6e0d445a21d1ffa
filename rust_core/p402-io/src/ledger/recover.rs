//! Finds what an earlier process left open, and ends it: at its hold where it was sent.
//! Does not guess at what the index alone knows: without it there is no start.

use super::LedgerError;
use super::database::{Access, IndexError};
use super::folder::{JournalId, segments};
use super::index::{Index, IndexAt, Positions};
use super::tail::{self, Ends};
use p402_core::id::RequestId;
use p402_core::ledger::{Kind, Open, Replay, Row};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use std::path::Path;
use std::time::Duration;

/// Tries of an index that does not answer at the start, and the wait between them.
const CONNECTS_MAX: u32 = 5;
const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// What the start found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Rows in the journal that the index did not have.
    pub rows: u64,
    /// Requests that had been sent and were settled at their hold, and what they held.
    pub settled: u64,
    pub settled_held: Usd,
    /// Requests that had not been sent.
    pub released: u64,
    /// Rows that did not read.
    pub damaged: u64,
}

/// What stands in the ledger when a process starts.
#[derive(Debug)]
pub(super) struct Before {
    /// The greatest number that a segment had.
    pub(super) last: u32,
    pub(super) positions: Positions,
    pub(super) open: Vec<(RequestId, Open)>,
    rows: u64,
    damaged: u64,
}

pub(super) fn connect(at: &IndexAt, folder: &Path) -> Result<Index, LedgerError> {
    let mut tries = 1;
    loop {
        match Index::connect(at, folder, Access::Owner) {
            Ok(index) => return Ok(index),
            Err(error) if tries >= CONNECTS_MAX => return Err(LedgerError::Index(error)),
            Err(_) => {
                tries += 1;
                std::thread::sleep(CONNECT_WAIT);
            }
        }
    }
}

/// Reads the journal behind the index, cutting what was torn, and finds what never ended.
pub(super) fn scan(
    index: &mut Index,
    journal: &Path,
    journal_id: JournalId,
) -> Result<Before, LedgerError> {
    let positions = index.positions(journal_id).map_err(LedgerError::Index)?;
    let mut replay = Replay::default();
    let read = tail::rows(journal, &positions, Ends::Cut, |row, _| {
        replay.push(row);
        true
    });
    let failed = |error| LedgerError::Index(IndexError::new(error));
    let damaged = read.map_err(failed)?.damaged_rows();
    let mine = index.open().map_err(LedgerError::Index)?.into_iter();
    let mine = mine.filter(|found| found.journal == journal_id);
    let open = replay.outstanding(mine.map(|found| (found.rid, found.open)));
    // What the index has read counts, too: a number that comes back would hide its rows.
    let known = positions.values().map(|next| next.segment());
    let there = segments(journal).map_err(failed)?.into_iter().map(|name| name.number);
    let last = known.chain(there).max().unwrap_or(0);
    Ok(Before { last, positions, open, rows: replay.rows(), damaged })
}

impl Before {
    /// Ends every open request by one row each.
    pub(super) fn end(
        &self,
        now: Timestamp,
        mut append: impl FnMut(&Row<'_>) -> Result<(), LedgerError>,
    ) -> Result<Recovered, LedgerError> {
        let mut told = Recovered { rows: self.rows, damaged: self.damaged, ..Recovered::default() };
        for (_, open) in &self.open {
            // A row that opened a request was read before: it reads.
            let Ok(row) = open.end(now) else { continue };
            append(&row)?;
            if row.kind == Kind::Settle {
                told.settled += 1;
                told.settled_held = told.settled_held.saturating_add(row.wasted);
            } else {
                told.released += 1;
            }
        }
        Ok(told)
    }
}
