//! Decides how an account that the store has lost comes back: from the shared ledger, once for all.
//! Does not trust what the store still has, and never sets a total to what one node believes.

use super::Unread;
use super::address::Tag;
use super::home::{Asked, Home};
use super::link::Failure;
use super::peers::{MARKS_MS, Word, barrier_keys};
use super::server::Question;
use super::wire::{self, Call};
use ::redis::{Value, pipe};
use p402_core::guard::{Account, Code, Limits, Period, Seed};
use p402_core::time::Timestamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// No recovery lasts longer.
const RECOVERY: Duration = Duration::from_secs(2);
/// Of which other nodes have this much to answer; who has not by then is frozen or gone.
const BARRIER: Duration = Duration::from_millis(1_500);
/// A lock that outlives its owner is open again after this.
const LOCK_MS: u64 = 2_500;
const PAUSE: Duration = Duration::from_millis(10);
/// A barrier is called again for nodes whose connection was not back yet.
const AGAIN: Duration = Duration::from_millis(50);
/// Tenants recovered at once, and those that may wait for it.
const AT_ONCE: usize = 64;
const WAITING_MAX: usize = 8_192;

type Waiting = HashMap<Tag, watch::Receiver<Option<bool>>>;

/// Recoveries under way on this node.
pub(super) struct Recoveries {
    waiting: Mutex<Waiting>,
    places: Semaphore,
}

/// What the store has of an account.
pub(super) struct Found {
    pub(super) epoch: i64,
    pub(super) now: Timestamp,
    pub(super) value: Vec<u8>,
}

impl Default for Recoveries {
    fn default() -> Self {
        Self { waiting: Mutex::default(), places: Semaphore::new(AT_ONCE) }
    }
}

impl Home {
    /// Waits for the tenant's one recovery, and starts it where nobody has; whether the account
    /// is back by then.
    pub(super) async fn recovered(self: &Arc<Self>, asked: &Asked, until: Instant) -> bool {
        let waiting = {
            let mut recoveries = self.recoveries.waiting.lock();
            if recoveries.len() >= WAITING_MAX && !recoveries.contains_key(&asked.tag) {
                return false;
            }
            let begin = || self.begin_recovery(asked);
            recoveries.entry(asked.tag.clone()).or_insert_with(begin).clone()
        };
        let mut waiting = waiting;
        let ended = timeout_at(until, waiting.wait_for(Option::is_some)).await;
        matches!(ended, Ok(Ok(done)) if *done == Some(true))
    }

    fn begin_recovery(self: &Arc<Self>, asked: &Asked) -> watch::Receiver<Option<bool>> {
        let (told, waiting) = watch::channel(None);
        let (home, asked) = (self.clone(), asked.clone());
        tokio::spawn(async move {
            let _place = home.recoveries.places.acquire().await;
            let done = timeout(RECOVERY, home.recover(&asked, false)).await;
            home.recoveries.waiting.lock().remove(&asked.tag);
            // Nobody waits any more: the account is there for whoever asks next.
            let _ = told.send(Some(matches!(done, Ok(Ok(())))));
        });
        waiting
    }

    /// An account that is there is dropped first and read anew: from here on nobody is admitted
    /// until it is back. The lock keeps out readings that were made before.
    pub(super) async fn reread(self: &Arc<Self>, asked: &Asked) -> bool {
        let done = timeout(RECOVERY, self.recover(asked, true)).await;
        matches!(done, Ok(Ok(())))
    }

    async fn recover(self: &Arc<Self>, asked: &Asked, anew: bool) -> Result<(), Failure> {
        loop {
            let mut found = self.peek(&asked.tag).await?;
            if !anew && self.is_current(&found, asked) {
                return Ok(());
            }
            if self.lock(&asked.tag).await? {
                if anew {
                    self.drop_account(&asked.tag).await?;
                    found.value.clear();
                }
                let seeded = self.reseed(&found, asked).await;
                self.unlock(&asked.tag).await?;
                if seeded? {
                    self.counters.recoveries.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn drop_account(self: &Arc<Self>, tag: &Tag) -> Result<(), Failure> {
        let mut drop = pipe();
        drop.cmd("DEL").arg(tag.key("acct"));
        self.on(tag, drop).await
    }

    pub(super) async fn peek(self: &Arc<Self>, tag: &Tag) -> Result<Found, Failure> {
        let mut question = Question::new(tag.clone(), Call::peek());
        let heard = self.hear(&mut question, Instant::now() + self.ways.deadline).await?;
        let (now, value) = wire::peeked(&heard.bytes).ok_or(Failure::Garbled)?;
        Ok(Found { epoch: heard.epoch, now, value: value.to_vec() })
    }

    /// Another node was faster.
    fn is_current(&self, found: &Found, asked: &Asked) -> bool {
        let Ok(account) = Account::decode(&found.value) else { return false };
        let header = account.header();
        let seen = self.seats.last(&asked.tag).map_or(0, |last| last.version);
        let for_ever = header.budget_from_day == 0;
        let same_period = for_ever == (asked.limits.period == Period::Total);
        header.epoch == found.epoch && header.version >= seen && same_period
    }

    /// Whether the account was written; `false` where what was found is there no more.
    async fn reseed(self: &Arc<Self>, found: &Found, asked: &Asked) -> Result<bool, Failure> {
        let id = (u64::from(self.node) << 32) | (self.count() & 0xffff_ffff);
        let (tat_us, version) = self.barrier(&asked.tag, id, found.now).await?;
        let unread = |_: Unread| Failure::Unfit("LEDGER".to_owned());
        self.truth.flush().await.map_err(unread)?;
        let day = found.now.utc_day();
        let from = asked.limits.period.from(day);
        let read = self.truth.read(&asked.tenant, day, from).await.map_err(unread)?;
        let stored = Account::decode(&found.value).ok();
        let stored = stored.map_or((0, 0), |old| (old.header().tat_us, old.header().version));
        let seed = Seed {
            epoch: found.epoch,
            version: version.max(stored.1),
            tat_us: tat_us.max(stored.0),
            day,
            day_spent: read.day_spent,
            prev_spent: read.prev_spent,
            budget_spent: read.budget_spent,
            open: read.open,
        };
        self.write(&seed, found, (asked, id)).await
    }

    async fn write(
        self: &Arc<Self>,
        seed: &Seed,
        found: &Found,
        (asked, id): (&Asked, u64),
    ) -> Result<bool, Failure> {
        let limits: &Limits = &asked.limits;
        let account = Account::seeded(seed, limits, found.now);
        self.seats.hear(&asked.tag, id, account.header().version);
        let call = Call::recover(None, &found.value, &account);
        let mut question = Question::new(asked.tag.clone(), call);
        let reply = self.ask(&mut question, Instant::now() + self.ways.deadline).await?;
        Ok(reply.code == Code::Done)
    }

    /// All live nodes make their undispatched reservations void and write down what they know;
    /// the greatest arrival time and version that any of them has seen. It is over before the
    /// ledger is read: who answers later knows that it was late, and has the account read again.
    async fn barrier(
        self: &Arc<Self>,
        tag: &Tag,
        id: u64,
        begins: Timestamp,
    ) -> Result<(i64, i64), Failure> {
        let own = self.bar(tag);
        let [_, open] = barrier_keys(tag, id);
        let mut begin = pipe();
        begin.cmd("SET").arg(&open).arg(begins.micros()).arg("PX").arg(MARKS_MS);
        self.on::<Value>(tag, begin).await?;
        let answered = self.until_marked(tag, id, own).await;
        let mut end = pipe();
        end.cmd("DEL").arg(&open);
        self.on::<Value>(tag, end).await?;
        Ok(answered)
    }

    async fn until_marked(
        self: &Arc<Self>,
        tag: &Tag,
        id: u64,
        mut greatest: (i64, i64),
    ) -> (i64, i64) {
        let others = self.peers.others(self.node);
        let until = Instant::now() + BARRIER;
        let mut missing = others.len();
        let mut called = Instant::now() - AGAIN;
        // Nodes that joined since the last beat are known by having heard it.
        let mut expected = others.len();
        while Instant::now() < until {
            if called.elapsed() >= AGAIN {
                called = Instant::now();
                let heard = self.say(tag, &Word::Barrier(tag.clone(), id)).await.unwrap_or(0);
                expected = expected.max(heard.saturating_sub(1) as usize);
            }
            let marks = self.marks(tag, id).await.unwrap_or_default();
            for (tat_us, version) in marks.values() {
                greatest = (greatest.0.max(*tat_us), greatest.1.max(*version));
            }
            let silent = others.iter().filter(|node| !marks.contains_key(*node)).count();
            missing = silent.max(expected.saturating_sub(marks.len()));
            if missing == 0 {
                break;
            }
            sleep(PAUSE).await;
        }
        self.counters.missing_nodes.fetch_add(missing as u64, Ordering::Relaxed);
        greatest
    }

    async fn marks(
        self: &Arc<Self>,
        tag: &Tag,
        id: u64,
    ) -> Result<HashMap<u32, (i64, i64)>, Failure> {
        let mut read = pipe();
        read.cmd("HGETALL").arg(&barrier_keys(tag, id)[0]);
        let told: HashMap<u32, String> = self.on(tag, read).await?;
        let pair = |text: &str| {
            let (tat_us, version) = text.split_once(' ')?;
            Some((tat_us.parse().ok()?, version.parse().ok()?))
        };
        Ok(told.into_iter().filter_map(|(node, text)| Some((node, pair(&text)?))).collect())
    }

    async fn lock(self: &Arc<Self>, tag: &Tag) -> Result<bool, Failure> {
        let mut lock = pipe();
        lock.cmd("SET").arg(tag.key("recovery")).arg(self.node).arg("NX").arg("PX").arg(LOCK_MS);
        Ok(self.on::<Value>(tag, lock).await? != Value::Nil)
    }

    async fn unlock(self: &Arc<Self>, tag: &Tag) -> Result<(), Failure> {
        let mut unlock = pipe();
        unlock.cmd("DEL").arg(tag.key("recovery"));
        self.on(tag, unlock).await
    }
}
