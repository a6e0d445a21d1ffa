//! Shows that failing endpoints are left alone, tried again by one request, and never all lost.
//! Does not test which model is chosen (route.rs).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::route::{
    Breaker, Leave, Observation, Outcome, Permit, Plan, Refusal, RetryBudget, Router, TENANTS_MAX,
    TenantBudgets,
};
use p402_core::time::Ticks;
use proptest::prelude::*;
use stage::{Request, Stage};

fn at(ms: u64) -> Ticks {
    Ticks::from_micros(1 + ms * 1_000)
}

fn seen(permit: Permit, outcome: Outcome, ms: u64) -> Observation {
    Observation {
        permit,
        outcome,
        ttft_ms: Some(ms),
        total_ms: ms,
        input_tokens: None,
        output_tokens: Some(50),
    }
}

/// A router with its stage, driven by hand.
struct Node {
    stage: Stage,
    router: Router,
    request: Request,
}

impl Node {
    fn new(count: usize) -> Self {
        let stage = Stage::endpoints(count);
        let router = stage.router();
        Self { stage, router, request: Request::says("hello") }
    }
    fn plan(&mut self, id: u128, ms: u64) -> Result<Plan, Refusal> {
        let now = self.stage.now(ms);
        self.router.plan(&self.stage.world(), &self.request.ask_as(id), now)
    }
    fn begin(&mut self, plan: &Plan, index: usize, keys: usize, ms: u64) -> Option<Permit> {
        let start = plan.start(index, keys, index == 0).unwrap();
        let now = self.stage.now(ms);
        self.router.begin(&self.stage.world(), &start, now)
    }
    fn end(&mut self, permit: Permit, outcome: Outcome, ms: u64) {
        let now = self.stage.now(ms);
        self.router.observe(&seen(permit, outcome, 300), now);
    }
    /// Sends the first attempt and ends it so.
    fn turn(&mut self, outcome: Outcome, ms: u64) {
        let plan = self.plan(1, ms).unwrap();
        let permit = self.begin(&plan, 0, 1, ms).unwrap();
        self.end(permit, outcome, ms);
    }
    fn rejected(&mut self, reason: &str, ms: u64) -> u32 {
        let plan = self.plan(1, ms).unwrap();
        plan.rejected.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
    }
}

fn opened() -> (Breaker, Leave) {
    let mut breaker = Breaker::default();
    let leave = breaker.leave(at(0), true, false).unwrap();
    for _ in 0..5 {
        breaker.failed(leave, at(0), 0);
    }
    (breaker, leave)
}

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    let mut breaker = Breaker::default();
    let leave = breaker.leave(at(0), true, false).unwrap();
    for _ in 0..4 {
        breaker.failed(leave, at(0), 0);
    }
    breaker.succeeded(leave, at(0));
    for _ in 0..4 {
        breaker.failed(leave, at(0), 0);
    }
    assert!(!breaker.is_open());
    breaker.failed(leave, at(0), 0);
    assert!(breaker.is_open());
    assert_eq!(breaker.leave(at(1_000), true, false), None);
}

#[test]
fn half_of_ten_within_ten_seconds_opens_it() {
    let run = |step_ms: u64| {
        let mut breaker = Breaker::default();
        for turn in 0..10_u64 {
            let now = at(turn * step_ms);
            let Some(leave) = breaker.leave(now, true, false) else { return true };
            if turn % 2 == 0 {
                breaker.failed(leave, now, 0);
            } else {
                breaker.succeeded(leave, now);
            }
        }
        let leave = breaker.leave(at(10 * step_ms), true, false).unwrap();
        breaker.failed(leave, at(10 * step_ms), 0);
        breaker.is_open()
    };
    assert!(run(100));
    assert!(!run(3_000), "spread over half a minute the share says nothing");
}

#[test]
fn half_open_lets_exactly_one_of_a_thousand_through() {
    let (mut breaker, _) = opened();
    let later = at(10_000);
    let probes: Vec<_> = (0..1_000).filter_map(|_| breaker.leave(later, true, false)).collect();
    assert_eq!(probes.len(), 1);
    assert!(probes[0].probe);
    // The next one only when the first has reported, and two successes close it.
    breaker.succeeded(probes[0], later);
    assert!(breaker.is_open());
    let second = breaker.leave(later, true, false).unwrap();
    assert_eq!(breaker.leave(later, true, false), None);
    breaker.succeeded(second, later);
    assert!(!breaker.is_open());
}

#[test]
fn a_probe_needs_failover_behind_it() {
    let (mut breaker, _) = opened();
    assert_eq!(breaker.leave(at(10_000), false, false), None);
    assert!(breaker.leave(at(10_000), true, false).is_some());
}

#[test]
fn a_late_success_changes_nothing() {
    let (mut breaker, early) = opened();
    breaker.succeeded(early, at(100));
    assert!(breaker.is_open());
    let probe = breaker.leave(at(10_000), true, false).unwrap();
    breaker.succeeded(early, at(10_000));
    breaker.succeeded(early, at(10_000));
    assert!(breaker.is_open(), "only probes close it");
    breaker.failed(probe, at(10_001), 0);
    assert!(breaker.leave(at(10_002), true, false).is_none());
}

#[test]
fn waits_double_to_two_minutes_within_their_jitter() {
    for jitter in [0, 200, 399, u64::MAX] {
        let (mut breaker, _) = opened();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let until = breaker.shut_until(at(now)).unwrap();
            waits.push(until.since(at(now)) / 1_000);
            now += waits.last().unwrap() + 1;
            let probe = breaker.leave(at(now), true, false).unwrap();
            breaker.failed(probe, at(now), jitter);
        }
        let bases = [5_000_u64, 10_000, 20_000, 40_000, 80_000, 120_000, 120_000, 120_000];
        for (wait, base) in waits.iter().zip(bases).skip(1) {
            assert!(*wait >= base * 8 / 10 && *wait <= base * 12 / 10, "{waits:?}");
        }
    }
}

#[test]
fn a_probe_without_a_verdict_frees_its_place() {
    let (mut breaker, _) = opened();
    let probe = breaker.leave(at(10_000), true, false).unwrap();
    breaker.release(probe);
    assert!(breaker.leave(at(10_000), true, false).is_some());
}

#[test]
fn the_ninth_request_after_opening_connects_nowhere_near_it() {
    let mut node = Node::new(2);
    let plan = node.plan(1, 0).unwrap();
    let dead = plan.attempts[0].offer;
    for _ in 0..5 {
        let permit = node.begin(&plan, 0, 1, 0).unwrap();
        node.end(permit, Outcome::Failure, 0);
    }
    for turn in 0..9 {
        let plan = node.plan(turn, 10).unwrap();
        assert!(plan.attempts.iter().all(|attempt| attempt.offer != dead));
    }
    assert_eq!(node.rejected("breaker_open", 10), 1);
    assert!(node.begin(&plan, 0, 1, 10).is_none(), "a plan from before is stopped at the door");
}

#[test]
fn neutral_outcomes_move_no_breaker() {
    for outcome in [
        Outcome::ReturnedAsIs,
        Outcome::ClientGone,
        Outcome::ContextTooLong,
        Outcome::RateLimited { retry_after_ms: Some(0) },
    ] {
        let mut node = Node::new(1);
        for turn in 0..50 {
            node.turn(outcome, turn);
        }
        let plan = node.plan(1, 100).unwrap();
        assert!(!plan.panic && plan.attempts.len() == 1, "{outcome:?}");
    }
    // Nor do they count as successes: five failures with others between still open it.
    let mut node = Node::new(2);
    let plan = node.plan(1, 0).unwrap();
    for _ in 0..5 {
        for outcome in [Outcome::Failure, Outcome::ReturnedAsIs] {
            if let Some(permit) = node.begin(&plan, 0, 1, 0) {
                node.end(permit, outcome, 0);
            }
        }
    }
    assert!(node.begin(&plan, 0, 1, 1).is_none());
}

#[test]
fn a_rate_limit_cools_as_long_as_it_says() {
    let mut node = Node::new(2);
    let plan = node.plan(1, 0).unwrap();
    let limited = plan.attempts[0].offer;
    let permit = node.begin(&plan, 0, 1, 0).unwrap();
    node.end(permit, Outcome::RateLimited { retry_after_ms: Some(7_000) }, 0);
    assert_eq!(node.rejected("cooling", 6_999), 1);
    assert_eq!(node.router.soonest_retry_ms(&[limited], node.stage.now(1_000)), Some(6_000));
    assert_eq!(node.rejected("cooling", 7_000), 0);
    assert_eq!(node.router.soonest_retry_ms(&[limited], node.stage.now(7_000)), None);
}

#[test]
fn everything_out_is_panic_and_the_soonest_goes_first() {
    let mut node = Node::new(3);
    for (turn, wait_ms) in [9_000, 3_000, 6_000].into_iter().enumerate() {
        let plan = node.plan(1, 0).unwrap();
        let permit = node.begin(&plan, 0, 1, 0).unwrap();
        node.end(permit, Outcome::RateLimited { retry_after_ms: Some(wait_ms) }, 0);
        assert!(turn == 2 || !node.plan(1, 1).unwrap().panic || turn == 1);
    }
    let plan = node.plan(1, 10).unwrap();
    assert!(plan.panic);
    let waits: Vec<_> = plan
        .attempts
        .iter()
        .map(|a| node.router.soonest_retry_ms(&[a.offer], node.stage.now(10)).unwrap())
        .collect();
    assert_eq!(waits, [2_990, 5_990, 8_990]);
    assert!(node.begin(&plan, 0, 1, 10).is_some(), "panic sends all the same");
}

#[test]
fn a_refused_key_rests_and_the_next_one_serves() {
    let mut node = Node::new(1);
    let plan = node.plan(1, 0).unwrap();
    let first = node.begin(&plan, 0, 3, 0).unwrap();
    assert_eq!(first.key, 0);
    node.end(first, Outcome::KeyRefused, 0);
    let second = node.begin(&plan, 0, 3, 1).unwrap();
    assert_eq!(second.key, 1);
    node.end(second, Outcome::RateLimited { retry_after_ms: Some(30_000) }, 1);
    assert_eq!(node.begin(&plan, 0, 3, 2).unwrap().key, 2);
    // Fifteen minutes later the first is tried again; refused again it rests twice as long.
    let quarter = 15 * 60_000;
    let again = node.begin(&plan, 0, 3, quarter + 1).unwrap();
    assert_eq!(again.key, 0);
    node.end(again, Outcome::KeyRefused, quarter + 1);
    assert_eq!(node.begin(&plan, 0, 3, 2 * quarter + 2).unwrap().key, 1);
    assert_eq!(node.begin(&plan, 0, 3, 3 * quarter + 2).unwrap().key, 0);
}

#[test]
fn the_last_key_gone_is_no_key_and_a_long_wait_rests_the_key() {
    let mut node = Node::new(2);
    let plan = node.plan(1, 0).unwrap();
    let permit = node.begin(&plan, 0, 1, 0).unwrap();
    node.end(permit, Outcome::RateLimited { retry_after_ms: Some(3_600_000) }, 0);
    assert_eq!(node.rejected("no_key", 100_000), 1);
    assert_eq!(node.rejected("no_key", 3_600_001), 0);
}

#[test]
fn a_model_that_is_gone_is_disabled_for_an_hour() {
    let mut node = Node::new(2);
    node.turn(Outcome::ModelGone, 0);
    assert_eq!(node.rejected("disabled", 3_599_000), 1);
    assert_eq!(node.rejected("disabled", 3_600_001), 0);
}

#[test]
fn a_budget_carries_a_fifth_and_ten_in_ten_seconds() {
    let mut budget = RetryBudget::new(at(0));
    let drain = |budget: &mut RetryBudget, now: Ticks| {
        let mut sent = 0;
        while budget.affords(now) {
            budget.spend();
            sent += 1;
        }
        sent
    };
    assert_eq!(drain(&mut budget, at(0)), 10);
    assert_eq!(drain(&mut budget, at(10_000)), 10);
    for _ in 0..500 {
        budget.earn(at(10_000));
    }
    assert_eq!(drain(&mut budget, at(10_000)), 100, "the ceiling");
    for _ in 0..50 {
        budget.earn(at(10_000));
    }
    assert_eq!(drain(&mut budget, at(10_000)), 10, "a fifth of fifty");
}

proptest! {
    #[test]
    fn budgets_are_never_exceeded(
        steps in prop::collection::vec((0_u64..2_000, any::<bool>()), 1..400),
    ) {
        let mut budget = RetryBudget::new(at(0));
        let (mut now, mut firsts, mut further) = (0, 0_u64, 0_u64);
        for (wait, first) in steps {
            now += wait;
            if first {
                budget.earn(at(now));
                firsts += 1;
            } else if budget.affords(at(now)) {
                budget.spend();
                further += 1;
            }
        }
        prop_assert!(further <= 10 + firsts / 5 + now / 1_000 + 1);
    }

    #[test]
    fn one_probe_in_flight_under_any_interleaving(steps in prop::collection::vec(0_u8..4, 1..200)) {
        let (mut breaker, _) = opened();
        let mut out: Vec<Leave> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                0 => now += 3_000,
                1 => {
                    if let Some(leave) = breaker.leave(at(now), true, false) {
                        out.push(leave);
                    }
                }
                _ => {
                    if let Some(leave) = out.pop() {
                        if step == 2 {
                            breaker.succeeded(leave, at(now));
                        } else {
                            breaker.failed(leave, at(now), 0);
                        }
                        breaker.release(leave);
                    }
                }
            }
            let probes = out.iter().filter(|leave| leave.probe).count();
            prop_assert!(probes <= 1, "{probes} probes");
        }
    }
}

#[test]
fn tenants_budgets_are_bounded() {
    let mut tenants = TenantBudgets::default();
    for tenant in 0..3 * TENANTS_MAX {
        tenants.of(&tenant.to_string(), at(0)).earn(at(0));
        assert!(tenants.len() <= TENANTS_MAX);
    }
}
