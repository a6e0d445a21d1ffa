//! Holds what the operator should hear until somebody fetches it: bounded rings, oldest first out.
//! Does not write logs and never holds a prompt, an answer, a key or an upstream's own words.

use p402_core::catalog::Catalog;
use p402_core::id::RequestId;
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Events kept while nobody fetches them.
pub const EVENTS_MAX: usize = 1_024;
/// Alarms kept for the webhook while nobody fetches them.
pub const ALARMS_MAX: usize = 256;

/// One thing worth a line in the operator's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Upstream(UpstreamEvent),
    Alarm(Alarm),
    /// The ledger did not take a closing row: the request is booked in memory alone.
    LedgerFailed(RequestId),
    /// The cache's file was not read, or not written; why.
    CacheSnapshot(String),
}

/// An attempt or a stream that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamEvent {
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

/// Something about a tenant's money that somebody should look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub request: RequestId,
    /// `spend_anomaly`, `daily_breaker` or `budget_threshold`.
    pub what: &'static str,
    pub tenant: Arc<str>,
    pub at: Timestamp,
    /// What is to be said beside it: words and numbers, as JSON members and as log text.
    pub told: Vec<(&'static str, String)>,
}

/// An attempt's end, as far as the log wants it.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub offer: usize,
    pub outcome: &'static str,
    pub status: u16,
    pub ms: u64,
}

/// The rings.
#[derive(Debug, Default)]
pub struct Emit {
    events: Mutex<Ring<Event>>,
    alarms: Mutex<Ring<Alarm>>,
}

#[derive(Debug)]
struct Ring<T> {
    kept: VecDeque<T>,
    dropped: u64,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), dropped: 0 }
    }
}

impl<T> Ring<T> {
    fn push(&mut self, item: T, most: usize) {
        if self.kept.len() == most {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(item);
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(UpstreamEvent {
                request,
                what,
                provider,
                model,
                outcome,
                status,
                ms,
            }) => {
                write!(f, "{what} {provider}/{model} {outcome} status={status} ms={ms} {request}")
            }
            Self::Alarm(alarm) => {
                write!(f, "{} tenant={}", alarm.what, alarm.tenant)?;
                for (name, value) in &alarm.told {
                    write!(f, " {name}={value}")?;
                }
                write!(f, " {}", alarm.request)
            }
            Self::CacheSnapshot(why) => write!(f, "cache_snapshot {why}"),
            Self::LedgerFailed(request) => write!(f, "ledger_failed {request}"),
        }
    }
}

impl Alarm {
    /// The body of the webhook.
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = serde_json::json!({
            "object": "alarm", "event": self.what, "tenant_id": &*self.tenant,
            "request_id": self.request.to_string(), "at": self.at.to_rfc3339(),
        });
        for (name, value) in &self.told {
            body[*name] = value.as_str().into();
        }
        body.to_string().into_bytes()
    }
}

impl Emit {
    /// An upstream refused, failed or did not answer.
    pub fn attempt_failed(&self, catalog: &Catalog, request: RequestId, ended: Ended) {
        self.upstream(catalog, request, ("attempt_failed", ended));
    }

    /// A stream broke after its first content had gone out.
    pub fn stream_broke(&self, catalog: &Catalog, request: RequestId, ended: Ended) {
        self.upstream(catalog, request, ("stream_broke", ended));
    }

    /// For the log and for the webhook.
    pub fn alarm(&self, alarm: Alarm) {
        self.alarms.lock().push(alarm.clone(), ALARMS_MAX);
        self.push(Event::Alarm(alarm));
    }

    pub fn push(&self, event: Event) {
        self.events.lock().push(event, EVENTS_MAX);
    }

    /// Everything since the last call, and how many events were dropped before it.
    pub fn take(&self) -> (Vec<Event>, u64) {
        let mut ring = self.events.lock();
        let dropped = std::mem::take(&mut ring.dropped);
        (ring.kept.drain(..).collect(), dropped)
    }

    /// Alarms since the last call.
    pub fn take_alarms(&self) -> Vec<Alarm> {
        self.alarms.lock().kept.drain(..).collect()
    }

    fn upstream(&self, catalog: &Catalog, request: RequestId, told: (&'static str, Ended)) {
        let (what, Ended { offer, outcome, status, ms }) = told;
        let model = catalog.offers.get(offer).map(|found| found.model.clone());
        let provider = catalog.provider(offer).id.clone();
        let model = model.unwrap_or_default();
        let event = UpstreamEvent { request, what, provider, model, outcome, status, ms };
        self.push(Event::Upstream(event));
    }
}
