//! Shows what the cache does in the line: who is served what, what it costs, and what is stored.
//! Does not test the judgement of a pair (core's cache tests) or HTTP (tests/test_cache.py).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up must fail")]

mod stage;

use p402_core::cache::shelf::Bounds;
use p402_core::guard::Op;
use p402_core::ledger::{Flags, Kind};
use p402_core::money::Usd;
use p402_io::clock::{Clock, ManualClock};
use p402_io::embed::{EmbedError, Embedder, Embedding, Hashed};
use p402_io::gateway::Gateway;
use p402_io::home::Home;
use p402_io::store::answers::Answers;
use p402_io::store::memory::Memory;
use p402_io::store::{Store, Tenant, Trip};
use p402_io::transport::scripted::{Script, ScriptedTransport};
use serde_json::{Value, json};
use stage::{FINISH, HELLO, ROLE, START, Stage, TEXT, USAGE, answer, head, named, rest, sse};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often an answer's storing is looked for before a test gives up.
const LOOKS: usize = 2_000;

fn ask(text: &str) -> Value {
    json!({"model": "auto", "p402": {"mode": "cost", "cache": true, "explain": true},
        "messages": [{"role": "user", "content": text}]})
}

fn staged(scripts: Value) -> Stage {
    let stage = stage::gateway(scripts, &json!({"cache": {}}));
    stage.gateway.node.embedder.set(Box::new(Hashed)).unwrap();
    stage
}

/// Waits until as many answers lie on the shelf, with what they are found by.
async fn until_kept(stage: &Stage, entries: usize) {
    let node = &stage.gateway.node;
    for _ in 0..LOOKS {
        let idle = node.being_kept() == 0;
        if idle && node.home.as_ref().unwrap().answers.fill().entries == entries {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{entries} answers were to be kept");
}

/// Whom the script stands for, and what it says: once.
fn says(host: &str, body: &str) -> Value {
    json!({"url": format!("//{host}.test"), "steps": [{"chunk": body}], "times": 1})
}

/// The same, after a while.
fn says_late(host: &str, status: u16, body: &str) -> Value {
    let mut script = says(host, body);
    script["status"] = json!(status);
    script["steps"] = json!([{"wait_ms": 50}, {"chunk": body}]);
    script
}

fn hello(times: usize) -> Value {
    Value::Array(vec![says("a", HELLO); times])
}

#[tokio::test]
async fn the_same_bytes_are_answered_again_and_cost_nothing() {
    let stage = staged(hello(1));
    let (_, first, headers) = answer(&stage, &ask("What is Rust?")).await;
    assert_eq!(named(&headers, "x-p402-cache"), "miss");
    assert_eq!(first["p402_metadata"]["cache"], json!({"tier": null, "reason": "empty"}));
    until_kept(&stage, 1).await;
    let (status, again, headers) = answer(&stage, &ask("What is Rust?")).await;
    assert_eq!((status, named(&headers, "x-p402-cache")), (200, "exact"));
    assert_eq!(named(&headers, "x-p402-cost-usd"), "0");
    assert_eq!(again["choices"], first["choices"]);
    assert_eq!(again["model"], first["model"]);
    assert_ne!(again["id"], first["id"]);
    let (was, is) = (&first["p402_metadata"], &again["p402_metadata"]);
    assert_eq!(is["cached"], true);
    assert_eq!(is["cost_usd"].to_string(), "0");
    assert_eq!(again["usage"]["cost"].to_string(), "0");
    assert_eq!(is["savings"], is["direct_cost"]);
    assert_eq!(is["direct_cost"], was["direct_cost"]);
    assert_eq!(is["provider_latency_ms"], 0);
    for same in ["provider", "model", "input_tokens", "output_tokens", "routing_mode"] {
        assert_eq!(is[same], was[same], "{same}");
    }
    assert_eq!(again["usage"]["prompt_tokens"], 1_200);
    assert_eq!(is["cache"]["tier"], "exact");
    let rows = stage.rows();
    let last = rows.last().unwrap();
    assert_eq!((last.kind, last.cost, last.held), (Kind::Settle, Usd::ZERO, Usd::ZERO));
    assert!(last.flags.has(Flags::CACHED));
    assert_eq!(rows.iter().filter(|row| row.kind == Kind::Dispatch).count(), 1);
    let told = stage::look_up(&stage, &headers);
    assert_eq!(told["p402_metadata"]["cached"], true);
    assert_eq!(told["flags"], json!(["cached"]));
}

#[tokio::test]
async fn a_question_in_other_words_is_a_hit_and_a_look_alike_is_none() {
    let stage = staged(hello(2));
    answer(&stage, &ask("How do I sort a long list of names in Python by their second letter?"))
        .await;
    until_kept(&stage, 1).await;
    let (_, same, headers) =
        answer(&stage, &ask("how do I sort a long list of names in Python by their second letter"))
            .await;
    assert_eq!(named(&headers, "x-p402-cache"), "exact");
    assert_eq!(same["p402_metadata"]["cache"]["tier"], "canonical");
    let (_, near, headers) = answer(
        &stage,
        &ask("How do I sort a long list of names in Python by their second letter, please?"),
    )
    .await;
    assert_eq!(named(&headers, "x-p402-cache"), "semantic", "{}", near["p402_metadata"]["cache"]);
    assert!(near["p402_metadata"]["cache"]["similarity"].as_f64().unwrap() >= 0.92);
    assert!(near["p402_metadata"]["cache"]["entry"].as_str().unwrap().starts_with("ce_"));
    let (_, other, headers) = answer(
        &stage,
        &ask("How do I not sort a long list of names in Python by their second letter?"),
    )
    .await;
    assert_eq!(named(&headers, "x-p402-cache"), "miss");
    assert_eq!(other["p402_metadata"]["cache"]["reason"], "veto:negation");
}

#[tokio::test]
async fn a_stream_and_a_body_serve_each_other() {
    let streamed = sse(&[ROLE, TEXT, FINISH, USAGE, "[DONE]"]);
    let stage = staged(json!([says("a", &streamed)]));
    let mut stream = ask("Say it");
    stream["stream"] = json!(true);
    let outbox = stage::start(&stage, &stream);
    assert_eq!(named(&head(&outbox).await.headers, "x-p402-cache"), "miss");
    rest(&outbox).await;
    until_kept(&stage, 1).await;
    let (_, whole, headers) = answer(&stage, &ask("Say it")).await;
    assert_eq!(named(&headers, "x-p402-cache"), "exact");
    assert_eq!(whole["choices"][0]["message"]["content"], "Hel");
    stream["stream_options"] = json!({"include_usage": true});
    let outbox = stage::start(&stage, &stream);
    assert_eq!(named(&head(&outbox).await.headers, "x-p402-cache"), "exact");
    let text = rest(&outbox).await;
    let frames: Vec<&str> = text.trim_end().split("\n\n").collect();
    assert_eq!(*frames.last().unwrap(), "data: [DONE]");
    let events: Vec<Value> = frames[..frames.len() - 1]
        .iter()
        .map(|frame| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    let [role, content, finish, usage] = &events[..] else { panic!("{text}") };
    assert_eq!(role["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(content["choices"][0]["delta"]["content"], "Hel");
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(finish["p402_metadata"]["cached"], true);
    assert_eq!(usage["usage"]["total_tokens"], 1_600);
    assert_eq!(usage["p402_metadata"]["cached"], true);
}

#[tokio::test]
async fn what_a_request_says_of_the_cache_is_followed() {
    let stage = staged(hello(8));
    let with = |cache: Value| {
        let mut body = ask("What is Rust?");
        body["p402"]["cache"] = cache;
        body
    };
    let word = async |cache: Value| {
        let (_, body, headers) = answer(&stage, &with(cache)).await;
        (named(&headers, "x-p402-cache").to_owned(), body["p402_metadata"]["cache"].clone())
    };
    let (off, told) = word(json!(false)).await;
    assert_eq!((off.as_str(), told), ("off", Value::Null));
    assert_eq!(word(json!({"no_store": true})).await.0, "miss");
    assert_eq!(word(json!({"no_store": true})).await.0, "miss");
    assert_eq!(word(json!(true)).await.0, "miss");
    until_kept(&stage, 1).await;
    assert_eq!(word(json!(true)).await.0, "exact");
    let (miss, told) = word(json!({"refresh": true})).await;
    assert_eq!((miss.as_str(), &told["reason"]), ("miss", &json!("refresh")));
    until_kept(&stage, 1).await;
    stage.clock.advance_micros(10_000_000);
    assert_eq!(word(json!({"max_age": 10})).await.0, "exact");
    assert_eq!(word(json!({"max_age": 9, "no_store": true})).await.0, "miss");
    let (off, told) = word(json!({"share": "user"})).await;
    assert_eq!((off.as_str(), &told["reason"]), ("off", &json!("policy")));
    stage.clock.advance_micros(24 * 3_600_000_000);
    assert_eq!(word(json!({"no_store": true})).await.0, "miss");
}

#[tokio::test]
async fn a_wish_that_cannot_be_followed_is_refused_in_words() {
    let stage = staged(json!([]));
    for (cache, code, param) in [
        (json!("yes"), "p402_field_invalid", "p402.cache"),
        (json!({"no-store": true}), "p402_field_unknown", "p402.cache.no-store"),
        (json!({"threshold": 0.5}), "p402_field_invalid", "p402.cache.threshold"),
        (json!({"threshold": 1.01}), "p402_field_invalid", "p402.cache.threshold"),
        (json!({"ttl": 86_401}), "p402_field_invalid", "p402.cache.ttl"),
        (json!({"ttl": -1}), "p402_field_invalid", "p402.cache.ttl"),
        (json!({"share": "world"}), "p402_field_invalid", "p402.cache.share"),
    ] {
        let mut body = ask("Hi");
        body["p402"]["cache"] = cache.clone();
        let (status, told, _) = answer(&stage, &body).await;
        assert_eq!(status, 400, "{cache}");
        assert_eq!(told["error"]["code"], code, "{cache}");
        assert_eq!(told["error"]["param"], param, "{cache}");
    }
}

#[tokio::test]
async fn nobody_is_served_what_is_not_allowed_him_any_more() {
    let stage = staged(json!([says("a", HELLO), says("b", HELLO)]));
    answer(&stage, &ask("What is Rust?")).await;
    until_kept(&stage, 1).await;
    let config = json!({"cache": {},
        "tenants": [{"id": "acme", "models_deny": ["m-a"]}]});
    stage.gateway.node.reload(stage::world(&config));
    let (_, told, headers) = answer(&stage, &ask("What is Rust?")).await;
    assert_eq!(named(&headers, "x-p402-cache"), "miss");
    assert_eq!(told["p402_metadata"]["model"], "m-b");
}

#[tokio::test]
async fn another_tenants_answer_is_nobodys() {
    let stage = staged(hello(2));
    answer(&stage, &ask("What is Rust?")).await;
    until_kept(&stage, 1).await;
    let outbox = stage::start_of("other", &stage, &ask("What is Rust?"));
    assert_eq!(named(&head(&outbox).await.headers, "x-p402-cache"), "miss");
}

#[tokio::test]
async fn only_answers_that_can_be_told_again_are_stored() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body: Value = serde_json::from_str(HELLO).unwrap();
        change(&mut body);
        body.to_string()
    };
    let choice = |change: &'static dyn Fn(&mut Value)| {
        with(&|body: &mut Value| change(&mut body["choices"][0]))
    };
    let call = json!([{"id": "c", "type": "function",
        "function": {"name": "f", "arguments": "{}"}}]);
    let bodies = [
        choice(&|choice| choice["finish_reason"] = json!("length")),
        choice(&|choice| choice["message"]["content"] = json!("")),
        choice(&|choice| choice["message"]["refusal"] = json!("No.")),
        choice(&|choice| choice["message"]["audio"] = json!({"id": "x"})),
        choice(&|choice| choice["message"]["annotations"] = json!([{"type": "url_citation"}])),
        with(&|body| {
            body["choices"][0]["message"]["tool_calls"] = call.clone();
            body["choices"][0]["finish_reason"] = json!("tool_calls");
        }),
        with(&|body| body["usage"]["prompt_tokens"] = json!(9_000_000)),
    ];
    let scripts: Vec<Value> = bodies.iter().map(|body| says("a", body)).collect();
    let stage = staged(Value::Array(scripts));
    for (at, body) in bodies.iter().enumerate() {
        answer(&stage, &ask(&format!("Question {at}"))).await;
        until_kept(&stage, 0).await;
        let told = stage.gateway.node.home.as_ref().unwrap().answers.meter.to_json();
        let unstored = told["unstored"].as_object().unwrap();
        let sum: u64 = unstored.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum, at as u64 + 1, "{body}");
    }
}

#[tokio::test]
async fn hot_and_many_and_probable_answers_are_neither_looked_up_nor_stored() {
    let stage = staged(hello(4));
    for change in [json!({"temperature": 1.5}), json!({"n": 2}), json!({"logprobs": true})] {
        let mut body = ask("What is Rust?");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (_, _, headers) = answer(&stage, &body).await;
        assert_eq!(named(&headers, "x-p402-cache"), "off", "{change}");
    }
    until_kept(&stage, 0).await;
}

#[tokio::test]
async fn equal_requests_wait_for_the_first_ones_answer() {
    let stage = staged(json!([says_late("a", 200, HELLO)]));
    let waiting: Vec<_> = (0..20).map(|_| stage::start(&stage, &ask("What is Rust?"))).collect();
    let mut words = Vec::new();
    for outbox in waiting {
        let head = head(&outbox).await;
        assert_eq!(head.status, 200);
        words.push(named(&head.headers, "x-p402-cache").to_owned());
    }
    assert_eq!(words.iter().filter(|word| *word == "miss").count(), 1);
    assert_eq!(words.iter().filter(|word| *word == "exact").count(), 19);
    let kinds = stage.kinds();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Dispatch).count(), 1);
}

#[tokio::test]
async fn a_leader_that_fails_leaves_each_to_go_on_alone() {
    let stage = staged(json!([
        says_late("a", 500, "{}"),
        says_late("b", 500, "{}"),
        says_late("c", 500, "{}"),
        says("a", HELLO),
    ]));
    let mut body = ask("What is Rust?");
    let first = stage::start(&stage, &body);
    tokio::task::yield_now().await;
    body["p402"]["mode"] = json!("cost");
    let second = stage::start(&stage, &body);
    let (first, second) = (head(&first).await, head(&second).await);
    assert_eq!((first.status, second.status), (502, 200));
    assert_eq!(named(&first.headers, "x-p402-cache"), "miss");
}

/// A store that remembers what it was asked.
struct Watched(Memory, Arc<Mutex<Vec<&'static str>>>);

impl Store for Watched {
    fn call(&self, tenant: &Tenant<'_>, op: Op<'_>, now: p402_core::time::Timestamp) -> Trip {
        let word = match op {
            Op::Admit(_) => "admit",
            Op::Settle { .. } => "settle",
            _ => "other",
        };
        self.1.lock().unwrap().push(word);
        self.0.call(tenant, op, now)
    }
}

#[tokio::test]
async fn a_hit_takes_a_token_and_nothing_else_of_the_account() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let clock = Arc::new(ManualClock::at(START));
    let store = Box::new(Watched(Memory::default(), Arc::clone(&asked)));
    let config = json!({"cache": {}, "guard": {"rate": {"limit": 3, "per_s": 3_600}}});
    let clocked = Arc::clone(&clock) as Arc<dyn Clock>;
    let stage = stage::staged(hello(1), &config, clocked, (clock, store));
    answer(&stage, &ask("What is Rust?")).await;
    until_kept(&stage, 1).await;
    asked.lock().unwrap().clear();
    let left = |headers: &[(&'static str, String)]| {
        named(headers, "x-ratelimit-remaining-requests").parse::<i64>().unwrap()
    };
    let (_, _, before) = answer(&stage, &ask("What is Rust?")).await;
    let (_, _, after) = answer(&stage, &ask("What is Rust?")).await;
    assert_eq!(left(&before) - left(&after), 1);
    assert_eq!(*asked.lock().unwrap(), ["admit", "admit"]);
    let (status, told, _) = answer(&stage, &ask("What is Rust?")).await;
    assert_eq!((status, &told["error"]["code"]), (429, &json!("rate_limit_exceeded")));
}

/// A gateway on a folder, as a process opens it.
fn opened(scripts: Value, config: &Value, folder: &Path) -> (Gateway, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let world = stage::world(config);
    let limits = |tenant: &str| world.tenant(tenant).limits;
    let home = Home::open(&world.config, folder, &limits, clock.now()).unwrap();
    let scripts: Vec<Script> = serde_json::from_value(scripts).unwrap();
    let transport = Box::new(ScriptedTransport::new(scripts));
    let clocked = Arc::clone(&clock) as Arc<dyn Clock>;
    (Gateway::new(world, transport, clocked, Some(Arc::new(home))), clock)
}

async fn until_idle(gateway: &Gateway) {
    while gateway.node.being_kept() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_shelf_holds_its_bounds_over_many_answers() {
    const ANSWERS: usize = 400;
    let long = HELLO.replace("Hello", &"word ".repeat(4_000));
    let scripts = Value::Array(vec![says("a", &long); ANSWERS]);
    let config = json!({"cache": {"bytes_max": 2 << 20, "stores_per_hour": 100_000},
        "guard": {"rate": {"limit": 100_000, "per_s": 1}}});
    let folder = tempfile::tempdir().unwrap();
    let (gateway, clock) = opened(scripts, &config, folder.path());
    let answers = Arc::clone(&gateway.node.home.as_ref().unwrap().answers);
    for count in 0..ANSWERS {
        answer(&gateway, &ask(&format!("Question {count}?"))).await;
        until_idle(&gateway).await;
        // A key may add a fifth of its tenant's part in an hour.
        clock.advance_micros(61 * 60_000_000);
        assert!(answers.fill().bytes <= (2 << 20) / 4, "{:?}", answers.fill());
    }
    assert!(answers.fill().entries > 10);
}

#[tokio::test]
async fn hits_outlive_a_restart_and_a_torn_file_is_an_empty_cache() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cache.snapshot");
    let (gateway, _) = opened(hello(1), &json!({"cache": {}}), folder.path());
    answer(&gateway, &ask("What is Rust?")).await;
    until_idle(&gateway).await;
    gateway.node.drain(Duration::ZERO).await;
    drop(gateway);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let reopened = |scripts| {
        let (gateway, clock) = opened(scripts, &json!({"cache": {}}), folder.path());
        let restored = gateway.node.home.as_ref().unwrap().answers.restore(clock.now().utc);
        (gateway, restored)
    };
    let (gateway, restored) = reopened(json!([]));
    assert_eq!(restored, Ok(1));
    let (_, _, headers) = answer(&gateway, &ask("What is Rust?")).await;
    assert_eq!(named(&headers, "x-p402-cache"), "exact");
    drop(gateway);
    let whole = std::fs::read(&file).unwrap();
    for at in 0..whole.len() {
        std::fs::write(&file, &whole[..at]).unwrap();
        let answers = Answers::new(Bounds::default(), Some(folder.path()));
        assert!(answers.restore(START).is_err(), "cut at {at}");
        assert_eq!(answers.fill().entries, 0);
    }
    let mut foreign = whole;
    foreign[40] ^= 1;
    std::fs::write(&file, &foreign).unwrap();
    let (gateway, restored) = reopened(hello(1));
    assert_eq!(restored, Err("is torn".to_owned()));
    let (status, _, headers) = answer(&gateway, &ask("What is Rust?")).await;
    assert_eq!((status, named(&headers, "x-p402-cache")), (200, "miss"));
}

/// An encoder that never answers, or always with an error.
#[derive(Debug)]
struct Broken(Option<EmbedError>);

impl Embedder for Broken {
    fn id(&self) -> &'static str {
        "broken"
    }

    fn embed(&self, _: &str, _: &str, _: Duration) -> Embedding {
        match self.0 {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => Box::pin(std::future::pending()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_is_stuck_full_or_wrong_is_a_miss_with_a_name() {
    for (fault, reason) in [
        (None, "deadline"),
        (Some(EmbedError::Late), "deadline"),
        (Some(EmbedError::Overflow), "overflow"),
        (Some(EmbedError::Weights), "store"),
        (Some(EmbedError::TooLong), "policy"),
    ] {
        let stage = stage::gateway(hello(2), &json!({"cache": {}}));
        stage.gateway.node.embedder.set(Box::new(Broken(fault))).unwrap();
        answer(&stage, &ask("What is Rust?")).await;
        let answers = Arc::clone(&stage.gateway.node.home.as_ref().unwrap().answers);
        while answers.fill().entries == 0 {
            tokio::task::yield_now().await;
        }
        // A neighbour in the same scope with a vector, so that there is something to search.
        let entry = answers.entries().pop().unwrap();
        answers.attach(&entry, Hashed::vector("What is Rust?"), START).await;
        let began = tokio::time::Instant::now();
        let (status, told, headers) = answer(&stage, &ask("What is Go?")).await;
        assert_eq!((status, named(&headers, "x-p402-cache")), (200, "miss"), "{reason}");
        assert_eq!(told["p402_metadata"]["cache"]["reason"], reason);
        assert!(began.elapsed() <= Duration::from_millis(21), "{:?}", began.elapsed());
        // What is the same needs no encoder.
        let (_, _, headers) = answer(&stage, &ask("what is rust")).await;
        assert_eq!(named(&headers, "x-p402-cache"), "exact");
    }
}
