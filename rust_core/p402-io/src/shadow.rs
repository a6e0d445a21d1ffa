//! Checks hits of the cache: asks the giver of the kept answer again, and whether the two agree.
//! Does not choose what is checked (lookup.rs) and draws no conclusion (core's bound.rs).

use crate::checks::Doubt;
use crate::gateway::{Call, Gateway};
use crate::outbox::Outbox;
use bytes::Bytes;
use p402_core::cache::canon::canonical;
use p402_core::cache::promise::Promise;
use p402_core::dialect::openai::plain;
use p402_core::door::Door;
use p402_core::id::RequestId;
use p402_core::money::Usd;
use serde_json::{Map, Value, json};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Output that a judge gets for one word: some think first.
const JUDGE_TOKENS: u64 = 1_024;
/// Of a question or an answer, what a judge is shown.
const SHOWN_CHARS_MAX: usize = 8_000;
const JUDGE: &str = "You compare two answers to one question, given as JSON. Reply with one word: \
    yes if somebody who asked it is as well served by the one as by the other, no if anything of \
    substance differs.";

impl Gateway {
    /// Checks one hit after the other, for as long as the lane lives: what a tenant pays for it
    /// in a day is known before the next one.
    pub async fn check_hits(self) {
        loop {
            let doubt = self.node.checks.next().await;
            if self.node.draining.load(Ordering::Acquire) {
                return;
            }
            self.check(&doubt).await;
        }
    }

    async fn check(&self, doubt: &Doubt) {
        let world = self.node.world.load_full();
        let promise = &world.tenant(&doubt.kind.tenant).cache.promise;
        // A reload may have taken the promise back.
        let Some(delta) = promise.delta else { return };
        let Some(ask) = again(doubt) else { return };
        let Some(fresh) = self.ask(doubt, ask, promise).await else { return };
        let same = canonical(&fresh) == canonical(&doubt.told);
        let agree = match &promise.judge {
            Some(judge) if !same => {
                let said = self.ask(doubt, question(judge, doubt, &fresh), promise).await;
                let Some(said) = said else { return };
                said.trim_start().get(..3).is_some_and(|word| word.eq_ignore_ascii_case("yes"))
            }
            // Where nobody judges, what is not the same is counted as wrong.
            _ => same,
        };
        self.node.checks.learn(doubt, !agree, delta);
    }

    /// One more request of the tenant's own, with claim, row and settlement like any other; its
    /// answer, where there is one. It costs no more than is left of the day's money.
    async fn ask(
        &self,
        doubt: &Doubt,
        mut ask: Map<String, Value>,
        promise: &Promise,
    ) -> Option<String> {
        let (checks, tenant) = (&self.node.checks, &doubt.kind.tenant);
        let now = self.node.clock.now();
        let today = now.utc.utc_day();
        let left = checks.left(tenant, promise, today);
        if left <= Usd::ZERO {
            return None;
        }
        ask.insert("p402".to_owned(), json!({"cache": false, "max_cost_usd": left.to_string()}));
        let call = Call {
            door: Door::Chat,
            tenant: Arc::clone(tenant),
            key: 0,
            body: Bytes::from(Value::Object(ask).to_string()),
            twins: Vec::new(),
            idempotency_key: None,
            problem: false,
            received: now.ticks,
            read_timeout_ms: None,
            retry_count: 0,
            shadow: true,
        };
        let outbox = Arc::new(Outbox::default());
        self.clone().serve(call, Arc::clone(&outbox)).await;
        let head = poll_fn(|context| outbox.poll_head(context)).await;
        let id = head.headers.iter().find(|(name, _)| *name == "x-p402-request-id");
        if let Some(id) = id.and_then(|(_, id)| RequestId::parse(id)) {
            let row = self.node.records.lock().get(id, tenant).map(|row| row.bill.clone());
            let cost = row.map_or(Usd::ZERO, |bill| bill.cost.saturating_add(bill.wasted));
            checks.spend(tenant, cost, today);
        }
        let body = head.body.filter(|_| head.status == 200)?;
        plain(&body).ok().map(|answer| answer.content)
    }
}

/// The request of a hit, to the giver of the kept answer, in one piece.
fn again(doubt: &Doubt) -> Option<Map<String, Value>> {
    let mut ask: Map<String, Value> = serde_json::from_slice(&doubt.body).ok()?;
    ask.insert("model".to_owned(), Value::from(doubt.offer.clone()));
    ask.remove("stream");
    ask.remove("stream_options");
    Some(ask)
}

fn question(judge: &str, doubt: &Doubt, fresh: &str) -> Map<String, Value> {
    let shown = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    let pair = json!({
        "question": shown(&doubt.question), "one": shown(&doubt.told), "other": shown(fresh),
    });
    let messages = json!([
        {"role": "system", "content": JUDGE},
        {"role": "user", "content": pair.to_string()},
    ]);
    let told = [
        ("model", judge.into()),
        ("messages", messages),
        ("temperature", 0.into()),
        ("max_tokens", JUDGE_TOKENS.into()),
    ];
    told.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
