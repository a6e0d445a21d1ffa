//! Joins one writer's journal with what its syncs have reached, for requests that wait for it.
//! Does not decide when to sync: the keeper does.

use super::journal::{Journal, Place};
use super::{Durability, LedgerError};
use p402_core::ledger::{Kind, Row, Seq};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for a sync; a request that waited in vain is told that the ledger is unavailable.
const DURABLE_WAIT_MAX: Duration = Duration::from_secs(5);

/// A journal, and how far it is on the disk itself.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) place: Arc<Place>,
    pub(super) journal: Mutex<Journal>,
    /// The first row that has not been written.
    written: AtomicU64,
    synced: watch::Sender<Synced>,
}

/// How far the last sync reached, and which rows the last failed one leaves in doubt.
#[derive(Clone, Copy, Debug, Default)]
struct Synced {
    /// Rows before this one are on the disk, but for those in doubt.
    before: Seq,
    doubt_from: Seq,
    doubt_before: Seq,
}

/// A row that was written, and what its acknowledgement has to wait for.
#[derive(Clone, Copy, Debug)]
#[must_use = "an acknowledgement waits for `Ledger::durable`"]
pub struct Mark {
    pub(super) lane: usize,
    pub seq: Seq,
    pub(super) waits: bool,
}

impl Lane {
    pub(super) fn open(place: Place) -> io::Result<Self> {
        let place = Arc::new(place);
        let journal = Journal::open(Arc::clone(&place))?;
        let next = journal.next();
        let synced = Synced { before: next, ..Synced::default() };
        Ok(Self {
            place,
            journal: Mutex::new(journal),
            written: AtomicU64::new(next.bits()),
            synced: watch::Sender::new(synced),
        })
    }

    pub(super) fn append(&self, row: &Row<'_>) -> Result<Seq, LedgerError> {
        let mut journal = self.journal.lock();
        let seq = journal.append(row)?;
        self.written.store(seq.next().bits(), Ordering::Release);
        Ok(seq)
    }

    /// The first row that has not been written.
    pub(super) fn written(&self) -> Seq {
        Seq::from_bits(self.written.load(Ordering::Acquire))
    }
    /// Rows that were written and not synced.
    pub(super) fn unsynced(&self) -> bool {
        self.written() > self.synced.borrow().before
    }

    /// Puts all that was written on the disk. Rows of a sync that failed stay in doubt: the kernel
    /// may have dropped them, and a later success says nothing about them.
    pub(super) fn sync(&self) -> io::Result<()> {
        let (upto, file, retired) = {
            let mut journal = self.journal.lock();
            (journal.next(), journal.file(), journal.take_retired())
        };
        let mut outcome = Ok(());
        for segment in retired {
            // Space is given back whatever the sync says: a bad disk must not fill up, too.
            outcome = outcome.and(segment.file().sync_data()).and(segment.trim());
        }
        let outcome = outcome.and(file.sync_data());
        let failed = outcome.is_err();
        self.synced.send_modify(|synced| {
            if failed {
                (synced.doubt_from, synced.doubt_before) = (synced.before, upto);
            }
            synced.before = upto;
        });
        outcome
    }

    /// Sets the next segment aside where there is none.
    pub(super) fn provide(&self) -> io::Result<()> {
        if !self.journal.lock().wants_spare() {
            return Ok(());
        }
        let spare = self.place.set_aside();
        self.journal.lock().provide(spare)
    }

    pub(super) async fn durable(&self, seq: Seq) -> Result<(), LedgerError> {
        let mut synced = self.synced.subscribe();
        let reached = synced.wait_for(|synced| synced.before > seq);
        match tokio::time::timeout(DURABLE_WAIT_MAX, reached).await {
            Ok(Ok(synced)) if !(synced.doubt_from..synced.doubt_before).contains(&seq) => Ok(()),
            _ => Err(LedgerError::NotDurable),
        }
    }
}

impl Durability {
    /// Does an acknowledgement of this row wait for the disk itself?
    pub(super) const fn waits(self, kind: Kind) -> bool {
        match self {
            Self::Process => false,
            Self::Group => kind.closes(),
            Self::Strict => kind.closes() || kind.opens(),
        }
    }
}
