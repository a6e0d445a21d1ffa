//! Buckets of time, their text, and the pace of what costs no money.

use p402_core::reply::Code;
use p402_core::time::Ticks;
use p402_io::exposition::{Exposition, Kind};
use p402_io::histogram::{ANSWERS, DECISIONS, Histogram, OVERHEADS};
use p402_io::pace::{Pace, TENANTS_MAX};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_time_is_in_every_bucket_that_is_no_shorter() {
    for bounds in [DECISIONS, ANSWERS, OVERHEADS] {
        assert!(bounds.is_sorted(), "{bounds:?}");
        for (at, bound) in bounds.iter().enumerate() {
            let told = Histogram::new(bounds);
            told.observe(Duration::from_micros(*bound));
            told.observe(Duration::from_micros(*bound) + Duration::from_nanos(1));
            let counts = told.cumulative();
            assert_eq!(counts.len(), bounds.len() + 1);
            assert_eq!(counts[..at], vec![0; at], "{bound}");
            assert_eq!((counts[at], counts[at + 1]), (1, 2), "{bound}");
            assert_eq!(counts.last(), Some(&2));
        }
    }
    let told = Histogram::new(DECISIONS);
    told.observe(Duration::MAX);
    assert_eq!(told.cumulative().last(), Some(&1), "nothing is too long to be counted");
}

#[test]
fn what_is_counted_from_many_threads_is_all_there() {
    let told = Arc::new(Histogram::new(DECISIONS));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let told = Arc::clone(&told);
            std::thread::spawn(move || {
                (0..5_000).for_each(|ns| told.observe(Duration::from_nanos(ns)));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(told.cumulative().last(), Some(&20_000));
    assert_eq!(told.sum(), Duration::from_nanos(4 * (0..5_000_u64).sum::<u64>()));
}

#[test]
fn a_label_says_what_it_is_whatever_is_in_it() {
    let mut out = Exposition::default();
    out.begin("m_total", Kind::Counter, "Some.");
    out.sample("m_total", &[("model", "a\"b\\c\nd"), ("end", "")], 7);
    out.single(("g", Kind::Gauge, "One."), -3);
    let text = out.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "# HELP m_total Some.",
            "# TYPE m_total counter",
            "m_total{model=\"a\\\"b\\\\c\\nd\",end=\"\"} 7",
            "# HELP g One.",
            "# TYPE g gauge",
            "g -3",
        ]
    );
}

#[test]
fn a_pace_is_kept_to_the_microsecond_and_by_each_for_itself() {
    let pace = Pace::per_second(10);
    let at = |micros| Ticks::from_micros(micros);
    for _ in 0..10 {
        pace.take("acme", at(0)).unwrap();
    }
    let refused = pace.take("acme", at(0)).unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimitExceeded, Some(100)));
    pace.take("globex", at(0)).unwrap();
    assert!(pace.take("acme", at(99_999)).is_err());
    pace.take("acme", at(100_000)).unwrap();
    assert!(pace.take("acme", at(100_000)).is_err());
    // However many there are, no more are remembered: the longest rested makes room.
    for n in 0..2 * TENANTS_MAX {
        pace.take(&format!("tenant {n}"), at(100_000)).unwrap();
    }
    assert!(pace.take("acme", at(100_000)).is_err(), "who has just asked is not forgotten");
}
