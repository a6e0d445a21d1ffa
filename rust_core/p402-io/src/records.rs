//! Keeps the last requests of this node, so that an id can be turned into its cost.
//! Does not outlive the process and loses its oldest rows first; it is no ledger.

use p402_core::bill::Bill;
use p402_core::id::RequestId;
use p402_core::ledger::Flags;
use p402_core::reply::{CostDetails, Metadata};
use p402_core::route::Mode;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    InFlight,
    /// Served, and its bill is final.
    Settled,
    /// Ended without a bill.
    Released,
}

/// One try at one upstream, as the look-up tells it.
#[derive(Clone, Debug)]
pub struct AttemptRow {
    pub provider: Arc<str>,
    pub model: Arc<str>,
    /// `ok`, `timeout`, `connect`, … or the upstream's status in words.
    pub outcome: &'static str,
    pub status: u16,
    pub ms: u64,
    pub provider_request_id: Option<Box<str>>,
}

/// An answer of the cache, as its request remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub entry: u64,
    /// What was asked, and what the answer was once given to; where such pairs are kept.
    pub pair: Option<(Arc<str>, Arc<str>)>,
}

/// Everything that is remembered of one request.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: RequestId,
    pub tenant: Arc<str>,
    pub created: Timestamp,
    pub state: RowState,
    pub http_status: u16,
    pub stream: bool,
    pub mode: Mode,
    pub provider: Arc<str>,
    pub model: Arc<str>,
    pub usage: Usage,
    pub bill: Bill,
    pub latency_us: u64,
    pub provider_latency_us: u64,
    pub attempts: Vec<AttemptRow>,
    pub retry_count: u32,
    pub flags: Flags,
    /// The cached entry that answered.
    pub told: Option<Told>,
}

/// A ring of rows with an index by id.
#[derive(Debug)]
pub struct Records {
    rows: HashMap<RequestId, Row>,
    order: VecDeque<RequestId>,
    kept_max: usize,
}

impl Records {
    pub fn new(kept_max: usize) -> Self {
        Self { rows: HashMap::new(), order: VecDeque::new(), kept_max: kept_max.max(1) }
    }

    /// Adds or replaces a request's row; the oldest one makes room.
    pub fn put(&mut self, row: Row) {
        let id = row.id;
        if self.rows.insert(id, row).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > self.kept_max {
            if let Some(oldest) = self.order.pop_front() {
                self.rows.remove(&oldest);
            }
        }
    }

    /// The row of this id, to its own tenant only.
    pub fn get(&self, id: RequestId, tenant: &str) -> Option<&Row> {
        self.rows.get(&id).filter(|row| &*row.tenant == tenant)
    }
}

impl Row {
    /// The thirteen keys, from the same writer that wrote them to the client.
    pub fn metadata<'a>(&'a self, details: Option<CostDetails<'a>>) -> Metadata<'a> {
        Metadata {
            request_id: self.id,
            tenant_id: &self.tenant,
            provider: &self.provider,
            model: &self.model,
            cost: self.bill.cost,
            direct: self.bill.direct,
            input_tokens: self.usage.input(),
            output_tokens: self.usage.output,
            latency_us: self.latency_us,
            provider_latency_us: self.provider_latency_us,
            cached: self.flags.has(Flags::CACHED),
            mode: self.mode,
            cost_details: details,
            routing: None,
            guard: None,
            cache: None,
        }
    }

    /// The body of `GET /requests/{id}` (compat.md § 3.4).
    pub fn to_json(&self) -> Vec<u8> {
        let attempts: Vec<_> = self
            .attempts
            .iter()
            .map(|attempt| {
                serde_json::json!({
                    "provider": &*attempt.provider, "model": &*attempt.model,
                    "outcome": attempt.outcome, "status": attempt.status, "ms": attempt.ms,
                    "provider_request_id": attempt.provider_request_id,
                })
            })
            .collect();
        // What the row says in other fields already is no flag of the look-up.
        let said = Flags::STREAM.with(Flags::DIRECT_REQUESTED);
        let flags: Vec<_> = self.flags.without(said).names().collect();
        let status = match self.state {
            RowState::InFlight => "in_flight",
            RowState::Settled => "settled",
            RowState::Released => "released",
        };
        let head = serde_json::json!({
            "object": "request", "id": self.id.to_string(), "created": self.created.seconds(),
            "status": status, "http_status": self.http_status, "stream": self.stream,
            "attempts": attempts, "retry_count": self.retry_count, "flags": flags,
        });
        let mut body = head.to_string().into_bytes();
        body.pop();
        body.extend_from_slice(b",\"p402_metadata\":");
        let attempts = u32::try_from(self.attempts.len()).unwrap_or(u32::MAX);
        self.metadata(Some(CostDetails { bill: &self.bill, attempts })).write(&mut body);
        body.push(b'}');
        body
    }
}
