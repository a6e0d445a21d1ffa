//! Decides what follows a failure: debts are noted and paid, a server is probed until it is back.
//! Does not touch requests: none of them ever waits for a probe.

use super::address::Tag;
use super::home::{Asked, Home, Kind};
use super::link::{Failure, Greeting};
use super::owed::Debt;
use super::peers::Word;
use super::server::{Question, Server};
use super::{Notice, Tell};
use crate::store::StoreError;
use ::redis::pipe;
use p402_core::guard::{Code, Op, Reply};
use p402_core::money::Usd;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A probe every 100 ms, ± 20 %: nodes that lost the store together do not return together.
const PROBE_MS: u64 = 80;
const SPREAD_MS: u64 = 40;
/// The probe that confirms a good one comes sooner.
const CONFIRM: Duration = Duration::from_millis(20);
/// What a claim is told that only slices stand in the way of (core's `refusal`).
const PARKED_RETRY_MS: i64 = 1_000;

impl Home {
    /// An answer has come: it is remembered, and what is owed has a chance.
    pub(super) async fn answered(self: &Arc<Self>, asked: &Asked, reply: &Reply) {
        self.seats.note(&asked.tag, reply);
        self.pay_soon();
        let parked = reply.parked > Usd::ZERO && reply.retry_ms == PARKED_RETRY_MS;
        if parked && reply.code.layer().is_some() {
            // Every node gives back what it does not use, this one included.
            let _ = self.say(&asked.tag, &Word::CallIn(asked.tag.clone())).await;
        }
    }

    /// No answer: a claim may have been admitted all the same, a settlement must be said again.
    pub(super) fn note_debt(&self, asked: &Asked, sent: bool) {
        let (rid, call) = match asked.kind {
            Kind::Admit(rid, owner) if sent => {
                let release = Op::Settle { rid, owner, actual: Usd::ZERO };
                (rid, asked.another(release))
            }
            Kind::Settle(rid, _) => (rid, asked.call.clone()),
            Kind::Admit(..) | Kind::Adjust | Kind::Other => return,
        };
        let is_release = matches!(asked.kind, Kind::Admit(..));
        let is_release = is_release || asked.kind == Kind::Settle(rid, false);
        let (tag, generation) = (asked.tag.clone(), self.seats.generation(&asked.tag));
        if !self.owed.push(Debt { tag, rid, call, is_release, generation, heard: sent }) {
            self.counters.owed_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pays beside the requests, if anything is owed and nobody is at it.
    pub(super) fn pay_soon(self: &Arc<Self>) {
        if self.owed.begin() {
            let home = self.clone();
            tokio::spawn(async move {
                home.pay().await;
                home.owed.end();
            });
        }
    }

    /// Says what is owed, oldest first, until it is all said or one of it fails.
    pub(super) async fn pay(self: &Arc<Self>) {
        while let Some(debt) = self.owed.first() {
            let mut question = Question::new(debt.tag.clone(), debt.call.clone());
            let until = Instant::now() + self.ways.deadline;
            match self.ask(&mut question, until).await {
                Ok(reply) if reply.code != Code::Late => {
                    let ghost = debt.is_release && reply.code == Code::Done;
                    self.counters.ghosts_released.fetch_add(u64::from(ghost), Ordering::Relaxed);
                    if reply.code == Code::Unknown && debt.surprises(&self.seats) {
                        self.seats.doubt(&debt.tag);
                    }
                    self.owed.forget(debt.rid);
                }
                _ => return,
            }
        }
    }

    /// A breaker has opened: its server is probed until it closes.
    pub(super) fn watch(self: &Arc<Self>, server: Arc<Server>, tag: &Tag, why: &str) {
        self.counters.breaker_opened.fetch_add(1, Ordering::Relaxed);
        (self.tell)(&Notice::Away(why.to_owned()));
        let (weak, tag) = (Arc::downgrade(self), tag.clone());
        tokio::spawn(async move {
            loop {
                let Some(home) = weak.upgrade() else { return };
                let spread = home.draw_id().bits() as u64 % SPREAD_MS;
                drop(home);
                let turn = Duration::from_millis(PROBE_MS + spread);
                sleep(if server.is_nearly_back() { CONFIRM } else { turn }).await;
                if server.probe(&tag).await {
                    break;
                }
            }
            if let Some(home) = weak.upgrade() {
                (home.tell)(&Notice::Back);
                home.pay_soon();
            }
        });
    }

    /// Whether the store belongs to nodes of our ledger; the first node says so.
    pub(super) async fn acquaint(self: &Arc<Self>) {
        let uuid = self.truth.uuid();
        let key = self.commons.key("ledger");
        let mut asked = pipe();
        asked.cmd("SET").arg(&key).arg(&uuid).arg("NX").cmd("GET").arg(&key);
        let theirs = self.on::<String>(&self.commons, asked).await;
        if theirs.is_ok_and(|theirs| theirs != uuid) && !self.foreign.swap(true, Ordering::Relaxed)
        {
            (self.tell)(&Notice::Foreign);
        }
    }
}

/// Says once what a server's settings put at risk.
pub(super) fn warn(greeting: &Greeting, warned: &Mutex<Vec<&'static str>>, tell: &Tell) {
    let settings = [
        (greeting.policy != "noeviction", "maxmemory-policy drops accounts: set noeviction"),
        (!greeting.appends, "appendonly is off: a restart forgets; set appendonly yes"),
        (!greeting.replicas, "no replica is connected: a lost server takes its state along"),
    ];
    for (_, what) in settings.into_iter().filter(|(is_bad, _)| *is_bad) {
        let mut warned = warned.lock();
        if !warned.contains(&what) {
            warned.push(what);
            tell(&Notice::Setting(what));
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Late { .. } => Self::Late,
            Failure::Garbled | Failure::Odd(_) => Self::Broken,
            _ => Self::Away,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("not asked"),
            Self::Late { .. } => f.write_str("no answer in time"),
            Self::Refused => f.write_str("connection refused"),
            Self::Lost => f.write_str("connection lost"),
            Self::Garbled => f.write_str("not the answer of a Redis"),
            Self::Unfit(code) => f.write_str(code),
            Self::Odd(told) => f.write_str(told),
            Self::Moved(_) | Self::Ask(_) => f.write_str("slot moved"),
            Self::Missing => f.write_str("functions missing"),
        }
    }
}
