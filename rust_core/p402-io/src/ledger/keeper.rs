//! Syncs what was written and keeps a spare segment ready, on a thread of its own.
//! Does not stand in any request's way: a slow disk delays only those who chose to wait for it.

use super::Durability;
use super::lane::Lane;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// `process`: a power loss costs at most this much.
const IDLE_SYNC_EVERY: Duration = Duration::from_secs(1);
/// `group`: a sync starts this long after the one before it, or when this many bytes wait for it.
const GROUP_SYNC_EVERY: Duration = Duration::from_millis(2);
const GROUP_ROWS: u32 = 256;

/// The thread and what it is told.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    lanes: Arc<[Lane]>,
    durability: Durability,
    wish: Mutex<Wish>,
    told: Condvar,
    faults: AtomicU64,
}

#[derive(Debug, Default)]
struct Wish {
    stop: bool,
    /// Rows whose acknowledgement waits for a sync.
    waiting: u32,
    /// A segment was turned: its successor's spare is due.
    spare: bool,
}

impl Keeper {
    pub(super) fn start(lanes: Arc<[Lane]>, durability: Durability) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            lanes,
            durability,
            wish: Mutex::default(),
            told: Condvar::new(),
            faults: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("p402-ledger".into()).spawn(move || own.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A row waits for its sync.
    pub(super) fn await_sync(&self) {
        self.shared.wish.lock().waiting += 1;
        self.shared.told.notify_one();
    }

    /// A segment was turned.
    pub(super) fn await_spare(&self) {
        self.shared.wish.lock().spare = true;
        self.shared.told.notify_one();
    }

    /// Syncs and reservations that failed.
    pub(super) fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.wish.lock().stop = true;
        self.shared.told.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own hook.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut last = Instant::now();
        loop {
            let stop = self.rest(last);
            last = Instant::now();
            for lane in self.lanes.iter() {
                let synced = if lane.unsynced() { lane.sync() } else { Ok(()) };
                for outcome in [synced, lane.provide()] {
                    self.faults.fetch_add(u64::from(outcome.is_err()), Ordering::Relaxed);
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Waits until there is something to do; `true` when it is the last thing.
    fn rest(&self, last: Instant) -> bool {
        let mut wish = self.wish.lock();
        let idle_until = last + IDLE_SYNC_EVERY;
        while !wish.stop && !wish.spare && wish.waiting == 0 {
            if self.told.wait_until(&mut wish, idle_until).timed_out() {
                break;
            }
        }
        if self.durability == Durability::Group {
            let group_until = last + GROUP_SYNC_EVERY;
            while !wish.stop && (1..GROUP_ROWS).contains(&wish.waiting) {
                if self.told.wait_until(&mut wish, group_until).timed_out() {
                    break;
                }
            }
        }
        let stop = wish.stop;
        *wish = Wish { stop, ..Wish::default() };
        stop
    }
}
