//! Shows what the `p402` field and its header twins mean, and how a wrong one is told.
//! Does not check names against a catalogue.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot set up must fail loudly; one table is one function"
)]

use p402_core::catalog::{OfferKind, Task};
use p402_core::money::Usd;
use p402_core::route::{FieldError, Lists, Mode, Options, Said};

fn body(json: &str) -> Options {
    Options::read(Some(json.as_bytes()), &[]).unwrap_or_else(|error| panic!("{json}: {error:?}"))
}

fn headers(pairs: &[(&str, &str)]) -> Options {
    Options::read(None, pairs).unwrap_or_else(|error| panic!("{pairs:?}: {error:?}"))
}

fn refused(json: &str) -> FieldError {
    Options::read(Some(json.as_bytes()), &[]).expect_err(json)
}

fn lists(allow: &[&str], deny: &[&str]) -> Lists {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Lists { allow: owned(allow), deny: owned(deny) }
}

#[test]
fn nothing_said_is_the_default() {
    assert_eq!(Options::read(None, &[]), Ok(Options::default()));
    assert_eq!(body("{}"), Options::default());
    let nulls = r#"{"mode":null,"task":null,"models":null,"pin":null,"max_cost_usd":null}"#;
    assert_eq!(body(nulls), Options::default());
}

#[test]
fn both_ways_say_the_same() {
    let wanted = Options {
        kind: OfferKind::Chat,
        mode: Some(Mode::Cost),
        task: Some(Task::Coding),
        models: lists(&["gpt-5.4", "anthropic/*"], &[]),
        providers: lists(&["groq"], &[]),
        pin: true,
        max_cost: Some(Usd::from_nano(50_000_000)),
        max_latency_ms: Some(2_000),
        explain: true,
        session_id: Some("s 1".to_owned()),
        cache: Some(Said::Body("false".to_owned())),
        cost_details: true,
    };
    let said = r#"{"mode":"cost","task":"coding","models":["gpt-5.4","anthropic/*"],
        "providers":{"allow":["groq"]},"pin":true,"max_cost_usd":"0.05","max_latency_ms":2000,
        "explain":true,"session_id":"s\u00201","cache":false,"cost_details":true}"#;
    assert_eq!(body(said), wanted);
    let twins = [
        ("X-P402-Mode", "cost"),
        ("x-p402-task", " coding "),
        ("x-p402-models", "gpt-5.4, anthropic/*"),
        ("x-p402-providers", "groq"),
        ("x-p402-pin", "True"),
        ("x-p402-max-cost-usd", "5e-2"),
        ("x-p402-max-latency-ms", "2000"),
        ("x-p402-explain", "1"),
        ("x-p402-session-id", "s 1"),
        ("x-p402-cache", "0"),
        ("x-p402-cost-details", "true"),
        ("x-p402-request-id", "no twin"),
        ("x-p402-request-id", "echoed, and no wish"),
        ("authorization", "Bearer x"),
    ];
    let cache = Some(Said::Header("0".to_owned()));
    assert_eq!(headers(&twins), Options { cache, ..wanted });
}

#[test]
fn the_body_wins_key_by_key() {
    let both = [("x-p402-mode", "speed"), ("x-p402-task", "math"), ("x-p402-pin", "not read")];
    let options = Options::read(Some(br#"{"mode":"quality","pin":false,"task":null}"#), &both);
    let options = options.expect("valid");
    assert_eq!((options.mode, options.task), (Some(Mode::Quality), Some(Task::Math)));
    assert!(!options.pin);
    assert_eq!(body(r#"{"task":"auto"}"#).task, None);
    assert_eq!(body(r#"{"mo\u0064e":"speed"}"#).mode, Some(Mode::Speed));
}

#[test]
fn money_is_read_from_its_text() {
    let cost = |text: &str| body(&format!(r#"{{"max_cost_usd":{text}}}"#)).max_cost.map(Usd::nano);
    assert_eq!(cost("0.000000001"), Some(1));
    assert_eq!(cost("\"0.1\""), Some(100_000_000));
    assert_eq!(cost("0.1"), Some(100_000_000));
    assert_eq!(cost("1e-3"), Some(1_000_000));
    // 4.35 × 10⁹ is 4349999999.9999995 in binary.
    assert_eq!(cost("4.35"), Some(4_350_000_000));
    for bad in ["0", "-1", "\"\"", "\"$1\"", "1e-10", "true", "[]", "\"NaN\"", "1e30"] {
        let error = refused(&format!(r#"{{"max_cost_usd":{bad}}}"#));
        assert_eq!((error.code, error.param.as_str()), ("p402_field_invalid", "p402.max_cost_usd"));
    }
}

#[test]
fn lists_allow_and_deny() {
    let models = |text: &str| body(&format!(r#"{{"models":{text}}}"#)).models;
    assert_eq!(models(r#"["a","b*"]"#), lists(&["a", "b*"], &[]));
    assert_eq!(models(r#"{"deny":["x"],"allow":["a"]}"#), lists(&["a"], &["x"]));
    assert_eq!(models(r#"{"allow":[],"deny":[]}"#), lists(&[], &[]));
    let many = format!("{:?}", vec!["m"; 257]);
    let long = format!("[\"{}\"]", "m".repeat(257));
    let bad = [
        "[]",
        "\"a\"",
        "[1]",
        "[\"\"]",
        "[\"a*b\"]",
        "[\"**\"]",
        "[\"a\\n\"]",
        "{\"allow\":\"a\"}",
        "{\"permit\":[\"a\"]}",
        "{\"allow\":[\"a\"],\"deny\":[\"a\"]}",
        "1",
        &many,
        &long,
    ];
    for text in bad {
        let error = refused(&format!(r#"{{"models":{text}}}"#));
        assert_eq!((error.code, error.param.as_str()), ("p402_field_invalid", "p402.models"));
    }
    let empty = Options::read(None, &[("x-p402-models", "a,,b")]).expect_err("an empty name");
    assert_eq!((empty.code, empty.param.as_str()), ("p402_field_invalid", "x-p402-models"));
}

#[test]
fn a_wrong_value_names_key_and_choices() {
    let rows = [
        (r#"{"mode":"cheap"}"#, "p402.mode", "cost, quality, speed, balanced"),
        (r#"{"mode":1}"#, "p402.mode", "cost, quality, speed, balanced"),
        (r#"{"task":"poetry"}"#, "p402.task", "creative"),
        (r#"{"pin":"true"}"#, "p402.pin", "true or false"),
        (r#"{"explain":1}"#, "p402.explain", "true or false"),
        (r#"{"max_latency_ms":49}"#, "p402.max_latency_ms", "at least 50"),
        (r#"{"max_latency_ms":"2000"}"#, "p402.max_latency_ms", "whole number"),
        (r#"{"max_latency_ms":1e3}"#, "p402.max_latency_ms", "whole number"),
        (r#"{"max_latency_ms":99999999999999999999}"#, "p402.max_latency_ms", "whole number"),
        (r#"{"session_id":""}"#, "p402.session_id", "1 to 128"),
        (r#"{"session_id":"a\u0000"}"#, "p402.session_id", "printable"),
        (r#"{"session_id":"é"}"#, "p402.session_id", "printable"),
    ];
    for (json, param, words) in rows {
        let error = refused(json);
        assert_eq!((error.code, error.param.as_str()), ("p402_field_invalid", param));
        assert!(error.message.contains(words), "{}", error.message);
    }
    let session = |len: usize| format!(r#"{{"session_id":"{}"}}"#, "s".repeat(len));
    assert_eq!(refused(&session(129)).code, "p402_field_invalid");
    assert_eq!(body(&session(128)).session_id, Some("s".repeat(128)));
}

#[test]
fn an_unknown_key_is_never_silent() {
    let error = refused(r#"{"mode":"cost","max-cost-usd":"0.01"}"#);
    assert_eq!((error.code, error.param.as_str()), ("p402_field_unknown", "p402.max-cost-usd"));
    assert!(error.message.contains("Did you mean `max_cost_usd`?"), "{}", error.message);
    assert!(error.message.contains("session_id"), "{}", error.message);
    assert_eq!(refused(r#"{"":1}"#).code, "p402_field_unknown");
    assert_eq!(refused("[]").code, "p402_field_invalid");
}

#[test]
fn a_mistyped_header_is_refused() {
    let error = Options::read(None, &[("x-p402-mdoe", "cost")]).unwrap_err();
    assert_eq!((error.code, &*error.param), ("p402_field_unknown", "x-p402-mdoe"));
    assert!(error.message.contains("max-cost-usd"));
}
