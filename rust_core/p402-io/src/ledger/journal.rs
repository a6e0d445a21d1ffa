//! Appends rows to one writer's segments, each in one write, before anything is acknowledged.
//! Does not sync and does not index: the keeper and the index thread do, behind it.

use super::LedgerError;
use super::folder::SegmentName;
use super::segment::{Segment, Spare};
use p402_core::ledger::{Row, Seq};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One writer's current segment and the space set aside for its next.
#[derive(Debug)]
pub(super) struct Journal {
    place: Arc<Place>,
    current: Segment,
    spare: Option<Spare>,
    /// The disk had no room for a spare: what is left is for requests that are already open.
    refusing: bool,
    /// Segments that are full, to be synced and trimmed.
    retired: Vec<Segment>,
}

/// Where a writer's segments stand and how they are numbered.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) journal: PathBuf,
    pub(super) writer: u8,
    /// Shared by all writers: the number of the next segment.
    pub(super) numbers: Arc<AtomicU32>,
    pub(super) segment_bytes: u64,
}

impl Place {
    /// Sets the space of a segment aside; needs no lock, the journal may go on meanwhile.
    pub(super) fn set_aside(&self) -> io::Result<Spare> {
        Spare::set_aside(&self.journal, self.number(), self.segment_bytes)
    }

    fn begin(&self, spare: Spare) -> io::Result<Segment> {
        spare.begin(&self.journal, SegmentName { number: self.number(), writer: self.writer })
    }

    fn number(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

impl Journal {
    /// A fresh segment, whatever was written before, and a spare where the disk has room.
    pub(super) fn open(place: Arc<Place>) -> io::Result<Self> {
        let current = place.begin(place.set_aside()?)?;
        let spare = place.set_aside();
        let mut made = Self { place, current, spare: None, refusing: false, retired: Vec::new() };
        made.provide(spare)?;
        Ok(made)
    }

    /// Writes the row; once this returns, no end of the process can lose it.
    pub(super) fn append(&mut self, row: &Row<'_>) -> Result<Seq, LedgerError> {
        if self.refusing && row.kind.opens() {
            return Err(LedgerError::Full);
        }
        if self.current.is_full() {
            self.turn()?;
        }
        match self.write(row) {
            // A request that is open must not be lost to one bad segment; a second one tells
            // that the disk is bad.
            Err(_) if !row.kind.opens() && self.spare.is_some() && self.next().row() > 0 => {
                self.turn()?;
                self.write(row)
            }
            other => other,
        }
        .map_err(|error| {
            self.refusing |= full(&error);
            LedgerError::write(error)
        })
    }

    fn write(&mut self, row: &Row<'_>) -> io::Result<Seq> {
        let seq = self.current.next();
        self.current.write(&row.encode(seq)).map(|()| seq)
    }

    /// Goes over to the spare, or to a new segment where the keeper has not made one yet.
    fn turn(&mut self) -> Result<(), LedgerError> {
        let spare = match self.spare.take() {
            Some(spare) => spare,
            None => self.place.set_aside().map_err(LedgerError::write)?,
        };
        let next = self.place.begin(spare).map_err(LedgerError::write)?;
        self.retired.push(std::mem::replace(&mut self.current, next));
        Ok(())
    }

    pub(super) const fn wants_spare(&self) -> bool {
        self.spare.is_none()
    }

    /// Takes the space that was set aside; a full disk is a state, not an error.
    pub(super) fn provide(&mut self, spare: io::Result<Spare>) -> io::Result<()> {
        match spare {
            Ok(spare) => {
                self.spare = Some(spare);
                self.refusing = false;
                Ok(())
            }
            Err(error) if full(&error) => {
                self.refusing = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) const fn is_refusing(&self) -> bool {
        self.refusing
    }
    /// The segment that takes rows.
    pub(super) const fn name(&self) -> SegmentName {
        self.current.name
    }
    /// Where the next row will stand.
    pub(super) const fn next(&self) -> Seq {
        self.current.next()
    }
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(self.current.file())
    }
    pub(super) fn take_retired(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.retired)
    }
}

fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
