//! Joins the stages: read, lookup, route, admit, dispatch, settle, in this order, on one screen.
//! Does not know what front it serves: a call comes in, a reply goes out through an `Outbox`.

use crate::clock::Clock;
use crate::dispatch::{self, Dispatched, Whole};
use crate::emit::Emit;
use crate::outbox::{Head, Outbox};
use crate::pump::{KEEPALIVE, Pump};
use crate::records::Records;
use crate::settling::{Served, Settling, Turn, Used};
use crate::thoughts::Thoughts;
use crate::transport::Transport;
use crate::world::{IN_FLIGHT_MAX, Node, World};
use arc_swap::ArcSwap;
use bytes::Bytes;
use p402_core::dialect::openai::{ChatStream, Seal};
use p402_core::envelope::{Scan, scan};
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, Code, ReplyHeaders, dropped_warning};
use p402_core::route::{Ask, Options, Plan, Router};
use p402_core::time::{Now, Ticks};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// One chat request as a front read it.
#[derive(Debug)]
pub struct Call {
    pub tenant: Arc<str>,
    pub body: Bytes,
    /// The `x-p402-*` twins and nothing else: (lower-case name, value).
    pub twins: Vec<(String, String)>,
    /// When the request's head was read.
    pub received: Ticks,
    pub read_timeout_ms: Option<u64>,
    pub retry_count: u32,
}

/// The service: everything a front needs, cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub node: Arc<Node>,
}

/// A call that has been read: what it says, and the one `now` it is decided with.
struct Asked {
    id: RequestId,
    now: Now,
    call: Call,
    scan: Scan,
    options: Options,
}

/// Counts a call in and, whatever happens to it, out.
struct InFlight(Arc<Node>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Asked {
    fn ask(&self) -> Ask<'_> {
        Ask {
            request: self.id,
            tenant: &self.call.tenant,
            body: &self.call.body,
            scan: &self.scan,
            options: &self.options,
        }
    }
}

impl Gateway {
    pub fn new(world: World, transport: Box<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        let router = Router::new(&world.config.routing, &world.config.timeouts);
        let records = Records::new(world.config.limits.requests_kept);
        let drains = Arc::new(Semaphore::new(world.config.stream.drain_max));
        let node = Node {
            router: Mutex::new(router),
            records: Mutex::new(records),
            thoughts: Thoughts::default(),
            world: ArcSwap::from_pointee(world),
            emit: Emit::default(),
            transport,
            clock,
            drains,
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            draining: AtomicBool::new(false),
            closing: Notify::new(),
            closed: AtomicBool::new(false),
            id_seed: getrandom::u64().unwrap_or_default(),
            id_count: AtomicU64::new(0),
        };
        Self { node: Arc::new(node) }
    }

    /// The straight line of one chat request. Always gives `outbox` exactly one reply.
    pub async fn serve(self, call: Call, outbox: Arc<Outbox>) {
        let now = self.node.clock.now();
        let id = self.request_id(now);
        if let Err(error) = self.line(id, call, now, &outbox).await {
            outbox.head(refusal(&error, id));
        }
    }

    async fn line(
        &self,
        id: RequestId,
        call: Call,
        now: Now,
        outbox: &Arc<Outbox>,
    ) -> Result<(), ApiError> {
        let _in_flight = self.enter()?;
        let asked = Self::read(id, call, now)?;
        // lookup: every request is a miss until there is a cache to ask.
        let (world, plan) = self.route(&asked)?;
        let mut settling = self.admit(asked, world, plan);
        match self.dispatch(&mut settling, outbox).await {
            Ok(Some(Dispatched::Whole(whole))) => self.settle(settling, *whole, outbox),
            Ok(Some(Dispatched::Streaming { served, begun, warnings })) => {
                outbox.head(stream_head(headers(&settling, Some(&served), &warnings, None)));
                Pump::new(served, begun, settling, Arc::clone(outbox)).run().await;
            }
            Ok(None) => settling.abandon(self.node.clock.now()),
            Err(error) => self.give_up(settling, &error, outbox),
        }
        Ok(())
    }

    /// read: one scan of the body, one reading of the `p402` field and its header twins.
    fn read(id: RequestId, call: Call, now: Now) -> Result<Asked, ApiError> {
        let scan = scan(&call.body)?;
        let twins: Vec<(&str, &str)> =
            call.twins.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let field = scan.p402.map(|field| field.value.of(&call.body));
        let options = Options::read(field, &twins)?;
        Ok(Asked { id, now, call, scan, options })
    }

    /// route: the ordered, explained, bounded list of attempts.
    fn route(&self, asked: &Asked) -> Result<(Arc<World>, Plan), ApiError> {
        let mut router = self.node.router.lock();
        // Under the router's lock, as a reload swaps it: a plan and its world are of one piece.
        let world = self.node.world.load_full();
        let plan = router.plan(&world.routing(&asked.call.tenant), &asked.ask(), asked.now)?;
        Ok((world, plan))
    }

    /// admit: from here on exactly one settlement is owed.
    fn admit(&self, asked: Asked, world: Arc<World>, plan: Plan) -> Settling {
        let Asked { id, now, call, scan, options } = asked;
        Settling::admit(Arc::new(Turn {
            node: Arc::clone(&self.node),
            world,
            id,
            tenant: call.tenant,
            body: call.body,
            scan,
            options,
            plan,
            now,
            received: call.received,
            read_timeout_ms: call.read_timeout_ms,
            retry_count: call.retry_count,
        }))
    }

    /// dispatch: walks the plan, keeps a silent stream's client company; `None` if the client left.
    async fn dispatch(
        &self,
        settling: &mut Settling,
        outbox: &Arc<Outbox>,
    ) -> Result<Option<Dispatched>, ApiError> {
        let turn = Arc::clone(&settling.turn);
        let config = &turn.world.config.stream;
        let mut comment = turn
            .scan
            .stream
            .then(|| Instant::now() + Duration::from_millis(config.keepalive_first_ms));
        let early = turn.scan.stream.then(|| headers(settling, None, &[], None));
        let walk = dispatch::walk(settling);
        tokio::pin!(walk);
        loop {
            tokio::select! {
                biased;
                dispatched = &mut walk => return dispatched.map(Some),
                () = outbox.until_gone() => return Ok(None),
                () = at(comment), if comment.is_some() => {
                    outbox.head(stream_head(early.clone().unwrap_or_default()));
                    outbox.push(KEEPALIVE);
                    comment = Some(Instant::now() + Duration::from_millis(config.keepalive_ms));
                }
            }
        }
    }

    /// settle: the whole answer, priced, with its metadata, in one write.
    fn settle(&self, mut settling: Settling, whole: Whole, outbox: &Outbox) {
        let Whole { served, answer, warnings } = whole;
        let used = Used {
            reported: answer.reported.filter(|_| !answer.usage_fault),
            text_bytes: answer.text_bytes,
            service_tier: answer.service_tier.clone(),
        };
        let settled = settling.settle(&served, &used, self.node.clock.now());
        let body = answer.seal(&Seal {
            metadata: &settled.metadata,
            metadata_again: &settled.metadata,
            cost: settled.cost,
            usage: &settled.usage,
        });
        let mut headers = headers(&settling, Some(&served), &warnings, Some(settled.cost));
        headers.push(("content-type", "application/json".to_owned()));
        outbox.head(Head { status: 200, headers, body: Some(body) });
    }

    /// No attempt answered: a refusal, or an error frame where the head has already left.
    fn give_up(&self, mut settling: Settling, error: &ApiError, outbox: &Outbox) {
        let id = settling.turn.id;
        settling.release(error.status(), self.node.clock.now());
        if outbox.headed() {
            let mut object = Vec::new();
            error.write(&mut object, id);
            outbox.last(&ChatStream::error_frame(&object, None));
            return;
        }
        let mut head = refusal(error, id);
        let own = headers(&settling, None, &[], None);
        head.headers.extend(own.into_iter().filter(|(name, _)| *name == "x-p402-attempts"));
        outbox.head(head);
    }

    /// The dry run: the live decision, told and not carried out (routing.md § 2.3).
    ///
    /// # Errors
    /// What the live request would be refused with.
    pub fn explain(&self, call: Call, all: bool) -> Result<Vec<u8>, ApiError> {
        let now = self.node.clock.now();
        let asked = Self::read(self.request_id(now), call, now)?;
        let mut router = self.node.router.lock();
        let world = self.node.world.load_full();
        let routing = world.routing(&asked.call.tenant);
        Ok(router.explain(&routing, &asked.ask(), now, all)?.to_json())
    }

    /// The body of `GET /requests/{id}`, to the tenant that made the request.
    pub fn look_up(&self, tenant: &str, id: &str) -> Option<Vec<u8>> {
        let id = RequestId::parse(id)?;
        self.node.records.lock().get(id, tenant).map(crate::records::Row::to_json)
    }

    fn enter(&self) -> Result<InFlight, ApiError> {
        let before = self.node.in_flight.fetch_add(1, Ordering::AcqRel);
        let guard = InFlight(Arc::clone(&self.node));
        if self.node.draining.load(Ordering::Acquire) {
            return Err(ApiError::new(Code::ShuttingDown, "this gateway is shutting down"));
        }
        if before >= IN_FLIGHT_MAX {
            let text = "this gateway serves as many requests as it can hold";
            return Err(ApiError::new(Code::Overloaded, text).with_retry_after_ms(1_000));
        }
        Ok(guard)
    }

    /// 48 bits of time, 80 of a keyed counter: unique on this node, not guessable from outside.
    pub fn request_id(&self, now: Now) -> RequestId {
        let count = self.node.id_count.fetch_add(1, Ordering::Relaxed);
        RequestId::draw(now.utc, self.node.id_seed, count)
    }

    /// Swaps in a new world; requests on their way keep the one they began with.
    pub fn reload(&self, world: World) {
        let old = self.node.world.load_full();
        let mut router = self.node.router.lock();
        router.swap(&old.catalog, &world.catalog);
        self.node.world.store(Arc::new(world));
    }

    /// Refuses new work, waits for what is open, then ends the rest with an error frame.
    pub async fn drain(&self, wait: Duration) {
        self.node.draining.store(true, Ordering::Release);
        if self.until_idle(wait).await {
            return;
        }
        self.node.closed.store(true, Ordering::Release);
        self.node.closing.notify_waiters();
        self.until_idle(Duration::from_secs(1)).await;
    }

    async fn until_idle(&self, wait: Duration) -> bool {
        let idle = async {
            loop {
                let notified = self.node.idle.notified();
                if self.node.in_flight.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(wait, idle).await.is_ok()
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// An error as a whole reply.
pub fn refusal(error: &ApiError, id: RequestId) -> Head {
    let mut headers = error.headers();
    headers.push(("content-type", "application/json".to_owned()));
    headers.push(("x-request-id", id.to_string()));
    headers.push(("x-p402-request-id", id.to_string()));
    Head { status: error.status(), headers, body: Some(error.body(id)) }
}

fn stream_head(mut headers: Vec<(&'static str, String)>) -> Head {
    headers.push(("content-type", "text/event-stream; charset=utf-8".to_owned()));
    headers.push(("cache-control", "no-cache".to_owned()));
    headers.push(("x-accel-buffering", "no".to_owned()));
    Head { status: 200, headers, body: None }
}

fn headers(
    settling: &Settling,
    served: Option<&Served>,
    dropped: &[String],
    cost: Option<p402_core::money::Usd>,
) -> Vec<(&'static str, String)> {
    let turn = &settling.turn;
    let catalog = &turn.world.catalog;
    let attempt = served.and_then(|served| turn.plan.attempts.get(served.attempt));
    let offer = attempt.and_then(|attempt| catalog.offers.get(attempt.offer));
    let mut warnings = turn.plan.warnings.clone();
    warnings.extend(dropped_warning(dropped));
    let (task, confidence) = turn.plan.typing.top_with_confidence();
    ReplyHeaders {
        provider: attempt.map(|attempt| &*catalog.provider(attempt.offer).id),
        model: offer.map(|offer| &*offer.model),
        effort: attempt.and_then(|attempt| attempt.effort),
        mode: Some(turn.plan.mode),
        task: Some(task),
        confidence,
        attempts: &attempts_header(settling),
        session: turn.plan.session,
        weights: &catalog.digest,
        cost,
        warnings: &warnings,
        ..ReplyHeaders::new(turn.id)
    }
    .build()
}

/// `1`, or `2;groq=429`: how many were tried, and how the failed ones failed.
fn attempts_header(settling: &Settling) -> String {
    use std::fmt::Write;
    let mut text = settling.tried.len().to_string();
    for tried in settling.tried.iter().filter(|tried| tried.outcome != "ok") {
        let provider = &settling.turn.world.catalog.provider(tried.offer).id;
        // Writing into a String cannot fail.
        match tried.status {
            502 | 504 => write!(text, ";{provider}={}", tried.outcome).unwrap_or_default(),
            status => write!(text, ";{provider}={status}").unwrap_or_default(),
        }
    }
    text
}
