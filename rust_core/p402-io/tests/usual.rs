//! Decides whether a gateway without Redis knows after a restart what is usual for its tenants.
//! Does not decide what is unusual (guard_anomaly), or how several nodes agree (redis/usual).
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::config::Config;
use p402_core::guard::Limits;
use p402_core::time::{Now, Ticks};
use p402_io::clock::ManualClock;
use p402_io::gateway::Gateway;
use p402_io::home::Home;
use p402_io::pooling::{Errand, share};
use p402_io::transport::scripted::ScriptedTransport;
use serde_json::json;
use stage::{HELLO, START, answer, cost_ask, named, world};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Tokens that requests ask for day by day, and those of one that is unlike them.
const USUAL: u64 = 1_000;
const DEAR: u64 = 4_000;

/// A life of the process on this data directory.
fn life(folder: &Path) -> Gateway {
    let config = json!({"guard": {"anomaly": {"floor_usd": "0"}}});
    let own: Config = serde_json::from_value(config.clone()).unwrap();
    let begin = Now { utc: START, ticks: Ticks::default() };
    let home = Home::open(&own, folder, &|_| Limits::default(), begin).unwrap();
    let scripts = json!([{"steps": [{"chunk": HELLO}]}]);
    let scripts = serde_json::from_value(scripts).unwrap();
    let (transport, clock) = (ScriptedTransport::new(scripts), ManualClock::at(START));
    Gateway::new(world(&config), Box::new(transport), Arc::new(clock), Some(Arc::new(home)))
}

/// What an answer says is unusual about a request for so many tokens.
async fn told(gateway: &Gateway, tokens: u64) -> String {
    let mut ask = cost_ask(false);
    ask["max_tokens"] = json!(tokens);
    let (status, _, headers) = answer(gateway, &ask).await;
    assert_eq!(status, 200);
    named(&headers, "x-p402-guard-anomaly").to_owned()
}

/// A tenant has come back: what an earlier life left is asked for.
async fn recall(gateway: &Gateway) {
    let (node, now) = (&gateway.node, gateway.node.clock.now().utc);
    let world = node.world.load_full();
    share(node.home().unwrap(), &node.watches, &world, (Errand::Recall, now)).await;
}

async fn lived(folder: &Path) {
    let first = life(folder);
    for _ in 0..40 {
        assert_eq!(told(&first, USUAL).await, "");
    }
    first.node.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn a_restart_forgets_no_sample() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path()).await;
    let second = life(folder.path());
    assert_eq!(told(&second, USUAL).await, "");
    recall(&second).await;
    let told = told(&second, DEAR).await;
    assert!(told.ends_with(";n=41;series=cost"), "{told}");
}

#[tokio::test]
async fn without_what_was_kept_everything_is_new_and_nothing_fails() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path()).await;
    std::fs::write(folder.path().join("usual.sqlite"), b"none of ours".repeat(1_000)).unwrap();
    let second = life(folder.path());
    assert_eq!(told(&second, USUAL).await, "");
    recall(&second).await;
    assert_eq!(told(&second, DEAR).await, "");
    second.node.drain(Duration::ZERO).await;
}
