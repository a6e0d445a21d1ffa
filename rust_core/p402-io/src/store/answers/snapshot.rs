//! Decides how a node's answers lie on disk between two lives, and what is read back of them.
//! Does not decide when that is done; a file that is torn or foreign is said so, and ignored.

use super::Answers;
use super::packed::{made_by, packed, taken, unpacked};
use p402_core::cache::shelf::Entry;
use p402_core::time::Timestamp;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::Ordering;

const NAME: &str = "cache.snapshot";
const MAGIC: &[u8] = b"P402CACHE1";
/// A file beyond this is none of ours: the greatest `bytes_max`, and what entries cost beside.
const FILE_BYTES_MAX: u64 = 96 << 30;
/// Entries copied under one hold of the shelf's lock.
const BATCH: usize = 256;

/// Writes and sums at once.
struct Summed<W> {
    to: W,
    sum: Context,
}

impl<W: Write> Summed<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.to.write_all(bytes)
    }

    /// A part behind its length.
    fn part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }
}

impl Answers {
    /// Writes a snapshot if anything has changed since the last one. Blocks: not for a lane.
    ///
    /// # Errors
    /// The disk does not take it; the last one stays.
    pub fn save(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let path = folder.join(NAME);
        let new = path.with_extension("new");
        let saved = self.write(&new).and_then(|()| std::fs::rename(&new, &path));
        if saved.is_err() {
            self.changed.store(true, Ordering::Release);
            return saved;
        }
        // The name must last as long as what it names.
        File::open(folder)?.sync_all()
    }

    fn write(&self, path: &std::path::Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut out = Summed { to: BufWriter::new(file), sum: Context::new(&SHA256) };
        out.put(MAGIC)?;
        out.part(made_by().as_bytes())?;
        let ids = self.shelf.lock().ids();
        for batch in ids.chunks(BATCH) {
            let entries: Vec<Entry> = {
                let shelf = self.shelf.lock();
                batch.iter().filter_map(|id| shelf.get(*id).cloned()).collect()
            };
            for entry in &entries {
                out.part(&packed(entry))?;
            }
        }
        let Summed { mut to, sum } = out;
        to.write_all(sum.finish().as_ref())?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    /// Reads the last snapshot back; how many entries there are now.
    ///
    /// # Errors
    /// What is wrong with the file, in words.
    pub fn restore(&self, now: Timestamp) -> Result<usize, String> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let bytes = match read(&folder.join(NAME)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(format!("cannot be read: {error}")),
        };
        let whole = checked(&bytes).ok_or("is torn")?;
        let mut rest = whole.strip_prefix(MAGIC).ok_or("is of another release")?;
        if taken(&mut rest) != Some(made_by().as_bytes()) {
            return Err("was made by another encoder or by other rules".to_owned());
        }
        while !rest.is_empty() {
            let entry = taken(&mut rest).and_then(unpacked).ok_or("is torn")?;
            if entry.expires > now {
                self.shelf.lock().keep(entry, now);
            }
        }
        Ok(self.fill().entries)
    }
}

fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What stands before a sum that is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.len().checked_sub(SHA256_OUTPUT_LEN)?;
    let (whole, sum) = bytes.split_at_checked(at)?;
    (ring::digest::digest(&SHA256, whole).as_ref() == sum).then_some(whole)
}
