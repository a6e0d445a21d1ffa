//! Owes exactly one settlement per admitted request, and pays it: on end, on error, or on drop.
//! Does not price (core's bill.rs) and does not write to the client (gateway.rs, pump.rs).

use crate::booking;
use crate::emit::Event;
use crate::ledger::Mark;
use crate::looked::Shelve;
use crate::meter::count;
use crate::records::{AttemptRow, Row, RowState};
use crate::reservation::Reservation;
use crate::store::Trip;
use crate::turn::{Served, Tried, Turn, Used, name};
use crate::watch::Unusual;
use p402_core::bill::{Bill, Facts, UsageSource};
use p402_core::catalog::{Catalog, Charge};
use p402_core::guard::{Flag, Reply};
use p402_core::ledger::Flags;
use p402_core::money::Usd;
use p402_core::reply::{CostDetails, Metadata, Standing, guard_json};
use p402_core::route::AttemptSeen;
use p402_core::time::Now;
use p402_core::usage::Usage;
use std::sync::Arc;

/// What a row says of a request whose client left before an answer.
const CLIENT_CLOSED: u16 = 499;
/// Counts above this multiple of the claim's own bounds are not believed.
const BOUNDS_FACTOR: u64 = 2;
/// Input that an upstream may add by itself: its template, its hidden instructions.
const TEMPLATE_TOKENS: u64 = 4_096;

/// The settled request in the form replies need it.
#[derive(Debug)]
pub struct Settled {
    pub usage: Usage,
    pub cost: Usd,
    /// Its counts can be right.
    pub believed: bool,
    /// The `p402_metadata` object.
    pub metadata: Vec<u8>,
    /// What the last byte has to wait for.
    pub mark: Option<Mark>,
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
    /// The attempt on its way, or answering: while it is, it may be billed.
    pub sending: Option<Served>,
    /// The client has left; whatever is still learnt is for the row alone.
    pub disconnected: bool,
    /// `None` once it is settled.
    pub hold: Option<Reservation>,
    /// What is left to the tenant, as of the account's last answer.
    pub standing: Option<Standing>,
    pub anomaly: Option<(Flag, Unusual)>,
    pub degraded: bool,
    /// How often the hold has grown.
    pub extensions: u8,
    /// Under what the answer may be stored.
    pub shelve: Option<Shelve>,
}

/// What an answer used, and how far that is believed.
struct Counted {
    usage: Usage,
    source: UsageSource,
    implausible: bool,
}

impl Settling {
    /// From here on exactly one row will say how the turn ended.
    pub fn new(turn: Arc<Turn>, hold: Reservation) -> Self {
        turn.node.holds.open(turn.id, &turn.tenant, turn.now.ticks);
        Self {
            degraded: hold.degraded(),
            turn,
            tried: Vec::new(),
            wasted: Usd::ZERO,
            provider_us: 0,
            sending: None,
            disconnected: false,
            hold: Some(hold),
            standing: None,
            anomaly: None,
            extensions: 0,
            shelve: None,
        }
    }

    /// The price of an attempt that failed after its request was written: shown, never charged.
    pub fn waste(&mut self, offer: usize, at: Now, text_bytes: u64) {
        self.wasted = self.wasted.saturating_add(self.metered(offer, at, text_bytes));
    }

    /// What an attempt has cost so far by our own count.
    pub fn metered(&self, offer: usize, at: Now, text_bytes: u64) -> Usd {
        let turn = &self.turn;
        let usage = Usage {
            fresh: turn.plan.input_tokens,
            output: turn.estimated_output(offer, text_bytes),
            ..Usage::default()
        };
        let service = turn.scan.service_tier.as_deref();
        let charge = Charge { usage: &usage, at: at.utc, service, fee_ppm: 0 };
        turn.world.catalog.price(offer, &charge).upstream
    }

    /// Books the answer: prices it, keeps the row, teaches the session, writes the metadata.
    pub fn settle(&mut self, served: &Served, used: &Used, now: Now) -> Settled {
        self.settle_as(200, served, used, now)
    }

    /// The client left before an answer, and nobody hears the upstream out.
    pub fn abandon(&mut self, now: Now) {
        self.disconnected = true;
        self.give_up("client_gone", CLIENT_CLOSED, now);
    }

    /// No answer is delivered. An attempt still on its way is never called free, since its
    /// provider may bill it (guard.md § 4): what a whole answer came to is unknown, so it costs
    /// its hold; of a stream, what was sent is counted.
    pub fn give_up(&mut self, outcome: &'static str, status: u16, now: Now) -> Option<Mark> {
        let Some(served) = self.sending.take() else { return self.release(status, now) };
        let took_us = now.ticks.since(served.sent.ticks);
        self.provider_us += took_us;
        self.tried.push(Tried {
            offer: served.offer,
            outcome,
            status,
            ms: took_us / 1_000,
            provider_request_id: None,
        });
        let used = Used { absurd: !self.turn.scan.stream, ..Used::default() };
        self.settle_as(status, &served, &used, now).mark
    }

    fn settle_as(&mut self, http_status: u16, served: &Served, used: &Used, now: Now) -> Settled {
        let turn = Arc::clone(&self.turn);
        let counted = self.count(served, used);
        let mut bill = self.bill(served, used, &counted);
        if counted.implausible && !turn.world.catalog.offers[served.offer].free {
            count(&turn.node.meter.implausible);
            let held = self.hold.as_ref().map_or(Usd::ZERO, |hold| hold.held);
            bill = bill.at_hold(held.saturating_sub(self.wasted));
        }
        let mut row = self.row(RowState::Settled, http_status, now);
        (row.provider, row.model) = name(&turn.world.catalog, served.offer);
        row.flags = row
            .flags
            .with(Flags::IMPLAUSIBLE.when(counted.implausible))
            .with(Flags::ESTIMATED.when(counted.source == UsageSource::Estimated))
            .with(booking::priced(bill.basis));
        (row.usage, row.bill) = (counted.usage, bill);
        let mark = self.close(&row, now);
        let metadata = self.metadata(&row);
        let (cost, usage) = (row.bill.cost, row.usage);
        turn.node.records.lock().put(row);
        self.teach(served, usage, now);
        Settled { usage, cost, metadata, mark, believed: !counted.implausible }
    }

    /// Ends the turn without a bill: refused, failed or abandoned before anything was served.
    fn release(&mut self, http_status: u16, now: Now) -> Option<Mark> {
        self.hold.as_ref()?;
        let row = self.row(RowState::Released, http_status, now);
        let mark = self.close(&row, now);
        self.turn.node.records.lock().put(row);
        mark
    }

    /// What was used so far, for an error frame: a dead stream costs nothing (catalog.md § 13 H).
    pub fn fail_stream(&mut self, served: &Served, used: &Used, now: Now) -> Settled {
        if used.reported.is_some() {
            return self.settle(served, used, now);
        }
        self.waste(served.offer, served.sent, used.text_bytes);
        let nothing =
            Counted { usage: Usage::default(), source: UsageSource::Provider, implausible: false };
        let mut bill = self.bill(served, &Used::default(), &nothing);
        (bill.cost, bill.direct) = (Usd::ZERO, Usd::ZERO);
        let mut row = self.row(RowState::Released, 200, now);
        (row.provider, row.model) = name(&self.turn.world.catalog, served.offer);
        row.bill = bill;
        let mark = self.close(&row, now);
        let metadata = self.metadata(&row);
        self.turn.node.records.lock().put(row);
        let (usage, cost) = (Usage::default(), Usd::ZERO);
        Settled { usage, cost, metadata, mark, believed: false }
    }

    /// The one end: a row in the ledger, then the account; whoever is watching is told.
    fn close(&mut self, row: &Row, now: Now) -> Option<Mark> {
        let hold = self.hold.take()?;
        let turn = Arc::clone(&self.turn);
        turn.node.holds.close(turn.id);
        turn.node.traffic.ended(row);
        let booked = turn.home.ledger.append(&booking::closing(&turn, row, hold.day, now));
        if booked.is_err() {
            count(&turn.node.meter.ledger_failed);
            turn.node.emit.push(Event::LedgerFailed(turn.id));
        }
        let spent = row.bill.cost.saturating_add(row.bill.wasted);
        let (cost, took_ms) = (row.bill.cost, row.latency_us / 1_000);
        match hold.settle(turn.place(), spent, now.utc) {
            Trip::Made(answer) => {
                if let Ok(reply) = answer {
                    self.standing = Some(Standing::of(&reply, &turn.rules().limits, now.utc));
                    self.anomaly = self.anomaly.or(turn.settled(cost, took_ms, &reply));
                }
            }
            // A home that is further away is told by a task that nobody waits for. Without a
            // runtime the process is ending, and the ledger has the row.
            Trip::Underway(trip) => {
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move {
                        if let Ok(reply) = trip.await {
                            turn.settled(cost, took_ms, &reply);
                        }
                    });
                }
            }
        }
        booked.ok()
    }

    /// The account holds this turn's claim.
    pub fn admitted(&mut self, claim: Usd, reply: &Reply) {
        let limits = &self.turn.rules().limits;
        self.standing = Some(Standing::of(reply, limits, reply.now));
        self.anomaly = self.turn.admitted(claim, reply);
    }

    fn count(&self, served: &Served, used: &Used) -> Counted {
        let implausible = used.absurd || self.beyond_bounds(served, used);
        if let Some(reported) = used.reported.as_ref().filter(|_| !implausible) {
            let (usage, source) = (reported.usage, UsageSource::Provider);
            return Counted { usage, source, implausible };
        }
        let output = self.turn.estimated_output(served.offer, used.text_bytes);
        let usage = Usage { fresh: self.turn.plan.input_tokens, output, ..Usage::default() };
        Counted { usage, source: UsageSource::Estimated, implausible }
    }

    /// More than twice what the attempt's claim was made from.
    fn beyond_bounds(&self, served: &Served, used: &Used) -> bool {
        let (Some(reported), Some(attempt)) = (&used.reported, self.turn.attempt(served)) else {
            return false;
        };
        let input = attempt.input_bound.saturating_mul(BOUNDS_FACTOR);
        let output = self.turn.terms().output_bound(attempt).saturating_mul(BOUNDS_FACTOR);
        reported.usage.input() > input.saturating_add(TEMPLATE_TOKENS)
            || reported.usage.output > output
    }

    fn bill(&self, served: &Served, used: &Used, counted: &Counted) -> Bill {
        let turn = &self.turn;
        let world = &turn.world;
        let asked = turn.scan.service_tier.as_deref();
        let reports =
            world.catalog.offers.get(served.offer).is_some_and(|offer| offer.quirks.reported_cost);
        let narrow = world.config.pricing.direct_basis.as_deref() == Some("served");
        let reported = used.reported.as_ref().and_then(|reported| reported.reported_cost);
        let facts = Facts {
            served: served.offer,
            usage: &counted.usage,
            usage_source: counted.source,
            at: served.sent.utc,
            service: used.service_tier.as_deref().or(asked),
            service_asked: asked,
            reported: reported.filter(|_| reports && !counted.implausible),
            fee_bps: world.config.pricing.platform_fee_bps,
            baseline: turn.plan.baseline.filter(|_| !narrow),
            warm: turn.plan.warm,
            wasted: self.wasted,
        };
        let mut bill = Bill::of(&world.catalog, &facts);
        bill.requested_known = turn.plan.requested_known;
        bill
    }

    fn metadata(&self, row: &Row) -> Vec<u8> {
        let turn = &self.turn;
        let routing = turn.options.explain.then(|| {
            let seen: Vec<AttemptSeen> = self.tried.iter().map(AttemptSeen::from).collect();
            turn.plan.routing_json(&turn.world.catalog, &turn.world.table, &seen)
        });
        let anomaly = self.anomaly.as_ref().map(|(flag, series)| (flag, series.name()));
        let guard = guard_json(self.degraded, anomaly);
        let settled = row.state == RowState::Settled;
        let attempts = u32::try_from(self.tried.len()).unwrap_or(u32::MAX);
        let details = CostDetails { bill: &row.bill, attempts };
        let details = (settled && turn.cost_details()).then_some(details);
        let mut out = Vec::with_capacity(512);
        let routing = routing.as_deref().filter(|_| settled);
        let guard = guard.as_deref();
        let cache = turn.options.explain.then(|| turn.looked.to_json()).flatten();
        let cache = cache.as_deref();
        Metadata { routing, guard, cache, ..row.metadata(details) }.write(&mut out);
        out
    }

    fn teach(&self, served: &Served, usage: Usage, now: Now) {
        let turn = &self.turn;
        let mut router = turn.node.router.lock();
        router.served(&turn.ask(), &turn.plan, (served.attempt, usage.input()), now);
    }

    fn row(&self, state: RowState, http_status: u16, now: Now) -> Row {
        let turn = &self.turn;
        let catalog = &turn.world.catalog;
        let first = turn.plan.attempts.first().map(|attempt| attempt.offer);
        let (provider, model) = first.map_or_else(Default::default, |offer| name(catalog, offer));
        let latency_us = now.ticks.since(turn.received);
        let attempts = self.tried.iter().map(|tried| attempt_row(catalog, tried)).collect();
        let facts = self.hold.as_ref().map(|hold| booking::facts(turn, hold)).unwrap_or_default();
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
            usage: Usage::default(),
            bill: Bill { wasted: self.wasted, ..Bill::default() },
            latency_us,
            provider_latency_us: self.provider_us.min(latency_us),
            attempts,
            retry_count: turn.retry_count,
            told: None,
            flags: facts
                .with(Flags::DISCONNECTED.when(self.disconnected))
                // What failed has told no usage: its provider may bill output it never sent.
                .with(Flags::ESTIMATED.when(self.wasted > Usd::ZERO)),
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        // A line that was dropped half-way still owes its row: at its hold where something may
        // have been billed that nobody can count any more.
        let now = self.turn.node.clock.now();
        match self.sending.take().filter(|_| self.hold.is_some()) {
            Some(served) => {
                let unknown = Used { absurd: true, ..Used::default() };
                self.settle_as(CLIENT_CLOSED, &served, &unknown, now);
            }
            None => {
                self.release(CLIENT_CLOSED, now);
            }
        }
    }
}

fn attempt_row(catalog: &Catalog, tried: &Tried) -> AttemptRow {
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
