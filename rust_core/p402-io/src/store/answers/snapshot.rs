//! Decides how a node's answers lie on disk between two lives, and what is read back of them.
//! Does not decide when that is done; a file that is torn or foreign is said so, and ignored.

use super::Answers;
use bytes::Bytes;
use p402_core::cache::judge::versions;
use p402_core::cache::key::Digest;
use p402_core::cache::rules::shipped_encoder;
use p402_core::cache::shelf::Entry;
use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_core::time::Timestamp;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NAME: &str = "cache.snapshot";
const MAGIC: &[u8] = b"P402CACHE1";
/// A file beyond this is none of ours: the greatest `bytes_max`, and what entries cost beside.
const FILE_BYTES_MAX: u64 = 96 << 30;
/// Entries copied under one hold of the shelf's lock.
const BATCH: usize = 256;
const FIELD_BYTES_MAX: usize = 64 << 20;

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

/// Whose vectors, judged by which rules.
fn made_by() -> String {
    format!("{}.{}", shipped_encoder(), versions())
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

/// The next part, without its length.
fn taken<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    (length <= FIELD_BYTES_MAX).then_some(part)
}

fn packed(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.answer.len() + 1_024);
    let (question, canonical) = match &entry.asked {
        Some((text, canonical)) => (text.as_bytes(), canonical.0.as_slice()),
        None => (b"".as_slice(), b"".as_slice()),
    };
    let values = entry.vector.as_ref().map(|vector| vector.values.map(i8::cast_unsigned));
    let numbers = [
        entry.id.to_le_bytes(),
        entry.created.micros().to_le_bytes(),
        entry.expires.micros().to_le_bytes(),
    ];
    let parts: [&[u8]; 8] = [
        &numbers.concat(),
        entry.tenant.as_bytes(),
        &entry.scope.0,
        &entry.exact.0,
        canonical,
        question,
        values.as_ref().map_or(&[], <[u8; DIMENSIONS]>::as_slice),
        &entry.answer,
    ];
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn unpacked(mut rest: &[u8]) -> Option<Entry> {
    let numbers: &[u8; 24] = taken(&mut rest)?.try_into().ok()?;
    let number = |at: usize| {
        let bytes = numbers.get(at * 8..).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map(|bytes| i64::from_le_bytes(*bytes))
    };
    let tenant = std::str::from_utf8(taken(&mut rest)?).ok()?;
    let digest = |bytes: &[u8]| Some(Digest(bytes.try_into().ok()?));
    let (scope, exact) = (digest(taken(&mut rest)?)?, digest(taken(&mut rest)?)?);
    let (canonical, question) = (taken(&mut rest)?, taken(&mut rest)?);
    let question = std::str::from_utf8(question).ok()?;
    let asked =
        if canonical.is_empty() { None } else { Some((question.into(), digest(canonical)?)) };
    let values = taken(&mut rest)?;
    let vector = if values.is_empty() {
        None
    } else {
        let bytes: &[u8; DIMENSIONS] = values.try_into().ok()?;
        Some(Arc::new(Vector::from_bytes(bytes.map(u8::cast_signed))))
    };
    let answer = Bytes::copy_from_slice(taken(&mut rest)?);
    rest.is_empty().then_some(Entry {
        id: number(0)?.cast_unsigned(),
        tenant: tenant.into(),
        scope,
        exact,
        asked,
        vector,
        answer,
        created: Timestamp::from_micros(number(1)?),
        expires: Timestamp::from_micros(number(2)?),
    })
}
