//! Joins the stages: read, lookup, route, admit, dispatch, settle, in this order, on one screen.
//! Does not know what front it serves: a call comes in, a reply goes out through an `Outbox`.

use crate::admission::admit;
use crate::clock::Clock;
use crate::company::{Unanswered, accompany};
use crate::dispatch::{Dispatched, Whole};
use crate::heads::{guard_headers, headers, refusal, stream_head};
use crate::hit;
use crate::home::Home;
use crate::inquiry::stand;
use crate::keeping::keep;
use crate::looked::Looked;
use crate::lookup::{Found, Question, look};
use crate::node::Node;
use crate::outbox::{Head, Outbox};
use crate::pump::Pump;
use crate::rids::{InUse, Seen};
use crate::settling::Settling;
use crate::transport::Transport;
use crate::turn::{Turn, Used};
use crate::world::World;
use bytes::Bytes;
use p402_core::cache::wish::Wish;
use p402_core::dialect::openai::{ChatStream, Seal};
use p402_core::door::{Door, customs};
use p402_core::envelope::{Scan, scan};
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, idempotency_conflict, request_in_progress, shutting_down};
use p402_core::route::{Ask, Options, Plan, Said};
use p402_core::time::{Now, Ticks};
use ring::digest::{SHA256, digest};
use std::sync::Arc;

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
    /// The gateway's own, to check an answer of the cache.
    pub shadow: bool,
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

/// A line dropped half-way, since its lane has stopped, owes its client a reply all the same.
struct Owed<'a> {
    outbox: &'a Outbox,
    id: RequestId,
    problem: bool,
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if !self.outbox.ended() {
            // Nobody knows any more whether something was sent.
            let error = shutting_down().with_should_retry(false);
            self.outbox.head(refusal(&error, self.id, self.problem));
            self.outbox.end();
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
        let _owed = Owed { outbox: &outbox, id: minted, problem };
        let (id, in_use) = match self.name(&call, minted, now).await {
            Ok((id, in_use)) => (id, Ok(in_use)),
            Err(error) => (minted, Err(error)),
        };
        let mut looked = Looked::OFF;
        let outcome = match in_use {
            Ok(in_use) => self.line((id, in_use), call, (now, &mut looked), &outbox).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            self.node.traffic.refused(&tenant, error.code);
            let mut head = refusal(&error, id, problem);
            head.headers.push(("x-p402-cache", looked.word().to_owned()));
            stand(&self.node, &tenant, &mut head.headers, now);
            outbox.head(head);
        }
    }

    async fn line(
        &self,
        (id, in_use): (RequestId, Option<InUse>),
        call: Call,
        (now, seen): (Now, &mut Looked),
        outbox: &Arc<Outbox>,
    ) -> Result<(), ApiError> {
        let _in_flight = self.node.enter()?;
        let (call, told) = enter(call, outbox)?;
        let (scan, options, wish) = Self::read(&call)?;
        if let Some(customs) = scan.own_tools.then(|| customs(&call.body)).flatten() {
            outbox.retell_first(customs);
        }
        let asked = Asked { id, now, call, in_use, scan, options, wish, told };
        let (looked, shelve) = match self.lookup(&asked).await? {
            (world, Found::Hit(mut hit, plan)) => {
                let doubt = hit.doubt.take();
                let turn = Arc::new(self.turn(asked, (world, *plan, Looked::OFF))?);
                hit::serve(turn, &hit, outbox).await?;
                if let Some(doubt) = doubt {
                    self.node.checks.wonder(doubt);
                }
                return Ok(());
            }
            (_, Found::Missed(looked, shelve)) => (looked, shelve),
        };
        // Whatever ends it from here on says so, too.
        *seen = looked;
        let (world, plan) = self.route(&asked)?;
        let turn = Arc::new(self.turn(asked, (world, plan, looked))?);
        let mut settling = admit(turn).await?;
        settling.shelve = shelve;
        match accompany(&mut settling, outbox).await {
            Ok(Dispatched::Whole(whole)) => self.settle(settling, *whole, outbox).await,
            Ok(Dispatched::Streaming { served, begun, warnings }) => {
                outbox.head(stream_head(headers(&settling, Some(&served), &warnings, None)));
                Pump::new(served, begun, settling, Arc::clone(outbox)).run().await;
            }
            Err(Unanswered::Unheard) => settling.abandon(self.node.clock.now()),
            Err(Unanswered::Failed(error)) => self.give_up(settling, &error, outbox).await,
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
        let (ask, api_key) = (asked.ask(), asked.call.key);
        let found = look(&Question { node, world: &world, ask, api_key, wish, now }).await?;
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
            shadow: call.shadow,
            in_use,
        })
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
        let now = self.node.clock.now();
        if let Some(mark) = settling.give_up(error.code.name(), error.status(), now) {
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
        let told = ["x-p402-attempts", "x-p402-cache"];
        head.headers.extend(own.into_iter().filter(|(name, _)| told.contains(name)));
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
