//! Is one gateway process: the world of the moment, what moves between requests, and its life.
//! Does not serve a request (gateway.rs).

use crate::checks::Checks;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::embed::Embedder;
use crate::emit::{Emit, Event};
use crate::flights::Flights;
use crate::hatch;
use crate::heir;
use crate::holds::Holds;
use crate::home::Home;
use crate::meter::{Meter, count};
use crate::pace::Pace;
use crate::pooling::{self, Errand};
use crate::records::Records;
use crate::rids::Rids;
use crate::store::Tenant;
use crate::thoughts::Thoughts;
use crate::traffic::Traffic;
use crate::transport::Transport;
use crate::watch::Watches;
use crate::world::World;
use arc_swap::ArcSwap;
use p402_core::guard::{Fate, Op, RENEW_MAX};
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, Code, ledger_unavailable, shutting_down};
use p402_core::route::Router;
use p402_core::time::{Now, Ticks};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// Requests in flight on one node; beyond it a request is told to come back (503 `overloaded`).
pub const IN_FLIGHT_MAX: usize = 8_192;
/// Answers of a node that are being stored; beyond, one is dropped and counted.
const KEEPING_MAX: usize = 1_024;
/// Of them, those that are with the encoder at once.
const EMBEDDING_MAX: usize = 2;
/// The answers are written to disk this often, where they have changed.
const SAVE_EVERY: Duration = Duration::from_mins(1);
/// Longest wait for a store that this node takes its leave of.
const LEAVE_MAX: Duration = Duration::from_millis(500);
/// Dry runs of one tenant in a second (routing.md § 2.3).
pub const DRY_RUNS_PER_S: i64 = 10;
/// Leases are renewed this often; a hold that is younger needs none yet.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Holds of nodes that do not come back are looked for once in so many renewals.
const ADOPT_EVERY: u64 = 120;

/// One gateway process: the world, the moving state of routing, and the ways out.
pub struct Node {
    pub world: ArcSwap<World>,
    pub router: Mutex<Router>,
    pub records: Mutex<Records>,
    /// What clients may fail to send back.
    pub thoughts: Thoughts,
    pub emit: Emit,
    pub transport: Box<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    /// What outlives requests; a gateway that only explains has none.
    pub home: Option<Arc<Home>>,
    pub holds: Holds,
    /// Where questions about the past are answered.
    pub desk: Desk,
    /// Of dry runs.
    pub pace: Pace,
    pub watches: Watches,
    pub rids: Arc<Rids>,
    pub meter: Arc<Meter>,
    pub traffic: Traffic,
    /// The store did not answer when it was last asked.
    pub adrift: AtomicBool,
    /// Streams being read to their usage after their client left.
    pub drains: Arc<Semaphore>,
    /// Makes the vectors of questions; without one nothing is found by its meaning.
    pub embedder: OnceLock<Box<dyn Embedder>>,
    /// Equal requests that wait for one of them.
    pub flights: Arc<Flights>,
    /// Hits that are checked, and what that has shown.
    pub checks: Checks,
    /// Answers that are being stored.
    pub keeping: Arc<Semaphore>,
    /// Those of them that use the encoder: most of it is for lookups.
    pub embedding: Semaphore,
    pub in_flight: AtomicUsize,
    idle: Notify,
    pub draining: AtomicBool,
    /// Told when the drain time is over: open streams end with an error frame.
    pub closing: Notify,
    pub closed: AtomicBool,
    id_seed: u64,
    id_count: AtomicU64,
}

/// Counts a call in and, whatever happens to it, out.
pub struct InFlight(Arc<Node>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Node {
    pub fn new(
        world: World,
        transport: Box<dyn Transport>,
        clock: Arc<dyn Clock>,
        home: Option<Arc<Home>>,
    ) -> Self {
        let router = Router::new(&world.config.routing, &world.config.timeouts);
        let records = Records::new(world.config.limits.requests_kept);
        let drains = Arc::new(Semaphore::new(world.config.stream.drain_max));
        Self {
            router: Mutex::new(router),
            records: Mutex::new(records),
            thoughts: Thoughts::default(),
            world: ArcSwap::from_pointee(world),
            emit: Emit::default(),
            transport,
            clock,
            home,
            holds: Holds::default(),
            desk: Desk::default(),
            pace: Pace::per_second(DRY_RUNS_PER_S),
            watches: Watches::default(),
            rids: Arc::default(),
            meter: Arc::default(),
            traffic: Traffic::default(),
            adrift: AtomicBool::new(false),
            drains,
            embedder: OnceLock::new(),
            flights: Arc::default(),
            checks: Checks::default(),
            keeping: Arc::new(Semaphore::new(KEEPING_MAX)),
            embedding: Semaphore::new(EMBEDDING_MAX),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            draining: AtomicBool::new(false),
            closing: Notify::new(),
            closed: AtomicBool::new(false),
            id_seed: getrandom::u64().unwrap_or_default(),
            id_count: AtomicU64::new(0),
        }
    }

    /// Answers that are being stored.
    pub fn being_kept(&self) -> usize {
        KEEPING_MAX.saturating_sub(self.keeping.available_permits())
    }

    /// Where accounts and the ledger are.
    pub fn home(&self) -> Result<&Arc<Home>, ApiError> {
        self.home.as_ref().ok_or_else(ledger_unavailable)
    }

    pub fn enter(self: &Arc<Self>) -> Result<InFlight, ApiError> {
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let guard = InFlight(Arc::clone(self));
        if self.draining.load(Ordering::Acquire) {
            return Err(shutting_down());
        }
        if before >= IN_FLIGHT_MAX {
            let text = "this gateway serves as many requests as it can hold";
            return Err(ApiError::new(Code::Overloaded, text).with_retry_after_ms(1_000));
        }
        Ok(guard)
    }

    /// 48 bits of time, 80 of a keyed counter: unique on this node, not guessable from outside.
    pub fn request_id(&self, now: Now) -> RequestId {
        let count = self.id_count.fetch_add(1, Ordering::Relaxed);
        RequestId::draw(now.utc, self.id_seed, count)
    }

    /// Swaps in a new world; requests on their way keep the one they began with.
    pub fn reload(&self, world: World) {
        let old = self.world.load_full();
        let mut router = self.router.lock();
        router.swap(&old.catalog, &world.catalog);
        self.world.store(Arc::new(world));
    }

    /// What a lane does beside its requests, for as long as it lives: renews the leases of all
    /// that are open, one call per tenant.
    pub async fn tend(self: Arc<Self>) {
        if let Some(home) = &self.home {
            home.store.begin();
            tokio::spawn(Arc::clone(&self).remember());
            tokio::spawn(Arc::clone(&self).pool());
            let clock = Arc::clone(&self.clock);
            let now = Arc::new(move || clock.now().utc);
            tokio::spawn(Arc::clone(&home.answers).follow(now));
            let (world, now) = (self.world.load_full(), self.clock.now().utc);
            let (home, meter) = (Arc::clone(home), Arc::clone(&self.meter));
            let hatch_home = Arc::clone(&home);
            tokio::spawn(async move { heir::take_up(&home, &world, &meter, now).await });
            let (node, clock) = (Arc::clone(&self), Arc::clone(&self.clock));
            let world = move || node.world.load_full();
            tokio::spawn(hatch::keep(hatch_home, world, clock));
        }
        let mut tick = tokio::time::interval(RENEW_EVERY);
        for ticks in 1_u64.. {
            tick.tick().await;
            self.renew().await;
            if let Some(home) = self.home.as_ref().filter(|_| ticks.is_multiple_of(ADOPT_EVERY)) {
                heir::adopt(home, &self.world.load_full(), self.clock.now().utc).await;
            }
        }
    }

    /// Reads the answers of the last life back, then writes them down now and then.
    async fn remember(self: Arc<Self>) {
        let Some(home) = &self.home else { return };
        let (answers, now) = (Arc::clone(&home.answers), self.clock.now().utc);
        let restored = tokio::task::spawn_blocking(move || answers.restore(now)).await;
        if let Ok(Err(why)) = restored {
            self.emit.push(Event::CacheSnapshot(why));
        }
        let mut tick = tokio::time::interval(SAVE_EVERY);
        tick.tick().await;
        loop {
            tick.tick().await;
            self.save_answers().await;
        }
    }

    async fn save_answers(&self) {
        let Some(home) = &self.home else { return };
        let answers = Arc::clone(&home.answers);
        let saved = tokio::task::spawn_blocking(move || answers.save()).await;
        if let Ok(Err(error)) = saved {
            self.emit.push(Event::CacheSnapshot(format!("is not written: {error}")));
        }
    }

    /// Brings what is usual for each tenant to and from whoever else should know it: at once for
    /// one who comes, else beside the renewals.
    async fn pool(self: Arc<Self>) {
        let mut tick = tokio::time::interval(RENEW_EVERY);
        let mut ticks = 0_u64;
        loop {
            let errand = tokio::select! {
                () = self.watches.newcomers.notified() => Errand::Recall,
                _ = tick.tick() => {
                    ticks += 1;
                    let inherits = ticks.is_multiple_of(ADOPT_EVERY);
                    if inherits { Errand::Inherit } else { Errand::Exchange }
                }
            };
            self.share_usual(errand).await;
        }
    }

    async fn share_usual(&self, errand: Errand) {
        let Some(home) = &self.home else { return };
        let (world, now) = (self.world.load_full(), self.clock.now().utc);
        pooling::share(home, &self.watches, &world, (errand, now)).await;
    }

    async fn renew(&self) {
        let Some(home) = &self.home else { return };
        let now = self.clock.now();
        let every_us = u64::try_from(RENEW_EVERY.as_micros()).unwrap_or(u64::MAX);
        let before = Ticks::from_micros(now.ticks.micros().saturating_sub(every_us));
        let world = self.world.load_full();
        for (id, rids) in self.holds.older_than(before) {
            let tenant = Tenant { id: &id, limits: &world.tenant(&id).limits };
            for batch in rids.chunks(RENEW_MAX) {
                if self.adrift.load(Ordering::Acquire) {
                    let _renewed = home.local.apply(&tenant, Op::Renew(batch), now.utc);
                }
                let answer = home.store.call(&tenant, Op::Renew(batch), now.utc).answer().await;
                let fates = answer.map(|reply| reply.fates).unwrap_or_default();
                for (rid, fate) in batch.iter().zip(fates) {
                    match fate {
                        Fate::Retaken => count(&self.meter.slots_retaken),
                        // It runs here, and the account does not hold it.
                        Fate::Unknown if self.holds.has(*rid) => home.store.doubt(&tenant),
                        Fate::Unknown | Fate::Renewed => {}
                    }
                }
            }
        }
    }

    /// Refuses new work, waits for what is open, then ends the rest with an error frame.
    pub async fn drain(&self, wait: Duration) {
        self.draining.store(true, Ordering::Release);
        if !self.until_idle(wait).await {
            self.closed.store(true, Ordering::Release);
            self.closing.notify_waiters();
            self.until_idle(Duration::from_secs(1)).await;
        }
        if let Some(home) = &self.home {
            // A store that does not answer any more must not hold up the end.
            let parting = async {
                tokio::join!(home.store.leave(), self.share_usual(Errand::Exchange));
            };
            let _left = tokio::time::timeout(LEAVE_MAX, parting).await;
            self.save_answers().await;
        }
    }

    /// What the operator should hear since the last call, as lines, and how many were dropped.
    pub fn events(&self) -> (Vec<String>, u64) {
        let (events, dropped) = self.emit.take();
        let notices = self.home.as_ref().map(|home| home.notices()).unwrap_or_default();
        let fault = self.embedder.get().and_then(|embedder| embedder.fault());
        let fault = fault.map(|error| format!("cache_encoder off: {error}"));
        let lines = events.iter().map(ToString::to_string).chain(fault);
        (lines.chain(notices.iter().map(ToString::to_string)).collect(), dropped)
    }

    /// Returns once open work has to end.
    pub async fn until_closed(&self) {
        let closing = self.closing.notified();
        if !self.closed.load(Ordering::Acquire) {
            closing.await;
        }
    }

    async fn until_idle(&self, wait: Duration) -> bool {
        let idle = async {
            loop {
                let notified = self.idle.notified();
                if self.in_flight.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(wait, idle).await.is_ok()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
