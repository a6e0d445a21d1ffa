//! Holds what checks of the cache's hits have shown, what they cost today, and what waits for one.
//! Does not ask or compare anything (shadow.rs); how loose a class is served its bound decides.

use p402_core::cache::bound::{self, Class};
use p402_core::cache::promise::Promise;
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::Day;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// Classes of which checks are remembered; a further one is served what is shipped.
pub const CLASSES_MAX: usize = 4_096;
/// Checks that wait; a further one is not made.
pub const WAITING_MAX: usize = 64;
/// Bytes of a question from which it is no longer short, and from which it is long.
const LENGTHS: [usize; 2] = [64, 256];

/// Which questions are judged together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    pub tenant: Arc<str>,
    pub mode: Mode,
    pub length: Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    Short,
    Medium,
    Long,
}

/// A hit, or what would be one at the next looser threshold, that is to be checked.
#[derive(Clone, Debug)]
pub struct Doubt {
    pub kind: Kind,
    /// The strictest place of the grid that serves it.
    pub place: usize,
    /// The request, as a chat.
    pub body: Vec<u8>,
    /// Its last message.
    pub question: String,
    /// The offer that gave the kept answer, as a request names it.
    pub offer: String,
    /// The kept answer.
    pub told: String,
}

/// The checks of one node.
#[derive(Debug, Default)]
pub struct Checks {
    classes: Mutex<HashMap<Kind, Class>>,
    /// By tenant: a day, and what its checks have cost.
    spent: Mutex<HashMap<Arc<str>, (Day, Usd)>>,
    waiting: Mutex<VecDeque<Doubt>>,
    news: Notify,
}

impl Length {
    pub const fn of(text: &str) -> Self {
        let [medium, long] = LENGTHS;
        match text.len() {
            bytes if bytes < medium => Self::Short,
            bytes if bytes < long => Self::Medium,
            _ => Self::Long,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Medium => "medium",
            Self::Long => "long",
        }
    }
}

impl Checks {
    /// The places of the grid that are served, and that are tried, of such questions.
    pub fn places(&self, kind: &Kind) -> (usize, usize) {
        let classes = self.classes.lock();
        let unknown = Class::default();
        let class = classes.get(kind).unwrap_or(&unknown);
        (class.served(), class.tried())
    }

    /// Has a hit checked, unless too many wait.
    pub fn wonder(&self, doubt: Doubt) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX {
            waiting.push_back(doubt);
            self.news.notify_one();
        }
    }

    /// The next one to be checked; waits for it.
    pub async fn next(&self) -> Doubt {
        loop {
            let news = self.news.notified();
            if let Some(doubt) = self.waiting.lock().pop_front() {
                return doubt;
            }
            news.await;
        }
    }

    /// A check has come to an end.
    pub fn learn(&self, doubt: &Doubt, wrong: bool, delta: f64) {
        let mut classes = self.classes.lock();
        if classes.len() < CLASSES_MAX || classes.contains_key(&doubt.kind) {
            classes.entry(doubt.kind.clone()).or_default().learn(doubt.place, wrong, delta);
        }
    }

    /// What a tenant may still pay for checks today.
    pub fn left(&self, tenant: &str, promise: &Promise, today: Day) -> Usd {
        let spent = self.spent.lock();
        let own = spent.get(tenant).filter(|(day, _)| *day == today);
        promise.daily.saturating_sub(own.map_or(Usd::ZERO, |(_, spent)| *spent))
    }

    /// A check has cost so much.
    pub fn spend(&self, tenant: &Arc<str>, cost: Usd, today: Day) {
        let mut spent = self.spent.lock();
        spent.retain(|_, (day, _)| *day == today);
        let own = spent.entry(Arc::clone(tenant)).or_insert((today, Usd::ZERO));
        own.1 = own.1.saturating_add(cost);
    }

    /// What is known of one tenant's classes.
    pub fn told(&self, tenant: &str) -> Value {
        let classes = self.classes.lock();
        let own = classes.iter().filter(|(kind, _)| *kind.tenant == *tenant);
        let mut told: Vec<Value> = own.map(|(kind, class)| line(kind, class)).collect();
        told.sort_by_key(ToString::to_string);
        told.into()
    }
}

fn line(kind: &Kind, class: &Class) -> Value {
    let seen = class.seen();
    json!({
        "mode": kind.mode.name(),
        "length": kind.length.name(),
        "checks": seen.checks,
        "wrong": seen.wrong,
        "at_most": seen.upper(),
        "verifier": bound::threshold(class.served()),
        "enough": class.is_proven(),
    })
}
