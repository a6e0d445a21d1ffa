//! Shows by properties that orders are sound whatever the offers: metamorphic, total, bounded.
//! Does not test which model of the page goes first (route.rs).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::route::{ATTEMPTS_MAX, Mode, Plan};
use proptest::prelude::*;
use serde_json::{Value, json};
use stage::{Request, Stage};
use std::collections::HashSet;

/// A made-up model at a provider of its own.
#[derive(Clone, Debug)]
struct Made {
    name: usize,
    score: u32,
    input: u64,
    output: u64,
    ttft_ms: u32,
    context: u64,
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let one = (1_u32..99, 10_000_u64..20_000_000, 20_000_u64..90_000_000, 100_u32..3_000);
    prop::collection::vec((one, prop::bool::weighted(0.9)), 2..12).prop_map(|all| {
        let made = all.into_iter().enumerate().map(|(name, (one, fits))| {
            let (score, input, output, ttft_ms) = one;
            let context = if fits { 100_000 } else { 64 };
            Made { name, score, input, output, ttft_ms, context }
        });
        made.collect()
    })
}

fn stage(all: &[Made]) -> Stage {
    offering(all, &|_| true)
}

/// The same capability table, offering only some of the models.
fn offering(all: &[Made], offered: &dyn Fn(&Made) -> bool) -> Stage {
    let mut lines: Vec<Value> =
        vec![json!({"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]})];
    for made in all {
        let (id, score) = (format!("p{:02}", made.name), made.score);
        lines.push(json!({"t":"provider","id":id,"kind":"inference_host","dialect":"openai",
            "base_url":"https://api.acme.example/v1","auth":"bearer","env":["A_KEY"],
            "routable":true,"flags":[]}));
        lines.push(json!({"t":"capability","model":format!("m{}", made.name),"effort":"best",
            "scores":vec![score; 9],"conf":vec![1; 9],"basis":"L"}));
        if !offered(made) {
            continue;
        }
        lines.push(json!({"t":"offer","provider":id,"model":format!("m{}", made.name),
            "context":made.context,"modalities":["text"],"tools":false,"structured":false,
            "reasoning":false,"ttft_ms":made.ttft_ms,"tokens_per_s":100,
            "prices":[{"bands":[{"above":0,"in":made.input,"out":made.output}]}],
            "capability":{"model":format!("m{}", made.name),"match":"exact"},
            "source":"test","as_of":"2026-11","n_agree":2,"confidence":"agree"}));
    }
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    Stage::new(text.join("\n").as_bytes())
}

fn request(mode: Mode) -> Request {
    Request::sized(1_000).with(&format!(r#"{{"mode":"{}","task":"chat"}}"#, mode.name()))
}

/// Candidates in the mode's order, by name.
fn order(all: &[Made], mode: Mode) -> Vec<String> {
    ranked(&stage(all), mode)
}

fn ranked(stage: &Stage, mode: Mode) -> Vec<String> {
    let request = request(mode);
    let told = stage.router().explain(&stage.world(), &request.ask(), stage.now(0), (true, false));
    let Ok(told) = told else { return Vec::new() };
    let told: Value = serde_json::from_slice(&told.to_json()).unwrap();
    let candidates = told["candidates"].as_array().unwrap();
    candidates.iter().map(|c| c["model"].as_str().unwrap().to_owned()).collect()
}

fn rank(order: &[String], name: usize) -> Option<usize> {
    order.iter().position(|model| *model == format!("m{name}"))
}

fn plan(stage: &Stage, mode: Mode) -> Option<Plan> {
    stage.plan(&request(mode)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_dearer_arm_never_rises_in_cost_mode(all in made(), at in any::<prop::sample::Index>()) {
        let at = at.index(all.len());
        let before = order(&all, Mode::Cost);
        let mut dearer = all.clone();
        dearer[at].input = dearer[at].input * 3 / 2;
        dearer[at].output = dearer[at].output * 3 / 2;
        let after = order(&dearer, Mode::Cost);
        // First place is by cost alone: what gets dearer cannot take it.
        if rank(&before, at) != Some(0) {
            prop_assert_ne!(rank(&after, at), Some(0));
        }
    }

    #[test]
    fn a_more_capable_arm_never_falls_in_quality_mode(
        all in made(), at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(all.len());
        let hard = |all: &[Made]| {
            let stage = stage(all);
            let request = Request::sized(1_000).with(r#"{"mode":"quality","task":"math"}"#);
            let asked = (true, false);
            let told = stage.router().explain(&stage.world(), &request.ask(), stage.now(0), asked);
            told.ok().map(|told| {
                let told: Value = serde_json::from_slice(&told.to_json()).unwrap();
                let all = told["candidates"].as_array().unwrap().clone();
                all.iter().map(|c| c["model"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            })
        };
        let Some(before) = hard(&all) else { return Ok(()) };
        let mut better = all.clone();
        better[at].score += 1;
        let after = hard(&better).unwrap();
        prop_assert!(rank(&after, at) <= rank(&before, at));
    }

    #[test]
    fn the_order_of_the_file_and_rejected_offers_change_nothing(all in made()) {
        for mode in Mode::ALL {
            let before = order(&all, mode);
            let mut turned = all.clone();
            turned.reverse();
            prop_assert_eq!(&before, &order(&turned, mode));
            // Those that cannot run (too small a context) change no other's rank.
            prop_assert_eq!(&before, &ranked(&offering(&all, &|made| made.context > 64), mode));
        }
    }

    #[test]
    fn a_nano_flips_only_exact_ties(all in made(), at in any::<prop::sample::Index>()) {
        let at = at.index(all.len());
        let mut nudged = all.clone();
        // One pico-dollar a token: a nano-dollar on a thousand tokens.
        nudged[at].input += 1;
        let (before, after) = (order(&all, Mode::Cost), order(&nudged, Mode::Cost));
        if before != after {
            let tied = all.iter().enumerate().any(|(other, made)| {
                other != at && made.input.abs_diff(all[at].input) * 1_000
                    <= made.output.abs_diff(all[at].output) * 300 + 2_000
            });
            prop_assert!(tied, "{before:?} {after:?}");
        }
    }

    #[test]
    fn plans_are_bounded_without_repeats_and_deterministic(all in made()) {
        let stage = stage(&all);
        for mode in Mode::ALL {
            let Some(one) = plan(&stage, mode) else { continue };
            prop_assert!(!one.attempts.is_empty() && one.attempts.len() <= ATTEMPTS_MAX);
            let offers: HashSet<_> = one.attempts.iter().map(|a| a.offer).collect();
            prop_assert_eq!(offers.len(), one.attempts.len());
            for attempt in &one.attempts {
                prop_assert!(stage.catalog.offers[attempt.offer].context > 64);
                prop_assert!(attempt.claim >= attempt.expected);
            }
            prop_assert_eq!(Some(one), plan(&stage, mode));
        }
    }

    #[test]
    fn a_cost_failover_does_not_answer_worse_where_it_need_not(all in made()) {
        let stage = stage(&all);
        let Some(plan) = plan(&stage, Mode::Cost) else { return Ok(()) };
        let first = &plan.attempts[0];
        let near = |cost: i64| cost <= first.expected.nano() * 8;
        let told = order(&all, Mode::Cost);
        let name = stage.catalog.offers[first.offer].model[1..].parse().unwrap();
        prop_assert_eq!(rank(&told, name), Some(0));
        if let Some(second) = plan.attempts.get(1) {
            let worse = second.quality <= first.quality - 2.0;
            let spared = all.iter().filter(|m| m.context > 64).any(|made| {
                let score = made.score as f32;
                let pico = made.input * plan.input_tokens + made.output * 300;
                let cost = i64::try_from(pico / 1_000).unwrap();
                let model = format!("m{}", made.name);
                let used = plan.attempts[..1].iter()
                    .any(|a| *stage.catalog.offers[a.offer].model == *model);
                !used && score > first.quality - 2.0 && near(cost)
            });
            prop_assert!(!(worse && spared), "{:?}", plan.attempts);
        }
    }
}
