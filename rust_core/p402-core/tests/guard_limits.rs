//! Decides whether limits as written become limits, or a sentence that says why not.
//! Does not read files.
#![expect(clippy::expect_used, reason = "a test whose set-up is wrong must stop")]

use p402_core::config::Guard;
use p402_core::guard::{LimitError, Limits, OnExpiry, OutagePolicy, Period, UnknownPrice, Why};
use p402_core::money::{MoneyError, Usd};
use serde_json::{Value, json};

fn read(written: &Value) -> Result<Limits, LimitError> {
    let written: Guard = serde_json::from_value(written.clone()).expect("a form that is known");
    Limits::default().with(&written)
}

fn why(written: &Value) -> (&'static str, Why) {
    let error = read(written).expect_err("refused");
    (error.key, error.why)
}

#[test]
fn nothing_written_is_the_product_page() {
    let limits = read(&json!({})).expect("defaults");
    assert_eq!(limits, Limits::default());
    assert_eq!((limits.rate.limit, limits.rate.per_s, limits.rate.burst), (1_000, 3_600, 1_000));
    assert_eq!((limits.daily_cap.to_string(), limits.in_flight_max), ("1000".to_owned(), 10));
    assert_eq!((limits.request_cap.to_string(), limits.budget), ("50".to_owned(), None));
    assert_eq!((limits.hold_lease_ms, limits.slot_lease_ms), (300_000, 15_000));
}

#[test]
fn everything_written_is_read() {
    let limits = read(&json!({
        "rate": {"limit": 60, "per_s": 60},
        "daily_cap_usd": "12.50", "in_flight_max": 256, "request_cap_usd": "0.000000001",
        "budget_usd": "9000000", "budget_period": "total",
        "hold_lease_s": 60, "slot_lease_s": 10, "renew_every_s": 2,
        "on_expiry": "charge", "suspense_settle_h": 1, "unknown_price": "allow",
        "default_max_tokens": 4096, "outage_policy": "fail_open",
        "slice_max_usd": "1", "outage_overdraft_usd": "2",
        "anomaly": {"z": 4.5, "samples_min": 10, "alpha": 0.1, "floor_usd": "0.5", "mode": "block"},
    }))
    .expect("all of it");
    assert_eq!((limits.rate.limit, limits.rate.burst), (60, 60), "the burst follows the limit");
    assert_eq!(limits.daily_cap, Usd::from_nano(12_500_000_000));
    assert_eq!(limits.request_cap, Usd::from_nano(1));
    assert_eq!((limits.budget, limits.period), (Usd::parse("9000000").ok(), Period::Total));
    assert_eq!((limits.hold_lease_ms, limits.slot_lease_ms), (60_000, 10_000));
    assert_eq!((limits.renew_every_ms, limits.suspense_ms), (2_000, 3_600_000));
    assert_eq!((limits.on_expiry, limits.unknown_price), (OnExpiry::Charge, UnknownPrice::Allow));
    assert_eq!((limits.default_max_tokens, limits.outage), (Some(4096), OutagePolicy::FailOpen));
    assert_eq!((limits.anomaly.samples_min, limits.anomaly.block), (10, true));

    let own: Guard = serde_json::from_value(json!({
        "budget_usd": "none", "default_max_tokens": "model", "rate": {"burst": 5},
    }))
    .expect("a form that is known");
    let own = limits.with(&own).expect("a tenant's own");
    assert_eq!((own.budget, own.default_max_tokens, own.rate.limit), (None, None, 60));
    assert_eq!((own.rate.burst, own.daily_cap), (5, limits.daily_cap));
}

#[test]
fn what_is_no_amount_is_refused_with_its_key() {
    for (text, error) in [
        ("NaN", MoneyError::NotANumber),
        ("Infinity", MoneyError::NotANumber),
        ("-Infinity", MoneyError::Negative),
        ("", MoneyError::NotANumber),
        ("-0", MoneyError::Negative),
        ("-1", MoneyError::Negative),
        ("0.0000000001", MoneyError::TooFine),
    ] {
        for key in ["daily_cap_usd", "request_cap_usd", "budget_usd", "slice_max_usd"] {
            assert_eq!(why(&json!({key: text})), (key, Why::Amount(error)), "{text}");
        }
    }
    for text in ["9000000.000000001", "1e400", "99999999999999999999"] {
        assert_eq!(why(&json!({"daily_cap_usd": text})), ("daily_cap_usd", Why::AboveMost));
    }
    let sentence = read(&json!({"daily_cap_usd": "9000001"})).expect_err("refused").to_string();
    let reason = "above 9000000 USD, the most that a shared store counts to the nano-dollar";
    assert_eq!(sentence, format!("guard.daily_cap_usd: {reason}"));
}

#[test]
fn a_float_a_stranger_and_a_wrong_form_are_not_read_at_all() {
    for written in [
        json!({"daily_cap_usd": 1000.0}),
        json!({"daily_cap_usd": 1000}),
        json!({"budget": "1"}),
        json!({"rate": {"limit": 1.5}}),
        json!({"in_flight_max": "10"}),
    ] {
        assert!(serde_json::from_value::<Guard>(written.clone()).is_err(), "{written}");
    }
}

#[test]
fn numbers_and_words_have_bounds() {
    for (written, key) in [
        (json!({"in_flight_max": 0}), "in_flight_max"),
        (json!({"in_flight_max": 257}), "in_flight_max"),
        (json!({"rate": {"limit": 0}}), "rate.limit"),
        (json!({"rate": {"per_s": 0}}), "rate.per_s"),
        (json!({"rate": {"burst": -1}}), "rate.burst"),
        (json!({"rate": {"limit": 1, "per_s": 2_678_400, "burst": 1_000_000_000}}), "rate.burst"),
        (json!({"hold_lease_s": 0}), "hold_lease_s"),
        (json!({"suspense_settle_h": 0}), "suspense_settle_h"),
        (json!({"slot_lease_s": 9}), "renew_every_s"),
        (json!({"anomaly": {"z": 0}}), "anomaly.z"),
        (json!({"anomaly": {"alpha": 1.5}}), "anomaly.alpha"),
        (json!({"anomaly": {"samples_min": 1}}), "anomaly.samples_min"),
        (json!({"anomaly": {"mode": "hard"}}), "anomaly.mode"),
        (json!({"on_expiry": "forget"}), "on_expiry"),
        (json!({"budget_period": "week"}), "budget_period"),
        (json!({"unknown_price": "guess"}), "unknown_price"),
        (json!({"outage_policy": "pray"}), "outage_policy"),
        (json!({"default_max_tokens": 0}), "default_max_tokens"),
        (json!({"default_max_tokens": "most"}), "default_max_tokens"),
    ] {
        let (named, _) = why(&written);
        assert_eq!(named, key, "{written}");
        assert!(!read(&written).expect_err("refused").to_string().is_empty());
    }
}
