//! Shows that the scan reads what is there, refuses what is wrong, and agrees with a JSON parser.
//! Does not test what the router makes of it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test that cannot set up must fail loudly; one table is one function"
)]

use p402_core::catalog::Effort;
use p402_core::envelope::{ResponseFormat, Role, Scan, ScanError, ToolChoice, scan};
use serde_json::{Value, json};

fn read(body: &str) -> Scan {
    scan(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error:?}"))
}

fn refused(body: &str) -> (&'static str, Option<String>) {
    let ScanError { code, param, message } = scan(body.as_bytes()).expect_err(body);
    assert!(message.ends_with(['.', ')']) && message.len() > 20, "{message}");
    (code, param)
}

/// A valid body with these members beside the required two.
fn with(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{comma}{members}}}"#)
}

fn with_messages(messages: &Value) -> String {
    json!({"model": "auto", "messages": messages}).to_string()
}

#[test]
fn every_field_is_read() {
    let body = with(
        r#""stream":true,"stream_options":{"include_usage":true},"max_tokens":7,
        "max_completion_tokens":9,"n":3,"tool_choice":"required",
        "tools":[{"type":"function","function":{"name":"f"}}],
        "response_format":{"type":"json_schema","json_schema":{}},"reasoning_effort":"xhigh",
        "logprobs":true,"top_logprobs":20,"modalities":["text","audio"],"service_tier":"flex",
        "temperature":0.65,"seed":-9007199254740991,"stop":["a","b"],"p402":{"mode":"cost"},
        "x":[1.5e3,{}]"#,
    );
    let seen = read(&body);
    let bytes = body.as_bytes();
    assert_eq!(seen.model, "m");
    assert!(seen.stream && seen.include_usage && seen.logprobs && seen.audio_out);
    assert_eq!(seen.stream_options.unwrap().value.of(bytes), br#"{"include_usage":true}"#);
    assert_eq!(seen.max_tokens.unwrap().value, 7);
    assert_eq!(seen.max_completion_tokens.unwrap().field.value.of(bytes), b"9");
    assert_eq!(seen.output_bound(), Some(9));
    assert_eq!((seen.n, seen.tools, seen.messages), (3, 1, 1));
    assert_eq!(seen.tools_bytes, 45);
    assert_eq!(seen.tool_choice, ToolChoice::Required);
    assert_eq!(seen.response_format, ResponseFormat::JsonSchema);
    assert_eq!(seen.response_format_bytes, 39);
    assert_eq!(seen.reasoning_effort, Some(Effort::Max));
    assert_eq!(seen.service_tier.as_deref(), Some("flex"));
    assert_eq!(seen.temperature_tenths, Some(7));
    assert_eq!(seen.p402.unwrap().value.of(bytes), br#"{"mode":"cost"}"#);
    assert_eq!(seen.p402.unwrap().whole.of(bytes), br#""p402":{"mode":"cost"}"#);
    assert_eq!(seen.fields.len(), 20);
    assert_eq!(seen.field("x").unwrap().value.of(bytes), b"[1.5e3,{}]");
}

#[test]
fn null_is_absent_where_openai_says_so() {
    let names = [
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "logprobs",
        "top_logprobs",
        "modalities",
        "service_tier",
        "temperature",
        "seed",
        "stop",
        "p402",
        "functions",
    ];
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":null")).collect();
    let seen = read(&with(&members.join(",")));
    assert!(!seen.stream && seen.stream_options.is_none() && seen.p402.is_none());
    assert!(seen.max_tokens.is_none() && seen.tools_field.is_none() && seen.n == 1);
    assert!(seen.field("p402").is_some(), "a null is still there to be cut");
}

#[test]
fn limits_name_their_parameter() {
    let tools = |count: usize| vec![json!({}); count];
    let stops = |count: usize| vec!["s"; count];
    let rows = [
        (with(r#""n":0"#), "invalid_value", "n"),
        (with(r#""n":9"#), "invalid_value", "n"),
        (with(r#""n":1000000000000000000000"#), "invalid_value", "n"),
        (with(r#""n":-1"#), "invalid_value", "n"),
        (with(r#""n":1.0"#), "invalid_type", "n"),
        (with(r#""n":"2""#), "invalid_type", "n"),
        (with(r#""top_logprobs":21"#), "invalid_value", "top_logprobs"),
        (with(&format!(r#""stop":{}"#, json!(stops(5)))), "invalid_value", "stop"),
        (with(r#""stop":["a",1]"#), "invalid_type", "stop[1]"),
        (with(r#""stop":{}"#), "invalid_type", "stop"),
        (with(&format!(r#""tools":{}"#, json!(tools(129)))), "invalid_value", "tools"),
        (with(r#""tools":[1]"#), "invalid_type", "tools[0]"),
        (with(r#""tools":{}"#), "invalid_type", "tools"),
        (with(r#""stream":"true""#), "invalid_type", "stream"),
        (with(r#""stream":1"#), "invalid_type", "stream"),
        (with(r#""max_tokens":-5"#), "invalid_value", "max_tokens"),
        (with(r#""max_tokens":1e3"#), "invalid_type", "max_tokens"),
        (with(r#""temperature":"hot""#), "invalid_type", "temperature"),
        (with(r#""tool_choice":"any""#), "invalid_value", "tool_choice"),
        (with(r#""tool_choice":1"#), "invalid_type", "tool_choice"),
        (with(r#""response_format":{}"#), "missing_required_parameter", "response_format.type"),
        (with(r#""response_format":{"type":"xml"}"#), "invalid_value", "response_format.type"),
        (with(r#""reasoning_effort":"very""#), "invalid_value", "reasoning_effort"),
        (
            with(r#""stream_options":{"include_usage":1}"#),
            "invalid_type",
            "stream_options.include_usage",
        ),
        (with(r#""modalities":[1]"#), "invalid_type", "modalities"),
        (with(r#""p402":[]"#), "p402_field_invalid", "p402"),
        (with(r#""model":"again""#), "duplicate_field", "model"),
        (with(r#""mod\u0065l":"again""#), "duplicate_field", "model"),
        (with(r#""p402":{"mode":"cost","mod\u0065":"speed"}"#), "duplicate_field", "p402.mode"),
        (with(r#""stream_options":{"a":1,"a":1}"#), "duplicate_field", "stream_options.a"),
        (with(r#""x":1,"x":1"#), "duplicate_field", "x"),
        (r#"{"messages":[{"role":"user"}]}"#.into(), "missing_required_parameter", "model"),
        (r#"{"model":null,"messages":[{"role":"user"}]}"#.into(), "invalid_type", "model"),
        (r#"{"model":"m"}"#.into(), "missing_required_parameter", "messages"),
        (r#"{"model":"m","messages":[]}"#.into(), "missing_required_parameter", "messages"),
        (r#"{"model":"m","messages":{}}"#.into(), "invalid_type", "messages"),
        (r#"{"model":"m","messages":null}"#.into(), "invalid_type", "messages"),
        (with_messages(&json!([1])), "invalid_type", "messages[0]"),
        (
            with_messages(&json!([{"content": "x"}])),
            "missing_required_parameter",
            "messages[0].role",
        ),
        (
            with_messages(&json!([{"role": "user"}, {"role": "bot"}])),
            "invalid_value",
            "messages[1].role",
        ),
        (with_messages(&json!([{"role": 1}])), "invalid_type", "messages[0].role"),
        (
            with_messages(&json!([{"role": "user", "content": 1}])),
            "invalid_type",
            "messages[0].content",
        ),
        (
            with_messages(&json!([{"role": "user", "content": ["x"]}])),
            "invalid_type",
            "messages[0].content[0]",
        ),
        (
            with_messages(&json!([{"role": "user", "content": [{"text": "x"}]}])),
            "missing_required_parameter",
            "messages[0].content[0].type",
        ),
        (with_messages(&json!(vec![json!({"role": "user"}); 4097])), "invalid_value", "messages"),
    ];
    for (body, code, param) in rows {
        assert_eq!(refused(&body), (code, Some(param.to_owned())), "{body:.300}");
    }
    assert_eq!(read(&with(r#""max_tokens":9223372036854775808"#)).output_bound(), Some(1 << 63));
    assert_eq!(read(&with(r#""max_tokens":99999999999999999999"#)).output_bound(), Some(u64::MAX));
    assert_eq!(read(&with(r#""max_tokens":0"#)).output_bound(), Some(0));
    assert_eq!(read(&with_messages(&json!(vec![json!({"role": "user"}); 4096]))).messages, 4096);
    assert_eq!(read(r#"{"model":"","messages":[{"role":"user"}]}"#).model, "");
}

#[test]
fn a_word_in_a_schema_makes_no_custom_tool() {
    let read = |tools: Value| {
        let seen = read(&with(&format!(r#""tools":{tools}"#)));
        (seen.own_tools, seen.grammar)
    };
    let kinds = json!({"enum": ["plain", "custom", "grammar"]});
    let function = json!({"type": "function", "function": {"name": "f", "parameters": kinds}});
    assert_eq!(read(json!([function])), (false, false));
    let custom = json!({"type": "custom", "custom": {"name": "g"}});
    assert_eq!(read(json!([function, custom])), (true, false));
    let bound = json!({"type": "custom", "custom": {"name": "g", "format": {"type": "grammar"}}});
    assert_eq!(read(json!([function, bound])), (true, true));
}

#[test]
fn what_is_not_json_is_refused_whole() {
    let deep = |levels: usize| with(&format!("\"x\":{}{}", "[".repeat(levels), "]".repeat(levels)));
    let bad = [
        String::new(),
        " ".into(),
        "{".into(),
        "}".into(),
        "nul".into(),
        "\u{feff}".to_owned() + &with(""),
        with("") + "x",
        with("") + "{}",
        with("") + "\0",
        with(r#""x":NaN"#),
        with(r#""x":Infinity"#),
        with(r#""x":-Infinity"#),
        with(r#""x":nul"#),
        with(r#""x":01"#),
        with(r#""x":1."#),
        with(r#""x":.5"#),
        with(r#""x":+1"#),
        with(r#""x":-"#),
        with(r#""x":1e"#),
        with(r#""x":0x10"#),
        with(r#""n":1.e3"#),
        with(r#""x":"\ud800""#),
        with(r#""x":"\udc00""#),
        with(r#""x":"\ud800\u0041""#),
        with(r#""x":"\ud800x""#),
        with(r#""x":"\u12""#),
        with(r#""x":"\u+123""#),
        with(r#""x":"\x""#),
        with("\"x\":\"a\nb\""),
        with("\"x\":\"a\u{0}\""),
        with("\"x\":\"0123456789abcdefghij\u{1f}0123456789abcdefghij\""),
        with(r#""x":[1,]"#),
        with(r#""x":[,1]"#),
        with(r#""x":{"a":1,}"#),
        with(r#""x":{,}"#),
        with(r#""x":{"a"}"#),
        with(r#""x":{"a":}"#),
        with(r#""x":{a:1}"#),
        with(r#""x":[1 2]"#),
        with(r#""x":{"a":1 "b":2}"#),
        with(r#""x":'a'"#),
        with(r#""x":1,"#),
        with(",\"x\":1"),
        with("/* c */\"x\":1"),
        with("\"x\":\u{a0}1"),
        deep(128),
        deep(100_000),
    ];
    for body in bad {
        assert_eq!(refused(&body), ("invalid_json", None), "{body:.200}");
    }
    for bytes in [&b"\xff{}"[..], b"{\"a\xc3\":1}", b"{\"model\":\"\xed\xa0\x80\"}", b"\xff\xfe{\0"]
    {
        assert_eq!(scan(bytes).expect_err("not UTF-8").code, "invalid_json");
    }
    assert_eq!(read(&deep(127)).fields.len(), 3);
    assert_eq!(refused("[]"), ("invalid_type", None));
    assert_eq!(refused("\"text\""), ("invalid_type", None));
    let many: Vec<String> = (0..300).map(|i| format!("\"k{i}\":0")).collect();
    assert_eq!(refused(&with(&many.join(","))).0, "invalid_value");
}

#[test]
fn roles_turns_and_loops() {
    let call = json!([{"id": "c1", "type": "function",
        "function": {"name": "f", "arguments": "{\"a\":1}"}}]);
    let rows = [
        (json!([{"role": "user", "content": "a"}]), false, 0, Role::User),
        (
            json!([{"role": "user"}, {"role": "assistant", "tool_calls": call}]),
            true,
            1,
            Role::Assistant,
        ),
        (
            json!([{"role": "user"}, {"role": "assistant", "tool_calls": call},
            {"role": "tool", "tool_call_id": "c1", "content": "r"}]),
            true,
            1,
            Role::Tool,
        ),
        (
            json!([{"role": "user"}, {"role": "assistant", "tool_calls": call},
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
            {"role": "user", "content": "and?"}]),
            false,
            1,
            Role::User,
        ),
        (
            json!([{"role": "user"}, {"role": "assistant", "tool_calls": call},
            {"role": "user", "content": "wait"}]),
            true,
            1,
            Role::User,
        ),
        (
            json!([{"role": "assistant", "content": "x", "tool_calls": []},
            {"role": "developer", "content": "d"}]),
            false,
            0,
            Role::Developer,
        ),
        (
            json!([{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"}]),
            true,
            1,
            Role::Function,
        ),
    ];
    for (messages, in_loop, turns, last) in rows {
        let seen = read(&with_messages(&messages));
        let found = (seen.in_tool_loop, seen.tool_turns, seen.last_role);
        assert_eq!(found, (in_loop, turns, last), "{messages}");
    }
}

#[test]
fn texts_are_kept_by_place() {
    let body = with_messages(&json!([
        {"content": "be kind", "role": "developer"}, {"role": "system", "content": "later"},
        {"role": "user", "content": "one"}, {"role": "user", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "three"}]},
        {"role": "user", "content": "four"}, {"role": "user", "content": null},
    ]));
    let seen = read(&body);
    let texts: Vec<&[u8]> = seen.user_texts.iter().map(|span| span.of(body.as_bytes())).collect();
    let three = &br#"[{"text":"three","type":"text"}]"#[..];
    assert_eq!(texts, [&b"\"four\""[..], three, b"\"two\""]);
    assert_eq!(seen.first_user.unwrap().of(body.as_bytes()), b"\"one\"");
    assert_eq!(seen.system.unwrap().of(body.as_bytes()), b"\"be kind\"");
    assert_eq!((seen.user_turns, seen.messages), (5, 7));
    assert_eq!(seen.developer_roles.len(), 1);
    assert_eq!(seen.developer_roles[0].of(body.as_bytes()), b"\"developer\"");
}

#[test]
fn text_is_counted_unescaped_and_by_class() {
    let text =
        "Grüße, {\"k\": [1, 22]}\n漢字 😀 — a tail long enough for blocks: 0123456789".repeat(40);
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count() as u64;
    let digits = text.bytes().filter(u8::is_ascii_digit).count() as u64;
    let structure = text.bytes().filter(|b| b"{}[]\":,".contains(b)).count() as u64;
    let wide = text.bytes().filter(|b| !b.is_ascii()).count() as u64;
    let plain = json!(text).to_string();
    let escaped: String = text
        .chars()
        .map(|c| {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            units
                .iter()
                .map(|unit| ["\\u", &format!("{unit:04x}")].concat())
                .collect::<Vec<_>>()
                .concat()
        })
        .collect();
    for content in [
        plain.clone(),
        format!("\"{escaped}\""),
        format!("[{{\"type\":\"text\",\"text\":{plain}}}]"),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        let found = read(&body).text;
        assert_eq!(found.total, text.len() as u64);
        assert_eq!((found.ascii_letters, found.ascii_digits), (letters, digits));
        assert_eq!((found.structure, found.non_ascii), (structure, wide));
    }
    let calls = json!([{"role": "assistant", "content": null, "tool_calls":
        [{"id": "not counted", "function": {"name": "four", "arguments": "12345678"}}]},
        {"role": "tool", "tool_call_id": "nor this", "content": "result"}]);
    assert_eq!(read(&with_messages(&calls)).text.total, 4 + 8 + 6);
}

#[test]
fn parts_and_reasoning_are_found_in_any_message() {
    let parts = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f-1"}}, {"type": "text", "text": "?"}]},
        {"role": "user", "content": "and now?"}]);
    let seen = read(&with_messages(&parts));
    assert_eq!((seen.parts.images, seen.parts.audio, seen.parts.files), (1, 1, 1));
    assert!(!seen.parts.local_url && !seen.reasoning_state);
    let states = [
        (json!({"role": "assistant", "reasoning_content": "hm"}), true),
        (json!({"role": "assistant", "reasoning_content": ""}), false),
        (json!({"role": "assistant", "reasoning_content": null}), false),
        (json!({"role": "assistant", "reasoning_details": [{}]}), true),
        (json!({"role": "assistant", "reasoning_details": []}), false),
        (json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}), true),
        (
            json!({"role": "assistant", "tool_calls": [{"extra_content":
            {"google": {"thought_signature": "s"}}}]}),
            true,
        ),
    ];
    for (message, state) in states {
        assert_eq!(read(&with_messages(&json!([message]))).reasoning_state, state, "{message}");
    }
}

#[test]
fn links_into_private_networks_are_seen() {
    let local = [
        "http://127.0.0.1/x",
        "http://127.1/x",
        "http://2130706433/",
        "http://0x7f000001",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1",
        "http://127.0.0.1:8080/",
        "http://0/",
        "http://10.1.2.3",
        "http://172.16.0.1",
        "http://172.31.255.255",
        "http://192.168.1.1",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1",
        "http://0.0.0.0",
        "http://[::1]/",
        "http://[::]",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]",
        "http://[0:0:0:0:0:ffff:a00:1]",
        "http://[fe80::1%25eth0]/",
        "http://[fd00::1]:80/",
        "http://[64:ff9b::7f00:1]",
        "http://[2002:7f00:1::]",
        "http://localhost",
        "HTTP://LOCALHOST:1/",
        "http://localhost./",
        "http://a.localhost",
        "http://printer.local",
        "http://redis:6379",
        "http://metadata.google.internal/",
        "http://user:pw@127.0.0.1/",
        "http://a@b@10.0.0.1/",
        "http://example.com@127.0.0.1",
        "http:\\\\127.0.0.1\\x",
        "http:/127.0.0.1",
        "http:127.0.0.1",
        "//127.0.0.1/x",
        " http://127.0.0.1",
        "ht\ttp://127.0.0.1",
        "http://127.0.\n0.1",
        "http://%31%32%37.0.0.1",
        "http://%6c%6f%63alhost",
        "http://１２７.0.0.1",
        "http://127。0。0。1",
        "http://①②⑦.0.0.1",
        "file:///etc/passwd",
        "http://1.2.3.4.5",
        "http://[bad",
        "http://256.256.256.256",
        "ftp://10.0.0.1/x",
    ];
    let public = [
        "https://example.com/a.png",
        "http://8.8.8.8",
        "https://172.32.0.1",
        "https://[2606:4700::1111]/",
        "https://example.com/?u=http://127.0.0.1",
        "https://127.0.0.1.example.com/",
        "gs://bucket/x",
        "https://example.com:8080/#@127.0.0.1",
        "data:image/png;base64,127.0.0.1",
        "AAAABBBB",
        "",
        "https://localhost.example.com",
        "https://bücher.example",
        "https://100.128.0.1",
        "file-abc123",
    ];
    let seen = |url: &str| {
        let part = json!({"type": "image_url", "image_url": {"url": url}});
        read(&with_messages(&json!([{"role": "user", "content": [part]}]))).parts.local_url
    };
    for url in local {
        assert!(seen(url), "{url} is local");
    }
    for url in public {
        assert!(!seen(url), "{url} is not local");
    }
    let slashes = concat!(
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","#,
        r#""image_url":{"url":"http:\/\/127.0.0.1\/x"}}]}]}"#
    );
    assert!(read(slashes).parts.local_url);
}
