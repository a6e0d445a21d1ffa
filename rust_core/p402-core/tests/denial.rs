//! Shows every refusal of the guard as its client reads it: headers, body, problem.
//! Does not show when one is due.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::claim::with_fee;
use p402_core::guard::{Account, Claim, Flag, Kind, Limits, Op, Rate, Reply};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::reply::{
    ApiError, Denied, Standing, anomaly_header, guard_json, guard_unavailable,
    idempotency_conflict, ledger_unavailable, request_in_progress, reservation_exhausted,
};
use p402_core::time::Timestamp;
use std::fmt::Write;

/// A Saturday in November, 20:20 UTC.
const NOW: Timestamp = Timestamp::from_seconds(1_795_378_800);

const fn usd(text: i64) -> Usd {
    Usd::from_nano(text * 1_000_000)
}

fn rid(n: u128) -> RequestId {
    RequestId::new(NOW, n)
}

fn limits() -> Limits {
    Limits {
        rate: Rate { limit: 4, per_s: 3_600, burst: 4 },
        daily_cap: usd(2_000),
        in_flight_max: 2,
        budget: Some(usd(1_500)),
        ..Limits::default()
    }
}

/// The answer to the last of some requests of so many thousandths of a dollar.
fn asked(limits: &Limits, amounts: &[i64]) -> Reply {
    let mut account = Account::new(0, limits, NOW);
    let mut last = None;
    for (n, amount) in amounts.iter().enumerate() {
        let amount = usd(*amount);
        let claim = Claim { rid: rid(n as u128), amount, owner: 1, kind: Kind::Request };
        last = Some(account.apply(Op::Admit(claim), limits, NOW));
    }
    last.unwrap()
}

fn told(out: &mut String, name: &str, error: &ApiError) {
    writeln!(out, "{name}: {}", error.status()).unwrap();
    for (name, value) in error.headers() {
        writeln!(out, "  {name}: {value}").unwrap();
    }
    writeln!(out, "  {}", String::from_utf8(error.body(rid(77))).unwrap()).unwrap();
}

#[test]
fn every_refusal_says_what_its_client_can_do() {
    let limits = limits();
    let claim = usd(1_000);
    let tenant = "acme";
    let denied = Denied { rid: rid(9), tenant, limits: &limits, claim, status: 429, mean_ms: 900 };
    let wide = Limits { in_flight_max: 200, ..limits };
    let mut out = String::new();
    told(&mut out, "rate", &denied.by_account(&asked(&wide, &[1, 1, 1, 1, 1])));
    told(
        &mut out,
        "daily",
        &denied.by_account(&asked(&Limits { budget: None, ..wide }, &[1_500, 600])),
    );
    told(&mut out, "concurrency", &denied.by_account(&asked(&limits, &[1, 1, 1])));
    told(&mut out, "budget", &denied.by_account(&asked(&limits, &[1_000, 600])));
    let flag = Flag { z: 4.08, samples: 812, typical: usd(20) };
    told(&mut out, "anomaly", &denied.by_anomaly(&flag));
    told(&mut out, "request cap", &denied.by_request_cap("gpt-5.4", Some(4_000)));
    told(&mut out, "request cap, no way out", &denied.by_request_cap("gpt-5.4", None));
    told(&mut out, "guard away", &guard_unavailable("late"));
    told(&mut out, "ledger away", &ledger_unavailable());
    told(&mut out, "hold", &reservation_exhausted(usd(1), usd(3)));
    told(&mut out, "conflict", &idempotency_conflict(rid(3)));
    told(&mut out, "in progress", &request_in_progress(rid(3)));
    insta::assert_snapshot!("refusals", out);
}

#[test]
fn the_operators_status_changes_the_hard_stops_alone() {
    let limits = limits();
    let wide = Limits { in_flight_max: 200, ..limits };
    for status in [403, 402] {
        let claim = usd(1);
        let denied =
            Denied { rid: rid(9), tenant: "a", limits: &limits, claim, status, mean_ms: 0 };
        let of =
            |limits: &Limits, amounts: &[i64]| denied.by_account(&asked(limits, amounts)).status();
        assert_eq!(of(&wide, &[1, 1, 1, 1, 1]), 429);
        assert_eq!(of(&limits, &[1, 1, 1]), 429);
        assert_eq!(of(&limits, &[1_000, 600]), status);
        assert_eq!(of(&Limits { budget: None, ..wide }, &[1_500, 600]), status);
    }
}

#[test]
fn a_slice_in_the_way_is_called_in_and_the_client_comes_again() {
    let limits = limits();
    let mut account = Account::new(0, &limits, NOW);
    let slice = Claim { rid: rid(1), amount: usd(1_000), owner: 2, kind: Kind::Slice };
    account.apply(Op::Admit(slice), &limits, NOW);
    let claim = Claim { rid: rid(2), amount: usd(1_200), owner: 1, kind: Kind::Request };
    let reply = account.apply(Op::Admit(claim), &limits, NOW);
    let claim = claim.amount;
    let denied =
        Denied { rid: rid(2), tenant: "acme", limits: &limits, claim, status: 429, mean_ms: 0 };
    let headers = denied.by_account(&reply).headers();
    assert!(headers.contains(&("x-should-retry", "true".to_owned())));
    assert!(headers.contains(&("retry-after-ms", "1000".to_owned())));
}

#[test]
fn a_problem_has_the_same_fields() {
    let limits = limits();
    let claim = usd(1);
    let denied =
        Denied { rid: rid(9), tenant: "a", limits: &limits, claim, status: 429, mean_ms: 0 };
    let error = denied.by_account(&asked(&limits, &[1_000, 600]));
    let body: serde_json::Value = serde_json::from_slice(&error.body(rid(1))).unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&error.problem(rid(1))).unwrap();
    for (name, value) in body["error"].as_object().unwrap() {
        match &**name {
            "message" => assert_eq!(&problem["detail"], value),
            "type" => assert_eq!(problem["type"], "urn:p402:error:budget_exceeded"),
            _ => assert_eq!(&problem[name], value, "{name}"),
        }
    }
    assert_eq!((&problem["title"], &problem["status"]), (&"budget exceeded".into(), &429.into()));
}

#[test]
fn what_is_left_stands_on_every_reply() {
    let limits = limits();
    let reply = asked(&limits, &[300]);
    let mut headers = Vec::new();
    Standing::of(&reply, &limits, NOW).headers(&mut headers);
    let text: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    insta::assert_snapshot!("standing", text.join("\n"));
    // Tomorrow nothing of today is spent; the budget goes on.
    let tomorrow = Timestamp::from_micros(NOW.micros() + 86_400_000_000);
    let mut headers = Vec::new();
    Standing::of(&reply, &limits, tomorrow).headers(&mut headers);
    let of = |name| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| &**value);
    assert_eq!(of("x-p402-daily-remaining-usd"), Some("2"));
    assert_eq!(of("x-p402-budget-remaining-usd"), Some("1.2"));
    assert_eq!(of("ratelimit"), Some("\"hour\";r=4;t=0"));
}

#[test]
fn what_is_unusual_is_told_in_header_and_metadata() {
    let flag = Flag { z: 4.123, samples: 812, typical: usd(20) };
    assert_eq!(anomaly_header(&flag, "cost"), "z=4.1;n=812;series=cost");
    let told = |degraded, flag: Option<&Flag>| {
        let json = guard_json(degraded, flag.map(|flag| (flag, "rate")));
        json.map(|json| String::from_utf8(json).unwrap())
    };
    assert_eq!(told(false, None), None);
    let both = r#"{"degraded":true,"anomaly":{"z":4.1,"n":812,"series":"rate"}}"#;
    assert_eq!(told(true, Some(&flag)).as_deref(), Some(both));
}

#[test]
fn the_fee_on_a_claim_rounds_up_once() {
    assert_eq!(with_fee(Usd::from_nano(1), 1).nano(), 2);
    assert_eq!(with_fee(Usd::from_nano(10_000), 100).nano(), 10_100);
    assert_eq!(with_fee(Usd::from_nano(7), 0).nano(), 7);
    assert_eq!(with_fee(Usd::MAX, 10_000), Usd::MAX);
}
