//! Decides how layers of records become one catalogue: compiled file, then refresh, then config.
//! Does not judge a single field (build.rs) and opens no file: each layer's bytes come in.

use super::build;
use super::record::{
    AliasRecord, CapabilityRecord, HeaderRecord, OfferRecord, Overlay, ProviderRecord, Tag,
    WindowRecord,
};
use super::types::Catalog;
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

/// Deterministic hashing: the keys come from the operator's own files, never from a request.
pub(super) type Hashing = BuildHasherDefault<SipHasher13>;

/// Why a catalogue is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogError {
    /// 0 = the compiled file.
    pub layer: usize,
    /// From 1; 0 where no single line is to blame.
    pub line: usize,
    pub reason: String,
}

/// Where a record was last written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) line: usize,
}

/// A merged record with its last place.
#[derive(Debug)]
pub(super) struct Placed<R> {
    pub(super) record: R,
    pub(super) place: Place,
    /// The price is a later layer's and that layer names no confidence: the operator's own word.
    pub(super) own_word: bool,
}

/// All records of all layers, one per key.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) header: Option<HeaderRecord>,
    pub(super) providers: Table<ProviderRecord>,
    pub(super) windows: Table<WindowRecord>,
    pub(super) capabilities: Table<CapabilityRecord>,
    pub(super) offers: Table<OfferRecord>,
    pub(super) aliases: Table<AliasRecord>,
}

/// Records in order of arrival, found by key.
#[derive(Debug)]
pub(super) struct Table<R> {
    pub(super) rows: Vec<Placed<R>>,
    by_key: HashMap<String, usize, Hashing>,
}

impl Catalog {
    /// Reads layer 0 (the compiled file) and lays each later one over it, field by field.
    pub fn load(layers: &[&[u8]]) -> Result<Self, CatalogError> {
        let mut merged = Merged::default();
        let mut digest = SipHasher13::new();
        for (layer, bytes) in layers.iter().enumerate() {
            digest.write(bytes);
            digest.write_usize(bytes.len());
            for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
                let place = Place { layer, line: index + 1 };
                if !line.trim_ascii().is_empty() {
                    merged.take(line, place).map_err(|reason| place.error(reason))?;
                }
            }
        }
        let mut catalog = build::catalog(merged)?;
        catalog.digest = format!("{:08x}", digest.finish() >> 32).into();
        Ok(catalog)
    }
}

impl Merged {
    fn take(&mut self, line: &[u8], place: Place) -> Result<(), String> {
        let line = str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        // Two passes: telling the kind first is cheaper than reading into a kind yet unknown.
        let tag: Tag = read(line)?;
        match &*tag.t {
            "header" => self.header(read(line)?),
            "provider" => {
                let row: ProviderRecord = read(line)?;
                self.providers.put(row.id.to_string(), row, place)?;
            }
            "window" => {
                let row: WindowRecord = read(line)?;
                self.windows.put(row.id.to_string(), row, place)?;
            }
            "capability" => {
                let row: CapabilityRecord = read(line)?;
                self.capabilities.put(format!("{}@{}", row.model, row.effort), row, place)?;
            }
            "offer" => self.offer(read(line)?, place)?,
            "alias" => {
                let row: AliasRecord = read(line)?;
                self.aliases.put(row.name.to_string(), row, place)?;
            }
            other => return Err(format!("unknown record type {other:?}")),
        }
        Ok(())
    }

    fn header(&mut self, mut header: HeaderRecord) {
        match &mut self.header {
            Some(known) => {
                // A refresh older than the file it lies over does not set the date back.
                header.date = header.date.max(known.date.take());
                known.overlay(header);
            }
            None => self.header = Some(header),
        }
    }

    fn offer(&mut self, row: OfferRecord, place: Place) -> Result<(), String> {
        let priced = row.prices.is_some() || row.free.is_some();
        let own_word = place.layer > 0 && row.confidence.is_none();
        // Either half may hold a slash; no id holds a line break.
        let key = format!("{}\n{}", row.provider, row.model);
        let placed = self.offers.put(key, row, place)?;
        if priced {
            placed.own_word = own_word;
        }
        Ok(())
    }
}

impl<R: Overlay> Table<R> {
    /// Adds a record or lays it over the one of an earlier layer; twice in one layer is an error.
    fn put(&mut self, key: String, record: R, place: Place) -> Result<&mut Placed<R>, String> {
        let next = self.rows.len();
        let at = match self.by_key.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => *known.get(),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(next);
                self.rows.push(Placed { record, place, own_word: false });
                return self.rows.last_mut().ok_or_else(String::new);
            }
        };
        let known = self.rows.get_mut(at).ok_or_else(String::new)?;
        if known.place.layer == place.layer {
            return Err(format!("stands twice in this layer, first in line {}", known.place.line));
        }
        known.record.overlay(record);
        known.place = place;
        Ok(known)
    }
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { rows: Vec::new(), by_key: HashMap::default() }
    }
}

impl Place {
    pub(super) fn error(self, reason: impl Into<String>) -> CatalogError {
        CatalogError { layer: self.layer, line: self.line, reason: reason.into() }
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "catalog layer {}, line {}: {}", self.layer, self.line, self.reason)
    }
}

impl std::error::Error for CatalogError {}

fn read<'a, T: serde::Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| plain(&error))
}

/// serde's words without its own line, which is always 1 here.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}
