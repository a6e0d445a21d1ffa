//! Shows that an answer needs two who were given it, where a tenant says so, before it is anyone's.
//! Does not test what makes two questions alike, or how long answers are kept (tests/cache.rs).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set up must fail")]

mod stage;

use p402_core::ledger::Kind;
use p402_io::embed::Hashed;
use serde_json::{Value, json};
use stage::{HELLO, Stage, answer, head, rest};
use std::sync::atomic::Ordering;

/// How often something is looked for before a test gives up.
const LOOKS: usize = 2_000;
const FIRST: &str = "How do I sort a long list of names in Python by their second letter?";
const AGAIN: &str = "How do I sort a long list of names in Python by their second letter, please?";

fn staged(answers: &[&str]) -> Stage {
    let says = |content: &&str| {
        let body = HELLO.replace("Hello", content);
        json!({"url": "//a.test", "steps": [{"wait_ms": 50}, {"chunk": body}], "times": 1})
    };
    let scripts = Value::Array(answers.iter().map(says).collect());
    let stage = stage::gateway(scripts, &json!({"cache": {"confirm": "second_user"}}));
    stage.gateway.node.embedder.set(Box::new(Hashed)).unwrap();
    stage
}

fn ask(user: &str, text: &str) -> Value {
    json!({"model": "auto", "user": user, "p402": {"mode": "cost", "explain": true},
        "messages": [{"role": "user", "content": text}]})
}

/// How a user's question was answered: by a tier, or why not from the cache.
async fn told(stage: &Stage, user: &str, text: &str) -> String {
    let (status, answer, _) = answer(stage, &ask(user, text)).await;
    assert_eq!(status, 200);
    let cache = &answer["p402_metadata"]["cache"];
    cache["tier"].as_str().or(cache["reason"].as_str()).unwrap().to_owned()
}

/// Waits until so many answers were stored, with what they are found by.
async fn until_stored(stage: &Stage, count: u64) {
    let node = &stage.gateway.node;
    for _ in 0..LOOKS {
        let stored = node.home.as_ref().unwrap().answers.meter.stored.load(Ordering::Relaxed);
        if stored == count && node.being_kept() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{count} answers were to be stored");
}

fn sent(stage: &Stage) -> usize {
    stage.rows().iter().filter(|row| row.kind == Kind::Dispatch).count()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_anyones_once_a_second_user_was_given_the_same() {
    let stage = staged(&["Hello", "Hello"]);
    assert_eq!(told(&stage, "ann", FIRST).await, "empty");
    until_stored(&stage, 1).await;
    assert_eq!(told(&stage, "ann", FIRST).await, "exact", "it is hers");
    assert_eq!(told(&stage, "bob", FIRST).await, "unconfirmed");
    until_stored(&stage, 2).await;
    for user in ["ann", "bob", "cleo"] {
        assert_eq!(told(&stage, user, FIRST).await, "exact", "{user}");
    }
    assert_eq!(sent(&stage), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_another_user_was_not_given_stays_its_askers() {
    let stage = staged(&["Hello", "Goodbye", "Goodbye"]);
    assert_eq!(told(&stage, "ann", FIRST).await, "empty");
    until_stored(&stage, 1).await;
    assert_eq!(told(&stage, "bob", FIRST).await, "unconfirmed");
    until_stored(&stage, 2).await;
    assert_eq!(told(&stage, "cleo", FIRST).await, "unconfirmed", "one was given each");
    until_stored(&stage, 3).await;
    assert_eq!(told(&stage, "ann", FIRST).await, "exact", "two of three agree");
    assert_eq!(sent(&stage), 3);
}

#[tokio::test(start_paused = true)]
async fn a_question_in_other_words_confirms_as_well() {
    let stage = staged(&["Hello", "Hello"]);
    assert_eq!(told(&stage, "ann", FIRST).await, "empty");
    until_stored(&stage, 1).await;
    assert_eq!(told(&stage, "ann", AGAIN).await, "semantic");
    assert_eq!(told(&stage, "bob", AGAIN).await, "unconfirmed");
    until_stored(&stage, 2).await;
    assert_eq!(told(&stage, "cleo", AGAIN).await, "exact");
    assert_eq!(told(&stage, "cleo", FIRST).await, "semantic", "the confirmed one, not Ann's");
    assert_eq!(sent(&stage), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waited_for_anothers_answer_goes_on_alone() {
    let stage = staged(&["Hello", "Hello"]);
    let both = ["ann", "bob"].map(|user| stage::start(&stage, &ask(user, FIRST)));
    for outbox in both {
        assert_eq!(head(&outbox).await.status, 200);
        rest(&outbox).await;
    }
    assert_eq!(sent(&stage), 2, "nobody is told what one alone was given");
    until_stored(&stage, 2).await;
    assert_eq!(told(&stage, "cleo", FIRST).await, "exact", "now two were");
}
