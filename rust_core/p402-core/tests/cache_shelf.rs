//! Shows that a shelf keeps its bounds, forgets what it must, and gives to no stranger.
//! Does not test the search inside a scope (lookup.rs).

use bytes::Bytes;
use p402_core::cache::key::Digest;
use p402_core::cache::policy::{
    ANSWER_BYTES_MAX, Answer, TTL_DEFAULT_S, TTL_VOLATILE_S, Unstored, storable, ttl_s,
};
use p402_core::cache::shelf::{Bounds, Entry, Fill, Shelf};
use p402_core::time::Timestamp;
use proptest::prelude::*;

fn entry(tenant: &str, exact: u8, created: i64, life: i64) -> Entry {
    Entry {
        // Whatever is kept later has another id, as homes draw them.
        id: (u64::from(exact) << 32) | created as u64,
        tenant: tenant.into(),
        scope: Digest([exact % 3; 32]),
        exact: Digest([exact; 32]),
        asked: None,
        vector: None,
        model: "m".into(),
        answer: Bytes::from(vec![0; 100]),
        created: Timestamp::from_seconds(created),
        expires: Timestamp::from_seconds(created + life),
    }
}

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn an_entry_is_found_by_its_digest_while_it_lives() {
    let mut shelf = Shelf::default();
    let id = shelf.keep(entry("a", 1, 0, 10), at(0)).unwrap();
    assert_eq!(shelf.find(&Digest([1; 32]), at(9)), Some(id));
    assert_eq!(shelf.find(&Digest([1; 32]), at(10)), None);
    assert_eq!(shelf.fill().entries, 0);
}

#[test]
fn nobody_is_given_what_is_another_tenants_or_of_another_scope() {
    let mut shelf = Shelf::default();
    let id = shelf.keep(entry("a", 1, 0, 10), at(0)).unwrap();
    assert!(shelf.fetch(id, "a", &Digest([1; 32]), at(1)).is_some());
    assert!(shelf.fetch(id, "b", &Digest([1; 32]), at(1)).is_none());
    assert!(shelf.fetch(id, "a", &Digest([2; 32]), at(1)).is_none());
    assert!(shelf.fetch(id, "a", &Digest([1; 32]), at(10)).is_none());
}

#[test]
fn the_same_exact_key_is_replaced() {
    let mut shelf = Shelf::default();
    let old = shelf.keep(entry("a", 1, 0, 10), at(0)).unwrap();
    let new = shelf.keep(entry("a", 1, 5, 10), at(5)).unwrap();
    assert_eq!(shelf.find(&Digest([1; 32]), at(6)), Some(new));
    assert_eq!(shelf.owner(old), None);
    assert_eq!(shelf.fill().entries, 1);
}

#[test]
fn what_is_asked_for_often_stays() {
    let mut shelf = Shelf::new(Bounds { entries: 32, bytes: usize::MAX });
    let loved = shelf.keep(entry("a", 200, 0, 9_999), at(0)).unwrap();
    for exact in 0..100 {
        for _ in 0..5 {
            shelf.hit(loved, at(i64::from(exact)));
        }
        shelf.keep(entry("a", exact, i64::from(exact), 9_999), at(i64::from(exact)));
    }
    assert_eq!(shelf.owner(loved), Some("a"));
    assert_eq!(shelf.fill().entries, 8);
}

#[test]
fn what_is_larger_than_its_tenants_part_is_not_kept() {
    let mut shelf = Shelf::new(Bounds { entries: 100, bytes: 3_000 });
    assert_eq!(shelf.keep(entry("a", 1, 0, 10), at(0)), None);
    assert_eq!(shelf.fill().entries, 0);
}

#[test]
fn a_purge_takes_what_it_names_and_nothing_else() {
    let mut shelf = Shelf::default();
    for exact in 0..10 {
        shelf.keep(entry(if exact < 4 { "a" } else { "b" }, exact, 0, 10), at(0));
    }
    assert_eq!(shelf.purge(|entry| &*entry.tenant == "a").len(), 4);
    assert_eq!(shelf.fill().entries, 6);
    assert_eq!(shelf.find(&Digest([1; 32]), at(1)), None);
    assert!(shelf.find(&Digest([5; 32]), at(1)).is_some());
}

proptest! {
    #[test]
    fn bounds_hold_whatever_is_kept(
        kept in prop::collection::vec((0_u8..3, any::<u8>(), 0_i64..50, 1_i64..50), 1..200)
    ) {
        let bounds = Bounds { entries: 20, bytes: 12_000 };
        let mut shelf = Shelf::new(bounds);
        let mut now = 0;
        for (tenant, exact, wait, life) in kept {
            now += wait;
            let tenant = ["a", "b", "c"][usize::from(tenant)];
            let id = shelf.keep(entry(tenant, exact, now, life), at(now)).unwrap();
            prop_assert_eq!(shelf.owner(id), Some(tenant));
            prop_assert!(shelf.fill().entries <= bounds.entries);
            prop_assert!(shelf.fill().bytes <= bounds.bytes);
        }
        shelf.purge(|_| true);
        prop_assert_eq!(shelf.fill(), Fill::default());
    }
}

#[test]
fn only_clean_answers_are_stored() {
    let clean = Answer {
        finish_reason: "stop",
        text_bytes: 10,
        choices: 1,
        tool_calls: false,
        refused: false,
        extras: false,
        complete: true,
        implausible: false,
    };
    assert_eq!(storable(&clean), Ok(()));
    for (answer, reason) in [
        (Answer { finish_reason: "length", ..clean }, Unstored::Finish),
        (Answer { text_bytes: 0, ..clean }, Unstored::Empty),
        (Answer { text_bytes: ANSWER_BYTES_MAX + 1, ..clean }, Unstored::Long),
        (Answer { choices: 2, ..clean }, Unstored::Choices),
        (Answer { tool_calls: true, ..clean }, Unstored::ToolCall),
        (Answer { refused: true, ..clean }, Unstored::Refusal),
        (Answer { extras: true, ..clean }, Unstored::Extras),
        (Answer { complete: false, ..clean }, Unstored::Cut),
        (Answer { implausible: true, ..clean }, Unstored::Implausible),
    ] {
        assert_eq!(storable(&answer), Err(reason));
    }
}

#[test]
fn a_question_of_the_moment_lives_minutes() {
    for text in [
        "What's the weather today?",
        "latest rust version",
        "events this week",
        "Wie ist das Wetter heute?",
        "Qué tiempo hace hoy",
        "今天天气怎么样",
        "今日の天気は",
    ] {
        assert_eq!(ttl_s(text, None, TTL_DEFAULT_S), TTL_VOLATILE_S, "{text}");
    }
    assert_eq!(ttl_s("What is Rust?", None, TTL_DEFAULT_S), TTL_DEFAULT_S);
    assert_eq!(ttl_s("What is Rust?", Some(60), TTL_DEFAULT_S), 60);
    assert_eq!(ttl_s("What is Rust?", Some(10 * TTL_DEFAULT_S), TTL_DEFAULT_S), TTL_DEFAULT_S);
}
