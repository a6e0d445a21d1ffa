//! Decides whether instants, days and weekdays read as calendars do.
//! Does not know price windows (price.rs).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::time::{Day, Ticks, Timestamp};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

#[test]
fn rfc3339_reads() {
    for (text, micros) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("2026-03-13T00:00:00Z", 1_773_360_000_000_000),
        ("2026-03-13T08:00:00+08:00", 1_773_360_000_000_000),
        ("2026-03-12T19:00:00-05:00", 1_773_360_000_000_000),
        ("2000-02-29t12:00:00.5z", 951_825_600_500_000),
        ("2026-01-01T00:00:00.1234567Z", 1_767_225_600_123_456),
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), Some(Timestamp::from_micros(micros)), "{text}");
    }
}

#[test]
fn what_is_no_instant_is_refused() {
    for text in [
        "",
        "2026-11-22",
        "2026-11-22T12:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T12:60:00Z",
        "2026-11-22T12:00:00.Z",
        "2026-11-22T12:00:00+0800",
        "2026-11-22T12:00:00+25:00",
        "2026-11-22T12-00-00Z",
        "2026-11-22 12:00Z",
        "２026-11-22T12:00:00Z",
        "2026-11-22T1é:00:00Z",
    ] {
        assert_eq!(Timestamp::parse_rfc3339(text), None, "{text:?}");
    }
}

#[test]
fn weekdays_follow_the_calendar_they_are_read_on() {
    // Friday 17:00 in UTC is Saturday 01:00 in Beijing.
    let friday = at("2026-11-20T17:00:00Z");
    assert_eq!(friday.utc_day().weekday(), 5);
    assert_eq!(friday.day_at(480).weekday(), 6);
    assert_eq!(friday.day_at(-1_439).weekday(), 4);
    assert_eq!(at("2026-11-22T00:00:00Z").utc_day().weekday(), 7);
    assert_eq!(at("1969-12-29T12:00:00Z").utc_day().weekday(), 1);
    assert_eq!(friday.utc_minute(), 17 * 60);
}

#[test]
fn days_write_as_they_read() {
    for text in ["1970-01-01", "2000-02-29", "1999-12-31", "2026-11-22", "2100-03-01"] {
        assert_eq!(Day::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Day::parse("2026-11-22").unwrap().start().to_rfc3339(), "2026-11-22T00:00:00Z");
    assert_eq!(Day::parse("2026-2-3"), None);
    assert_eq!(Day::parse("2100-02-29"), None);
}

#[test]
fn ticks_never_run_backwards() {
    let early = Ticks::from_micros(5);
    assert_eq!(early.since(Ticks::from_micros(9)), 0);
    assert_eq!(early.plus_ms(2).since(early), 2_000);
    assert_eq!(Ticks::from_micros(u64::MAX).plus_ms(u64::MAX).micros(), u64::MAX);
}

proptest! {
    #[test]
    fn parse_undoes_write(seconds in -2_000_000_000_i64..200_000_000_000) {
        let instant = Timestamp::from_seconds(seconds);
        prop_assert_eq!(Timestamp::parse_rfc3339(&instant.to_rfc3339()), Some(instant));
    }

    #[test]
    fn each_day_follows_the_last(days in -700_000_i32..2_000_000) {
        let (today, next) = (Day::from_days(days), Day::from_days(days + 1));
        prop_assert_eq!(next.weekday(), today.weekday() % 7 + 1);
        prop_assert!(next.civil() > today.civil());
        prop_assert_eq!(today.start().utc_day(), today);
    }

    #[test]
    fn any_text_reads_or_is_refused(text in "\\PC{0,40}") {
        let _ = Timestamp::parse_rfc3339(&text);
        let _ = Day::parse(&text);
    }
}
