//! Writes one segment file row by row, and reads one back.
//! Does not choose when a segment ends, and reads no further than its rows are whole.

use super::folder::{SegmentName, private, spare_of};
use p402_core::ledger::{ROW_BYTES, Row, RowFault, Seq};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A segment that takes rows.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: SegmentName,
    file: Arc<File>,
    rows: u32,
    rows_max: u32,
}

/// What reading a stretch of a segment found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The number of the first row that was not read.
    pub(super) next: u32,
    /// Rows within the stretch that do not read: disk damage, or a power loss.
    pub(super) damaged: u64,
}

/// Rows that are read at once.
const READ_ROWS: usize = 1_024;

/// An empty file with its space set aside, until its turn comes.
#[derive(Debug)]
pub(super) struct Spare {
    file: File,
    path: PathBuf,
    rows_max: u32,
}

impl Spare {
    pub(super) fn set_aside(journal: &Path, number: u32, bytes: u64) -> io::Result<Self> {
        let path = spare_of(journal, number);
        let file = private().append(true).create_new(true).open(&path)?;
        let set_aside = || fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes);
        match rustix::io::retry_on_intr(set_aside) {
            // A file system without the call gives no reserve; rows are written all the same.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let rows_max = u32::try_from(bytes / ROW_BYTES as u64).unwrap_or(u32::MAX);
                Ok(Self { file, path, rows_max })
            }
            Err(error) => {
                // It holds nothing, and the next try has another name.
                let _ = std::fs::remove_file(&path);
                Err(error.into())
            }
        }
    }

    /// Its turn has come: from here on it is the segment `name`.
    pub(super) fn begin(self, journal: &Path, name: SegmentName) -> io::Result<Segment> {
        if let Err(error) = std::fs::rename(&self.path, name.path(journal)) {
            // Space that nobody can use any more is given back.
            let _ = std::fs::remove_file(&self.path);
            return Err(error);
        }
        Ok(Segment { name, file: Arc::new(self.file), rows: 0, rows_max: self.rows_max })
    }
}

impl Segment {
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= self.rows_max
    }
    /// Where the next row will stand.
    pub(super) const fn next(&self) -> Seq {
        Seq::new(self.name.number, self.rows)
    }
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// One row, one write. What was written of a row that did not fit is taken back.
    pub(super) fn write(&mut self, row: &[u8; ROW_BYTES]) -> io::Result<()> {
        let written = loop {
            match (&*self.file).write(row) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match written {
            Ok(ROW_BYTES) => {
                self.rows += 1;
                Ok(())
            }
            Ok(_) => {
                self.trim()?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes off everything behind the last whole row, space that was set aside included.
    pub(super) fn trim(&self) -> io::Result<()> {
        self.file.set_len(u64::from(self.rows) * ROW_BYTES as u64)
    }
}

/// Reads whole rows from number `from` on and hands each over with its bytes; stops at the end, at
/// a torn tail, or when told to (`false`).
pub(super) fn read(
    file: &File,
    name: SegmentName,
    from: u32,
    mut each: impl FnMut(&Row<'_>, &[u8; ROW_BYTES]) -> bool,
) -> io::Result<Stretch> {
    let mut stretch = Stretch { next: from, damaged: 0 };
    // Rows that do not read are damage only where a whole one follows.
    let mut doubtful = 0;
    let mut at = from;
    let mut buffer = vec![0_u8; READ_ROWS * ROW_BYTES];
    loop {
        let filled = fill(file, &mut buffer, u64::from(at) * ROW_BYTES as u64)?;
        let (rows, _torn) = buffer[..filled].as_chunks::<ROW_BYTES>();
        if rows.is_empty() {
            return Ok(stretch);
        }
        for bytes in rows {
            let row = match Row::decode(bytes) {
                Ok(row) if row.seq == Seq::new(name.number, at) => row,
                // A later release's row is no damage: an earlier one must not read past it.
                Err(RowFault::Version(version)) => return Err(newer(version)),
                _ => {
                    doubtful += 1;
                    at += 1;
                    continue;
                }
            };
            at += 1;
            stretch.damaged += std::mem::take(&mut doubtful);
            stretch.next = at;
            if !each(&row, bytes) {
                return Ok(stretch);
            }
        }
    }
}

fn newer(version: u8) -> io::Error {
    let text = format!("a row of version {version} was written by a later release");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], mut at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
