//! Is one request under way: what was asked, planned and tried, and in which world.
//! Does not decide or settle anything.

use crate::emit::{Alarm, Ended};
use crate::home::Home;
use crate::ledger::Mark;
use crate::looked::Looked;
use crate::meter::count;
use crate::node::Node;
use crate::reservation::Place;
use crate::rids::InUse;
use crate::store::Tenant;
use crate::watch::{Noticed, Unusual};
use crate::world::{TenantWorld, World};
use bytes::Bytes;
use p402_core::catalog::{Catalog, OfferKind, estimate_output};
use p402_core::claim::Terms;
use p402_core::door::Door;
use p402_core::envelope::Scan;
use p402_core::guard::{Claim, Code, Flag, Kind, Reply, SeriesKey, Stage};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::reply::Denied;
use p402_core::route::{Ask, Attempt, AttemptSeen, Options, Plan};
use p402_core::time::{Now, Ticks};
use p402_core::usage::ReportedUsage;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// One request: what was asked, what was planned, and when it came.
#[derive(Debug)]
pub struct Turn {
    pub node: Arc<Node>,
    pub home: Arc<Home>,
    pub world: Arc<World>,
    pub id: RequestId,
    pub tenant: Arc<str>,
    /// Hash of the API key it came with.
    pub key: u64,
    pub door: Door,
    pub body: Bytes,
    /// The client's own bytes, where they pass to a path that is no chat's.
    pub passed: Option<Bytes>,
    pub scan: Scan,
    pub options: Options,
    /// Names of what its door could not tell as a chat.
    pub dropped: Vec<String>,
    pub plan: Plan,
    /// What the cache said before anything was planned.
    pub looked: Looked,
    /// The one `now` of every decision up to dispatch.
    pub now: Now,
    /// When the request's head was read.
    pub received: Ticks,
    /// The client stops waiting for a whole answer after this (`x-stainless-read-timeout`).
    pub read_timeout_ms: Option<u64>,
    pub retry_count: u32,
    /// The client accepts `application/problem+json`.
    pub problem: bool,
    /// Nobody asked: it checks an answer of the cache.
    pub shadow: bool,
    /// Its idempotency key is taken for as long as it runs.
    pub in_use: Option<InUse>,
}

/// The attempt that answered, or is on its way.
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
    /// The upstream reported what no usage can be.
    pub absurd: bool,
    /// Bytes of text delivered, counted where the upstream said nothing believable.
    pub text_bytes: u64,
    pub service_tier: Option<String>,
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

    pub fn rules(&self) -> &TenantWorld {
        self.world.tenant(&self.tenant)
    }

    /// Its answer is neither a chat's nor a text's.
    pub fn is_no_chat(&self) -> bool {
        !matches!(self.door.kind(), OfferKind::Chat | OfferKind::Completion)
    }

    pub fn cost_details(&self) -> bool {
        self.options.cost_details || self.rules().cost_details
    }

    /// Whose money, and where it is held.
    pub fn place(&self) -> Place<'_> {
        let tenant = Tenant { id: &self.tenant, limits: &self.rules().limits };
        Place { home: &self.home, tenant, meter: &self.node.meter }
    }

    /// What decides this turn's claims.
    pub fn terms(&self) -> Terms<'_> {
        Terms {
            catalog: &self.world.catalog,
            fee_bps: self.world.config.pricing.platform_fee_bps,
            choices: u64::from(self.scan.n.max(1)),
            service: self.scan.service_tier.as_deref(),
        }
    }

    /// What this turn asks its account for.
    pub fn claimed(&self, amount: Usd, kind: Kind) -> Claim {
        Claim { rid: self.id, amount, owner: self.home.owner, kind }
    }

    /// What a refusal of this turn can say.
    pub fn denied(&self, claim: Usd) -> Denied<'_> {
        let rules = self.rules();
        let mean_ms = self.node.watches.with(&self.tenant, self.now.utc, |seen| seen.mean_ms);
        let status = rules.refusal_status;
        Denied { rid: self.id, tenant: &self.tenant, limits: &rules.limits, claim, status, mean_ms }
    }

    /// The account holds this turn's claim: what is unusual about that.
    pub fn admitted(&self, claim: Usd, reply: &Reply) -> Option<(Flag, Unusual)> {
        let (limits, key) = (&self.rules().limits, self.series(Stage::Estimate));
        let seen = &self.node.watches;
        let noticed =
            seen.with(&self.tenant, reply.now, |seen| seen.admitted(key, claim, reply, limits));
        self.notice(&noticed, reply)
    }

    /// The account has booked what this turn came to: what is unusual about that.
    pub fn settled(&self, cost: Usd, took_ms: u64, reply: &Reply) -> Option<(Flag, Unusual)> {
        let meter = &self.node.meter;
        if reply.late {
            count(&meter.late_settle);
        }
        if reply.code == Code::Unknown {
            count(&meter.settle_unknown);
        }
        let (limits, key) = (&self.rules().limits, self.series(Stage::Actual));
        let noticed = self.node.watches.with(&self.tenant, reply.now, |seen| {
            seen.took(took_ms as i64);
            seen.settled(key, cost, reply, limits)
        });
        self.notice(&noticed, reply)
    }

    /// Tells whoever wants to hear of it what is unusual, or has passed a threshold.
    fn notice(&self, noticed: &Noticed, reply: &Reply) -> Option<(Flag, Unusual)> {
        if let Some((flag, series)) = &noticed.flag {
            count(match series {
                Unusual::Cost => &self.node.meter.anomaly_cost,
                Unusual::Rate => &self.node.meter.anomaly_rate,
            });
            if noticed.tell_flag {
                let told = vec![
                    ("series", series.name().to_owned()),
                    ("z", format!("{:.1}", flag.z)),
                    ("typical_usd", flag.typical.to_string()),
                    ("model", self.model().to_owned()),
                ];
                self.alarm("spend_anomaly", told);
            }
        }
        if let Some(percent) = noticed.threshold {
            let budget = self.rules().limits.budget.unwrap_or_default();
            let told = vec![
                ("percent", percent.to_string()),
                ("spent_usd", reply.budget_spent.to_string()),
                ("budget_usd", budget.to_string()),
            ];
            self.alarm("budget_threshold", told);
        }
        noticed.flag
    }

    /// Tells whoever watches over this tenant's money.
    pub fn alarm(&self, what: &'static str, told: Vec<(&'static str, String)>) {
        count(&self.node.meter.alarms);
        let (tenant, at) = (Arc::clone(&self.tenant), self.node.clock.now().utc);
        self.node.emit.alarm(Alarm { request: self.id, what, tenant, at, told });
    }

    /// The series that this turn's costs belong to.
    pub fn series(&self, stage: Stage) -> SeriesKey {
        let agentic = self.scan.tools > 0 || self.scan.in_tool_loop;
        SeriesKey::new(self.model(), if agentic { "agent" } else { "chat" }, stage)
    }

    /// The model that the plan tries first.
    pub fn model(&self) -> &str {
        let first = self.plan.attempts.first();
        let offer = first.and_then(|attempt| self.world.catalog.offers.get(attempt.offer));
        offer.map_or("", |offer| &*offer.model)
    }

    /// Tokens that this much text of an offer's makes.
    pub fn estimated_output(&self, offer: usize, text_bytes: u64) -> u64 {
        let offer = self.world.catalog.offers.get(offer);
        let tokenizer = offer.map(|offer| offer.tokenizer).unwrap_or_default();
        let most = offer.and_then(|offer| offer.max_output).unwrap_or(u64::MAX);
        estimate_output(text_bytes, tokenizer).min(most)
    }

    /// Waits until the disk has a closing row, where its durability asks for it. A disk that does
    /// not confirm is counted: the answer is there and its money is spent.
    pub async fn durable(&self, mark: Mark) {
        if self.home.ledger.durable(mark).await.is_err() {
            count(&self.node.meter.ledger_failed);
        }
    }

    /// The right to hear an upstream out for a client that has left, to the usage; none where
    /// nothing of the plan has a price, or where this node hears out as many as it may.
    pub fn drain(&self) -> Option<OwnedSemaphorePermit> {
        let offers = &self.world.catalog.offers;
        let free = |attempt: &Attempt| offers.get(attempt.offer).is_some_and(|offer| offer.free);
        if self.plan.attempts.iter().all(free) {
            return None;
        }
        Arc::clone(&self.node.drains).try_acquire_owned().ok()
    }

    pub fn attempt(&self, served: &Served) -> Option<&Attempt> {
        self.plan.attempts.get(served.attempt)
    }

    /// Prefixes are marked for the upstream's cache: their write may be billed.
    pub fn writes_cache(&self) -> bool {
        let marks = b"cache_control";
        self.body.windows(marks.len()).any(|window| window == marks)
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

/// An offer's (provider, model).
pub fn name(catalog: &Catalog, offer: usize) -> (Arc<str>, Arc<str>) {
    catalog.offers.get(offer).map_or_else(Default::default, |found| {
        (catalog.provider(offer).id.clone(), found.model.clone())
    })
}
