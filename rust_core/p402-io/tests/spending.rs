//! What a request may spend, what it is held for, and what is booked: each row of guard.md § 4.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::guard::{Op, Reply};
use p402_core::ledger::{Flags, Kind};
use p402_core::money::Usd;
use p402_io::gateway::Gateway;
use p402_io::store::{Tenant, Trip};
use serde_json::{Value, json};
use stage::{
    FINISH, HELLO, ROLE, Stage, TEXT, USAGE, answer, cost_ask, gateway, head, look_up, named, rest,
    sse, start,
};
use std::time::Duration;

/// What the account of `acme` says.
fn account(gateway: &Gateway) -> Reply {
    let world = gateway.node.world.load();
    let tenant = Tenant { id: "acme", limits: &world.tenant("acme").limits };
    let home = gateway.node.home().unwrap();
    match home.store.call(&tenant, Op::Renew(&[]), gateway.node.clock.now().utc) {
        Trip::Made(answer) => answer.unwrap(),
        Trip::Underway(_) => unreachable!("memory answers at once"),
    }
}

/// At rest nothing is held, and the account has spent what the ledger says.
fn at_rest(stage: &Stage) -> Usd {
    let told = account(stage);
    assert_eq!((told.held, told.in_flight), (Usd::ZERO, 0));
    let booked = stage.rows().iter().fold(Usd::ZERO, |sum, row| match row.kind {
        Kind::Settle | Kind::Release => sum.saturating_add(row.cost).saturating_add(row.wasted),
        _ => sum,
    });
    assert_eq!(told.day_spent, booked, "{:?}", stage.rows());
    booked
}

fn whole(url: &str) -> Value {
    json!({"url": url, "steps": [{"chunk": HELLO}]})
}

/// An upstream that takes the request and closes in the midst of its answer.
fn broken(url: &str) -> Value {
    json!({"url": url, "steps": [{"chunk": "{\"id\":"}, "reset"]})
}

fn guard(limits: &Value) -> Value {
    json!({"guard": limits})
}

#[tokio::test]
async fn a_success_is_written_before_it_is_sent_and_settled_at_what_it_cost() {
    let stage = gateway(json!([whole("a.test")]), &json!({}));
    let (status, _, _) = answer(&stage, &cost_ask(false)).await;
    assert_eq!(status, 200);
    let rows = stage.rows();
    assert_eq!(stage.kinds(), [Kind::Dispatch, Kind::Settle]);
    assert!(rows[0].held > rows[1].cost, "the claim is the bound of the dearest attempt");
    assert_eq!(rows[1].cost, Usd::from_nano(1_600_000));
    assert_eq!((rows[0].attempt, &*rows[0].provider, &*rows[0].tenant), (1, "a", "acme"));
    assert_eq!(at_rest(&stage), Usd::from_nano(1_600_000));
}

#[tokio::test]
async fn the_claim_is_the_dearest_attempts_with_the_fee() {
    let plain = gateway(json!([whole("a.test")]), &json!({}));
    answer(&plain, &cost_ask(false)).await;
    let feed = json!({"pricing": {"platform_fee_bps": 1_000}});
    let dear = gateway(json!([whole("a.test")]), &feed);
    answer(&dear, &cost_ask(false)).await;
    let (held, with_fee) = (plain.rows()[0].held, dear.rows()[0].held);
    // Three dollars a million, both ways, at model c: 8,000 tokens of output alone are 0.024.
    assert!(held > Usd::from_nano(24_000_000), "{held}");
    assert_eq!(with_fee.nano(), (held.nano() * 11 + 9) / 10);
    assert_eq!(dear.rows()[1].cost, Usd::from_nano(1_760_000));
    at_rest(&dear);
}

#[tokio::test]
async fn what_was_refused_before_it_was_written_is_released() {
    let stage = gateway(json!([{"refuse": true}]), &json!({}));
    let (status, _, _) = answer(&stage, &cost_ask(false)).await;
    assert_eq!(status, 502);
    let kinds = [Kind::Dispatch, Kind::Dispatch, Kind::Dispatch, Kind::Release];
    assert_eq!(stage.kinds(), kinds);
    assert_eq!(at_rest(&stage), Usd::ZERO);
}

#[tokio::test]
async fn the_next_attempt_runs_under_the_same_hold() {
    let scripts = json!([{"url": "a.test", "refuse": true}, whole("b.test")]);
    let stage = gateway(scripts, &json!({}));
    answer(&stage, &cost_ask(false)).await;
    let rows = stage.rows();
    assert_eq!(stage.kinds(), [Kind::Dispatch, Kind::Dispatch, Kind::Settle]);
    assert_eq!((rows[0].held, rows[1].attempt), (rows[1].held, 2));
    assert_eq!(at_rest(&stage), Usd::from_nano(3_200_000));
}

#[tokio::test]
async fn an_attempt_that_may_be_billed_is_booked_as_wasted_and_covered_before_the_next() {
    // Only one model: the second attempt needs the whole claim once more, on top of the waste.
    let config = json!({"keys": {"a": ["k1", "k2"]}});
    let scripts = json!([
        {"url": "a.test", "status": 401, "steps": [{"chunk": "{}"}], "times": 1}, whole("a.test")
    ]);
    let free = gateway(scripts, &config);
    answer(&free, &cost_ask(false)).await;
    assert_eq!(free.kinds(), [Kind::Dispatch, Kind::Dispatch, Kind::Settle], "401 bills nothing");
    let stage = gateway(json!([broken("a.test"), broken("b.test"), whole("c.test")]), &json!({}));
    let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!(status, 200, "{body}");
    let rows = stage.rows();
    let kinds = [Kind::Dispatch, Kind::Dispatch, Kind::Extend, Kind::Dispatch, Kind::Settle];
    assert_eq!(stage.kinds(), kinds);
    let settled = rows.last().unwrap();
    assert!(settled.wasted > Usd::ZERO && settled.flags.has(Flags::ESTIMATED));
    assert_eq!(rows[2].held, rows[3].held);
    assert_eq!(rows[2].held.saturating_sub(rows[0].held), settled.wasted);
    assert_eq!(at_rest(&stage), settled.cost.saturating_add(settled.wasted));
    let told = look_up(&stage, &headers);
    assert_ne!(told["p402_metadata"]["cost_details"]["wasted_upstream_usd"], json!(0));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_time_out_after_they_were_written_are_booked_and_marked_as_our_own_count() {
    let silent = json!({"steps": [{"wait_ms": 3_600_000}, {"chunk": HELLO}]});
    for stream in [false, true] {
        let stage = gateway(json!([silent]), &json!({}));
        let (status, _, _) = answer(&stage, &cost_ask(stream)).await;
        assert_eq!(status, 504);
        let rows = stage.rows();
        let last = rows.last().unwrap();
        assert_eq!((last.kind, last.cost), (Kind::Release, Usd::ZERO));
        assert!(last.wasted > Usd::ZERO, "their input may be billed, and output that never came");
        assert!(last.flags.has(Flags::ESTIMATED), "{:?}", last.flags);
        assert_eq!(at_rest(&stage), last.wasted);
    }
}

#[tokio::test]
async fn no_further_attempt_is_sent_that_the_budget_does_not_bear() {
    let probe = gateway(json!([whole("a.test")]), &json!({}));
    answer(&probe, &cost_ask(false)).await;
    let claim = probe.rows()[0].held;
    let limits = guard(&json!({"budget_usd": claim.to_string()}));
    let stage = gateway(json!([broken("a.test"), broken("b.test"), whole("c.test")]), &limits);
    let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("reservation_exhausted")));
    assert_eq!(named(&headers, "x-should-retry"), "false");
    assert_eq!(stage.kinds(), [Kind::Dispatch, Kind::Dispatch, Kind::Release]);
    assert!(at_rest(&stage) > Usd::ZERO, "what may have been billed is booked");
}

#[tokio::test]
async fn a_refusal_writes_nothing() {
    for (limits, code) in [
        (json!({"daily_cap_usd": "0.000001"}), "daily_spend_limit_exceeded"),
        (json!({"budget_usd": "0.000001"}), "budget_exceeded"),
        (json!({"request_cap_usd": "0.000001"}), "request_cost_limit_exceeded"),
    ] {
        let stage = gateway(json!([whole("a.test")]), &guard(&limits));
        let before = account(&stage);
        let (_, body, headers) = answer(&stage, &cost_ask(false)).await;
        assert_eq!(body["error"]["code"], code);
        assert_eq!(named(&headers, "x-should-retry"), "false");
        assert!(!named(&headers, "x-ratelimit-remaining-requests").is_empty());
        assert_eq!(named(&headers, "retry-after"), "");
        let after = account(&stage);
        assert_eq!((before.tat_us, after.held, after.in_flight), (after.tat_us, Usd::ZERO, 0));
        assert!(stage.rows().is_empty());
    }
}

#[tokio::test]
async fn max_tokens_allowed_is_what_passes() {
    let stage = gateway(json!([whole("a.test")]), &guard(&json!({"request_cap_usd": "0.01"})));
    let mut ask = cost_ask(false);
    let (status, body, _) = answer(&stage, &ask).await;
    assert_eq!((status, &body["error"]["param"]), (400, &json!("max_tokens")));
    let allowed = body["error"]["max_tokens_allowed"].as_u64().unwrap();
    ask["max_tokens"] = json!(allowed + 1);
    assert_eq!(answer(&stage, &ask).await.0, 400);
    ask["max_tokens"] = json!(allowed);
    assert_eq!(answer(&stage, &ask).await.0, 200);
}

#[tokio::test]
async fn rate_and_concurrency_say_when_to_come_again() {
    let rate = guard(&json!({"rate": {"limit": 1, "per_s": 10}}));
    let stage = gateway(json!([whole("a.test")]), &rate);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);
    let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    assert_eq!(named(&headers, "retry-after-ms"), "10000");
    assert_eq!((named(&headers, "retry-after"), named(&headers, "x-should-retry")), ("10", "true"));
    assert_eq!(named(&headers, "ratelimit"), "\"window\";r=0;t=10");
    assert_eq!(named(&headers, "ratelimit-policy"), "\"window\";q=1;w=10");
    stage.clock.advance_micros(10_000_000);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);

    let slots = guard(&json!({"in_flight_max": 1}));
    let slow = json!([{"url": "a.test", "steps": [{"wait_ms": 50}, {"chunk": HELLO}]}]);
    let stage = gateway(slow, &slots);
    let first = start(&stage, &cost_ask(false));
    tokio::task::yield_now().await;
    let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("concurrency_limit_exceeded")));
    let wait: u64 = named(&headers, "retry-after-ms").parse().unwrap();
    assert!((50..=5_000).contains(&wait));
    assert_eq!(head(&first).await.status, 200);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200, "the slot is free again");
}

#[tokio::test]
async fn the_operator_chooses_the_status_of_the_hard_stops() {
    for status in [403, 402] {
        let limits = json!({"budget_usd": "0", "refusal_status": status});
        let stage = gateway(json!([whole("a.test")]), &guard(&limits));
        let (told, body, _) = answer(&stage, &cost_ask(false)).await;
        assert_eq!((told, &body["error"]["code"]), (status, &json!("budget_exceeded")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_pays_for_what_was_sent() {
    let hang = json!([{"steps": [{"wait_ms": 60_000}]}]);
    let stage = gateway(hang, &json!({}));
    let outbox = start(&stage, &cost_ask(false));
    tokio::time::sleep(Duration::from_millis(100)).await;
    outbox.leave();
    stage.node.drain(Duration::from_secs(5)).await;
    let rows = stage.rows();
    assert_eq!(stage.kinds(), [Kind::Dispatch, Kind::Settle]);
    assert!(rows[1].flags.has(Flags::ESTIMATED.with(Flags::DISCONNECTED)));
    assert!(at_rest(&stage) > Usd::ZERO, "never free while the outcome is unknown");
}

#[tokio::test]
async fn usage_that_cannot_be_is_settled_at_the_hold() {
    let absurd = [
        r#"{"prompt_tokens":-5,"completion_tokens":400,"total_tokens":395}"#,
        r#"{"prompt_tokens":9000000,"completion_tokens":400,"total_tokens":9000400}"#,
        r#"{"prompt_tokens":12,"completion_tokens":16001,"total_tokens":16013}"#,
    ];
    let sane = r#"{"prompt_tokens":1200,"completion_tokens":400,"total_tokens":1600}"#;
    for usage in absurd {
        let text = HELLO.replace(sane, usage);
        assert_ne!(text, HELLO);
        let stage = gateway(json!([{"url": "a.test", "steps": [{"chunk": text}]}]), &json!({}));
        let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
        assert_eq!(status, 200);
        let rows = stage.rows();
        assert_eq!(rows[1].cost, rows[0].held, "{usage}");
        assert!(rows[1].flags.has(Flags::IMPLAUSIBLE));
        let metadata = &body["p402_metadata"];
        assert_eq!(metadata["cost_usd"].to_string(), rows[0].held.to_string());
        assert_eq!(look_up(&stage, &headers)["flags"], json!(["estimated", "implausible"]));
        at_rest(&stage);
    }
    let zero = HELLO.replace(sane, r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#);
    let stage = gateway(json!([{"url": "a.test", "steps": [{"chunk": zero}]}]), &json!({}));
    answer(&stage, &cost_ask(false)).await;
    // Zeros beside text are no counts: metered, not held against the tenant.
    assert!(at_rest(&stage) < Usd::from_nano(1_000_000));
    assert!(!stage.rows()[1].flags.has(Flags::IMPLAUSIBLE));
}

#[tokio::test]
async fn a_reply_without_usage_is_metered() {
    let text = HELLO.split(",\"usage\"").next().unwrap().to_owned() + "}";
    let stage = gateway(json!([{"url": "a.test", "steps": [{"chunk": text}]}]), &json!({}));
    answer(&stage, &cost_ask(false)).await;
    assert!(stage.rows()[1].flags.has(Flags::ESTIMATED));
    assert!(at_rest(&stage) > Usd::ZERO);
}

#[tokio::test]
async fn a_stream_above_its_hold_is_ended_and_its_text_is_paid_for() {
    let long = TEXT.replace("Hel", &"word ".repeat(40_000));
    let usage = USAGE.replace("400,", "180,");
    let (text, end) = (sse(&[&long]), sse(&[FINISH, &usage, "[DONE]"]));
    let steps = json!([{"chunk": sse(&[ROLE, TEXT])}, {"chunk": text}, {"chunk": end}]);
    let scripts = json!([{"url": "a.test", "steps": steps}]);
    let mut ask = cost_ask(true);
    ask["max_tokens"] = json!(100);
    ask["model"] = json!("a/m-a");
    let probe = gateway(scripts.clone(), &json!({}));
    rest(&start(&probe, &ask)).await;
    assert_eq!(
        probe.kinds(),
        [Kind::Dispatch, Kind::Extend, Kind::Settle],
        "a budget that bears it"
    );
    let claim = probe.rows()[0].held;

    let stage = gateway(scripts, &guard(&json!({"budget_usd": claim.to_string()})));
    let outbox = start(&stage, &ask);
    head(&outbox).await;
    let told = rest(&outbox).await;
    assert!(told.contains("\"code\":\"reservation_exhausted\""), "{}", &told[told.len() - 400..]);
    assert!(!told.contains("[DONE]") && !told.contains("\"finish_reason\":\"stop\""));
    let rows = stage.rows();
    assert_eq!(stage.kinds(), [Kind::Dispatch, Kind::Settle]);
    assert!(rows[1].cost > rows[0].held && rows[1].flags.has(Flags::ESTIMATED));
    at_rest(&stage);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_lives_keeps_its_slot_and_its_hold() {
    let limits = guard(&json!({"in_flight_max": 1}));
    let slow = json!([{"url": "a.test", "steps": [{"wait_ms": 25_000}, {"chunk": HELLO}]}]);
    let stage = gateway(slow, &limits);
    let tending = tokio::spawn(std::sync::Arc::clone(&stage.node).tend());
    let outbox = start(&stage, &cost_ask(false));
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.clock.advance_micros(1_000_000);
    }
    let told = account(&stage);
    assert_eq!(told.in_flight, 1);
    assert!(told.held > Usd::ZERO && told.suspense == Usd::ZERO);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 429);
    assert_eq!(head(&outbox).await.status, 200);
    at_rest(&stage);
    tending.abort();
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_a_request_is_settled_once() {
    let stream = sse(&[ROLE, TEXT, TEXT]);
    let end = sse(&[FINISH, USAGE, "[DONE]"]);
    for leave_ms in (0..60).step_by(3) {
        for stream_asked in [false, true] {
            let steps = if stream_asked {
                json!([{"wait_ms": 10}, {"chunk": stream}, {"wait_ms": 20}, {"chunk": end}])
            } else {
                json!([{"wait_ms": 30}, {"chunk": HELLO}])
            };
            let scripts = json!([broken("a.test"), {"url": "b.test", "steps": steps}]);
            let stage = gateway(scripts, &json!({}));
            let outbox = start(&stage, &cost_ask(stream_asked));
            tokio::time::sleep(Duration::from_millis(leave_ms)).await;
            outbox.leave();
            stage.node.drain(Duration::from_secs(90)).await;
            let kinds = stage.kinds();
            let ends = kinds.iter().filter(|kind| kind.closes()).count();
            let sent = kinds.contains(&Kind::Dispatch);
            assert_eq!(ends, usize::from(sent), "left after {leave_ms} ms: {kinds:?}");
            assert_eq!(at_rest(&stage) > Usd::ZERO, sent);
        }
    }
}

#[tokio::test]
async fn the_output_bound_is_the_operators_where_a_request_names_none() {
    let held = async |limits: &Value| {
        let stage = gateway(json!([whole("a.test")]), &guard(limits));
        answer(&stage, &cost_ask(false)).await;
        stage.rows()[0].held
    };
    let (few, own) = (
        held(&json!({"default_max_tokens": 500})).await,
        held(&json!({"default_max_tokens": "model"})).await,
    );
    assert_eq!(own.saturating_sub(few), Usd::from_nano(7_500 * 3_000));
}

#[tokio::test]
async fn a_model_without_a_price_runs_where_the_operator_allows_it() {
    let mut ask = cost_ask(false);
    ask["model"] = json!("a/m-unpriced");
    for (allow, status) in [(false, 400), (true, 200)] {
        let limits = if allow { json!({"unknown_price": "allow"}) } else { json!({}) };
        let stage = gateway(json!([whole("a.test")]), &guard(&limits));
        let (told, body, _) = answer(&stage, &ask).await;
        assert_eq!(told, status, "{body}");
        if allow {
            assert_eq!(stage.rows()[1].cost, Usd::ZERO);
            assert!(stage.rows()[1].flags.has(Flags::UNPRICED));
        } else {
            assert_eq!(body["error"]["code"], "model_price_unknown");
        }
        at_rest(&stage);
    }
}

#[tokio::test]
async fn what_is_unlike_the_past_is_told_or_blocked() {
    let usual = |tokens: u64| {
        let mut ask = cost_ask(false);
        ask["max_tokens"] = json!(tokens);
        ask
    };
    for (mode, status) in [("soft", 200), ("block", 429)] {
        let limits = json!({"anomaly": {"mode": mode, "floor_usd": "0"}});
        let stage = gateway(json!([whole("a.test")]), &guard(&limits));
        for _ in 0..30 {
            let (told, _, headers) = answer(&stage, &usual(1_000)).await;
            assert_eq!((told, named(&headers, "x-p402-guard-anomaly")), (200, ""));
        }
        let (told, body, headers) = answer(&stage, &usual(4_000)).await;
        assert_eq!(told, status);
        let alarms = stage.node.emit.take_alarms();
        if status == 200 {
            let told = named(&headers, "x-p402-guard-anomaly");
            assert!(told.ends_with(";n=30;series=cost"), "{told}");
            assert_eq!(body["p402_metadata"]["guard"]["anomaly"]["series"], "cost");
            assert_eq!(alarms.len(), 1);
            assert_eq!(alarms[0].what, "spend_anomaly");
            // Within five minutes nobody is told twice.
            answer(&stage, &usual(8_000)).await;
            assert!(stage.node.emit.take_alarms().is_empty());
        } else {
            assert_eq!(body["error"]["code"], "spend_anomaly_blocked");
            assert_eq!(body["error"]["layer"], "anomaly");
            assert_eq!(named(&headers, "x-should-retry"), "false");
            assert_eq!(answer(&stage, &usual(1_000)).await.0, 200, "the usual still runs");
        }
    }
}

#[tokio::test]
async fn the_breaker_and_the_budget_raise_each_alarm_once() {
    let probe = gateway(json!([whole("a.test")]), &json!({}));
    answer(&probe, &cost_ask(false)).await;
    let claim = probe.rows()[0].held.nano();
    let cap = Usd::from_nano(claim + 4 * 1_600_000 - 1).to_string();
    let limits = json!({"daily_cap_usd": cap, "budget_usd": "0.0304"});
    let stage = gateway(json!([whole("a.test")]), &guard(&limits));
    let mut codes = Vec::new();
    for _ in 0..8 {
        codes.push(answer(&stage, &cost_ask(false)).await.0);
    }
    assert_eq!(codes, [200, 200, 200, 200, 429, 429, 429, 429]);
    let alarms = stage.node.emit.take_alarms();
    let told: Vec<_> = alarms.iter().map(|alarm| alarm.what).collect();
    assert_eq!(told, ["daily_breaker"]);
}

#[tokio::test]
async fn refusals_get_a_row_where_the_operator_wants_one() {
    let mut config = guard(&json!({"budget_usd": "0"}));
    config["ledger"] = json!({"denials": true});
    let stage = gateway(json!([whole("a.test")]), &config);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 429);
    assert_eq!(stage.kinds(), [Kind::Deny]);
    assert_eq!(at_rest(&stage), Usd::ZERO);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_refuses_before_anything_is_sent() {
    let wide = guard(&json!({"rate": {"limit": 100_000, "per_s": 1}}));
    let stage = gateway(json!([whole("a.test")]), &wide);
    assert_eq!(answer(&stage, &cost_ask(false)).await.0, 200);
    stage.lose_disk();
    let mut served = 1;
    let (body, headers) = loop {
        let (status, body, headers) = answer(&stage, &cost_ask(false)).await;
        match status {
            200 => served += 1,
            _ => break (body, headers),
        }
        assert!(served < 1_000, "rows went nowhere");
    };
    assert_eq!(body["error"]["code"], "ledger_unavailable");
    assert_eq!((named(&headers, "x-should-retry"), named(&headers, "retry-after")), ("true", "2"));
    let told = account(&stage);
    assert_eq!((told.held, told.in_flight), (Usd::ZERO, 0));
    assert_eq!(told.day_spent, Usd::from_nano(served * 1_600_000));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_was_recovered_away_is_asked_for_again_before_the_next_attempt() {
    let scripts = json!([
        {"url": "a.test", "status": 500, "steps": [{"wait_ms": 1_000}]}, whole("b.test")
    ]);
    let stage = gateway(scripts, &json!({}));
    let outbox = start(&stage, &cost_ask(false));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = account(&stage);
    assert!(before.held > Usd::ZERO);
    // Somebody who thought this process dead gave its hold back.
    let rid = stage.node.holds.older_than(stage.node.clock.now().ticks)["acme"][0];
    let world = stage.node.world.load_full();
    let tenant = Tenant { id: "acme", limits: &world.tenant("acme").limits };
    let home = stage.node.home().unwrap();
    let release = Op::Settle { rid, owner: home.owner, actual: Usd::ZERO };
    let Trip::Made(_) = home.store.call(&tenant, release, stage.node.clock.now().utc) else {
        unreachable!("memory answers at once")
    };
    assert_eq!(account(&stage).held, Usd::ZERO);
    stage.clock.advance_micros(6_000_000);
    assert_eq!(head(&outbox).await.status, 200);
    assert_eq!(at_rest(&stage), Usd::from_nano(3_200_000));
    assert_eq!(stage.kinds(), [Kind::Dispatch, Kind::Dispatch, Kind::Settle]);
}
