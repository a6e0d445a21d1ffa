//! Shows that whatever differs keeps requests apart, and that what cannot matter does not.
//! Does not test what is stored or served under a key.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::cache::key::{Around, Class, Digest, Key, Parts, Share, asker, key};
use p402_core::envelope::scan;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt::Write;

const AROUND: Around<'static> = Around {
    tenant: "acme",
    share: Share::Tenant,
    class: Class::Pinned("openai/gpt-5"),
    embedder: "0123456789ab",
    rules: "1.1",
};

fn body() -> Value {
    json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is Rust?"},
            {"role": "assistant", "content": "A language."},
            {"role": "user", "content": "Who made it?"}
        ],
        "temperature": 0.5,
        "max_tokens": 100
    })
}

fn key_of(body: &str) -> Option<Key> {
    key(body.as_bytes(), &scan(body.as_bytes()).unwrap(), &AROUND)
}

fn key_with(change: impl FnOnce(&mut Value)) -> Option<Key> {
    let mut changed = body();
    change(&mut changed);
    key_of(&changed.to_string())
}

#[test]
fn what_can_change_the_answer_changes_the_scope() {
    let changes: [fn(&mut Value); 9] = [
        |body| body["messages"][0]["content"] = json!("Be brief!"),
        |body| body["messages"][1]["content"] = json!("what is rust?"),
        |body| body["messages"][2]["name"] = json!("bot"),
        |body| body["messages"][0]["role"] = json!("developer"),
        |body| body["temperature"] = json!(0.6),
        |body| body["max_tokens"] = json!(101),
        |body| body["a_field_of_tomorrow"] = json!(false),
        |body| body["response_format"] = json!({"type": "json_object"}),
        |body| body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]),
    ];
    let same = key_with(|_| ()).unwrap();
    let mut seen = HashSet::from([same.scope]);
    for (index, change) in changes.into_iter().enumerate() {
        let other = key_with(change).unwrap();
        assert!(seen.insert(other.scope), "change {index} made no difference");
        assert_ne!(other.exact, same.exact);
        assert_ne!(other.asked.unwrap().1, same.asked.clone().unwrap().1);
    }
}

#[test]
fn what_cannot_change_the_answer_changes_nothing() {
    let same = key_with(|_| ());
    for (name, value) in [
        ("stream", json!(true)),
        ("stream_options", json!({"include_usage": true})),
        ("user", json!("u1")),
        ("metadata", json!({"a": "b"})),
        ("store", json!(true)),
        ("prompt_cache_key", json!("k")),
        ("model", json!("any/other")),
        ("p402", json!({"cache": true})),
    ] {
        assert_eq!(key_with(|body| body[name] = value), same, "{name}");
    }
}

#[test]
fn the_last_question_is_outside_the_scope_and_inside_both_keys() {
    let one = key_with(|_| ()).unwrap();
    let other = key_with(|body| body["messages"][3]["content"] = json!("Who makes it?")).unwrap();
    assert_eq!(one.scope, other.scope);
    assert_ne!(one.exact, other.exact);
    assert_ne!(one.asked.unwrap().1, other.asked.unwrap().1);
    let spelt = key_with(|body| body["messages"][3]["content"] = json!("who made  it")).unwrap();
    let one = key_with(|_| ()).unwrap();
    assert_ne!(one.exact, spelt.exact);
    assert_eq!(one.asked.unwrap().1, spelt.asked.unwrap().1);
}

#[test]
fn escapes_blanks_and_the_order_of_members_are_spelling() {
    let plain = r#"{"model":"m","messages":[{"role":"user","content":"caf\u00e9 \/ x"}],"seed":1}"#;
    let other = "{ \"seed\" : 1, \"messages\":[ {\"content\":\"café / x\",\"role\":\"user\"} ], \
                 \"model\":\"m\"}";
    assert_eq!(key_of(plain), key_of(other));
}

#[test]
fn a_text_part_is_asked_like_a_string_but_is_not_the_same_bytes() {
    let part = json!([{"type": "text", "text": "Who made it?"}]);
    let parts = key_with(|body| body["messages"][3]["content"] = part).unwrap();
    let plain = key_with(|_| ()).unwrap();
    assert_eq!(parts.asked, plain.asked);
    assert_ne!(parts.exact, plain.exact);
}

#[test]
fn pictures_are_matched_exactly_and_remote_ones_not_at_all() {
    let image = |url: &str| {
        json!([{"type": "text", "text": "What is this?"},
               {"type": "image_url", "image_url": {"url": url}}])
    };
    let with = |url: &str| key_with(|body| body["messages"][3]["content"] = image(url));
    let one = with("data:image/png;base64,AAAA").unwrap();
    assert_eq!(one.asked, None);
    assert_ne!(one.exact, with("data:image/png;base64,AAAB").unwrap().exact);
    assert_eq!(with("https://example.com/a.png"), None);
    let earlier = key_with(|body| body["messages"][1]["content"] = image("https://e.com/a.png"));
    assert_eq!(earlier, None);
}

#[test]
fn after_a_tool_result_there_is_no_question_to_compare() {
    let tool = json!({"role": "tool", "tool_call_id": "c", "content": "42"});
    let key = key_with(|body| body["messages"].as_array_mut().unwrap().push(tool)).unwrap();
    assert_eq!(key.asked, None);
}

#[test]
fn the_scope_is_the_same_in_every_run() {
    // Written down, so that another process, build or machine must agree.
    assert_eq!(key_with(|_| ()).unwrap().scope.short(), "1f9de9861865");
}

/// The parts of a scope, each drawn from few values so that neighbours differ in one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Drawn {
    tenant: String,
    share: (u8, String),
    class: (bool, String, Vec<String>, Vec<String>, Option<String>),
    embedder: String,
    rules: String,
}

impl Drawn {
    fn scope(&self, body: &[u8]) -> Digest {
        let share = match self.share.0 {
            0 => Share::Tenant,
            1 => Share::User(&self.share.1),
            _ => Share::Session(&self.share.1),
        };
        let (pinned, name, models, providers, task) = &self.class;
        let task = task.as_deref();
        let class = if *pinned {
            Class::Pinned(name)
        } else {
            Class::Routed { mode: name, models, providers, task }
        };
        let around = Around {
            tenant: &self.tenant,
            share,
            class,
            embedder: &self.embedder,
            rules: &self.rules,
        };
        key(body, &scan(body).unwrap(), &around).unwrap().scope
    }

    /// The same but for one part, which is another's.
    fn neighbour(&self, part: u8, donor: Self) -> Self {
        let mut other = self.clone();
        match part {
            0 => other.tenant = donor.tenant,
            1 => other.share.0 = donor.share.0,
            2 => other.share.1 = donor.share.1,
            3 => other.class.0 = donor.class.0,
            4 => other.class.1 = donor.class.1,
            5 => other.class.2 = donor.class.2,
            6 => other.class.3 = donor.class.3,
            7 => other.class.4 = donor.class.4,
            8 => other.embedder = donor.embedder,
            _ => other.rules = donor.rules,
        }
        other
    }

    /// What of the drawn parts counts under its own tags.
    fn told(&self) -> Self {
        let mut told = self.clone();
        if told.share.0 == 0 {
            told.share.1.clear();
        }
        if told.class.0 {
            told.class = (true, told.class.1, vec![], vec![], None);
        }
        told.class.4 = told.class.4.filter(|task| !task.is_empty());
        told
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let word = || "[ab\\x00]{0,2}";
    let list = || prop::collection::vec(word(), 0..3);
    let class = (any::<bool>(), word(), list(), list(), prop::option::of(word()));
    (word(), (0_u8..3, word()), class, word(), word()).prop_map(
        |(tenant, share, class, embedder, rules)| Drawn { tenant, share, class, embedder, rules },
    )
}

proptest! {
    #[test]
    fn a_scope_is_injective_on_its_parts(one in drawn(), other in drawn()) {
        let body = body().to_string();
        // Neighbours, too: a part that is left out shows where all others are the same.
        let neighbours = (0..10).map(|part| one.neighbour(part, other.clone()));
        for other in neighbours.chain([other.clone()]) {
            let same = one.told() == other.told();
            prop_assert_eq!(one.scope(body.as_bytes()) == other.scope(body.as_bytes()), same);
        }
    }

    #[test]
    fn how_a_string_is_escaped_does_not_matter(text in "\\PC{0,40}") {
        let escaped = text.encode_utf16().fold(String::new(), |mut all, unit| {
            write!(all, "\\u{unit:04x}").unwrap();
            all
        });
        let with = |last: &str| {
            key_of(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":{last}}}]}}"#))
        };
        prop_assert_eq!(with(&format!("\"{escaped}\"")), with(&json!(text).to_string()));
    }
}

/// A million pairs of part lists that differ in one byte of one part.
#[test]
fn a_million_neighbouring_scopes_do_not_collide() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..1_000_000 {
        let bits = draw();
        let parts: [[u8; 4]; 4] = std::array::from_fn(|_| (draw() as u32).to_le_bytes());
        let mut other = parts;
        other[(bits & 3) as usize][(bits >> 2 & 3) as usize] ^= 1 << (bits >> 4 & 7);
        let sum = |parts: &[[u8; 4]; 4]| {
            let whole = Parts::new("scope");
            parts.iter().fold(whole, |whole, part| whole.with("part", part)).sum()
        };
        assert_ne!(sum(&parts), sum(&other));
    }
}

#[test]
fn an_asker_is_a_user_where_one_is_named_and_a_key_where_none_is() {
    assert_eq!(asker(Some("ann"), 1), asker(Some("ann"), 2));
    let eight = std::str::from_utf8(&[7; 8]).unwrap();
    let all = [asker(Some("ann"), 1), asker(Some("bob"), 1), asker(None, 1), asker(None, 2)];
    let named = [asker(Some(eight), 0), asker(None, u64::from_le_bytes([7; 8]))];
    assert_eq!(all.into_iter().chain(named).collect::<HashSet<u64>>().len(), 6);
}
