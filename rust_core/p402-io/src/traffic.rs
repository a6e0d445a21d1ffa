//! Counts requests and attempts by provider and model, and spending by tenant, within bounds.
//! Does not decide with a number: routing learns from its own observations.

use crate::exposition::{Exposition, Kind};
use crate::histogram::{ANSWERS, Histogram, OVERHEADS};
use crate::meter::{count, sum};
use crate::records::{Row, RowState};
use p402_core::reply::{Code, TABLE};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Label values of one family; what comes later is counted together, under `other`.
pub const LABELS_MAX: usize = 256;
const OTHER: &str = "other";

/// What has been counted since the start.
#[derive(Debug)]
pub struct Traffic {
    /// By provider and model of the answer.
    served: Family<(Arc<str>, Arc<str>), Served>,
    /// By provider, model and outcome.
    attempts: Family<(Arc<str>, Arc<str>, &'static str), AtomicU64>,
    /// By provider.
    paces: Family<Arc<str>, Pace>,
    tenants: Family<Arc<str>, Spent>,
    /// What this gateway took besides its providers.
    overhead: Histogram,
    /// By code, in the order of the table.
    errors: [AtomicU64; TABLE.len()],
}

/// Members of a family by label, each made when it is first counted.
#[derive(Debug)]
struct Family<K, V>(RwLock<BTreeMap<K, Arc<V>>>);

/// Of one provider's model.
#[derive(Debug, Default)]
struct Served {
    settled: AtomicU64,
    released: AtomicU64,
    broken: AtomicU64,
    input_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    output_tokens: AtomicU64,
    cost_nano: AtomicI64,
    direct_nano: AtomicI64,
    wasted_nano: AtomicI64,
}

/// How long one provider takes.
#[derive(Debug)]
struct Pace {
    first_token: Histogram,
    whole: Histogram,
}

/// What one tenant's requests came to.
#[derive(Debug, Default)]
struct Spent {
    requests: AtomicU64,
    refused: AtomicU64,
    nano: AtomicI64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_token: Histogram::new(ANSWERS), whole: Histogram::new(ANSWERS) }
    }
}

impl<K, V> Default for Family<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Ord, V: Default> Family<K, V> {
    /// The member of a label, or the one of all that came too late; a known one takes a shared
    /// lock alone, which a scrape holds no longer than it copies pointers.
    fn member(&self, label: K, other: impl FnOnce() -> K) -> Arc<V> {
        if let Some(known) = self.0.read().get(&label) {
            return Arc::clone(known);
        }
        let mut members = self.0.write();
        let full = members.len() + 1 >= LABELS_MAX;
        let label = if full && !members.contains_key(&label) { other() } else { label };
        Arc::clone(members.entry(label).or_default())
    }
}

impl<K: Clone, V> Family<K, V> {
    fn all(&self) -> Vec<(K, Arc<V>)> {
        self.0.read().iter().map(|(label, member)| (label.clone(), Arc::clone(member))).collect()
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            served: Family::default(),
            attempts: Family::default(),
            paces: Family::default(),
            tenants: Family::default(),
            overhead: Histogram::new(OVERHEADS),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Traffic {
    /// A request that was admitted has ended; its row says how.
    pub fn ended(&self, row: &Row) {
        let is_settled = row.state == RowState::Settled;
        for attempt in &row.attempts {
            let (provider, model) = (Arc::clone(&attempt.provider), Arc::clone(&attempt.model));
            let label = (provider, model, attempt.outcome);
            count(&self.attempts.member(label, || (other(), other(), OTHER)));
        }
        let label = (Arc::clone(&row.provider), Arc::clone(&row.model));
        let served = self.served.member(label, || (other(), other()));
        count(if is_settled { &served.settled } else { &served.released });
        let more = |counter: &AtomicU64, tokens| {
            counter.fetch_add(tokens, Ordering::Relaxed);
        };
        more(&served.input_tokens, row.usage.input());
        more(&served.cached_tokens, row.usage.cache_read);
        more(&served.output_tokens, row.usage.output);
        sum(&served.cost_nano, row.bill.cost.nano());
        sum(&served.direct_nano, row.bill.direct.nano());
        sum(&served.wasted_nano, row.bill.wasted.nano());
        let tenant = self.tenants.member(Arc::clone(&row.tenant), other);
        count(&tenant.requests);
        sum(&tenant.nano, row.bill.cost.saturating_add(row.bill.wasted).nano());
        if is_settled {
            let pace = self.paces.member(Arc::clone(&row.provider), other);
            pace.whole.observe(Duration::from_micros(row.provider_latency_us));
            let first = row.attempts.last().filter(|_| row.stream);
            if let Some(first) = first {
                pace.first_token.observe(Duration::from_millis(first.ms));
            }
            let added = row.latency_us.saturating_sub(row.provider_latency_us);
            self.overhead.observe(Duration::from_micros(added));
        }
    }

    /// A stream of this provider's model broke after its first content had gone out.
    pub fn broke(&self, (provider, model): (Arc<str>, Arc<str>)) {
        count(&self.served.member((provider, model), || (other(), other())).broken);
    }

    /// A request was refused, or failed, with this code.
    pub fn refused(&self, tenant: &Arc<str>, code: Code) {
        if let Some(counter) = self.errors.get(code as usize) {
            count(counter);
        }
        count(&self.tenants.member(Arc::clone(tenant), other).refused);
    }

    pub fn expose(&self, out: &mut Exposition) {
        self.expose_served(out);
        out.begin("p402_attempts_total", Kind::Counter, "Requests sent to providers, by outcome.");
        for ((provider, model, outcome), number) in self.attempts.all() {
            let labels = [("provider", &*provider), ("model", &*model), ("outcome", outcome)];
            out.sample("p402_attempts_total", &labels, number.load(Ordering::Relaxed));
        }
        let paces = self.paces.all();
        let (first, whole) = ("p402_first_token_seconds", "p402_provider_seconds");
        out.begin(first, Kind::Histogram, "From a stream's dispatch to its first content.");
        for (provider, pace) in &paces {
            out.histogram(first, &[("provider", provider)], &pace.first_token);
        }
        out.begin(whole, Kind::Histogram, "Time that answered requests waited for providers.");
        for (provider, pace) in &paces {
            out.histogram(whole, &[("provider", provider)], &pace.whole);
        }
        let name = "p402_overhead_seconds";
        out.begin(name, Kind::Histogram, "Time of answered requests that no provider took.");
        out.histogram(name, &[], &self.overhead);
        out.begin("p402_errors_total", Kind::Counter, "Replies that were errors, by code.");
        for (row, number) in TABLE.iter().zip(&self.errors) {
            let number = number.load(Ordering::Relaxed);
            if number > 0 {
                out.sample("p402_errors_total", &[("code", row.name)], number);
            }
        }
        self.expose_tenants(out);
    }

    fn expose_served(&self, out: &mut Exposition) {
        type Figure = (&'static str, &'static str, fn(&Served) -> i64);
        let served = self.served.all();
        let name = "p402_requests_total";
        out.begin(name, Kind::Counter, "Admitted requests that have ended, by how.");
        for ((provider, model), member) in &served {
            for (end, number) in [("settled", &member.settled), ("released", &member.released)] {
                let labels = [("provider", &**provider), ("model", &**model), ("end", end)];
                out.sample(name, &labels, number.load(Ordering::Relaxed));
            }
        }
        let figures: [Figure; 7] = [
            ("p402_streams_broken_total", "Streams cut after their first content.", |of| {
                tokens(&of.broken)
            }),
            ("p402_input_tokens_total", "Tokens read.", |of| tokens(&of.input_tokens)),
            ("p402_cached_tokens_total", "Of them, from providers' caches.", |of| {
                tokens(&of.cached_tokens)
            }),
            ("p402_output_tokens_total", "Tokens written.", |of| tokens(&of.output_tokens)),
            ("p402_cost_nano_total", "Nano-dollars charged for answers.", |of| nano(&of.cost_nano)),
            ("p402_direct_nano_total", "What going direct would have cost.", |of| {
                nano(&of.direct_nano)
            }),
            ("p402_wasted_nano_total", "Nano-dollars of attempts without an answer.", |of| {
                nano(&of.wasted_nano)
            }),
        ];
        for (name, help, figure) in figures {
            out.begin(name, Kind::Counter, help);
            for ((provider, model), member) in &served {
                out.sample(name, &[("provider", provider), ("model", model)], figure(member));
            }
        }
    }

    fn expose_tenants(&self, out: &mut Exposition) {
        type Figure = (&'static str, &'static str, fn(&Spent) -> i64);
        let figures: [Figure; 3] = [
            ("guard_tenant_requests_total", "Admitted requests that have ended.", |of| {
                tokens(&of.requests)
            }),
            ("guard_tenant_refused_total", "Requests that were refused or failed.", |of| {
                tokens(&of.refused)
            }),
            ("guard_tenant_spent_nano_total", "Nano-dollars that counted against caps.", |of| {
                nano(&of.nano)
            }),
        ];
        let tenants = self.tenants.all();
        for (name, help, figure) in figures {
            out.begin(name, Kind::Counter, help);
            for (tenant, member) in &tenants {
                out.sample(name, &[("tenant", tenant)], figure(member));
            }
        }
    }
}

fn other() -> Arc<str> {
    OTHER.into()
}

fn tokens(counter: &AtomicU64) -> i64 {
    i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}

fn nano(counter: &AtomicI64) -> i64 {
    counter.load(Ordering::Relaxed)
}
