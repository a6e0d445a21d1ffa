//! Decides how one server is asked within one deadline: connect, send, one reconnect, the breaker.
//! Does not know accounts; what an answer means is the home's business.

use super::address::{Address, Tag};
use super::breaker::{Breaker, Outcome};
use super::link::{Failure, Greeting, Hear, Link};
use super::offset::Offset;
use super::wire::Call;
use ::redis::{Pipeline, Value};
use p402_core::guard::Fence;
use p402_core::time::{Ticks, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A deadline noticed later than this was missed by us, not by the server.
const STALL: Duration = Duration::from_millis(3);

/// What every server is asked with.
pub(super) struct Ways {
    pub(super) deadline: Duration,
    pub(super) wait_replicas: u32,
    pub(super) hear: Hear,
    /// Learns of each greeting: settings are judged there.
    pub(super) greeted: Box<dyn Fn(&Greeting) + Send + Sync>,
    pub(super) started: Instant,
}

/// One server, the connection to it and what is known of it.
pub(super) struct Server {
    address: Address,
    ways: Arc<Ways>,
    link: Mutex<Option<Arc<Link>>>,
    connecting: tokio::sync::Mutex<()>,
    breaker: Mutex<Breaker>,
    offset: Mutex<Offset>,
    links: AtomicU64,
}

/// A call on its way: it may be sent twice, and each time behind the fence of that moment.
pub(super) struct Question {
    pub(super) tag: Tag,
    pub(super) call: Call,
    /// The last version seen of this account.
    pub(super) version: i64,
    pub(super) asking: bool,
    /// It may be sent a second time: it does nothing twice.
    pub(super) repeats: bool,
    pub(super) sent: Sent,
    /// The connection that it was sent on last.
    link: Option<u64>,
}

/// Whether a call has left: without an answer it may have been executed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sent {
    No,
    Once,
    /// Once more after a loss: both may have been executed.
    Again,
}

/// What came back, and from which run of the server.
pub(super) struct Heard {
    pub(super) bytes: Vec<u8>,
    pub(super) epoch: i64,
}

impl Ways {
    pub(super) fn ticks(&self) -> Ticks {
        let micros = self.started.elapsed().as_micros();
        Ticks::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl Question {
    pub(super) const fn new(tag: Tag, call: Call) -> Self {
        let (asking, repeats, sent) = (false, true, Sent::No);
        Self { tag, call, version: 0, asking, repeats, sent, link: None }
    }
}

impl Server {
    pub(super) fn new(address: Address, ways: Arc<Ways>) -> Self {
        Self {
            address,
            ways,
            link: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            breaker: Mutex::default(),
            offset: Mutex::default(),
            links: AtomicU64::new(0),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.breaker.lock().is_open()
    }

    /// The probe after a good one closes the breaker.
    pub(super) fn is_nearly_back(&self) -> bool {
        self.breaker.lock().is_nearly_closed(self.ways.ticks())
    }

    /// The server's clock now, as far as its replies told.
    pub(super) fn instant(&self) -> Option<Timestamp> {
        self.offset.lock().instant(self.ways.ticks())
    }

    /// Asks until the deadline; whether this has opened the breaker comes with the answer.
    pub(super) async fn ask(
        &self,
        question: &mut Question,
        until: Instant,
    ) -> (Result<Heard, Failure>, bool) {
        if self.is_open() {
            return (Err(Failure::Open), false);
        }
        let heard = self.within(until, question).await;
        let outcome = match &heard {
            // The script's own fault, or another server's slot: this one works.
            Ok(_) | Err(Failure::Odd(_) | Failure::Moved(_) | Failure::Ask(_)) => Outcome::Answered,
            Err(Failure::Late { stalled: true } | Failure::Open) => return (heard, false),
            Err(Failure::Refused) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        let opened = self.breaker.lock().note(outcome, self.ways.ticks());
        (heard, opened)
    }

    /// One try at closing the breaker; whether it is closed now.
    pub(super) async fn probe(&self, tag: &Tag) -> bool {
        let until = Instant::now() + self.ways.deadline;
        let probed = timeout_at(until, async { self.link(None).await?.probe(tag).await }).await;
        let good = matches!(probed, Ok(Ok(())));
        if !good {
            *self.link.lock() = None;
        }
        self.breaker.lock().probed(good, self.ways.ticks())
    }

    /// Commands that are no account's business, under the same deadline.
    pub(super) async fn pipeline(&self, commands: Pipeline) -> Result<Value, Failure> {
        self.aside(async { self.link(None).await?.pipeline(commands).await }).await
    }

    /// Reads again who answers here.
    pub(super) async fn identify(&self) -> Result<(), Failure> {
        self.aside(async { self.link(None).await?.identify().await }).await
    }

    async fn aside<T>(&self, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        if self.is_open() {
            return Err(Failure::Open);
        }
        let until = Instant::now() + self.ways.deadline;
        timeout_at(until, what).await.unwrap_or_else(|_| {
            *self.link.lock() = None;
            Err(Failure::Late { stalled: Instant::now() > until + STALL })
        })
    }

    /// Asks once more, on a new connection, where the first one broke.
    async fn within(&self, until: Instant, question: &mut Question) -> Result<Heard, Failure> {
        let answer = timeout_at(until, async {
            match self.send(question, None, until).await {
                Err(Failure::Lost) if question.repeats || question.sent == Sent::No => {
                    if question.sent == Sent::Once {
                        question.sent = Sent::Again;
                    }
                    self.send(question, question.link, until).await
                }
                answer => answer,
            }
        });
        let answer = answer
            .await
            .unwrap_or_else(|_| Err(Failure::Late { stalled: Instant::now() > until + STALL }));
        if let Err(Failure::Late { .. } | Failure::Garbled | Failure::Lost) = answer {
            // A late reply must not answer the next command.
            question.link.inspect(|number| self.close(*number));
        }
        answer
    }

    async fn send(
        &self,
        question: &mut Question,
        failed: Option<u64>,
        until: Instant,
    ) -> Result<Heard, Failure> {
        let link = self.link(failed).await?;
        question.link = Some(link.number);
        let (epoch, sent) = (link.epoch(), self.ways.ticks());
        let left = until.saturating_duration_since(Instant::now()).as_micros() as i64;
        let deadline = self.offset.lock().instant(sent);
        let deadline = deadline.map(|now| Timestamp::from_micros(now.micros() + left));
        question.call.fence(&Fence { epoch, version: question.version, deadline });
        question.sent = question.sent.max(Sent::Once);
        let key = question.tag.key("acct");
        let bytes = link.call(&key, &question.call, question.asking).await?;
        if self.ways.wait_replicas > 0 && question.call.function == "p402_admit_v1" {
            let within_ms = until.saturating_duration_since(Instant::now()).as_millis() as u64;
            link.replicated(self.ways.wait_replicas, within_ms).await?;
        }
        if let Some(stamp) = stamp(&question.call, &bytes) {
            self.offset.lock().learn(stamp, sent, self.ways.ticks());
        }
        Ok(Heard { bytes, epoch })
    }

    /// The connection, made if need be; never the one that has just failed.
    async fn link(&self, failed: Option<u64>) -> Result<Arc<Link>, Failure> {
        let known = |link: &Arc<Link>| Some(link.number) != failed;
        if let Some(link) = self.link.lock().clone().filter(known) {
            return Ok(link);
        }
        let _turn = self.connecting.lock().await;
        if let Some(link) = self.link.lock().clone().filter(known) {
            return Ok(link);
        }
        if self.is_open() && failed.is_some() {
            return Err(Failure::Open);
        }
        let number = self.links.fetch_add(1, Ordering::Relaxed) + 1;
        let sent = self.ways.ticks();
        let info = self.address.resolve().await?;
        let (link, greeting) = Link::connect(info, number, self.ways.hear.clone()).await?;
        self.offset.lock().learn(greeting.stamp, sent, self.ways.ticks());
        (self.ways.greeted)(&greeting);
        let link = Arc::new(link);
        *self.link.lock() = Some(link.clone());
        Ok(link)
    }

    /// Forgets the connection with this number, if it is still in use.
    fn close(&self, number: u64) {
        let mut link = self.link.lock();
        if link.as_ref().is_some_and(|link| link.number == number) {
            *link = None;
        }
    }
}

/// The store's clock in an answer: the first number of a peek, the sixteenth of a reply.
fn stamp(call: &Call, answer: &[u8]) -> Option<Timestamp> {
    let place = if *call == Call::peek() { 0 } else { 15 * 8 };
    let bytes = answer.get(place..)?.first_chunk::<8>()?;
    Some(Timestamp::from_micros(f64::from_le_bytes(*bytes) as i64))
}
