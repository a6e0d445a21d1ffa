//! Holds what the operator should hear until somebody fetches it: a bounded ring, oldest first out.
//! Does not write logs and never holds a prompt, an answer, a key or an upstream's own words.

use p402_core::catalog::Catalog;
use p402_core::id::RequestId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Events kept while nobody fetches them.
pub const EVENTS_MAX: usize = 1_024;

/// One thing worth a line in the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub request: RequestId,
    /// `attempt_failed` or `stream_broke`.
    pub what: &'static str,
    pub provider: Arc<str>,
    pub model: Arc<str>,
    pub outcome: &'static str,
    /// The upstream's status, or the one that stands for its silence.
    pub status: u16,
    pub ms: u64,
}

/// An attempt's end, as far as the log wants it.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub offer: usize,
    pub outcome: &'static str,
    pub status: u16,
    pub ms: u64,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Emit {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    dropped: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, what, provider, model, outcome, status, ms } = self;
        write!(f, "{what} {provider}/{model} {outcome} status={status} ms={ms} {request}")
    }
}

impl Emit {
    /// An upstream refused, failed or did not answer.
    pub fn attempt_failed(&self, catalog: &Catalog, request: RequestId, ended: Ended) {
        self.push(catalog, request, ("attempt_failed", ended));
    }

    /// A stream broke after its first content had gone out.
    pub fn stream_broke(&self, catalog: &Catalog, request: RequestId, ended: Ended) {
        self.push(catalog, request, ("stream_broke", ended));
    }

    /// Everything since the last call, and how many events were dropped before it.
    pub fn take(&self) -> (Vec<Event>, u64) {
        let mut ring = self.ring.lock();
        let dropped = std::mem::take(&mut ring.dropped);
        (ring.events.drain(..).collect(), dropped)
    }

    fn push(&self, catalog: &Catalog, request: RequestId, told: (&'static str, Ended)) {
        let (what, Ended { offer, outcome, status, ms }) = told;
        let model = catalog.offers.get(offer).map(|found| found.model.clone());
        let event = Event {
            request,
            what,
            provider: catalog.provider(offer).id.clone(),
            model: model.unwrap_or_default(),
            outcome,
            status,
            ms,
        };
        let mut ring = self.ring.lock();
        if ring.events.len() == EVENTS_MAX {
            ring.events.pop_front();
            ring.dropped += 1;
        }
        ring.events.push_back(event);
    }
}
