//! Reads what a journal holds behind the index's positions, oldest first.
//! Does not write, but for a closed segment's torn end, which it takes off when told to.

use super::folder::{SegmentName, private, segments};
use super::index::Positions;
use super::segment::{Stretch, read};
use p402_core::ledger::{ROW_BYTES, Row, Seq};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

/// What may be done to segments that nobody writes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Keep,
    /// Take off what stands behind the last whole row: torn bytes, and space that was set aside.
    Cut,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) positions: Positions,
    /// Rows that did not read, by segment.
    pub(super) damaged: BTreeMap<SegmentName, u64>,
}

impl Read {
    pub(super) fn damaged_rows(&self) -> u64 {
        self.damaged.values().sum()
    }
}

/// Where reading a segment starts; `None` where the index has all of it.
pub(super) fn start(positions: &Positions, name: SegmentName) -> Option<u32> {
    match positions.get(&name.writer) {
        Some(next) if next.segment() > name.number => None,
        Some(next) if next.segment() == name.number => Some(next.row()),
        _ => Some(0),
    }
}

/// Hands over every row behind `positions`; `each` ends it early by `false`.
pub(super) fn rows(
    journal: &Path,
    positions: &Positions,
    ends: Ends,
    mut each: impl FnMut(&Row<'_>, &[u8; ROW_BYTES]) -> bool,
) -> io::Result<Read> {
    let mut done = Read { positions: positions.clone(), damaged: BTreeMap::new() };
    let mut more = true;
    for name in segments(journal)? {
        let Some(from) = start(positions, name) else { continue };
        let path = name.path(journal);
        let file = match ends {
            Ends::Keep => File::open(path)?,
            Ends::Cut => private().read(true).write(true).open(path)?,
        };
        let Stretch { next, damaged } = read(&file, name, from, |row, bytes| {
            more = each(row, bytes);
            more
        })?;
        if ends == Ends::Cut {
            file.set_len(u64::from(next) * ROW_BYTES as u64)?;
        }
        if damaged > 0 {
            done.damaged.insert(name, damaged);
        }
        done.positions.insert(name.writer, Seq::new(name.number, next));
        if !more {
            break;
        }
    }
    Ok(done)
}
