//! Lets equal requests that come while one of them is being answered wait for that answer.
//! Does not hold an answer: whoever waited looks it up, and goes on alone if it is not there.

use p402_core::cache::key::Digest;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Requests that wait for one leader, and for all leaders of a node.
pub const PER_LEADER_MAX: usize = 256;
pub const WAITING_MAX: usize = 4_096;
/// Longest wait for a leader.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Requests on their way by exact key.
#[derive(Debug, Default)]
pub struct Flights {
    going: Mutex<HashMap<Digest, Weak<watch::Sender<()>>>>,
    waiting: AtomicUsize,
}

/// The request whose answer others wait for. When it goes, they go on.
#[derive(Debug)]
pub struct Leader {
    flights: Arc<Flights>,
    key: Digest,
    _landing: Arc<watch::Sender<()>>,
}

/// A request that waits.
#[derive(Debug)]
pub struct Follower {
    flights: Arc<Flights>,
    landing: watch::Receiver<()>,
}

/// What a request is among its equals.
#[derive(Debug)]
pub enum Joined {
    Leads(Leader),
    Follows(Follower),
    /// As many wait already as may.
    Alone,
}

impl Flights {
    pub fn join(self: &Arc<Self>, key: Digest) -> Joined {
        let mut going = self.going.lock();
        let Some(landing) = going.get(&key).and_then(Weak::upgrade) else {
            let landing = Arc::new(watch::Sender::new(()));
            going.insert(key, Arc::downgrade(&landing));
            return Joined::Leads(Leader { flights: Arc::clone(self), key, _landing: landing });
        };
        let full = landing.receiver_count() >= PER_LEADER_MAX
            || self.waiting.load(Ordering::Relaxed) >= WAITING_MAX;
        if full {
            return Joined::Alone;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Joined::Follows(Follower { flights: Arc::clone(self), landing: landing.subscribe() })
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.flights.going.lock().remove(&self.key);
    }
}

impl Follower {
    /// Until the leader has gone, whatever became of it; `false` where that takes too long.
    pub async fn landed(mut self) -> bool {
        tokio::time::timeout(WAIT_MAX, self.landing.changed()).await.is_ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.flights.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
