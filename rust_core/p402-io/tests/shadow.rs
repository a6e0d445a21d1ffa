//! Shows that hits of the cache are checked as promised: whom it asks, what it costs, what follows.
//! Does not test the bound's arithmetic (core's tests/cache_bound.rs).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up must fail")]

mod stage;

use p402_core::ledger::{Flags, Kind};
use p402_io::embed::Hashed;
use serde_json::{Value, json};
use stage::{HELLO, Stage, answer, named};

/// How often something is looked for before a test gives up.
const LOOKS: usize = 2_000;
const FIRST: &str = "How do I sort a long list of names in Python by their second letter?";
const AGAIN: &str = "How do I sort a long list of names in Python by their second letter, please?";

fn ask(text: &str) -> Value {
    json!({"model": "auto", "max_tokens": 1_000, "p402": {"mode": "cost", "cache": {"no_store": text != FIRST},
        "explain": true}, "messages": [{"role": "user", "content": text}]})
}

fn says(host: &str, content: &str) -> Value {
    let body = HELLO.replace("Hello", content);
    json!({"url": format!("//{host}.test"), "steps": [{"chunk": body}], "times": 1})
}

/// A gateway that has answered once, and checks what it serves.
async fn promised(scripts: Value, cache: Value) -> Stage {
    let stage = stage::gateway(scripts, &json!({"cache": cache}));
    stage.gateway.node.embedder.set(Box::new(Hashed)).unwrap();
    answer(&stage, &ask(FIRST)).await;
    for _ in 0..LOOKS {
        let fill = stage.gateway.node.home.as_ref().unwrap().answers.fill();
        if stage.gateway.node.being_kept() == 0 && fill.entries == 1 {
            tokio::spawn(stage.gateway.clone().check_hits());
            return stage;
        }
        tokio::task::yield_now().await;
    }
    panic!("an answer was to be kept");
}

/// The one class's line, once so many were checked.
async fn checked(stage: &Stage, count: u64) -> Value {
    until(stage, |line| line["checks"] == count).await
}

/// The one class's line, once it is so.
async fn until(stage: &Stage, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..LOOKS {
        let told = stage.gateway.cache_stats("acme").unwrap();
        let told: Value = serde_json::from_slice(&told).unwrap();
        if so(&told["checks"][0]) {
            return told["checks"][0].clone();
        }
        tokio::task::yield_now().await;
    }
    panic!("checks were to be made");
}

fn shadows(stage: &Stage) -> usize {
    let rows = stage.rows();
    rows.iter().filter(|row| row.kind == Kind::Settle && row.flags.has(Flags::SHADOW)).count()
}

#[tokio::test]
async fn a_hit_is_asked_again_at_the_giver_and_booked() {
    let cache = json!({"delta": 0.05, "shadow_rate": 1.0});
    let stage = promised(json!([says("a", "Hello"), says("a", "hello.")]), cache).await;
    let (_, told, headers) = answer(&stage, &ask(AGAIN)).await;
    assert_eq!(named(&headers, "x-p402-cache"), "semantic", "{}", told["p402_metadata"]["cache"]);
    let line = checked(&stage, 1).await;
    assert_eq!((&line["wrong"], &line["enough"]), (&json!(0), &json!(false)), "{line}");
    assert_eq!((&line["mode"], &line["length"]), (&json!("cost"), &json!("medium")));
    assert_eq!(shadows(&stage), 1);
    let rows = stage.rows();
    let row = rows.iter().rfind(|row| row.kind == Kind::Settle).unwrap();
    assert_eq!((&*row.provider, row.cost.nano()), ("a", 1_600_000));
    // It is nobody's answer: it is not kept.
    assert_eq!(stage.gateway.node.home.as_ref().unwrap().answers.fill().entries, 1);
}

#[tokio::test]
async fn what_proves_wrong_is_served_no_more() {
    let cache = json!({"delta": 0.05, "shadow_rate": 1.0});
    let mut scripts = vec![says("a", "Hello")];
    scripts.extend((0..9).map(|at| says("a", &format!("Something else, number {at}"))));
    let stage = promised(Value::Array(scripts), cache).await;
    let (_, _, headers) = answer(&stage, &ask(AGAIN)).await;
    assert_eq!(named(&headers, "x-p402-cache"), "semantic");
    assert_eq!(checked(&stage, 1).await["wrong"], 1);
    // One may be chance; a second one is not.
    let (_, _, headers) = answer(&stage, &ask(AGAIN)).await;
    assert_eq!(named(&headers, "x-p402-cache"), "semantic");
    until(&stage, |line| line["enough"] == true).await;
    let (_, told, headers) = answer(&stage, &ask(AGAIN)).await;
    assert_eq!(named(&headers, "x-p402-cache"), "miss");
    assert_eq!(told["p402_metadata"]["cache"]["reason"], "verifier");
    // The same bytes are no matter of likeness.
    let (_, _, headers) = answer(&stage, &ask(FIRST)).await;
    assert_eq!(named(&headers, "x-p402-cache"), "exact");
}

#[tokio::test]
async fn a_judge_says_whether_answers_agree_that_are_not_the_same() {
    for (word, wrong) in [("Yes.", 0), ("no", 1), ("Hm", 1)] {
        let cache = json!({"delta": 0.05, "shadow_rate": 1.0, "judge": "b/m-b"});
        let scripts = json!([says("a", "Hello"), says("a", "Good day"), says("b", word)]);
        let stage = promised(scripts, cache).await;
        answer(&stage, &ask(AGAIN)).await;
        assert_eq!(checked(&stage, 1).await["wrong"], wrong, "{word}");
        assert_eq!(shadows(&stage), 2);
    }
}

#[tokio::test]
async fn checks_cost_no_more_than_the_days_money() {
    let cache = json!({"delta": 0.05, "shadow_rate": 1.0, "shadow_daily_usd": "0.002"});
    let scripts = Value::Array(vec![says("a", "Hello"); 5]);
    let stage = promised(scripts, cache).await;
    answer(&stage, &ask(AGAIN)).await;
    checked(&stage, 1).await;
    for _ in 0..3 {
        answer(&stage, &ask(AGAIN)).await;
    }
    for _ in 0..LOOKS {
        tokio::task::yield_now().await;
    }
    // What the first has left is less than a second might cost.
    assert_eq!(shadows(&stage), 1);
}

#[tokio::test]
async fn nothing_is_checked_where_nothing_is_promised() {
    let stage = promised(json!([says("a", "Hello"), says("a", "Hello")]), json!({})).await;
    let (_, _, headers) = answer(&stage, &ask(AGAIN)).await;
    assert_eq!(named(&headers, "x-p402-cache"), "semantic");
    for _ in 0..LOOKS {
        tokio::task::yield_now().await;
    }
    assert_eq!(shadows(&stage), 0);
    let told: Value = serde_json::from_slice(&stage.cache_stats("acme").unwrap()).unwrap();
    assert_eq!(told["checks"], json!([]));
}
