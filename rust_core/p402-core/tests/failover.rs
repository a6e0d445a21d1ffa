//! Shows by seeded simulation that outages are survived at little cost (routing.md § 7, 13–15).
//! Does not test the parts one by one (health.rs).

#![expect(clippy::print_stdout, reason = "a simulation tells its figures")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::route::{Observation, Outcome, Permit, Plan};
use stage::{Request, Stage};
use std::collections::BTreeMap;

/// An endpoint of the simulation.
#[derive(Clone, Copy)]
struct Nature {
    failure_percent: f64,
    latency_ms: u64,
}

/// What the clients and the endpoints saw.
#[derive(Debug, Default)]
struct Tally {
    requests: u64,
    failed: u64,
    attempts: u64,
    sent: Vec<u64>,
    /// Attempts at endpoint 0 in the first second.
    early: u64,
    latencies_ms: Vec<u64>,
}

/// A request on its way.
struct Flight {
    plan: Plan,
    index: usize,
    permit: Permit,
    outcome: Outcome,
    arrived_ms: u64,
    sent_ms: u64,
}

/// 64 bits of a seeded sequence (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn percent(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
    }
}

/// Requests every `every_ms`, events in order of time.
struct Simulation {
    stage: Stage,
    router: p402_core::route::Router,
    request: Request,
    natures: Vec<Nature>,
    seeded: Seeded,
    /// Attempts in flight by (end, number).
    flights: BTreeMap<(u64, u64), Flight>,
    number: u64,
    tally: Tally,
}

impl Simulation {
    fn new(natures: &[Nature], seed: u64) -> Self {
        let stage = Stage::endpoints(natures.len());
        let router = stage.router();
        let tally = Tally { sent: vec![0; natures.len()], ..Tally::default() };
        Self {
            stage,
            router,
            request: Request::says("hello"),
            natures: natures.to_vec(),
            seeded: Seeded(seed),
            flights: BTreeMap::new(),
            number: 0,
            tally,
        }
    }

    fn run(mut self, requests: u64, every_ms: u64) -> Tally {
        for request in 0..requests {
            let now = request * every_ms;
            self.until(now);
            self.tally.requests += 1;
            let id = u128::from(self.seeded.next());
            let plan = self
                .router
                .plan(&self.stage.world(), &self.request.ask_as(id), self.stage.now(now))
                .unwrap();
            self.send(plan, 0, (now, now), 0);
        }
        self.until(u64::MAX);
        self.tally
    }

    /// Sends the plan's next attempt that may be sent; none left fails the request.
    fn send(&mut self, plan: Plan, from: usize, (arrived_ms, now_ms): (u64, u64), tries: u32) {
        let now = self.stage.now(now_ms);
        for index in from..plan.attempts.len() {
            let provider = self.stage.catalog.offers[plan.attempts[index].offer].provider;
            if tries == 0 {
                self.router.first_attempt("t", provider, now);
            } else if !self.router.may_retry("t", provider, now) {
                break;
            }
            let start = plan.start(index, 1, tries == 0).unwrap();
            let Some(permit) = self.router.begin(&self.stage.world(), &start, now) else {
                continue;
            };
            let nature = self.natures[provider];
            self.tally.attempts += 1;
            self.tally.sent[provider] += 1;
            if provider == 0 && now_ms < 1_000 {
                self.tally.early += 1;
            }
            let fails = self.seeded.percent() < nature.failure_percent;
            let jitter = self.seeded.next() % (nature.latency_ms / 2).max(1);
            let took = if fails { 20 } else { nature.latency_ms * 3 / 4 + jitter };
            let outcome = if fails { Outcome::Failure } else { Outcome::Success };
            self.number += 1;
            let flight = Flight { plan, index, permit, outcome, arrived_ms, sent_ms: now_ms };
            self.flights.insert((now_ms + took, self.number), flight);
            return;
        }
        self.tally.failed += 1;
    }

    /// Ends everything that ends before `limit`.
    fn until(&mut self, limit: u64) {
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > limit {
                break;
            }
            let ((end, _), flight) = entry.remove_entry();
            let took = end - flight.sent_ms;
            let seen = Observation {
                permit: flight.permit,
                outcome: flight.outcome,
                ttft_ms: Some(took),
                total_ms: took,
                input_tokens: None,
                output_tokens: Some(100),
            };
            self.router.observe(&seen, self.stage.now(end));
            if flight.outcome == Outcome::Success {
                self.tally.latencies_ms.push(end - flight.arrived_ms);
            } else {
                self.send(flight.plan, flight.index + 1, (flight.arrived_ms, end), 1);
            }
        }
    }
}

const HEALTHY: Nature = Nature { failure_percent: 0.2, latency_ms: 300 };
const FLAKY: Nature = Nature { failure_percent: 30.0, latency_ms: 300 };
const DEAD: Nature = Nature { failure_percent: 100.0, latency_ms: 300 };

#[test]
fn one_dead_and_two_flaky_of_five_cost_next_to_nothing() {
    let natures = [DEAD, FLAKY, FLAKY, HEALTHY, HEALTHY];
    let (mut requests, mut failed, mut attempts, mut dead) = (0, 0, 0, 0);
    for seed in [1, 2] {
        let tally = Simulation::new(&natures, seed).run(50_000, 20);
        assert!(tally.early <= 5, "{} requests to the dead one in the first second", tally.early);
        requests += tally.requests;
        failed += tally.failed;
        attempts += tally.attempts;
        dead += tally.sent[0];
    }
    let per_request = attempts as f64 / requests as f64;
    println!("failed {failed} of {requests}, {per_request:.4} attempts, {dead} at the dead one");
    assert!(failed * 100_000 <= requests, "{failed} of {requests} failed");
    assert!(per_request <= 1.05, "{per_request} attempts a request");
    assert!(dead * 1_000 <= requests, "{dead} of {requests} to the dead one");
}

#[test]
fn ten_thousand_requests_with_one_dead_one_flaky_and_two_healthy() {
    for every_ms in [2, 10, 100] {
        let tally = Simulation::new(&[DEAD, FLAKY, HEALTHY, HEALTHY], 11).run(10_000, every_ms);
        assert!(tally.failed <= 1, "{} failed", tally.failed);
        assert!(tally.attempts <= 12_000, "{} attempts", tally.attempts);
    }
}

#[test]
fn a_slow_endpoint_gets_little_and_costs_little() {
    let slow = Nature { failure_percent: 0.2, latency_ms: 3_000 };
    let natures = [slow, HEALTHY, HEALTHY, HEALTHY, HEALTHY];
    let mut tally = Simulation::new(&natures, 5).run(20_000, 20);
    let share = tally.sent[0] as f64 / tally.attempts as f64;
    tally.latencies_ms.sort_unstable();
    let p99 = tally.latencies_ms[tally.latencies_ms.len() * 99 / 100];
    println!("share {share:.4}, p99 {p99} ms");
    assert!(share < 0.05, "{share}");
    assert!(p99 <= 5_000, "{p99}");
}

#[test]
fn a_repaired_endpoint_comes_back() {
    let mut simulation = Simulation::new(&[DEAD, HEALTHY, HEALTHY, HEALTHY], 3);
    for request in 0..5_000_u64 {
        let now = request * 20;
        simulation.until(now);
        if request == 2_000 {
            simulation.natures[0] = HEALTHY;
            simulation.tally.sent[0] = 0;
        }
        let id = u128::from(simulation.seeded.next());
        let ask = simulation.request.ask_as(id);
        let at = simulation.stage.now(now);
        let plan = simulation.router.plan(&simulation.stage.world(), &ask, at).unwrap();
        simulation.send(plan, 0, (now, now), 0);
    }
    assert!(simulation.tally.sent[0] > 200, "{} after its repair", simulation.tally.sent[0]);
}

#[test]
fn load_spreads_over_equal_endpoints() {
    for count in [2, 3, 5, 8] {
        let tally = Simulation::new(&vec![HEALTHY; count], 9).run(4_000, 5);
        for sent in &tally.sent {
            let fair = tally.attempts / count as u64;
            assert!(*sent > fair / 2 && *sent < fair * 2, "{count}: {:?}", tally.sent);
        }
    }
}
