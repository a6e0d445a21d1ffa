//! Decides who else is alive on this store, and what nodes tell one another through it.
//! Does not keep money; a node that is not heard of for three seconds counts as gone.

use super::address::Tag;
use super::home::Home;
use super::link::{BARRIER, Failure};
use ::redis::pipe;
use p402_core::time::Ticks;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Messages of other nodes that may wait to be read.
pub(super) const HEARD_MAX: usize = 1_024;
/// Nodes of one store.
const PEERS_MAX: usize = 1_024;
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Slices are looked after once in so many beats.
const SLICE_BEATS: u64 = 5;
/// Holds that nobody renews are looked at once in so many beats.
pub(super) const LOOK_BEATS: u64 = 60;
const GONE_MS: i64 = 3_000;
const FORGOTTEN_MS: i64 = 60_000;
/// Answers to a barrier stay readable for so long.
pub(super) const MARKS_MS: u64 = 10_000;

/// What one node says to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A recovery of this tenant begins, under this id.
    Barrier(Tag, u64),
    /// A claim fits but for slices: give back what is not in use.
    CallIn(Tag),
}

/// The nodes, and when each was last known to be alive: a wiped store makes nobody disappear.
pub(super) struct Peers {
    seen: Mutex<HashMap<u32, Ticks>>,
    count: AtomicU32,
}

impl Word {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Barrier(tag, id) => format!("barrier {} {id}", tag.text()),
            Self::CallIn(tag) => format!("call-in {}", tag.text()),
        }
    }

    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let (verb, tag) = (words.next()?, Tag::told(words.next()?)?);
        match (verb, words.next()) {
            ("barrier", Some(id)) => Some(Self::Barrier(tag, id.parse().ok()?)),
            ("call-in", None) => Some(Self::CallIn(tag)),
            _ => None,
        }
    }
}

impl Peers {
    pub(super) fn new() -> Self {
        Self { seen: Mutex::default(), count: AtomicU32::new(1) }
    }

    /// This node and the others that are alive.
    pub(super) fn nodes(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// The others that are alive.
    pub(super) fn others(&self, own: u32) -> Vec<u32> {
        self.seen.lock().keys().copied().filter(|node| *node != own).collect()
    }

    pub(super) fn hears(&self, node: u32) -> bool {
        self.seen.lock().contains_key(&node)
    }

    fn note(&self, own: u32, alive: &[u32], now: Ticks) {
        let mut seen = self.seen.lock();
        seen.retain(|_, at| now.since(*at) < GONE_MS as u64 * 1_000);
        seen.extend(alive.iter().take(PEERS_MAX).map(|node| (*node, now)));
        seen.insert(own, now);
        self.count.store(u32::try_from(seen.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

impl Home {
    /// The node's own background: beats and slices. Ends with the home.
    pub(super) async fn tend(weak: Weak<Self>) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beats in 0_u64.. {
            beat.tick().await;
            let Some(home) = weak.upgrade() else { return };
            home.beat().await;
            home.pay_soon();
            home.reread_doubted().await;
            if beats.is_multiple_of(LOOK_BEATS) {
                home.look_after().await;
            }
            if beats.is_multiple_of(SLICE_BEATS) {
                home.tend_slices().await;
            }
        }
    }

    /// Hears the words of other nodes; one flush of the journal answers all that wait.
    pub(super) async fn listen(weak: Weak<Self>, mut words: mpsc::Receiver<Word>) {
        let mut batch = Vec::new();
        while words.recv_many(&mut batch, HEARD_MAX).await > 0 {
            let Some(home) = weak.upgrade() else { return };
            home.obey(std::mem::take(&mut batch)).await;
        }
    }

    /// Says that this node lives, hears who else does, and who the servers are by now.
    pub(super) async fn beat(self: &Arc<Self>) {
        for server in self.fleet.all() {
            let _ = server.identify().await;
        }
        self.acquaint().await;
        let Some(now) = self.instant(&self.commons) else { return };
        let (key, now_ms) = (self.commons.key("live"), now.millis());
        let mut asked = pipe();
        asked.cmd("ZADD").arg(&key).arg(now_ms).arg(self.node);
        asked.cmd("ZREMRANGEBYSCORE").arg(&key).arg(0).arg(now_ms - FORGOTTEN_MS);
        asked.cmd("ZRANGEBYSCORE").arg(&key).arg(now_ms - GONE_MS).arg("+inf");
        if let Ok(alive) = self.on::<Vec<u32>>(&self.commons, asked).await {
            self.peers.note(self.node, &alive, self.ways.ticks());
        }
    }

    /// Tells every node; how many heard it, as far as one server knows.
    pub(super) async fn say(self: &Arc<Self>, tag: &Tag, word: &Word) -> Result<u32, Failure> {
        let mut publish = pipe();
        publish.cmd("PUBLISH").arg(BARRIER).arg(word.text());
        self.on(tag, publish).await
    }

    async fn obey(self: &Arc<Self>, words: Vec<Word>) {
        let mut barriers = Vec::new();
        for word in words {
            match word {
                Word::CallIn(tag) => self.give_back(&tag).await,
                Word::Barrier(_, id) if id >> 32 == u64::from(self.node) => {}
                Word::Barrier(tag, id) => {
                    let again = barriers.iter().any(|(_, _, known)| *known == id);
                    if !again && !self.seats.has_heard(&tag, id) {
                        // First the generation, then the flush: see `Store::generation`.
                        barriers.push((self.bar(&tag), tag, id));
                    }
                }
            }
        }
        if barriers.is_empty() {
            return;
        }
        let flushed = self.truth.flush().await.is_ok();
        for (seen, tag, id) in barriers {
            // Who has not written down what it knows does not answer: it is called again.
            let marked = if flushed { self.mark(&tag, id, seen).await } else { Ok(None) };
            match marked {
                Ok(Some(version)) => self.seats.hear(&tag, id, version),
                // This node stood still, or its ledger does: the account may have been read
                // without its last rows.
                _ => self.seats.doubt(&tag),
            }
        }
    }

    /// Answers a barrier; the version of the account to come if that was in time.
    async fn mark(
        self: &Arc<Self>,
        tag: &Tag,
        id: u64,
        (tat_us, version): (i64, i64),
    ) -> Result<Option<i64>, Failure> {
        let [marks, open] = barrier_keys(tag, id);
        let mut mark = pipe();
        mark.cmd("HSET").arg(&marks).arg(self.node).arg(format!("{tat_us} {version}"));
        mark.cmd("PEXPIRE").arg(&marks).arg(MARKS_MS);
        mark.cmd("GET").arg(&open);
        self.on(tag, mark).await
    }
}

/// Where the nodes' answers are, and what is there for as long as they still count: the instant at
/// which the account will begin.
pub(super) fn barrier_keys(tag: &Tag, id: u64) -> [String; 2] {
    [tag.key(&format!("barrier:{id}")), tag.key(&format!("barrier:{id}:open"))]
}
