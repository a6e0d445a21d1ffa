//! Holds the data directory: one process at a time, its modes, and the names of segments.
//! Does not read or write a row.

use super::LedgerError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const ID: &str = "id";
const SUFFIX: &str = "rows";
const DAMAGED: &str = "damaged";
const SPARE: &str = "spare-";

/// The data directory, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// The kernel lets go of the lock with the descriptor, however the process ends.
    _lock: File,
}

/// Sixteen random bytes that tell this journal's rows from those of another node.
pub(super) type JournalId = [u8; 16];

/// Which file a segment is. Numbers grow over all writers, so their order is that of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SegmentName {
    pub(super) number: u32,
    pub(super) writer: u8,
}

impl Folder {
    /// Makes the directory where it is missing and locks it; a second process is told so.
    pub(super) fn hold(root: &Path) -> Result<Self, LedgerError> {
        let at = |error| LedgerError::open(root, error);
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(root).map_err(at)?;
        let journal = journal_of(root);
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&journal).map_err(at)?;
        let lock = private().write(true).create(true).truncate(false).open(root.join(LOCK));
        let lock = lock.map_err(at)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LedgerError::Held(root.to_owned())),
            Err(error) => Err(at(error.into())),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
    pub(super) fn journal(&self) -> PathBuf {
        journal_of(&self.root)
    }

    /// The journal's id, drawn once and kept beside it.
    pub(super) fn id(&self) -> io::Result<JournalId> {
        if let Some(id) = journal_id(&self.journal())? {
            return Ok(id);
        }
        let mut id = JournalId::default();
        getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
        // Written beside and renamed: a crash leaves no half of an id.
        let fresh = self.journal().join("id.new");
        let mut file = private().write(true).create(true).truncate(true).open(&fresh)?;
        file.write_all(&id)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.journal().join(ID))?;
        Ok(id)
    }
}

impl SegmentName {
    pub(super) fn path(self, journal: &Path) -> PathBuf {
        journal.join(format!("{:08x}-{:02x}.{SUFFIX}", self.number, self.writer))
    }

    fn parse(name: &str) -> Option<Self> {
        let (number, writer) = name.strip_suffix(SUFFIX)?.strip_suffix('.')?.split_once('-')?;
        (number.len() == 8 && writer.len() == 2).then_some(())?;
        let number = u32::from_str_radix(number, 16).ok()?;
        let writer = u8::from_str_radix(writer, 16).ok()?;
        Some(Self { number, writer })
    }
}

pub(super) fn journal_of(root: &Path) -> PathBuf {
    root.join(JOURNAL)
}

/// A file whose space is set aside for a segment to come.
pub(super) fn spare_of(journal: &Path, number: u32) -> PathBuf {
    journal.join(format!("{SPARE}{number:08x}"))
}

/// Removes what an earlier process had set aside.
pub(super) fn drop_spares(journal: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(journal)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(SPARE)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The id of a journal, `None` where it has none yet.
pub(super) fn journal_id(journal: &Path) -> io::Result<Option<JournalId>> {
    match File::open(journal.join(ID)) {
        Ok(mut file) => {
            let mut id = JournalId::default();
            file.read_exact(&mut id).map(|()| Some(id))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The segments that are there, oldest first.
pub(super) fn segments(journal: &Path) -> io::Result<Vec<SegmentName>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(journal)? {
        found.extend(entry?.file_name().to_str().and_then(SegmentName::parse));
    }
    found.sort_unstable();
    Ok(found)
}

/// Where a segment with rows that do not read is kept as evidence.
pub(super) fn damaged_of(journal: &Path, name: SegmentName) -> PathBuf {
    name.path(journal).with_extension(DAMAGED)
}

/// How many such segments are there.
pub(super) fn kept_damage(journal: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let kept =
        paths.filter_map(Result::ok).filter(|path| path.extension() == Some(DAMAGED.as_ref()));
    Ok(kept.count())
}

/// Options of a file that only its owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Makes names that were created or renamed here outlive a power loss.
pub(super) fn sync_names(journal: &Path) -> io::Result<()> {
    File::open(journal)?.sync_all()
}
