//! Decides how one operation reaches a tenant's account and what is owed where it did not.
//! Does not decide what a request may do meanwhile: that is the gateway's outage policy.

use super::address::Tag;
use super::fleet::Fleet;
use super::link::Failure;
use super::mend::warn;
use super::owed::Owed;
use super::peers::{HEARD_MAX, Peers, Word};
use super::recovery::Recoveries;
use super::seats::Seats;
use super::server::{Heard, Question, Sent, Ways};
use super::wire::Call;
use super::{Counters, Options, Tell, Truth};
use crate::store::{Answer, StoreError, Tenant};
use ::redis::{FromRedisValue, Pipeline};
use p402_core::guard::{Code, Fence, Limits, Op, Reply};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A server that is asked is the owner of the slot or says who is: one redirect.
const HOPS_MAX: usize = 2;
/// Times that one trip is made because its account was recovered.
const ROUNDS_MAX: usize = 3;
/// The home's inside, shared by its trips and its background.
pub(super) struct Home {
    pub(super) node: u32,
    seed: u64,
    counted: AtomicU64,
    /// Names the keys that belong to no tenant.
    pub(super) commons: Tag,
    pub(super) ways: Arc<Ways>,
    pub(super) fleet: Fleet,
    pub(super) seats: Seats,
    pub(super) peers: Peers,
    pub(super) recoveries: Recoveries,
    pub(super) truth: Arc<dyn Truth>,
    pub(super) counters: Counters,
    pub(super) owed: Owed,
    seed_deadline: Duration,
    pub(super) tell: Tell,
    /// The store belongs to nodes with another ledger: it is not asked.
    pub(super) foreign: AtomicBool,
    /// Words of other nodes, until somebody listens.
    heard: Mutex<Option<mpsc::Receiver<Word>>>,
}

/// One operation on its way.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) tenant: Arc<str>,
    pub(super) tag: Tag,
    pub(super) limits: Limits,
    pub(super) call: Call,
    pub(super) kind: Kind,
}

/// What an unanswered call leaves behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may have been admitted: to be released.
    Admit(RequestId, u32),
    /// To be said again; whether something was spent.
    Settle(RequestId, bool),
    /// May not be said twice.
    Adjust,
    Other,
}

impl Asked {
    pub(super) fn new(tenant: &Tenant<'_>, op: Op<'_>) -> Self {
        let (tag, id) = (Tag::of(tenant.id), tenant.id.into());
        Self::of(tag, id, tenant.limits, op)
    }

    pub(super) fn of(tag: Tag, tenant: Arc<str>, limits: &Limits, op: Op<'_>) -> Self {
        let kind = match op {
            Op::Admit(claim) => Kind::Admit(claim.rid, claim.owner),
            Op::Settle { rid, actual, .. } => Kind::Settle(rid, actual > Usd::ZERO),
            Op::Adjust { .. } => Kind::Adjust,
            Op::Extend { .. } | Op::Renew(_) => Kind::Other,
        };
        let call = Call::new(&OPEN_FENCE, op, limits);
        Self { tenant, tag, limits: *limits, call, kind }
    }

    /// About an account, for those who do not know what will be asked of it.
    pub(super) fn about(tag: Tag, tenant: Arc<str>, limits: &Limits) -> Self {
        Self::of(tag, tenant, limits, Op::Renew(&[]))
    }

    /// Another operation on the same account.
    pub(super) fn another(&self, op: Op<'_>) -> Call {
        Call::new(&OPEN_FENCE, op, &self.limits)
    }
}

/// The fence of a call that is not sent yet.
const OPEN_FENCE: Fence = Fence { epoch: 0, version: 0, deadline: None };

impl Home {
    pub(super) fn new(options: Options) -> Result<Arc<Self>, String> {
        let (words, heard) = mpsc::channel(HEARD_MAX);
        let (warned, told) = (Mutex::new(Vec::new()), options.tell.clone());
        let ways = Arc::new(Ways {
            deadline: options.deadline,
            wait_replicas: options.wait_replicas,
            hear: Arc::new(move |text| {
                // A word that finds no room is said again by the one who waits for an answer.
                let _ = Word::read(text).map(|word| words.try_send(word));
            }),
            greeted: Box::new(move |greeting| warn(greeting, &warned, &told)),
            started: Instant::now(),
        });
        Ok(Arc::new(Self {
            node: options.node,
            seed: getrandom::u64().map_err(|_| "no randomness for the ids of slices")?,
            counted: AtomicU64::new(0),
            commons: Tag::of(""),
            fleet: Fleet::new(options.address, ways.clone()),
            ways,
            seats: Seats::default(),
            peers: Peers::new(),
            recoveries: Recoveries::default(),
            truth: options.truth,
            counters: Counters::default(),
            owed: Owed::default(),
            seed_deadline: options.seed_deadline,
            tell: options.tell,
            foreign: AtomicBool::new(false),
            heard: Mutex::new(Some(heard)),
        }))
    }

    /// Starts the home's background, once.
    pub(super) fn begin(self: &Arc<Self>) {
        if let Some(heard) = self.heard.lock().take() {
            tokio::spawn(Self::tend(Arc::downgrade(self)));
            tokio::spawn(Self::listen(Arc::downgrade(self), heard));
        }
    }

    /// One operation, as the store's trait wants it.
    pub(super) async fn trip(self: &Arc<Self>, asked: &Asked) -> Answer {
        if let Kind::Admit(rid, _) = asked.kind {
            self.owed.forget(rid);
        }
        let first = self.seats.generation(&asked.tag);
        for _ in 0..ROUNDS_MAX {
            let generation = self.seats.generation(&asked.tag);
            let (reply, again) = self.tried(asked).await?;
            if matches!(reply.code, Code::Recover | Code::Cold) {
                let cold = u64::from(reply.code == Code::Cold);
                self.counters.cold.fetch_add(cold, Ordering::Relaxed);
                if !self.recovered(asked, Instant::now() + self.seed_deadline).await {
                    return Err(StoreError::Unseeded);
                }
            } else if asked.kind == Kind::Adjust || self.seats.generation(&asked.tag) == generation
            {
                let spent = matches!(asked.kind, Kind::Settle(_, true));
                if spent && reply.code == Code::Unknown && generation == first && !again {
                    // Settled before, lapsed, or recovered without this node: the ledger has it.
                    self.seats.doubt(&asked.tag);
                }
                return Ok(reply);
            }
            if asked.kind == Kind::Adjust {
                // Its row was in the ledger that the account has just been read from.
                let call = asked.another(Op::Renew(&[]));
                let known = Asked { call, kind: Kind::Other, ..asked.clone() };
                return self.tried(&known).await.map(|(reply, _)| reply);
            }
            // Recovered, or recovered while this was under way: asked again, which is idempotent.
        }
        Err(StoreError::Unseeded)
    }

    /// The same for the home's own operations on a tenant it knows.
    pub(super) async fn call(self: &Arc<Self>, tag: &Tag, op: Op<'_>) -> Option<Answer> {
        let (tenant, limits) = self.seats.with(tag, |seat| (seat.tenant.clone(), seat.limits))?;
        Some(self.trip(&Asked::of(tag.clone(), tenant, &limits, op)).await)
    }

    /// One trip within one deadline; whether it may have been executed once before.
    async fn tried(self: &Arc<Self>, asked: &Asked) -> Result<(Reply, bool), StoreError> {
        if self.foreign.load(Ordering::Relaxed) {
            return Err(StoreError::Away);
        }
        let now = self.ways.ticks();
        let mut question = Question::new(asked.tag.clone(), asked.call.clone());
        question.repeats = asked.kind != Kind::Adjust;
        question.version = self.seats.enter(&asked.tag, &asked.tenant, &asked.limits, now);
        let until = Instant::now() + self.ways.deadline;
        let mut answer = self.ask(&mut question, until).await;
        if matches!(&answer, Ok(reply) if reply.code == Code::Late) {
            // Not late by our clock: its own was set. The reply has taught us what it shows now.
            answer = self.ask(&mut question, until).await;
        }
        match answer {
            Ok(reply) if reply.code != Code::Late => {
                self.answered(asked, &reply).await;
                Ok((reply, question.sent == Sent::Again))
            }
            Ok(_) => {
                self.note_debt(asked, question.sent != Sent::No);
                Err(StoreError::Late)
            }
            Err(failure) => {
                self.note_debt(asked, question.sent != Sent::No);
                Err(failure.into())
            }
        }
    }

    /// Asks the server that has the account.
    pub(super) async fn ask(
        self: &Arc<Self>,
        question: &mut Question,
        until: Instant,
    ) -> Result<Reply, Failure> {
        let heard = self.hear(question, until).await?;
        Reply::decode(&heard.bytes).map_err(|_| Failure::Garbled)
    }

    /// The same, unread.
    pub(super) async fn hear(
        self: &Arc<Self>,
        question: &mut Question,
        until: Instant,
    ) -> Result<Heard, Failure> {
        let mut server = self.fleet.of(&question.tag).ok_or(Failure::Refused)?;
        for hop in 1.. {
            let (heard, opened) = server.ask(question, until).await;
            if opened {
                let why = heard.as_ref().err().map(ToString::to_string);
                self.watch(server.clone(), &question.tag, &why.unwrap_or_default());
            }
            let redirected = match &heard {
                Err(Failure::Moved(place)) => self.fleet.named(&question.tag, place, true),
                Err(Failure::Ask(place)) => self.fleet.named(&question.tag, place, false),
                _ => None,
            };
            question.asking = matches!(heard, Err(Failure::Ask(_)));
            match redirected {
                Some(other) if hop < HOPS_MAX => server = other,
                _ => return heard,
            }
        }
        Err(Failure::Open)
    }

    /// Other commands on the server that has this tenant's keys; the last one's answer.
    pub(super) async fn on<T: FromRedisValue>(
        self: &Arc<Self>,
        tag: &Tag,
        commands: Pipeline,
    ) -> Result<T, Failure> {
        let server = self.fleet.of(tag).ok_or(Failure::Refused)?;
        let answer = match server.pipeline(commands.clone()).await {
            Err(Failure::Moved(place)) => {
                let owner = self.fleet.named(tag, &place, true).ok_or(Failure::Garbled)?;
                owner.pipeline(commands).await
            }
            Err(Failure::Ask(place)) => {
                let heir = self.fleet.named(tag, &place, false).ok_or(Failure::Garbled)?;
                heir.pipeline(asking(&commands)).await
            }
            answer => answer,
        };
        T::from_redis_value(answer?).map_err(|_| Failure::Garbled)
    }

    /// The clock of the server that has this tenant's account.
    pub(super) fn instant(&self, tag: &Tag) -> Option<Timestamp> {
        self.fleet.of(tag)?.instant()
    }

    pub(super) fn draw_id(&self) -> RequestId {
        let now = self.instant(&self.commons).unwrap_or_default();
        RequestId::draw(now, self.seed, self.count())
    }

    pub(super) fn count(&self) -> u64 {
        self.counted.fetch_add(1, Ordering::Relaxed)
    }

    /// A settlement to be said as soon as the store is healthy.
    pub(super) fn owe(self: &Arc<Self>, asked: &Asked) {
        self.note_debt(asked, false);
        self.pay_soon();
    }

    /// Gives every slice back and says what is owed.
    pub(super) async fn leave(self: &Arc<Self>) {
        for tag in self.seats.active(self.ways.ticks()) {
            self.give_back(&tag).await;
        }
        self.pay().await;
        self.reread_doubted().await;
    }
}

/// The same commands for a server that does not own their slot yet: each has to be asked for.
fn asking(commands: &Pipeline) -> Pipeline {
    let mut asking = ::redis::pipe();
    for command in commands.cmd_iter() {
        asking.cmd("ASKING").add_command(command.clone());
    }
    asking
}
