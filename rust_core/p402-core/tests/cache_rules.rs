//! Shows what a request may ask of the cache, what a tenant may rule, and who may add how much.
//! Does not look anything up (io's cache tests do).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::cache::key::Share;
use p402_core::cache::quota::Quota;
use p402_core::cache::rules::{Asking, Rules, Use, of_tenant, room, shipped_encoder};
use p402_core::cache::wish::{Sharing, Wish};
use p402_core::config::Cache;
use p402_core::time::Timestamp;

fn on(wish: Wish) -> Wish {
    Wish { on: Some(true), ..wish }
}

#[test]
fn a_body_and_its_header_twin_say_the_same() {
    let pairs = [
        ("true", "true", on(Wish::default())),
        ("false", "false", Wish { on: Some(false), ..Wish::default() }),
        (r#"{"no_store":true}"#, "no-store", on(Wish { no_store: true, ..Wish::default() })),
        (r#"{"refresh":true}"#, "true, refresh", on(Wish { refresh: true, ..Wish::default() })),
        (
            r#"{"max_age":600,"threshold":0.97}"#,
            "max-age=600, threshold=0.97",
            on(Wish { max_age_s: Some(600), threshold: Some(0.97), ..Wish::default() }),
        ),
        (
            r#"{"ttl":60,"share":"user"}"#,
            "ttl=60,share=user",
            on(Wish { ttl_s: Some(60), share: Some(Sharing::User), ..Wish::default() }),
        ),
    ];
    for (body, header, wish) in pairs {
        assert_eq!(Wish::of_body(body), Ok(wish), "{body}");
        assert_eq!(Wish::of_header(header), Ok(wish), "{header}");
    }
}

#[test]
fn what_is_no_wish_is_named() {
    for body in [
        "1",
        r#""on""#,
        r#"{"ttl":"60"}"#,
        r#"{"ttl":1.5}"#,
        r#"{"ttl":2678401}"#,
        r#"{"threshold":-0.1}"#,
        r#"{"threshold":1e999}"#,
        r#"{"share":1}"#,
        r#"{"no_store":1}"#,
    ] {
        let error = Wish::of_body(body).unwrap_err();
        assert!(!error.unknown && error.param.starts_with("p402.cache"), "{body}: {error}");
    }
    assert!(Wish::of_body(r#"{"distance":0.1}"#).unwrap_err().unknown);
    for header in ["yes", "max-age", "max-age=x", "threshold=2", "distance=0.1", ""] {
        assert_eq!(Wish::of_header(header).unwrap_err().param, "x-p402-cache", "{header}");
    }
}

fn written(json: &str) -> Cache {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_rule_that_is_none_is_named_by_its_key() {
    for (json, key) in [
        (r#"{"share":"world"}"#, "share"),
        (r#"{"ttl_s":0}"#, "ttl_s"),
        (r#"{"ttl_s":86401}"#, "ttl_s"),
        (r#"{"ttl_max_s":2678401}"#, "ttl_max_s"),
        (r#"{"threshold":0.95}"#, "threshold"),
        (r#"{"threshold":0.95,"embedder":"ffffffffffff"}"#, "embedder"),
        (r#"{"temperature_max":2.5}"#, "temperature_max"),
        (r#"{"delta":0.001}"#, "delta"),
        (r#"{"shadow_rate":0}"#, "shadow_rate"),
        (r#"{"shadow_daily_usd":"-1"}"#, "shadow_daily_usd"),
        (r#"{"judge":""}"#, "judge"),
        (r#"{"timing":"slow"}"#, "timing"),
    ] {
        assert_eq!(Rules::default().with(&written(json)).unwrap_err().key, key, "{json}");
    }
    let named = format!(r#"{{"threshold":0.95,"embedder":"{}"}}"#, shipped_encoder());
    assert!((Rules::default().with(&written(&named)).unwrap().threshold - 0.95).abs() < 1e-6);
    // Read the wrong way round, a small number would let everything pass.
    let loose = named.replace("0.95", "0.05");
    assert_eq!(Rules::default().with(&written(&loose)).unwrap_err().key, "threshold");
    assert_eq!(room(&written(r#"{"bytes_max":1}"#)).unwrap_err().key, "bytes_max");
    assert_eq!(room(&written(r#"{"entries_max":0}"#)).unwrap_err().key, "entries_max");
    assert_eq!(of_tenant(&written(r#"{"entries_max":9}"#)).unwrap_err().key, "entries_max");
}

const COST: Asking<'_> =
    Asking { cost_mode: true, temperature_tenths: None, user: None, session: None };

#[test]
fn an_explicit_no_always_wins_and_cost_mode_says_yes() {
    let rules = Rules::default();
    let quality = Asking { cost_mode: false, ..COST };
    let judged = |wish: Wish, asking: &Asking<'static>| rules.judge(&wish, asking).unwrap();
    let no = Wish { on: Some(false), ..Wish::default() };
    assert!(matches!(judged(Wish::default(), &COST), Use::On(_)));
    assert_eq!(judged(Wish::default(), &quality), Use::Off);
    assert_eq!(judged(no, &COST), Use::Off);
    assert!(matches!(judged(on(Wish::default()), &quality), Use::On(_)));
    let hot = Asking { temperature_tenths: Some(11), ..COST };
    assert_eq!(judged(on(Wish::default()), &hot), Use::Barred);
}

#[test]
fn a_request_may_narrow_its_tenants_share_and_never_widen_it() {
    let wide = Rules::default();
    let narrow = wide.clone().with(&written(r#"{"share":"session"}"#)).unwrap();
    let share = |share| on(Wish { share: Some(share), ..Wish::default() });
    let told = Asking { user: Some("u"), session: Some("s"), ..COST };
    let shared = |rules: &Rules, wish| match rules.judge(&wish, &told).unwrap() {
        Use::On(terms) => terms.share,
        other => panic!("{other:?}"),
    };
    assert_eq!(shared(&wide, on(Wish::default())), Share::Tenant);
    assert_eq!(shared(&wide, share(Sharing::User)), Share::User("u"));
    assert_eq!(shared(&narrow, on(Wish::default())), Share::Session("s"));
    for wider in [Sharing::Tenant, Sharing::User] {
        assert_eq!(narrow.judge(&share(wider), &told).unwrap_err().param, "p402.cache.share");
    }
    // Nobody named is not everybody.
    assert_eq!(wide.judge(&share(Sharing::User), &COST), Ok(Use::Barred));
    let empty = Asking { user: Some(""), ..COST };
    assert_eq!(wide.judge(&share(Sharing::User), &empty), Ok(Use::Barred));
}

#[test]
fn a_key_adds_so_many_answers_and_bytes_an_hour() {
    let mut quota = Quota::default();
    let (hour, next) = (Timestamp::from_seconds(7_200), Timestamp::from_seconds(10_800));
    let mut take = |key, bytes, now| quota.take((1, key), bytes, (2, 1_000), now);
    assert!(take(1, 100, hour));
    assert!(take(1, 100, hour));
    assert!(!take(1, 0, hour), "two an hour");
    assert!(take(2, 200, hour), "another key has its own");
    assert!(!take(3, 201, hour), "a fifth of what its tenant may hold");
    assert!(take(1, 100, next));
}
