//! Shows how errors, metadata and headers read; the whole error table is one snapshot.
//! Does not show when they are due.

#![expect(
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "a test that cannot set up must fail loudly; one table is one function"
)]

use p402_core::bill::{Bill, DirectBasis};
use p402_core::catalog::{Effort, Task};
use p402_core::envelope::scan;
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::reply::{
    ApiError, Code, CostDetails, Metadata, ReplyHeaders, TABLE, dropped_warning, scrub,
};
use p402_core::route::{Mode, Options, SessionState};
use p402_core::time::Timestamp;
use serde_json::{Value, json};

const REQUEST: RequestId = RequestId::new(Timestamp::from_seconds(1_795_305_600), 77);

fn written(metadata: &Metadata<'_>) -> String {
    let mut out = Vec::new();
    metadata.write(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn metadata() -> Metadata<'static> {
    Metadata {
        request_id: REQUEST,
        tenant_id: "acme",
        provider: "anthropic",
        model: "claude-haiku-4-5",
        cost: Usd::from_nano(3_200_000),
        direct: Usd::from_nano(9_000_000),
        input_tokens: 1_200,
        output_tokens: 400,
        latency_us: 1_843_217,
        provider_latency_us: 1_842_604,
        cached: false,
        mode: Mode::Cost,
        cost_details: None,
        routing: None,
        guard: None,
        cache: None,
    }
}

fn body(error: &ApiError) -> Value {
    serde_json::from_slice(&error.body(REQUEST)).expect("JSON")
}

#[test]
fn the_error_table_is_what_it_was() {
    let mut table = String::new();
    for (index, row) in TABLE.iter().enumerate() {
        assert_eq!(row.code as usize, index, "{} stands in the enum's place", row.name);
        assert_eq!(row.code.row(), *row);
        assert_eq!(Code::parse(row.name), Some(row.code));
        let line = [row.name, &row.status.to_string(), row.kind, &row.retry.to_string()].join(" ");
        table.push_str(&line);
        table.push('\n');
    }
    insta::assert_snapshot!("error_table", table);
    assert_eq!(Code::parse("nonsense"), None);
}

#[test]
fn an_error_reads_as_openais() {
    let error = ApiError::new(Code::NoEligibleModel, "No \"model\" is left.")
        .with_param("p402.models")
        .with_extra("rejected", json!({"no_key": 3}))
        .with_extra("nearest", "x/y");
    let wanted = concat!(
        r#"{"error":{"message":"No \"model\" is left.","type":"invalid_request_error","#,
        r#""param":"p402.models","code":"no_eligible_model","#,
        r#""request_id":"req_01a2008d74000000000000000000004d","rejected":{"no_key":3},"#,
        r#""nearest":"x/y"}}"#
    );
    assert_eq!(String::from_utf8(error.body(REQUEST)).expect("UTF-8"), wanted);
    assert_eq!(error.status(), 400);
    assert_eq!(error.headers(), [("x-should-retry", "false".to_owned())]);
    let own = ApiError::new(Code::InvalidApiKey, "No key.").with_status(401).headers();
    assert!(own.contains(&("www-authenticate", "Bearer".to_owned())));
    assert_eq!(body(&ApiError::new(Code::Overloaded, "Busy."))["error"]["param"], Value::Null);
}

#[test]
fn waits_are_told_only_where_they_can_be_waited() {
    let limited =
        |ms: u64| ApiError::new(Code::UpstreamRateLimited, "Slow.").with_retry_after_ms(ms);
    let text = |pairs: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let short = [("x-should-retry", "true"), ("retry-after", "2"), ("retry-after-ms", "1834")];
    assert_eq!(limited(1_834).headers(), text(&short));
    let minute = [("x-should-retry", "true"), ("retry-after", "60"), ("retry-after-ms", "60000")];
    assert_eq!(limited(60_000).headers(), text(&minute));
    assert_eq!(limited(60_001).headers(), text(&[("x-should-retry", "false")]));
    assert_eq!(
        limited(60_001).with_should_retry(true).headers(),
        text(&[("x-should-retry", "false")])
    );
    assert_eq!(body(&limited(60_001))["error"]["retry_after_ms"], 60_001);
    let failed = ApiError::new(Code::AllAttemptsFailed, "All failed.");
    assert_eq!(failed.headers(), text(&[("x-should-retry", "false")]));
    let free = failed.with_should_retry(true).with_retry_after_ms(1_000).headers();
    assert_eq!(
        free,
        text(&[("x-should-retry", "true"), ("retry-after", "1"), ("retry-after-ms", "1000")])
    );
}

#[test]
fn refusals_of_scan_and_field_become_errors() {
    let scanned: ApiError = scan(br#"{"model":1}"#).expect_err("a number").into();
    assert_eq!((scanned.code, scanned.param.as_deref()), (Code::InvalidType, Some("model")));
    let field: ApiError = Options::read(Some(br#"{"x":1}"#), &[]).expect_err("unknown").into();
    assert_eq!((field.code, field.param.as_deref()), (Code::P402FieldUnknown, Some("p402.x")));
    for bad in [&b"{"[..], b"{}", b"{\"a\":1,\"a\":1}", b"[]", b"{\"n\":9}", b"{\"p402\":1}"] {
        let error = scan(bad).expect_err("refused");
        assert!(Code::parse(error.code).is_some(), "{} is in the table", error.code);
    }
}

#[test]
fn an_upstreams_refusal_keeps_its_words_but_no_secret() {
    let rows = [
        (
            r#"{"error":{"message":"Bad n","type":"t","param":"n","code":"c"}}"#,
            "Bad n",
            json!("t"),
            json!("n"),
            json!("c"),
        ),
        (
            r#"{"error":{"message":"Bad n","code":400}}"#,
            "Bad n",
            json!("invalid_request_error"),
            json!(null),
            json!("400"),
        ),
        (
            r#"[{"error":{"message":"Google","code":400,"status":"X"}}]"#,
            "Google",
            json!("invalid_request_error"),
            json!(null),
            json!("400"),
        ),
        (
            r#"{"error":"just text"}"#,
            "just text",
            json!("invalid_request_error"),
            json!(null),
            json!(null),
        ),
        (
            r#"{"detail":"pydantic"}"#,
            "pydantic",
            json!("invalid_request_error"),
            json!(null),
            json!(null),
        ),
        (
            r#"{"detail":[{"msg":"field required","loc":[]}]}"#,
            "field required",
            json!("invalid_request_error"),
            json!(null),
            json!(null),
        ),
        (
            r#"{"message":"mistral","type":"t","code":"1"}"#,
            "mistral",
            json!("t"),
            json!(null),
            json!("1"),
        ),
        (
            "<html>nginx</html>",
            "The provider refused the request with status 422.",
            json!("invalid_request_error"),
            json!(null),
            json!(null),
        ),
        (
            "",
            "The provider refused the request with status 422.",
            json!("invalid_request_error"),
            json!(null),
            json!(null),
        ),
        (
            concat!(
                r#"{"error":{"message":"key sk-abcdefgh123 at https://u:p@x.y/z","#,
                r#""code":"sk-abcdefgh123"}}"#
            ),
            "key [redacted] at https://[redacted]@x.y/z",
            json!("invalid_request_error"),
            json!(null),
            json!("[redacted]"),
        ),
    ];
    for (said, message, kind, param, code) in rows {
        let error = ApiError::from_upstream(422, said.as_bytes());
        assert_eq!(error.status(), 422);
        assert_eq!(error.headers(), [("x-should-retry", "false".to_owned())]);
        let shown = body(&error);
        let found = ["message", "type", "param", "code"].map(|key| shown["error"][key].clone());
        assert_eq!(found, [json!(message), kind, param, code], "{said}");
    }
    let long = json!({"error": {"message": "é".repeat(9_000)}}).to_string();
    assert_eq!(ApiError::from_upstream(400, long.as_bytes()).message.chars().count(), 2_000);
    let huge = json!({"error": {"message": "x".repeat(100_000)}}).to_string();
    let told = ApiError::from_upstream(413, huge.as_bytes()).message;
    assert_eq!(told, "The provider refused the request with status 413.");
}

#[test]
fn secrets_are_hidden_and_words_are_not() {
    let key = format!("p402_{}", "a".repeat(43));
    let rows = [
        ("Authorization: Bearer abc.def-123456 ok", "Authorization: Bearer [redacted] ok"),
        ("authorization: bEaReR abcdefghij", "authorization: bEaReR [redacted]"),
        ("Incorrect key: sk-proj-ab****wxyz.", "Incorrect key: [redacted]."),
        ("sk-ant-api03-xxxxxxxx", "[redacted]"),
        ("AIzaSyA1234567890 is bad", "[redacted] is bad"),
        ("key=AIzaSyA1234567890", "key=[redacted]"),
        ("https://x.y/v1?key=abcdefghij&z=1", "https://x.y/v1?key=[redacted]&z=1"),
        ("postgres://user:pa:ss@host:5/db", "postgres://[redacted]@host:5/db"),
        (&key, "[redacted]"),
        ("gsk_1234567890abc", "[redacted]"),
        ("p402_metadata and p402_field_unknown", "p402_metadata and p402_field_unknown"),
        ("a risk-averse task-oriented sk-8", "a risk-averse task-oriented sk-8"),
        ("Send a bearer token. é漢😀", "Send a bearer token. é漢😀"),
        ("https://platform.openai.com/docs?x=1@2", "https://platform.openai.com/docs?x=1@2"),
        ("mail me@example.com", "mail me@example.com"),
        ("", ""),
    ];
    for (text, wanted) in rows {
        assert_eq!(scrub(text), wanted);
        assert_eq!(scrub(wanted), wanted, "scrubbing twice changes nothing");
    }
}

#[test]
fn metadata_has_thirteen_keys_in_order() {
    let wanted = concat!(
        r#"{"request_id":"req_01a2008d74000000000000000000004d","tenant_id":"acme","#,
        r#""provider":"anthropic","model":"claude-haiku-4-5","cost_usd":0.0032,"#,
        r#""direct_cost":0.009,"savings":0.0058,"input_tokens":1200,"output_tokens":400,"#,
        r#""latency_ms":1843.217,"provider_latency_ms":1842.604,"cached":false,"#,
        r#""routing_mode":"cost"}"#
    );
    assert_eq!(written(&metadata()), wanted);
}

#[test]
fn metadata_stays_true_at_the_edges() {
    let odd = Metadata {
        tenant_id: "a\"\n\u{7f}é",
        cost: Usd::from_nano(9),
        direct: Usd::ZERO,
        latency_us: 1_500,
        provider_latency_us: 9_999,
        routing: Some(br#"{"task":"chat"}"#),
        ..metadata()
    };
    let text = written(&odd);
    assert!(text.contains(r#""cost_usd":0.000000009,"direct_cost":0,"savings":-0.000000009,"#));
    assert!(text.contains(r#""latency_ms":1.5,"provider_latency_ms":1.5,"#), "never negative");
    assert!(text.ends_with(r#""routing_mode":"cost","routing":{"task":"chat"}}"#));
    let read: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(read["tenant_id"], "a\"\n\u{7f}é");
    for (us, ms) in
        [(0, "0"), (1, "0.001"), (10, "0.01"), (999, "0.999"), (1_000, "1"), (1_020, "1.02")]
    {
        let text = written(&Metadata { latency_us: us, ..metadata() });
        assert!(text.contains(&format!(r#""latency_ms":{ms},"#)), "{us} in {text}");
    }
}

#[test]
fn cost_details_add_up() {
    let bill = Bill {
        cost: Usd::from_nano(3_300_001),
        upstream: Usd::from_nano(3_200_000),
        overhead: Usd::from_nano(1),
        direct: Usd::from_nano(9_000_000),
        wasted: Usd::from_nano(5),
        basis: DirectBasis::RequestedModel,
        direct_provider: "openai".into(),
        direct_model: "gpt-5.4".into(),
        requested_known: true,
        price_as_of: "2026-11".into(),
        price_confidence: "agree",
        input: Usd::from_nano(1_200_000),
        output: Usd::from_nano(2_000_000),
        ..Bill::default()
    };
    let details = CostDetails { bill: &bill, attempts: 2 };
    let text = written(&Metadata { cost_details: Some(details), ..metadata() });
    let wanted = concat!(
        r#""cost_details":{"upstream_usd":0.0032,"platform_fee_usd":0.0001,"#,
        r#""overhead_usd":0.000000001,"wasted_upstream_usd":0.000000005,"#,
        r#""direct_basis":"requested_model","direct_provider":"openai","#,
        r#""direct_model":"gpt-5.4","requested_known":true,"estimated":false,"#,
        r#""usage_source":"provider","price_source":"catalog","price_as_of":"2026-11","#,
        r#""price_confidence":"agree","service_tier":null,"breakdown":{"input":0.0012,"#,
        r#""cache_read":0,"cache_write":0,"output":0.002,"fees":0},"#,
        r#""provider_cache_discount_usd":0,"attempts":2,"cost_nano_usd":3300001}}"#
    );
    assert!(text.ends_with(wanted), "{text}");
}

#[test]
fn headers_are_ascii_and_say_what_is_known() {
    let id = REQUEST.to_string();
    let bare = ReplyHeaders::new(REQUEST).build();
    let names: Vec<&str> = bare.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["x-request-id", "x-p402-request-id", "x-p402-cache"]);
    assert!(bare[0].1 == id && bare[1].1 == id);
    let warnings = [
        dropped_warning(&["seed".into(), "logit_bias".into()]).expect("some"),
        "naïve\r\nx: y".into(),
    ];
    let full = ReplyHeaders {
        provider: Some("groq"),
        model: Some("modèle"),
        effort: Some(Effort::Low),
        mode: Some(Mode::Balanced),
        task: Some(Task::Coding),
        confidence: 0.824,
        attempts: "2;groq=429",
        session: SessionState::Held,
        cache: "off",
        weights: "1a2b3c4d",
        cost: Some(Usd::from_nano(3_200_000)),
        warnings: &warnings,
        ..ReplyHeaders::new(REQUEST)
    };
    let wanted = [
        ("x-request-id", id.as_str()),
        ("x-p402-request-id", &id),
        ("x-p402-provider", "groq"),
        ("x-p402-model", "mod%C3%A8le"),
        ("x-p402-effort", "low"),
        ("x-p402-mode", "balanced"),
        ("x-p402-task", "coding;c=0.82"),
        ("x-p402-attempts", "2;groq=429"),
        ("x-p402-session", "held"),
        ("x-p402-cache", "off"),
        ("x-p402-weights", "1a2b3c4d"),
        ("x-p402-cost-usd", "0.0032"),
        ("x-p402-warnings", "dropped=seed,logit_bias; na%C3%AFve%0D%0Ax: y"),
    ];
    let built = full.build();
    let found: Vec<(&str, &str)> =
        built.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(found, wanted);
    assert_eq!(dropped_warning(&[]), None);
    let long = ["é".repeat(9_000)];
    let cut = ReplyHeaders { warnings: &long, ..full }.build();
    assert!(cut.iter().all(|(_, value)| value.len() <= 1_024 && value.is_ascii()));
}
