//! Owes exactly one settlement per admitted request, and pays it: on end, on error, or on drop.
//! Does not price (core's bill.rs) and does not write to the client (gateway.rs, pump.rs).

use crate::emit::Ended;
use crate::records::{AttemptRow, Row, RowState};
use crate::world::{Node, World};
use bytes::Bytes;
use p402_core::bill::{Bill, Facts, UsageSource};
use p402_core::catalog::estimate_output;
use p402_core::envelope::Scan;
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::reply::{CostDetails, Metadata};
use p402_core::route::{Ask, AttemptSeen, Options, Plan};
use p402_core::time::{Now, Ticks};
use p402_core::usage::{ReportedUsage, Usage};
use std::sync::Arc;

/// What a row says of a request whose client left before an answer.
const CLIENT_CLOSED: u16 = 499;

/// One admitted request: what was asked, what was planned, and when it came.
#[derive(Debug)]
pub struct Turn {
    pub node: Arc<Node>,
    pub world: Arc<World>,
    pub id: RequestId,
    pub tenant: Arc<str>,
    pub body: Bytes,
    pub scan: Scan,
    pub options: Options,
    pub plan: Plan,
    /// The one `now` of every decision up to dispatch.
    pub now: Now,
    /// When the request's head was read.
    pub received: Ticks,
    /// The client stops waiting for a whole answer after this (`x-stainless-read-timeout`).
    pub read_timeout_ms: Option<u64>,
    pub retry_count: u32,
}

/// The attempt that answered.
#[derive(Clone, Debug)]
pub struct Served {
    /// Index into the plan.
    pub attempt: usize,
    /// Index into the catalogue's offers.
    pub offer: usize,
    pub sent: Now,
    pub provider_request_id: Option<Box<str>>,
}

/// What the answer used, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub reported: Option<ReportedUsage>,
    /// Bytes of text delivered, counted where the upstream said nothing believable.
    pub text_bytes: u64,
    pub service_tier: Option<String>,
}

/// The settled request in the form replies need it.
#[derive(Debug)]
pub struct Settled {
    pub usage: Usage,
    pub cost: Usd,
    /// The `p402_metadata` object.
    pub metadata: Vec<u8>,
}

/// An attempt that has ended, for the row and for `p402_metadata.routing`.
#[derive(Clone, Debug)]
pub struct Tried {
    pub offer: usize,
    pub outcome: &'static str,
    pub status: u16,
    pub ms: u64,
    pub provider_request_id: Option<Box<str>>,
}

/// The obligation: created on admission, consumed by `settle` or `release`, or paid on drop.
#[derive(Debug)]
pub struct Settling {
    pub turn: Arc<Turn>,
    pub tried: Vec<Tried>,
    /// Failed attempts that may have been billed.
    pub wasted: Usd,
    /// Microseconds spent waiting for upstreams.
    pub provider_us: u64,
    /// The attempt on its way: while it is, nobody knows whether it will be billed.
    pub sending: Option<Served>,
    /// The client has left; whatever is still learnt is for the row alone.
    pub disconnected: bool,
    open: bool,
}

impl Turn {
    /// The routing question this turn asked.
    pub fn ask(&self) -> Ask<'_> {
        Ask {
            request: self.id,
            tenant: &self.tenant,
            body: &self.body,
            scan: &self.scan,
            options: &self.options,
        }
    }

    fn cost_details(&self) -> bool {
        self.options.cost_details || self.world.tenant(&self.tenant).cost_details
    }
}

impl Settling {
    /// Admits the turn: from here on exactly one row will say how it ended.
    pub fn admit(turn: Arc<Turn>) -> Self {
        Self {
            turn,
            tried: Vec::new(),
            wasted: Usd::ZERO,
            provider_us: 0,
            sending: None,
            disconnected: false,
            open: true,
        }
    }

    /// The price of an attempt that failed after its request was written: shown, never charged.
    pub fn waste(&mut self, offer: usize, at: Now, text_bytes: u64) {
        let catalog = &self.turn.world.catalog;
        let usage = Usage {
            fresh: self.turn.plan.input_tokens,
            output: estimated_output(&self.turn, offer, text_bytes),
            ..Usage::default()
        };
        let charge = p402_core::catalog::Charge {
            usage: &usage,
            at: at.utc,
            service: self.turn.scan.service_tier.as_deref(),
            fee_ppm: 0,
        };
        self.wasted = self.wasted.saturating_add(catalog.price(offer, &charge).upstream);
    }

    /// Books the answer: prices it, keeps the row, teaches the session, writes the metadata.
    pub fn settle(&mut self, served: &Served, used: &Used, now: Now) -> Settled {
        self.settle_as(200, served, used, now)
    }

    /// The client left before an answer: an attempt that was on its way is never called free, since
    /// its provider may bill it (guard.md § 4); its input is counted here and said to be estimated.
    pub fn abandon(&mut self, now: Now) {
        self.disconnected = true;
        let Some(served) = self.sending.take() else {
            return self.release(CLIENT_CLOSED, now);
        };
        let took_us = now.ticks.since(served.sent.ticks);
        self.provider_us += took_us;
        self.tried.push(Tried {
            offer: served.offer,
            outcome: "client_gone",
            status: CLIENT_CLOSED,
            ms: took_us / 1_000,
            provider_request_id: None,
        });
        self.settle_as(CLIENT_CLOSED, &served, &Used::default(), now);
    }

    fn settle_as(&mut self, http_status: u16, served: &Served, used: &Used, now: Now) -> Settled {
        let turn = Arc::clone(&self.turn);
        let (usage, source) = self.count(served, used);
        let bill = self.bill(served, used, &usage, source);
        let row = self.row(RowState::Settled, http_status, now, Some((served, usage, bill)));
        let routing = turn.options.explain.then(|| {
            let seen: Vec<AttemptSeen> = self.tried.iter().map(AttemptSeen::from).collect();
            turn.plan.routing_json(&turn.world.catalog, &turn.world.table, &seen)
        });
        let attempts = u32::try_from(self.tried.len()).unwrap_or(u32::MAX);
        let details = turn.cost_details().then_some(CostDetails { bill: &row.bill, attempts });
        let mut metadata = Vec::with_capacity(512);
        Metadata { routing: routing.as_deref(), ..row.metadata(details) }.write(&mut metadata);
        let cost = row.bill.cost;
        turn.node.records.lock().put(row);
        self.teach(served, usage, now);
        self.open = false;
        Settled { usage, cost, metadata }
    }

    /// Ends the turn without a bill: refused, failed or abandoned before anything was served.
    pub fn release(&mut self, http_status: u16, now: Now) {
        if self.open {
            self.open = false;
            let row = self.row(RowState::Released, http_status, now, None);
            self.turn.node.records.lock().put(row);
        }
    }

    /// What was used so far, for an error frame: a dead stream costs nothing (catalog.md § 13 H).
    pub fn fail_stream(&mut self, served: &Served, used: &Used, now: Now) -> Settled {
        if used.reported.is_some() {
            return self.settle(served, used, now);
        }
        self.waste(served.offer, served.sent, used.text_bytes);
        let turn = Arc::clone(&self.turn);
        let bill = self.empty_bill(served);
        let row = self.row(RowState::Released, 200, now, Some((served, Usage::default(), bill)));
        let mut metadata = Vec::with_capacity(512);
        row.metadata(None).write(&mut metadata);
        turn.node.records.lock().put(row);
        self.open = false;
        Settled { usage: Usage::default(), cost: Usd::ZERO, metadata }
    }

    fn empty_bill(&self, served: &Served) -> Bill {
        let mut bill =
            self.bill(served, &Used::default(), &Usage::default(), UsageSource::Provider);
        bill.cost = Usd::ZERO;
        bill.direct = Usd::ZERO;
        bill
    }

    fn count(&self, served: &Served, used: &Used) -> (Usage, UsageSource) {
        if let Some(reported) = &used.reported {
            return (reported.usage, UsageSource::Provider);
        }
        let output = estimated_output(&self.turn, served.offer, used.text_bytes);
        let usage = Usage { fresh: self.turn.plan.input_tokens, output, ..Usage::default() };
        (usage, UsageSource::Estimated)
    }

    fn bill(&self, served: &Served, used: &Used, usage: &Usage, source: UsageSource) -> Bill {
        let turn = &self.turn;
        let world = &turn.world;
        let asked = turn.scan.service_tier.as_deref();
        let reports =
            world.catalog.offers.get(served.offer).is_some_and(|offer| offer.quirks.reported_cost);
        let narrow = world.config.pricing.direct_basis.as_deref() == Some("served");
        let facts = Facts {
            served: served.offer,
            usage,
            usage_source: source,
            at: served.sent.utc,
            service: used.service_tier.as_deref().or(asked),
            service_asked: asked,
            reported: used.reported.as_ref().and_then(|r| r.reported_cost).filter(|_| reports),
            fee_bps: world.config.pricing.platform_fee_bps,
            baseline: turn.plan.baseline.filter(|_| !narrow),
            warm: turn.plan.warm,
            wasted: self.wasted,
        };
        let mut bill = Bill::of(&world.catalog, &facts);
        bill.requested_known = turn.plan.requested_known;
        bill
    }

    fn teach(&self, served: &Served, usage: Usage, now: Now) {
        let turn = &self.turn;
        let mut router = turn.node.router.lock();
        router.served(&turn.ask(), &turn.plan, (served.attempt, usage.input()), now);
    }

    fn row(
        &self,
        state: RowState,
        http_status: u16,
        now: Now,
        answer: Option<(&Served, Usage, Bill)>,
    ) -> Row {
        let turn = &self.turn;
        let catalog = &turn.world.catalog;
        let first = answer.as_ref().map_or_else(
            || turn.plan.attempts.first().map(|attempt| attempt.offer),
            |(served, ..)| Some(served.offer),
        );
        let (provider, model) = first.map_or_else(Default::default, |offer| name(catalog, offer));
        let latency_us = now.ticks.since(turn.received);
        let (usage, bill) = answer.map_or_else(Default::default, |(_, usage, bill)| (usage, bill));
        let attempts = self.tried.iter().map(|tried| attempt_row(catalog, tried)).collect();
        Row {
            id: turn.id,
            tenant: Arc::clone(&turn.tenant),
            created: turn.now.utc,
            state,
            http_status,
            stream: turn.scan.stream,
            mode: turn.plan.mode,
            provider,
            model,
            usage,
            bill,
            latency_us,
            provider_latency_us: self.provider_us.min(latency_us),
            attempts,
            retry_count: turn.retry_count,
            flags: if self.disconnected { vec!["disconnected"] } else { Vec::new() },
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        // A line that was dropped half-way (client gone, panic) still owes its row.
        let now = self.turn.node.clock.now();
        self.release(CLIENT_CLOSED, now);
    }
}

impl Tried {
    /// What the operator's log wants of it.
    pub fn ended(&self) -> Ended {
        Ended { offer: self.offer, outcome: self.outcome, status: self.status, ms: self.ms }
    }
}

impl From<&Tried> for AttemptSeen {
    fn from(tried: &Tried) -> Self {
        Self { offer: tried.offer, outcome: tried.outcome, status: tried.status, ms: tried.ms }
    }
}

fn estimated_output(turn: &Turn, offer: usize, text_bytes: u64) -> u64 {
    let offer = turn.world.catalog.offers.get(offer);
    let tokenizer = offer.map(|offer| offer.tokenizer).unwrap_or_default();
    let most = offer.and_then(|offer| offer.max_output).unwrap_or(u64::MAX);
    estimate_output(text_bytes, tokenizer).min(most)
}

fn name(catalog: &p402_core::catalog::Catalog, offer: usize) -> (Arc<str>, Arc<str>) {
    catalog.offers.get(offer).map_or_else(Default::default, |found| {
        (catalog.provider(offer).id.clone(), found.model.clone())
    })
}

fn attempt_row(catalog: &p402_core::catalog::Catalog, tried: &Tried) -> AttemptRow {
    let (provider, model) = name(catalog, tried.offer);
    AttemptRow {
        provider,
        model,
        outcome: tried.outcome,
        status: tried.status,
        ms: tried.ms,
        provider_request_id: tried.provider_request_id.clone(),
    }
}
