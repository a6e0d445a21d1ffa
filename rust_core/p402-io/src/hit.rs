//! Serves an answer that is there already: asks for a token, books the row, tells it again.
//! Does not look it up (lookup.rs), and no hold, attempt or settlement is made for it.

use crate::admission::admit_closed;
use crate::booking;
use crate::emit::Event;
use crate::heads::{Headers, degraded_header, stream_head};
use crate::looked::rounded;
use crate::lookup::Hit;
use crate::meter::count;
use crate::outbox::{Head, Outbox};
use crate::records::{Row, RowState, Told};
use crate::turn::{Turn, name};
use p402_core::bill::{Bill, Facts, UsageSource};
use p402_core::dialect::openai::Replay;
use p402_core::ledger::Flags;
use p402_core::money::Usd;
use p402_core::reply::{ApiError, CostDetails, Metadata, ReplyHeaders, Standing, guard_json};
use p402_core::time::Now;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait of a hit that is made as slow as the answer once was.
const SLOW_MS_MAX: u64 = 60_000;
const SECOND_US: i64 = 1_000_000;

/// A hit that the guard has let through.
struct Served<'a> {
    turn: &'a Turn,
    hit: &'a Hit,
    standing: Standing,
    degraded: bool,
}

/// # Errors
/// The guard's refusal: a hit costs nothing, and a token all the same.
pub async fn serve(turn: Arc<Turn>, hit: &Hit, outbox: &Outbox) -> Result<(), ApiError> {
    let (reply, degraded) = admit_closed(&turn).await?;
    let standing = Standing::of(&reply, &turn.rules().limits, reply.now);
    if turn.rules().cache.slow_as_original {
        let wait = Duration::from_millis(hit.kept.took_ms.min(SLOW_MS_MAX));
        tokio::time::sleep(wait).await;
    }
    let now = turn.node.clock.now();
    let served = Served { turn: &turn, hit, standing, degraded };
    let row = served.row(now);
    let booked = turn.home.ledger.append(&booking::closing(&turn, &row, reply.admitted, now));
    if let Ok(mark) = booked {
        turn.durable(mark).await;
    } else {
        count(&turn.node.meter.ledger_failed);
        turn.node.emit.push(Event::LedgerFailed(turn.id));
    }
    let metadata = served.metadata(&row, now);
    // Whoever has read the answer can look it up.
    turn.node.records.lock().put(row);
    served.tell(&metadata, now, outbox);
    Ok(())
}

impl Served<'_> {
    /// What going direct would cost today, for the counts of then; nothing of it is owed.
    fn bill(&self, now: Now) -> Bill {
        let (turn, hit) = (self.turn, self.hit);
        let asked = turn.scan.service_tier.as_deref();
        let narrow = turn.world.config.pricing.direct_basis.as_deref() == Some("served");
        let facts = Facts {
            served: hit.offer,
            usage: &hit.kept.usage,
            usage_source: UsageSource::Provider,
            at: now.utc,
            service: asked,
            service_asked: asked,
            reported: None,
            fee_bps: 0,
            baseline: turn.plan.baseline.filter(|_| !narrow),
            warm: None,
            wasted: Usd::ZERO,
        };
        let mut bill = Bill::of(&turn.world.catalog, &facts).from_cache();
        bill.requested_known = turn.plan.requested_known;
        bill
    }

    fn row(&self, now: Now) -> Row {
        let turn = self.turn;
        let bill = self.bill(now);
        let (provider, model) = name(&turn.world.catalog, self.hit.offer);
        Row {
            id: turn.id,
            tenant: Arc::clone(&turn.tenant),
            created: turn.now.utc,
            state: RowState::Settled,
            http_status: 200,
            stream: turn.scan.stream,
            mode: turn.plan.mode,
            provider,
            model,
            usage: self.hit.kept.usage,
            latency_us: now.ticks.since(turn.received),
            provider_latency_us: 0,
            attempts: Vec::new(),
            retry_count: turn.retry_count,
            flags: Flags::CACHED
                .with(Flags::STREAM.when(turn.scan.stream))
                .with(Flags::DEGRADED.when(self.degraded))
                .with(booking::priced(bill.basis)),
            told: Some(self.told()),
            bill,
        }
    }

    fn told(&self) -> Told {
        let kept = self.hit.entry.asked.as_ref().map(|(text, _)| Arc::clone(text));
        let asked = self.hit.asked.clone().filter(|_| self.turn.rules().cache.keep_pairs);
        Told { entry: self.hit.entry.id, pair: asked.zip(kept) }
    }

    fn metadata(&self, row: &Row, now: Now) -> Vec<u8> {
        let details = CostDetails { bill: &row.bill, attempts: 0 };
        let details = self.turn.cost_details().then_some(details);
        let guard = guard_json(self.degraded, None);
        let cache = self.turn.options.explain.then(|| self.explained(now));
        let told = row.metadata(details);
        let mut out = Vec::with_capacity(512);
        Metadata { guard: guard.as_deref(), cache: cache.as_deref(), ..told }.write(&mut out);
        out
    }

    fn explained(&self, now: Now) -> Vec<u8> {
        let (hit, entry) = (self.hit, &self.hit.entry);
        let seconds = |us: i64| us.max(0) / SECOND_US;
        let mut told = json!({
            "tier": hit.tier.name(),
            "entry": entry_name(entry.id),
            "age_s": seconds(now.utc.micros() - entry.created.micros()),
            "ttl_s": seconds(entry.expires.micros() - now.utc.micros()),
        });
        if let Some(near) = hit.near {
            told["similarity"] = rounded(near.similarity);
            told["verifier"] = near.score.map(rounded).into();
        }
        told.to_string().into_bytes()
    }

    fn headers(&self) -> Headers {
        let (turn, hit) = (self.turn, self.hit);
        let catalog = &turn.world.catalog;
        let mut headers = ReplyHeaders {
            provider: Some(&catalog.provider(hit.offer).id),
            model: Some(&hit.kept.model),
            mode: Some(turn.plan.mode),
            cache: hit.tier.header(),
            weights: &catalog.digest,
            cost: Some(Usd::ZERO),
            warnings: &turn.plan.warnings,
            ..ReplyHeaders::new(turn.id)
        }
        .build();
        self.standing.headers(&mut headers);
        headers.extend(degraded_header(self.degraded));
        headers
    }

    fn tell(&self, metadata: &[u8], now: Now, outbox: &Outbox) {
        let kept = &self.hit.kept;
        let reasoning = kept.reasoning.as_ref().map(|(key, text)| (&**key, &**text));
        let replay = Replay {
            request_id: self.turn.id,
            created: now.utc.seconds(),
            model: &kept.named,
            content: &kept.content,
            reasoning,
            usage: &kept.usage,
            metadata,
        };
        let mut headers = self.headers();
        if self.turn.scan.stream {
            outbox.head(stream_head(headers));
            outbox.last(&replay.stream(self.turn.scan.include_usage));
            return;
        }
        headers.push(("content-type", "application/json".to_owned()));
        outbox.head(Head { status: 200, headers, body: Some(replay.whole()) });
    }
}

/// What people know an entry by.
pub fn entry_name(id: u64) -> String {
    format!("ce_{id:016x}")
}

/// The entry that people know by this name.
pub fn entry_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("ce_").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}
