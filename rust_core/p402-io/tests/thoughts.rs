//! What is remembered of thoughts: by tenant, for an hour, within bounds.
#![allow(clippy::unwrap_used)]

use p402_core::dialect::{Kept, Recall};
use p402_core::time::{Now, Ticks, Timestamp};
use p402_io::thoughts::{CALLS_MAX, Memory, Thoughts};
use std::sync::Arc;

fn at(seconds: u64) -> Now {
    Now {
        utc: Timestamp::from_seconds(1_795_158_000),
        ticks: Ticks::from_micros(seconds * 1_000_000),
    }
}

fn kept(id: &str, thoughts: &str) -> Kept {
    Kept { call_ids: vec![id.to_owned()], thoughts: thoughts.to_owned() }
}

fn recall(thoughts: &Thoughts, tenant: &str, now: Now, id: &str) -> Option<Arc<str>> {
    let tenant = Arc::from(tenant);
    Memory { thoughts, tenant: &tenant, now }.thoughts(id)
}

#[test]
fn a_call_is_its_tenants_alone_and_for_an_hour() {
    let thoughts = Thoughts::default();
    thoughts.keep(&Arc::from("acme"), &kept("c1", "[1]"), at(0));
    assert_eq!(recall(&thoughts, "acme", at(3_599), "c1").as_deref(), Some("[1]"));
    assert_eq!(recall(&thoughts, "other", at(1), "c1"), None);
    assert_eq!(recall(&thoughts, "acme", at(3_600), "c1"), None);
    thoughts.keep(&Arc::from("acme"), &kept("c2", "[2]"), at(3_600));
    assert_eq!(thoughts.len(), 1, "what is past its hour makes room");
}

#[test]
fn a_call_that_is_kept_again_lives_from_then_on() {
    let thoughts = Thoughts::default();
    let acme: Arc<str> = Arc::from("acme");
    thoughts.keep(&acme, &kept("c1", "[1]"), at(0));
    thoughts.keep(&acme, &kept("c1", "[2]"), at(3_000));
    thoughts.keep(&acme, &kept("c2", "[3]"), at(4_000));
    assert_eq!(recall(&thoughts, "acme", at(4_000), "c1").as_deref(), Some("[2]"));
}

#[test]
fn both_bounds_forget_the_oldest() {
    let thoughts = Thoughts::default();
    let acme: Arc<str> = Arc::from("acme");
    for index in 0..CALLS_MAX + 5 {
        thoughts.keep(&acme, &kept(&format!("c{index}"), "[]"), at(1));
    }
    assert_eq!(thoughts.len(), CALLS_MAX);
    assert_eq!(recall(&thoughts, "acme", at(1), "c4"), None);
    assert!(recall(&thoughts, "acme", at(1), "c5").is_some());
    let large = "x".repeat(40 << 20);
    thoughts.keep(&acme, &kept("big1", &large), at(2));
    thoughts.keep(&acme, &kept("big2", &large), at(2));
    assert_eq!(recall(&thoughts, "acme", at(2), "big1"), None);
    assert!(recall(&thoughts, "acme", at(2), "big2").is_some());
    assert_eq!(thoughts.len(), 1);
}
