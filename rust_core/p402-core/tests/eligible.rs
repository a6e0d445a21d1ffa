//! Shows that an offer runs only where it may: each reason, its edges, and what a refusal says.
//! Does not test orders (route.rs).

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot set up must fail loudly"
)]

mod stage;

use p402_core::money::Usd;
use p402_core::route::{Mode, Plan, Refusal, Rules};
use serde_json::{Value, json};
use stage::{Request, Stage};

const HEADER: &str =
    r#"{"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]}"#;

/// One provider `acme` with the given offers, each a JSON object laid over a plain one.
fn acme(offers: &[Value]) -> Vec<u8> {
    let mut lines = vec![
        HEADER.to_owned(),
        json!({"t":"provider","id":"acme","kind":"inference_host","dialect":"openai",
            "base_url":"https://api.acme.example/v1","auth":"bearer","env":["ACME_API_KEY"],
            "routable":true,"flags":[]})
        .to_string(),
        json!({"t":"capability","model":"m","effort":"best","scores":[60,60,60,60,60,60,60,60,60],
            "conf":[1,1,1,1,1,1,1,1,1],"basis":"L"})
        .to_string(),
    ];
    for offer in offers {
        let mut whole = json!({"t":"offer","provider":"acme","context":100_000,"max_output":10_000,
            "modalities":["text"],"tools":false,"structured":false,"reasoning":false,
            "prices":[{"bands":[{"above":0,"in":1_000_000,"out":2_000_000}]}],
            "capability":{"model":"m","match":"exact"},"source":"test","as_of":"2026-11",
            "n_agree":2,"confidence":"agree"});
        whole.as_object_mut().unwrap().extend(offer.as_object().unwrap().clone());
        lines.push(whole.to_string());
    }
    lines.join("\n").into_bytes()
}

fn one(offer: Value) -> Stage {
    let mut offer = offer;
    offer.as_object_mut().unwrap().insert("model".to_owned(), json!("alpha"));
    Stage::new(&acme(&[offer]))
}

fn removed_last(result: Result<Plan, Refusal>) -> &'static str {
    match result {
        Err(Refusal::NoEligible { removed_last, reasons, .. }) => {
            assert!(reasons.iter().any(|(reason, count)| *reason == removed_last && *count > 0));
            removed_last
        }
        other => panic!("{other:?}"),
    }
}

fn body(extra: &Value) -> Request {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Request::new(&body)
}

/// What the request asks for, the offer that has it, and the reason without it.
fn wishes() -> Vec<(Value, Value, &'static str)> {
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let part = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    vec![
        (json!({"tools": tool}), json!({"tools": true}), "tools"),
        (json!({"tools": tool, "tool_choice": "required"}), json!({"tools": true}), "tools"),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}),
            json!({"structured": true}),
            "json_schema",
        ),
        (
            json!({"reasoning_effort": "high"}),
            json!({"reasoning": true, "efforts": ["low", "high"]}),
            "reasoning",
        ),
        (
            part(json!({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}})),
            json!({"modalities": ["text", "image"]}),
            "vision",
        ),
        (
            part(json!({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}})),
            json!({"modalities": ["text", "audio"]}),
            "audio",
        ),
        (
            part(json!({"type": "file", "file": {"file_data": "aGk=", "filename": "a.pdf"}})),
            json!({"modalities": ["text", "file"]}),
            "file",
        ),
    ]
}

#[test]
fn a_wish_needs_an_offer_that_fulfils_it() {
    for (wish, having, reason) in wishes() {
        let request = body(&wish);
        assert_eq!(removed_last(one(json!({})).plan(&request)), reason, "{wish}");
        assert!(one(having.clone()).plan(&request).is_ok(), "{wish} {having}");
    }
}

#[test]
fn dropped_fields_are_unsupported_wishes() {
    let cases = [
        (json!({"logprobs": true}), json!({"flags": ["drop=logprobs"]}), "logprobs"),
        (json!({"n": 2}), json!({"flags": ["drop=n"]}), "n"),
        (
            json!({"reasoning_effort": "high"}),
            json!({"reasoning": true, "efforts": ["low"]}),
            "effort",
        ),
        (
            json!({"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}}),
            json!({}),
            "modality_out",
        ),
    ];
    for (wish, without, reason) in cases {
        assert_eq!(removed_last(one(without).plan(&body(&wish))), reason, "{wish}");
    }
    assert!(one(json!({})).plan(&body(&json!({"logprobs": true, "n": 2}))).is_ok());
}

#[test]
fn context_edges_hold_to_the_token() {
    let request = body(&json!({"max_tokens": 500}));
    let plan = one(json!({})).plan(&request).unwrap();
    let input = (plan.input_tokens * 105).div_ceil(100);
    let fits = |context: u64| one(json!({"context": context})).plan(&request);
    assert!(fits(input + 500).is_ok());
    assert_eq!(removed_last(fits(input + 499)), "context");
    assert!(one(json!({"max_input": input})).plan(&request).is_ok());
    assert_eq!(removed_last(one(json!({"max_input": input - 1})).plan(&request)), "context");
    assert!(one(json!({"max_output": 500})).plan(&request).is_ok());
    assert_eq!(removed_last(one(json!({"max_output": 499})).plan(&request)), "max_output");
}

#[test]
fn the_nearest_miss_is_told_with_its_figures() {
    let stage = Stage::new(&acme(&[
        json!({"model": "small", "context": 1_000}),
        json!({"model": "larger", "context": 9_000}),
    ]));
    let mut request = Request::sized(20_000);
    request.options.mode = Some(Mode::Cost);
    let Err(Refusal::NoEligible { nearest, removed_last, reasons }) = stage.plan(&request) else {
        panic!("it must not fit");
    };
    assert_eq!(removed_last, "context");
    assert_eq!(reasons, [("context", 2)]);
    let nearest = nearest.unwrap();
    assert!(nearest.contains("acme/larger") && nearest.contains("9,000"), "{nearest}");
}

#[test]
fn a_pin_clamps_max_tokens_and_says_so() {
    let stage = one(json!({"max_output": 100}));
    let mut request = body(&json!({"model": "acme/alpha", "max_tokens": 500}));
    let plan = stage.plan(&request).unwrap();
    assert_eq!(plan.attempts[0].output_cap, Some(100));
    assert!(plan.warnings.iter().any(|warning| warning.contains("max_tokens")));
    request = body(&json!({"max_tokens": 500}));
    assert_eq!(removed_last(stage.plan(&request)), "max_output");
}

#[test]
fn absent_max_tokens_is_bounded_and_sent() {
    let plan = one(json!({})).plan(&body(&json!({}))).unwrap();
    assert_eq!(plan.attempts[0].output_cap, Some(8_192));
    let small = one(json!({"context": 2_048})).plan(&body(&json!({}))).unwrap();
    let cap = small.attempts[0].output_cap.unwrap();
    assert!((512..2_048).contains(&cap), "{cap}");
}

#[test]
fn max_cost_is_a_guarantee() {
    let stage = one(json!({}));
    let free = stage.plan(&body(&json!({}))).unwrap();
    let claim = free.attempts[0].claim;
    let exact = body(&json!({})).with(&format!(r#"{{"max_cost_usd": "{claim}"}}"#));
    assert_eq!(stage.plan(&exact).unwrap().attempts[0].output_cap, Some(8_192));
    // Half the money: the largest cap that still fits, and no token more.
    let half = Usd::from_nano(claim.nano() / 2);
    let plan =
        stage.plan(&body(&json!({})).with(&format!(r#"{{"max_cost_usd":"{half}"}}"#))).unwrap();
    let attempt = &plan.attempts[0];
    assert!(attempt.claim <= half && attempt.claim.nano() + 2_000 > half.nano());
    assert!(attempt.output_cap.unwrap() >= 1_024);
    let little = body(&json!({})).with(r#"{"max_cost_usd": "0.001"}"#);
    assert_eq!(removed_last(stage.plan(&little)), "over_max_cost");
    let own = body(&json!({"max_tokens": 8_192})).with(&format!(r#"{{"max_cost_usd":"{half}"}}"#));
    assert_eq!(removed_last(stage.plan(&own)), "over_max_cost");
}

#[test]
fn max_latency_rejects_the_slow() {
    let stage = one(json!({"ttft_ms": 900}));
    let slow = body(&json!({})).with(r#"{"max_latency_ms": 800}"#);
    assert_eq!(removed_last(stage.plan(&slow)), "over_latency");
    let plan = stage.plan(&body(&json!({})).with(r#"{"max_latency_ms": 1000}"#)).unwrap();
    assert!(plan.attempts[0].deadline_ms <= 1_000);
}

#[test]
fn prices_and_evidence_are_conditions() {
    let unpriced = Stage::new(&acme(&[json!({"model": "alpha", "prices": []})]));
    assert_eq!(removed_last(unpriced.plan(&body(&json!({})))), "unpriced");
    let named = unpriced.plan(&body(&json!({"model": "acme/alpha"})));
    assert!(matches!(named, Err(Refusal::PriceUnknown { .. })), "{named:?}");

    let stale = one(json!({"confidence": "stale"}));
    assert_eq!(removed_last(stale.plan(&body(&json!({})))), "stale");
    assert!(stale.plan(&body(&json!({"model": "acme/alpha"}))).is_ok());

    let guessed = one(json!({"capability": {"model": "m", "match": "price_band"}}));
    assert_eq!(removed_last(guessed.plan(&body(&json!({})))), "unmeasured");
    let by_name = body(&json!({})).with(r#"{"models": ["acme/alpha"]}"#);
    assert!(guessed.plan(&by_name).is_ok());
    let by_star = body(&json!({})).with(r#"{"models": ["acme/*"]}"#);
    assert_eq!(removed_last(guessed.plan(&by_star)), "unmeasured");
}

#[test]
fn no_key_is_no_candidate() {
    let stage = Stage::keyed(&acme(&[json!({"model": "alpha"})]), &|_| false);
    assert_eq!(removed_last(stage.plan(&body(&json!({})))), "no_key");
    assert_eq!(stage.table.arms(), 0);
    assert!(!stage.table.live(0));
}

#[test]
fn lists_intersect_and_deny_wins() {
    let mut stage = Stage::nine();
    let served = |stage: &Stage, p402: &str| {
        let plan = stage.plan(&Request::says("hello").with(p402));
        plan.map(|plan| stage.models(&plan))
    };
    let only = served(&stage, r#"{"models": ["gpt-5.4", "claude-*"], "mode": "quality"}"#).unwrap();
    assert!(only.iter().all(|m| m == "gpt-5.4" || m.starts_with("claude-")), "{only:?}");
    let denied =
        served(&stage, r#"{"models": {"allow": ["claude-*"], "deny": ["claude-opus-4-6"]}}"#);
    assert!(!denied.unwrap().contains(&"claude-opus-4-6".to_owned()));
    let alias = served(&stage, r#"{"models": ["deepseek-chat"]}"#).unwrap();
    assert_eq!(alias, ["deepseek-flash"]);
    let pair = served(&stage, r#"{"models": ["openai/gpt-5.4"]}"#).unwrap();
    assert_eq!(pair, ["gpt-5.4"]);
    let providers = served(&stage, r#"{"providers": ["goo*"]}"#).unwrap();
    assert!(providers.iter().all(|model| model.starts_with("gemini")));
    stage.rules = Rules { models: lists(&["claude-*"]), ..Rules::default() };
    let both = served(&stage, r#"{"models": ["gpt-5.4"]}"#);
    assert_eq!(removed_last_of(both), "not_allowed");
    let widened = served(&stage, r#"{"models": ["gpt-5.4", "claude-haiku-4-5"]}"#).unwrap();
    assert_eq!(widened, ["claude-haiku-4-5"]);
}

fn lists(allow: &[&str]) -> p402_core::route::Lists {
    p402_core::route::Lists {
        allow: allow.iter().map(|name| (*name).to_owned()).collect(),
        deny: Vec::new(),
    }
}

fn removed_last_of(result: Result<Vec<String>, Refusal>) -> &'static str {
    match result {
        Err(Refusal::NoEligible { removed_last, .. }) => removed_last,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_name_that_matches_nothing_is_refused() {
    let stage = Stage::nine();
    for (p402, param) in [
        (r#"{"models": ["gpt-5.5-typo"]}"#, "p402.models"),
        (r#"{"models": {"deny": ["clode-*"]}}"#, "p402.models"),
        (r#"{"providers": ["opnai"]}"#, "p402.providers"),
    ] {
        match stage.plan(&Request::says("hello").with(p402)) {
            Err(Refusal::Invalid { code, param: named, message }) => {
                assert_eq!((code, named.as_str()), ("p402_field_invalid", param));
                assert!(message.contains("matches no"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn names_pin_or_are_overridden() {
    let stage = Stage::nine();
    let named = |model: &str, p402: &str| stage.plan(&body(&json!({"model": model})).with(p402));
    // Overridden by the router, and still the baseline.
    let plan = named("gpt-5.4", r#"{"mode": "cost"}"#).unwrap();
    assert!(!plan.pinned && plan.baseline == Some(stage.offer("openai/gpt-5.4")));
    assert_ne!(stage.models(&plan)[0], "gpt-5.4");
    for (model, served) in [
        ("gpt-5.4", "gpt-5.4"),
        ("deepseek-chat", "deepseek-flash"),
        ("gemini-3.1-ultra", "gemini-3.1-pro-preview"),
    ] {
        let plan = named(model, r#"{"pin": true, "mode": "cost"}"#).unwrap();
        assert_eq!(stage.models(&plan), [served]);
        assert!(plan.pinned && plan.attempts[0].effort.is_none());
    }
    let pair = named("anthropic/claude-opus-4-6", "{}").unwrap();
    assert_eq!((stage.models(&pair), pair.pinned), (vec!["claude-opus-4-6".to_owned()], true));
    let unknown = named("gpt-9-mega", "{}").unwrap();
    assert!(!unknown.requested_known && unknown.baseline.is_none());
    assert!(unknown.warnings.iter().any(|warning| warning.contains("unknown")));
    match named("gpt-5.5", r#"{"pin": true}"#) {
        Err(Refusal::ModelNotFound { near, .. }) => assert!(near.contains(&"gpt-5.4".to_owned())),
        other => panic!("{other:?}"),
    }
    assert!(matches!(named("auto", r#"{"pin": true}"#), Err(Refusal::Invalid { .. })));
}

#[test]
fn a_pin_that_cannot_run_names_its_own_obstacle() {
    let two =
        Stage::new(&acme(&[json!({"model": "alpha", "tools": true}), json!({"model": "beta"})]));
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let refused = two.plan(&body(&json!({"model": "acme/beta", "tools": tool})));
    match refused {
        Err(Refusal::NoEligible { removed_last, nearest, .. }) => {
            assert_eq!(removed_last, "tools");
            assert!(nearest.unwrap().starts_with("`acme/beta`"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenant_may_pin_by_default() {
    let mut stage = Stage::nine();
    stage.rules = Rules { pin_default: true, ..Rules::default() };
    let plan = stage.plan(&body(&json!({"model": "gpt-5.4"}))).unwrap();
    assert!(plan.pinned);
    assert_eq!(stage.models(&plan), ["gpt-5.4"]);
    assert!(!stage.plan(&body(&json!({"model": "auto"}))).unwrap().pinned);
}

#[test]
fn reported_counts_correct_the_estimate() {
    let stage = one(json!({}));
    let mut router = stage.router();
    let request = Request::sized(1_000);
    let expected = |router: &mut p402_core::route::Router| {
        let plan = router.plan(&stage.world(), &request.ask(), stage.now(0)).unwrap();
        (plan.attempts[0].expected, plan)
    };
    let (before, plan) = expected(&mut router);
    for _ in 0..30 {
        let start = plan.start(0, 1, true).unwrap();
        let permit = router.begin(&stage.world(), &start, stage.now(0)).unwrap();
        let seen = p402_core::route::Observation {
            permit,
            outcome: p402_core::route::Outcome::Success,
            ttft_ms: Some(300),
            total_ms: 900,
            input_tokens: Some(plan.input_tokens * 2),
            output_tokens: Some(100),
        };
        router.observe(&seen, stage.now(0));
    }
    let (after, _) = expected(&mut router);
    let added = after.nano() - before.nano();
    let input = i64::try_from(plan.input_tokens).unwrap() * 1_000;
    assert!((added - input).abs() < input / 20, "{before} {after}");
}

/// Gemini counts thoughts inside the bound that it is sent, which is raised by them: so is what is
/// held, to the token.
#[test]
fn thoughts_inside_a_bound_are_held() {
    let offer = json!({"model": "alpha", "reasoning": true, "efforts": ["budget", "high"],
        "max_output": 60_000});
    let told = |dialect: &str| {
        let catalog = String::from_utf8(acme(std::slice::from_ref(&offer))).unwrap();
        let catalog =
            catalog.replace(r#""dialect":"openai""#, &format!(r#""dialect":"{dialect}""#));
        let stage = Stage::new(catalog.as_bytes());
        let asked = json!({"max_tokens": 1_000, "reasoning_effort": "high"});
        let plan = stage.plan(&body(&asked)).unwrap();
        plan.attempts.first().map(|attempt| (attempt.output_bound, attempt.output_cap)).unwrap()
    };
    assert_eq!(told("openai"), (1_000, None));
    assert_eq!(told("gemini"), (17_384, None));
}
