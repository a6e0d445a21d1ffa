//! Nodes of a gateway around one store: each with its own journal, all with one ledger, one bill.
//! Does not speak HTTP; the provider's bill is kept here, apart from every counter under test.

use p402_core::guard::{Claim, Code, Kind, Limits, Op, Open, Reply, Slice, Told};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use p402_io::clock::{Clock, SystemClock};
use p402_io::store::redis::address::Address;
use p402_io::store::redis::{Balances, Notice, Options, Promise, Redis, Truth, Unread};
use p402_io::store::{Answer, Store, StoreError, Tenant};
use p402_io::trust::Trust;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const TENANT: &str = "acme";
/// The deadline of a trip, and what the promise adds for timers.
pub(crate) const DEADLINE: Duration = Duration::from_millis(10);
pub(crate) const ADDED_MAX: Duration = Duration::from_millis(12);
/// Where it is under test what is decided, not how fast: a process that waits for its turn on a
/// busy machine is not away. A server that stands still costs three of these, once a node.
pub(crate) const PATIENT: Duration = Duration::from_millis(400);
/// The same for an account that is read anew; no recovery may last longer.
pub(crate) const PATIENT_SEED: Duration = Duration::from_secs(2);

/// A row of the ledger, as far as recovery reads it.
#[derive(Clone, Copy)]
enum Row {
    Dispatch {
        rid: RequestId,
        day: Day,
        held: Usd,
        owner: u32,
    },
    Slice {
        slice: Slice,
        owner: u32,
    },
    /// A release is one at zero.
    Settle {
        rid: RequestId,
        actual: Usd,
    },
}

/// The ledger that all nodes share.
#[derive(Default)]
pub(crate) struct Ledger {
    rows: Mutex<Vec<Row>>,
}

/// One node's journal before the ledger.
pub(crate) struct Journal {
    node: u32,
    ledger: Arc<Ledger>,
    tail: Mutex<Vec<Row>>,
    /// Whoever has it holds up the node's flushes: as if it were frozen there.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// The shared ledger does not take this node's rows.
    pub(crate) shut: AtomicBool,
}

/// The provider's own bill.
#[derive(Default)]
pub(crate) struct Bill {
    pub(crate) total: AtomicI64,
}

pub(crate) struct Node {
    pub(crate) store: Redis,
    pub(crate) journal: Arc<Journal>,
    pub(crate) limits: Limits,
    pub(crate) notices: Arc<Mutex<Vec<Notice>>>,
    bill: Arc<Bill>,
    number: u32,
    clock: SystemClock,
    count: AtomicU64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Served,
    /// Served on the slice.
    Drawn,
    Refused(Code),
    /// Neither the store nor the slice.
    Unavailable(StoreError),
}

/// All that a rig is made of.
pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) bill: Arc<Bill>,
    pub(crate) wait_replicas: u32,
    pub(crate) deadline: Duration,
    pub(crate) seed_deadline: Duration,
    pub(crate) trust: Trust,
}

impl World {
    /// With the deadline of the product.
    pub(crate) fn new() -> Self {
        Self {
            ledger: Arc::default(),
            bill: Arc::default(),
            wait_replicas: 0,
            deadline: DEADLINE,
            seed_deadline: Duration::from_millis(250),
            trust: Trust::default(),
        }
    }

    /// With time to spare.
    pub(crate) fn patient() -> Self {
        Self { deadline: PATIENT, seed_deadline: PATIENT_SEED, ..Self::new() }
    }

    pub(crate) async fn node(&self, url: &str, number: u32, limits: Limits) -> Node {
        let (ledger, tail) = (self.ledger.clone(), Mutex::default());
        let (gate, shut) = (tokio::sync::Mutex::default(), AtomicBool::default());
        let journal = Arc::new(Journal { node: number, ledger, tail, gate, shut });
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = notices.clone();
        let options = Options {
            address: Address::parse(url).unwrap().trusting(&self.trust).unwrap(),
            node: number,
            deadline: self.deadline,
            seed_deadline: self.seed_deadline,
            wait_replicas: self.wait_replicas,
            truth: journal.clone(),
            tell: Arc::new(move |notice| heard.lock().unwrap().push(notice.clone())),
        };
        let store = Redis::new(options).unwrap();
        store.greet().await.unwrap();
        store.begin();
        Node {
            store,
            journal,
            limits,
            notices,
            bill: self.bill.clone(),
            number,
            clock: SystemClock::default(),
            count: AtomicU64::new(0),
        }
    }

    pub(crate) fn billed(&self) -> i64 {
        self.bill.total.load(Ordering::SeqCst)
    }
}

impl Node {
    pub(crate) fn tenant(&self) -> Tenant<'_> {
        Tenant { id: TENANT, limits: &self.limits }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().utc
    }

    pub(crate) fn rid(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        RequestId::from_bits((u128::from(self.number) << 64) | u128::from(count) | (1 << 120))
    }

    pub(crate) async fn call(&self, op: Op<'_>) -> Answer {
        self.store.call(&self.tenant(), op, self.now()).answer().await
    }

    pub(crate) async fn admit(&self, rid: RequestId, nano: i64) -> Answer {
        let amount = Usd::from_nano(nano);
        let claim = Claim { rid, amount, owner: self.number, kind: Kind::Request };
        self.call(Op::Admit(claim)).await
    }

    pub(crate) async fn settle(&self, rid: RequestId, nano: i64) -> Answer {
        self.call(Op::Settle { rid, owner: self.number, actual: Usd::from_nano(nano) }).await
    }

    /// One request at this price, through the whole line; and how long its admission took.
    pub(crate) async fn request(&self, nano: i64) -> (End, Duration) {
        let (rid, began) = (self.rid(), Instant::now());
        let answer = self.admit(rid, nano).await;
        let generation = self.store.generation(&self.tenant());
        let took = began.elapsed();
        let held = Usd::from_nano(nano);
        match answer {
            Ok(Reply { code: Code::Done, .. }) => {
                self.journal.dispatch(rid, self.now().utc_day(), held);
                if self.store.generation(&self.tenant()) != generation {
                    // A recovery has passed: the reservation is void.
                    self.journal.settle(rid, Usd::ZERO);
                    let _ = self.settle(rid, 0).await;
                    return (End::Unavailable(StoreError::Unseeded), took);
                }
                self.bill.total.fetch_add(nano, Ordering::SeqCst);
                tokio::task::yield_now().await;
                self.journal.settle(rid, held);
                let _ = self.settle(rid, nano).await;
                (End::Served, took)
            }
            Ok(reply) => (End::Refused(reply.code), took),
            Err(error) => {
                if !self.store.draw(&self.tenant(), rid, held, self.now()) {
                    return (End::Unavailable(error), took);
                }
                self.journal.dispatch(rid, self.now().utc_day(), held);
                self.bill.total.fetch_add(nano, Ordering::SeqCst);
                self.journal.settle(rid, held);
                self.store.redeem(&self.tenant(), rid, held, self.now());
                (End::Drawn, took)
            }
        }
    }

    /// Whether it could go on without the store: its slice is leased and written down. (One nano
    /// is drawn and given back.)
    pub(crate) fn has_slice(&self) -> bool {
        let (tenant, rid) = (self.tenant(), self.rid());
        let has = self.store.draw(&tenant, rid, Usd::from_nano(1), self.now());
        if has {
            self.store.redeem(&tenant, rid, Usd::ZERO, self.now());
        }
        has
    }

    /// Waits until the store answers this node again.
    pub(crate) async fn back(&self, within: Duration) -> Duration {
        let began = Instant::now();
        while began.elapsed() < within {
            if self.call(Op::Renew(&[])).await.is_ok() {
                return began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not back within {within:?}: {:?}", self.notices.lock().unwrap());
    }

    pub(crate) fn lines(&self) -> Vec<Notice> {
        let notices = self.notices.lock().unwrap();
        notices.iter().filter(|notice| !matches!(notice, Notice::Setting(_))).cloned().collect()
    }
}

impl Journal {
    pub(crate) fn dispatch(&self, rid: RequestId, day: Day, held: Usd) {
        let owner = self.node;
        self.tail.lock().unwrap().push(Row::Dispatch { rid, day, held, owner });
    }
    pub(crate) fn settle(&self, rid: RequestId, actual: Usd) {
        self.tail.lock().unwrap().push(Row::Settle { rid, actual });
    }
}

impl Truth for Journal {
    fn uuid(&self) -> String {
        format!("{:p}", Arc::as_ptr(&self.ledger))
    }

    fn flush(&self) -> Promise<'_, ()> {
        Box::pin(async {
            let _open = self.gate.lock().await;
            if self.shut.load(Ordering::SeqCst) {
                return Err(Unread);
            }
            let rows = std::mem::take(&mut *self.tail.lock().unwrap());
            self.ledger.rows.lock().unwrap().extend(rows);
            Ok(())
        })
    }

    fn read(&self, _: &str, day: Day, from: Day) -> Promise<'_, Balances> {
        Box::pin(async move {
            let rows = self.ledger.rows.lock().unwrap().clone();
            let mut open = HashMap::<RequestId, Open>::new();
            let mut balances = Balances::default();
            for row in rows {
                match row {
                    Row::Dispatch { rid, day, held, owner } => {
                        open.insert(rid, Open { rid, amount: held, day, owner, slice: false });
                    }
                    Row::Slice { slice: Slice { rid, granted: amount, day, .. }, owner } => {
                        open.insert(rid, Open { rid, amount, day, owner, slice: true });
                    }
                    Row::Settle { rid, actual } => {
                        let Some(hold) = open.remove(&rid) else { continue };
                        let add = |sum: &mut Usd| *sum = Usd::from_nano(sum.nano() + actual.nano());
                        if hold.day == day {
                            add(&mut balances.day_spent);
                        } else if hold.day.days() == day.days() - 1 {
                            add(&mut balances.prev_spent);
                        }
                        if hold.day >= from {
                            add(&mut balances.budget_spent);
                        }
                    }
                }
            }
            balances.open = open.into_values().collect();
            Ok(balances)
        })
    }

    fn note_slice(&self, _: &str, slice: &Slice, (opens, _): (bool, Timestamp)) -> bool {
        if opens {
            let row = Row::Slice { slice: *slice, owner: self.node };
            self.tail.lock().unwrap().push(row);
        } else {
            self.settle(slice.rid, Usd::ZERO);
        }
        true
    }

    fn told(&self, rids: Vec<RequestId>) -> Promise<'_, Vec<Told>> {
        Box::pin(async move {
            let mut rows = self.ledger.rows.lock().unwrap().clone();
            rows.extend(self.tail.lock().unwrap().iter());
            let tell = |asked: RequestId| {
                let row = |row: &Row| match *row {
                    Row::Settle { rid, actual } if rid == asked => Some(Told::Ended(actual)),
                    Row::Dispatch { rid, .. } if rid == asked => Some(Told::Open),
                    Row::Slice { slice, .. } if slice.rid == asked => Some(Told::Open),
                    _ => None,
                };
                rows.iter().rev().find_map(row).unwrap_or(Told::Nothing)
            };
            Ok(rids.into_iter().map(tell).collect())
        })
    }
}

/// Limits that only money bounds.
pub(crate) fn capped(nano: i64) -> Limits {
    Limits {
        rate: p402_core::guard::Rate { limit: 1_000_000, per_s: 1, burst: 1_000_000 },
        daily_cap: Usd::from_nano(nano),
        in_flight_max: 256,
        slice_max: Usd::from_nano(nano / 20),
        ..Limits::default()
    }
}

/// All of them at once, on this thread.
pub(crate) async fn join<F: Future>(asked: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut open: Vec<_> = asked.map(Box::pin).collect();
    let mut told = Vec::new();
    poll_fn(|context| {
        open.retain_mut(|request| match request.as_mut().poll(context) {
            Poll::Ready(end) => {
                told.push(end);
                false
            }
            Poll::Pending => true,
        });
        if open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    told
}
