//! Joins the stages: read, lookup, route, admit, dispatch, settle, in this order, on one screen.
//! Does not know what front it serves: a call comes in, a reply goes out through an `Outbox`.

use crate::admission::admit;
use crate::clock::Clock;
use crate::dispatch::{self, Dispatched, Whole};
use crate::heads::{guard_headers, headers, refusal, stream_head};
use crate::hit;
use crate::home::Home;
use crate::inquiry::stand;
use crate::keeping::keep;
use crate::looked::Looked;
use crate::lookup::{Found, Question, look};
use crate::node::Node;
use crate::outbox::{Head, Outbox};
use crate::pump::{KEEPALIVE, Pump};
use crate::rids::{InUse, Seen};
use crate::settling::Settling;
use crate::transport::Transport;
use crate::turn::{Turn, Used};
use crate::world::World;
use bytes::Bytes;
use p402_core::cache::wish::Wish;
use p402_core::dialect::openai::{ChatStream, Seal};
use p402_core::door::Door;
use p402_core::envelope::{Scan, scan};
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, idempotency_conflict, request_in_progress};
use p402_core::route::{Ask, Options, Plan, Said};
use p402_core::time::{Now, Ticks};
use ring::digest::{SHA256, digest};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// One request as a front read it.
#[derive(Debug)]
pub struct Call {
    /// The API it speaks.
    pub door: Door,
    pub tenant: Arc<str>,
    /// Hash of the API key it came with, zero where there was none.
    pub key: u64,
    pub body: Bytes,
    /// The `x-p402-*` twins and nothing else: (lower-case name, value).
    pub twins: Vec<(String, String)>,
    pub idempotency_key: Option<String>,
    /// The client accepts `application/problem+json`.
    pub problem: bool,
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
    in_use: Option<InUse>,
    scan: Scan,
    options: Options,
    wish: Wish,
    told: Told,
}

/// What the door had to say of a request that it told as a chat.
#[derive(Debug, Default)]
struct Told {
    /// What a chat has no words for.
    dropped: Vec<String>,
    passed: Option<Bytes>,
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
    /// `home`: the accounts and the ledger; without one a gateway explains, and serves nothing.
    pub fn new(
        world: World,
        transport: Box<dyn Transport>,
        clock: Arc<dyn Clock>,
        home: Option<Arc<Home>>,
    ) -> Self {
        Self { node: Arc::new(Node::new(world, transport, clock, home)) }
    }

    /// The straight line of one chat request. Always gives `outbox` exactly one reply.
    pub async fn serve(self, call: Call, outbox: Arc<Outbox>) {
        let now = self.node.clock.now();
        let minted = self.node.request_id(now);
        let (problem, tenant) = (call.problem, Arc::clone(&call.tenant));
        let (id, in_use) = match self.name(&call, minted, now).await {
            Ok((id, in_use)) => (id, Ok(in_use)),
            Err(error) => (minted, Err(error)),
        };
        let outcome = match in_use {
            Ok(in_use) => self.line((id, in_use), call, now, &outbox).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.node.traffic.refused(&tenant, error.code);
            let mut head = refusal(&error, id, problem);
            stand(&self.node, &tenant, &mut head.headers, now);
            outbox.head(head);
        }
    }

    async fn line(
        &self,
        (id, in_use): (RequestId, Option<InUse>),
        call: Call,
        now: Now,
        outbox: &Arc<Outbox>,
    ) -> Result<(), ApiError> {
        let _in_flight = self.node.enter()?;
        let (call, told) = enter(call, outbox)?;
        let (scan, options, wish) = Self::read(&call)?;
        let asked = Asked { id, now, call, in_use, scan, options, wish, told };
        let (looked, shelve) = match self.lookup(&asked).await? {
            (world, Found::Hit(hit, plan)) => {
                let turn = Arc::new(self.turn(asked, (world, *plan, Looked::OFF))?);
                return hit::serve(turn, &hit, outbox).await;
            }
            (_, Found::Missed(looked, shelve)) => (looked, shelve),
        };
        let (world, plan) = self.route(&asked)?;
        let turn = Arc::new(self.turn(asked, (world, plan, looked))?);
        let mut settling = admit(turn).await?;
        settling.shelve = shelve;
        match self.dispatch(&mut settling, outbox).await {
            Ok(Some(Dispatched::Whole(whole))) => self.settle(settling, *whole, outbox).await,
            Ok(Some(Dispatched::Streaming { served, begun, warnings })) => {
                outbox.head(stream_head(headers(&settling, Some(&served), &warnings, None)));
                Pump::new(served, begun, settling, Arc::clone(outbox)).run().await;
            }
            Ok(None) => settling.abandon(self.node.clock.now()),
            Err(error) => self.give_up(settling, &error, outbox).await,
        }
        Ok(())
    }

    /// The request's id: minted, or made from its idempotency key so that two tries are one.
    async fn name(
        &self,
        call: &Call,
        minted: RequestId,
        now: Now,
    ) -> Result<(RequestId, Option<InUse>), ApiError> {
        let Some(word) = &call.idempotency_key else { return Ok((minted, None)) };
        let key = first_bytes([call.tenant.as_bytes(), &[0xff], word.as_bytes()].concat());
        let body = first_bytes(&call.body) as u64;
        let named = RequestId::from_bits(key);
        // A key whose request has ended names another one now: what is closed in the ledger, here
        // or before a restart, must not be booked again.
        let fresh = !self.node.rids.knows(key)
            && self.node.home()?.knows(named).await.is_some_and(|known| !known);
        let rid = if fresh { named } else { minted };
        match self.node.rids.take(key, (body, rid), now.ticks) {
            (Seen::New | Seen::Again, in_use) => Ok((rid, in_use)),
            (Seen::InFlight(rid), _) => Err(request_in_progress(rid)),
            (Seen::OtherBody(rid), _) => Err(idempotency_conflict(rid)),
        }
    }

    /// read: one scan of the body, one reading of the `p402` field and its header twins.
    pub(crate) fn read(call: &Call) -> Result<(Scan, Options, Wish), ApiError> {
        let scan = scan(&call.body)?;
        let twins: Vec<(&str, &str)> =
            call.twins.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let field = scan.p402.map(|field| field.value.of(&call.body));
        let mut options = Options::read(field, &twins)?;
        options.kind = call.door.kind();
        let wish = match &options.cache {
            // What passes was told as a chat to be measured: no chat's answer is its.
            _ if call.door.passes_to().is_some() => Wish { on: Some(false), ..Wish::default() },
            None => Wish::default(),
            Some(Said::Body(json)) => Wish::of_body(json)?,
            Some(Said::Header(text)) => Wish::of_header(text)?,
        };
        Ok((scan, options, wish))
    }

    /// lookup: is the answer there already? In the world it is judged in.
    async fn lookup(&self, asked: &Asked) -> Result<(Arc<World>, Found), ApiError> {
        let (node, wish, now) = (&self.node, &asked.wish, asked.now);
        let world = node.world.load_full();
        let found = look(&Question { node, world: &world, ask: asked.ask(), wish, now }).await?;
        Ok((world, found))
    }

    /// route: the ordered, explained, bounded list of attempts.
    fn route(&self, asked: &Asked) -> Result<(Arc<World>, Plan), ApiError> {
        let mut router = self.node.router.lock();
        // Under the router's lock, as a reload swaps it: a plan and its world are of one piece.
        let world = self.node.world.load_full();
        let plan = router.plan(&world.routing(&asked.call.tenant), &asked.ask(), asked.now)?;
        Ok((world, plan))
    }

    /// From here on the request has a place of its own; `admit` decides on it (admission.rs).
    fn turn(
        &self,
        asked: Asked,
        (world, plan, looked): (Arc<World>, Plan, Looked),
    ) -> Result<Turn, ApiError> {
        let Asked { id, now, call, in_use, scan, options, told, .. } = asked;
        Ok(Turn {
            node: Arc::clone(&self.node),
            home: Arc::clone(self.node.home()?),
            world,
            id,
            tenant: call.tenant,
            key: call.key,
            door: call.door,
            body: call.body,
            scan,
            options,
            dropped: told.dropped,
            passed: told.passed,
            plan,
            looked,
            now,
            received: call.received,
            read_timeout_ms: call.read_timeout_ms,
            retry_count: call.retry_count,
            problem: call.problem,
            in_use,
        })
    }

    /// dispatch: walks the plan, keeps a silent stream's client company. What a client that leaves
    /// has begun is billed all the same: it is heard out, to its usage, by nobody else. `None`
    /// where as many are being heard out as this node allows, or it takes too long.
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
        let left = AtomicBool::new(false);
        let (longest, mut drain) = (Duration::from_millis(config.drain_ms), None);
        let dispatched = {
            let walk = dispatch::walk(settling, &left);
            tokio::pin!(walk);
            loop {
                let until = drain.as_ref().map(|(_, until)| *until);
                tokio::select! {
                    biased;
                    dispatched = &mut walk => break dispatched,
                    () = outbox.until_gone(), if drain.is_none() => {
                        let Some(permit) = turn.drain() else { return Ok(None) };
                        left.store(true, Ordering::Release);
                        comment = None;
                        drain = Some((permit, Instant::now() + longest));
                    }
                    () = at(until), if until.is_some() => return Ok(None),
                    () = self.node.until_closed(), if until.is_some() => return Ok(None),
                    () = at(comment), if comment.is_some() => {
                        outbox.head(stream_head(early.clone().unwrap_or_default()));
                        outbox.comment(KEEPALIVE);
                        comment = Some(Instant::now() + Duration::from_millis(config.keepalive_ms));
                    }
                }
            }
        };
        settling.disconnected |= left.into_inner();
        dispatched.map(Some)
    }

    /// settle: the whole answer, priced, with its metadata, in one write.
    async fn settle(&self, mut settling: Settling, whole: Whole, outbox: &Outbox) {
        let Whole { served, answer, warnings } = whole;
        let used = Used {
            reported: answer.reported.filter(|_| !answer.usage_fault),
            absurd: answer.usage_absurd,
            text_bytes: answer.text_bytes,
            service_tier: answer.service_tier.clone(),
        };
        let settled = settling.settle(&served, &used, self.node.clock.now());
        if let Some(mark) = settled.mark {
            settling.turn.durable(mark).await;
        }
        let kind = answer.content_type().to_owned();
        let body = answer.seal(&Seal {
            metadata: &settled.metadata,
            metadata_again: &settled.metadata,
            cost: settled.cost,
            usage: &settled.usage,
        });
        let mut headers = headers(&settling, Some(&served), &warnings, Some(settled.cost));
        headers.push(("content-type", kind));
        let copy = settling.shelve.is_some().then(|| body.clone());
        outbox.head(Head { status: 200, headers, body: Some(body) });
        keep(&mut settling, &served, copy, &settled);
    }

    /// No attempt answered: a refusal, or an error frame where the head has already left.
    async fn give_up(&self, mut settling: Settling, error: &ApiError, outbox: &Outbox) {
        self.node.traffic.refused(&settling.turn.tenant, error.code);
        let id = settling.turn.id;
        if let Some(mark) = settling.release(error.status(), self.node.clock.now()) {
            settling.turn.durable(mark).await;
        }
        if outbox.headed() {
            let mut object = Vec::new();
            error.write(&mut object, id);
            outbox.last(&ChatStream::error_frame(&object, None));
            return;
        }
        let mut head = refusal(error, id, settling.turn.problem);
        let own = headers(&settling, None, &[], None);
        head.headers.extend(own.into_iter().filter(|(name, _)| *name == "x-p402-attempts"));
        guard_headers(&settling, &mut head.headers);
        outbox.head(head);
    }

    /// The body of `GET /requests/{id}`, to the tenant that made the request, as far as this node
    /// remembers it.
    pub fn look_up(&self, tenant: &str, id: &str) -> Option<Vec<u8>> {
        let id = RequestId::parse(id)?;
        self.node.records.lock().get(id, tenant).map(crate::records::Row::to_json)
    }
}

/// What came by a foreign door goes on as a chat, and its answer is told back.
fn enter(mut call: Call, outbox: &Outbox) -> Result<(Call, Told), ApiError> {
    let Some(entered) = call.door.enter(&call.body)? else { return Ok((call, Told::default())) };
    let own = std::mem::replace(&mut call.body, Bytes::from(entered.body));
    if let Some(reply) = entered.reply {
        outbox.retell(reply);
    }
    let passed = call.door.passes_to().map(|_| own);
    Ok((call, Told { dropped: entered.dropped, passed }))
}

/// What the ledger knows an API key by.
pub fn key_hash(key: &[u8]) -> u64 {
    (first_bytes(key) >> 64) as u64
}

/// The first sixteen bytes of SHA-256.
fn first_bytes(text: impl AsRef<[u8]>) -> u128 {
    let digest = digest(&SHA256, text.as_ref());
    digest.as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
