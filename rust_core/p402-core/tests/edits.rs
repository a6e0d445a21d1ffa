//! Shows what an upstream's body looks like, quirk by quirk, byte for byte.
//! Does not test whether an offer has the quirk.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that cannot set up must fail loudly; one table is one function"
)]

use p402_core::catalog::{Effort, Quirks, ReasoningControl, StreamUsage, ToolChoiceSupport};
use p402_core::envelope::{Edits, UpstreamBody, scan, upstream_body};

const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

#[derive(Clone, Debug)]
struct To {
    cap: Option<u64>,
    effort: Option<Effort>,
    quirks: Quirks,
}

impl Default for To {
    fn default() -> Self {
        Self {
            cap: None,
            effort: None,
            quirks: Quirks { developer_role: true, ..Quirks::default() },
        }
    }
}

/// The members after the messages, and the dropped names, of a body with `members` there.
fn sent(members: &str, to: &To) -> (String, Vec<String>) {
    let comma = if members.is_empty() { "" } else { "," };
    let body = format!(r#"{{"model":"m",{MESSAGES}{comma}{members}}}"#);
    let seen = scan(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error:?}"));
    let target = UpstreamBody {
        model: "m",
        stream_usage: true,
        output_cap: to.cap,
        effort: to.effort,
        quirks: &to.quirks,
        told: false,
    };
    let (out, dropped) = upstream_body(body.as_bytes(), &seen, &target);
    let out = String::from_utf8(out).expect("UTF-8");
    let head = format!(r#"{{"model":"m",{MESSAGES}"#);
    let rest = out.strip_prefix(&head).and_then(|rest| rest.strip_suffix('}'));
    (rest.unwrap_or_else(|| panic!("{out}")).trim_start_matches(',').to_owned(), dropped)
}

fn quirk(change: impl FnOnce(&mut Quirks)) -> To {
    let mut to = To::default();
    change(&mut to.quirks);
    to
}

#[test]
fn usage_is_asked_for_in_streams() {
    let plain = To::default();
    let rows = [
        ("", ""),
        (r#""stream":false"#, r#""stream":false"#),
        (r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":true}"#),
        (
            r#""stream_options":null,"stream":true"#,
            r#""stream_options":{"include_usage":true},"stream":true"#,
        ),
        (
            r#""stream":true,"stream_options":{ }"#,
            r#""stream":true,"stream_options":{"include_usage":true }"#,
        ),
        (
            r#""stream":true,"stream_options":{"include_usage":true}"#,
            r#""stream":true,"stream_options":{"include_usage":true}"#,
        ),
        (
            r#""stream":true,"stream_options":{"x": 1,"include_usage" : null}"#,
            r#""stream":true,"stream_options":{"x": 1,"include_usage" : true}"#,
        ),
        (
            r#""stream":true,"stream_options":{"x": 1}"#,
            r#""stream":true,"stream_options":{"include_usage":true,"x": 1}"#,
        ),
        (
            r#""stream":true,"stream_options":{"include\u005fusage":false}"#,
            r#""stream":true,"stream_options":{"include\u005fusage":true}"#,
        ),
    ];
    for (given, wanted) in rows {
        assert_eq!(sent(given, &plain), (wanted.to_owned(), vec![]), "{given}");
    }
    let always = quirk(|q| q.stream_usage = StreamUsage::Always);
    assert_eq!(sent(r#""stream":true"#, &always).0, r#""stream":true"#);
    let never = quirk(|q| q.stream_usage = StreamUsage::Never);
    assert_eq!(
        sent(r#""stream_options":{"include_usage":true},"stream":true"#, &never).0,
        r#""stream":true"#
    );
}

#[test]
fn output_bounds_have_one_name_and_the_cap() {
    let to = |modern: bool, cap: Option<u64>| {
        let mut to = quirk(|q| q.max_completion_tokens = modern);
        to.cap = cap;
        to
    };
    let rows = [
        ("", to(false, None), ""),
        ("", to(false, Some(50)), r#""max_tokens":50"#),
        ("", to(true, Some(50)), r#""max_completion_tokens":50"#),
        (r#""max_tokens":99"#, to(false, Some(50)), r#""max_tokens":50"#),
        (r#""max_tokens":9"#, to(false, Some(50)), r#""max_tokens":9"#),
        (r#""max_tokens": 99"#, to(true, None), r#""max_completion_tokens": 99"#),
        (r#""max_tokens": 99"#, to(true, Some(50)), r#""max_completion_tokens": 50"#),
        (r#""max_completion_tokens":99"#, to(false, Some(50)), r#""max_tokens":50"#),
        (
            r#""max_tokens":7,"max_completion_tokens":9"#,
            to(true, None),
            r#""max_completion_tokens":9"#,
        ),
        (r#""max_tokens":7,"max_completion_tokens":9"#, to(false, None), r#""max_tokens":9"#),
        (r#""max_tokens":null"#, to(false, None), r#""max_tokens":null"#),
        (r#""max_tokens":null"#, to(false, Some(5)), r#""max_tokens":5"#),
        (r#""max_tokens":null"#, to(true, Some(5)), r#""max_completion_tokens":5"#),
        (r#""max_tokens":null,"max_completion_tokens":4"#, to(false, None), r#""max_tokens":4"#),
        (
            r#""max_tokens":99999999999999999999999"#,
            to(false, None),
            r#""max_tokens":99999999999999999999999"#,
        ),
        (r#""max_tokens":99999999999999999999999"#, to(false, Some(8)), r#""max_tokens":8"#),
    ];
    for (given, to, wanted) in rows {
        assert_eq!(sent(given, &to).0, wanted, "{given} {to:?}");
    }
}

#[test]
fn effort_speaks_the_upstreams_language() {
    use ReasoningControl as Control;
    let to = |control: Control, effort: Option<Effort>| {
        let mut to = quirk(|q| q.reasoning_control = control);
        to.effort = effort;
        to
    };
    let own = r#""reasoning_effort":"low""#;
    let high = Some(Effort::High);
    let none = Some(Effort::None);
    let rows = [
        (own, to(Control::Effort, None), own),
        (own, to(Control::Effort, high), r#""reasoning_effort":"high""#),
        ("", to(Control::Effort, high), r#""reasoning_effort":"high""#),
        (own, to(Control::Effort, Some(Effort::Default)), ""),
        ("", to(Control::Effort, Some(Effort::Max)), r#""reasoning_effort":"max""#),
        ("", to(Control::ThinkingType, high), r#""thinking":{"type":"enabled"}"#),
        (own, to(Control::ThinkingType, none), r#""thinking":{"type":"disabled"}"#),
        (
            own,
            to(Control::ThinkingType, None),
            r#""reasoning_effort":"low","thinking":{"type":"enabled"}"#,
        ),
        (
            r#""thinking":{"type":"disabled"}"#,
            to(Control::ThinkingType, None),
            r#""thinking":{"type":"disabled"}"#,
        ),
        (
            r#""thinking":{"type":"disabled"}"#,
            to(Control::ThinkingType, high),
            r#""thinking":{"type":"enabled"}"#,
        ),
        ("", to(Control::EnableThinking, none), r#""enable_thinking":false"#),
        ("", to(Control::ThinkingBudget, high), r#""thinking_budget":16384"#),
        (own, to(Control::ReasoningObject, None), r#""reasoning":{"effort":"low"}"#),
        ("", to(Control::ReasoningObject, Some(Effort::Max)), r#""reasoning":{"effort":"xhigh"}"#),
        ("", to(Control::ReasoningEnabled, high), r#""reasoning":{"enabled":true}"#),
        (
            "",
            to(Control::ChatTemplateArgs, none),
            r#""chat_template_args":{"enable_thinking":false}"#,
        ),
        (own, to(Control::AdaptiveOnly, none), ""),
        (own, to(Control::AdaptiveOnly, None), own),
    ];
    for (given, to, wanted) in rows {
        assert_eq!(sent(given, &to).0, wanted, "{given} {to:?}");
    }
    let mut openai = quirk(|q| q.max_completion_tokens = true);
    openai.effort = Some(Effort::Max);
    assert_eq!(sent("", &openai).0, r#""reasoning_effort":"xhigh""#);
}

#[test]
fn what_an_upstream_refuses_is_cut_and_named() {
    let drop = |names: &[&str]| quirk(|q| q.drop = names.iter().map(|n| (*n).into()).collect());
    let rows = [
        (r#""store":true,"seed":1"#, drop(&["store"]), r#""seed":1"#, vec!["store"]),
        (r#""store":null,"seed":1"#, drop(&["store"]), r#""seed":1"#, vec![]),
        (r#""seed":1"#, drop(&["store", "logprobs"]), r#""seed":1"#, vec![]),
        (
            r#""logit_bias":{},"store":true"#,
            drop(&["store", "logit_bias"]),
            "",
            vec!["store", "logit_bias"],
        ),
        (
            r#""top_p":1,"chat_kwargs":{},"x":null"#,
            drop(&["unknown"]),
            r#""top_p":1"#,
            vec!["chat_kwargs"],
        ),
        (
            concat!(
                r#""tools":[{"type":"function","function":{"strict":true,"name":"f"}},"#,
                r#"{"function":{"name":"g" , "strict":false}},{"function":{"strict":true}}]"#
            ),
            drop(&["strict"]),
            concat!(
                r#""tools":[{"type":"function","function":{"name":"f"}},"#,
                r#"{"function":{"name":"g"}},{"function":{}}]"#
            ),
            vec!["strict"],
        ),
        (
            concat!(
                r#""response_format":{"type":"json_schema","json_schema":{"name":"n","#,
                r#""strict":true,"schema":{"strict":1}}}"#
            ),
            drop(&["strict"]),
            concat!(
                r#""response_format":{"type":"json_schema","json_schema":{"name":"n","#,
                r#""schema":{"strict":1}}}"#
            ),
            vec!["strict"],
        ),
        (
            r#""temperature":1.5"#,
            quirk(|q| q.temperature_max_tenths = Some(10)),
            r#""temperature":1"#,
            vec![],
        ),
        (
            r#""temperature":1.04"#,
            quirk(|q| q.temperature_max_tenths = Some(10)),
            r#""temperature":1"#,
            vec![],
        ),
        (
            r#""temperature":1.0"#,
            quirk(|q| q.temperature_max_tenths = Some(10)),
            r#""temperature":1.0"#,
            vec![],
        ),
        (
            r#""temperature":null"#,
            quirk(|q| q.temperature_max_tenths = Some(10)),
            r#""temperature":null"#,
            vec![],
        ),
        (r#""seed":5"#, quirk(|q| q.random_seed = true), r#""random_seed":5"#, vec![]),
        (
            r#""tool_choice":"required""#,
            quirk(|q| q.tool_choice = ToolChoiceSupport::AnyForRequired),
            r#""tool_choice":"any""#,
            vec![],
        ),
        (
            r#""tool_choice":"required""#,
            quirk(|q| q.tool_choice = ToolChoiceSupport::NoRequired),
            r#""tool_choice":"auto""#,
            vec!["tool_choice"],
        ),
        (
            r#""tool_choice":{"type":"function"}"#,
            quirk(|q| q.tool_choice = ToolChoiceSupport::AutoNone),
            "",
            vec!["tool_choice"],
        ),
        (
            r#""tool_choice":"none""#,
            quirk(|q| q.tool_choice = ToolChoiceSupport::AutoNone),
            r#""tool_choice":"none""#,
            vec![],
        ),
        (r#""p402":{"mode":"cost"},"top_p":1"#, To::default(), r#""top_p":1"#, vec![]),
        (r#""p402":null"#, To::default(), "", vec![]),
    ];
    for (given, to, wanted, names) in rows {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        assert_eq!(sent(given, &to), (wanted.to_owned(), names), "{given}");
    }
}

#[test]
fn roles_and_names_inside_messages() {
    let body = concat!(
        r#"{ "p402":{},"model":"m","messages":[{"role":"developer","name":"d","#,
        r#""content":"developer"},{"name":"a","role":"assistant","content":"x"},"#,
        r#"{"role":"user","name":"u"}] }"#
    )
    .as_bytes();
    let seen = scan(body).expect("valid");
    let quirks = Quirks { drop: vec!["assistant_name".into()], ..Quirks::default() };
    let to = UpstreamBody {
        model: "o/m",
        stream_usage: false,
        output_cap: None,
        effort: None,
        quirks: &quirks,
        told: false,
    };
    let (out, dropped) = upstream_body(body, &seen, &to);
    let wanted = concat!(
        r#"{ "model":"o/m","messages":[{"role":"system","name":"d","#,
        r#""content":"developer"},{"role":"assistant","content":"x"},{"role":"user","#,
        r#""name":"u"}] }"#
    );
    assert_eq!(String::from_utf8(out).expect("UTF-8"), wanted);
    assert_eq!(dropped, ["messages.name"]);
}

#[test]
fn members_are_cut_wherever_they_stand() {
    let body = br#"{ "model" : "m" , "messages":[{"role":"user"}] ,"x":1 }"#;
    let seen = scan(body).expect("valid");
    let field = |name: &str| seen.field(name).expect("there");
    let out = |names: &[&str], late: bool| {
        let mut edits = Edits::new(body, &seen);
        for name in names {
            edits.cut(field(name));
            edits.replace(field(name).value, *b"lost");
        }
        if late {
            edits.append("k", "2");
        }
        String::from_utf8(edits.apply()).expect("UTF-8")
    };
    assert_eq!(out(&["model"], false), r#"{ "messages":[{"role":"user"}] ,"x":1 }"#);
    assert_eq!(out(&["x"], false), r#"{ "model" : "m" , "messages":[{"role":"user"}] }"#);
    assert_eq!(out(&["messages"], false), r#"{ "model" : "m" ,"x":1 }"#);
    assert_eq!(out(&["model", "x"], false), r#"{ "messages":[{"role":"user"}] }"#);
    assert_eq!(out(&["x", "messages", "model"], false), "{  }");
    assert_eq!(out(&["x", "messages", "model"], true), r#"{  "k":2}"#);
    assert_eq!(out(&[], true), r#"{ "model" : "m" , "messages":[{"role":"user"}] ,"x":1 ,"k":2}"#);
}

#[test]
fn what_a_door_marked_for_one_vendor_is_taken_out_for_others() {
    let body = concat!(
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a","#,
        r#""cache_control":{"type":"ephemeral"}}]},{"role":"assistant","#,
        r#""reasoning_details":[{"data":"x"}],"content":"b"}],"#,
        r#""tools":[{"cache_control":{"type":"ephemeral"},"type":"function"}],"top_k":40}"#
    )
    .as_bytes();
    let seen = scan(body).expect("valid");
    let quirks = Quirks::default();
    let mut to = UpstreamBody {
        model: "m",
        stream_usage: false,
        output_cap: None,
        effort: None,
        quirks: &quirks,
        told: true,
    };
    let (out, dropped) = upstream_body(body, &seen, &to);
    let wanted = concat!(
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]},"#,
        r#"{"role":"assistant","content":"b"}],"tools":[{"type":"function"}]}"#
    );
    assert_eq!(String::from_utf8(out).expect("UTF-8"), wanted);
    assert_eq!(dropped, ["top_k"], "what was never this upstream's to know is no loss");
    to.told = false;
    let (out, _) = upstream_body(body, &seen, &to);
    assert_eq!(out, body, "what a client wrote itself passes");
}

#[test]
fn call_ids_fit_where_they_must_be_short() {
    let body = concat!(
        r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","#,
        r#""tool_calls":[{"id":"call_123","type":"function"},{"id":"Abcdef123","type":"#,
        r#""function"}]},{"role":"tool","tool_call_id":"call_123","content":"b"},"#,
        r#"{"role":"tool","tool_call_id":"Abcdef123","content":"c"}]}"#
    );
    let seen = scan(body.as_bytes()).expect("valid");
    let quirks = Quirks { tool_id_alnum9: true, ..Quirks::default() };
    let to = UpstreamBody {
        model: "m",
        stream_usage: false,
        output_cap: None,
        effort: None,
        quirks: &quirks,
        told: false,
    };
    let (out, _) = upstream_body(body.as_bytes(), &seen, &to);
    let out = String::from_utf8(out).expect("UTF-8");
    let id = out.split(r#"{"id":""#).nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!(out, body.replace("call_123", id), "the same id stays the same, a short one itself");
}
