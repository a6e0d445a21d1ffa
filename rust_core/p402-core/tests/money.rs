//! Decides whether money reads and writes exactly: text to integer and back, no float between.
//! Does not price.

use p402_core::money::{MoneyError, Rate, Usd};
use proptest::prelude::*;

#[test]
fn decimal_and_json_number_text_reads() {
    for (text, nano) in [
        ("0", 0),
        ("0.000000001", 1),
        ("1", 1_000_000_000),
        ("0.0032", 3_200_000),
        ("12.5", 12_500_000_000),
        ("1e-3", 1_000_000),
        ("1.5E+2", 150_000_000_000),
        ("20e-10", 2),
        ("9223372036.854775807", i64::MAX),
        ("-0", 0),
        ("0.0010000000000", 1_000_000),
        ("0e999", 0),
    ] {
        assert_eq!(Usd::parse(text), Ok(Usd::from_nano(nano)), "{text}");
    }
}

#[test]
fn anything_else_is_refused() {
    for (text, why) in [
        ("", MoneyError::NotANumber),
        (".5", MoneyError::NotANumber),
        ("5.", MoneyError::NotANumber),
        ("1,5", MoneyError::NotANumber),
        (" 1", MoneyError::NotANumber),
        ("1e", MoneyError::NotANumber),
        ("1e5.5", MoneyError::NotANumber),
        ("1.2.3", MoneyError::NotANumber),
        ("NaN", MoneyError::NotANumber),
        ("Infinity", MoneyError::NotANumber),
        ("0x10", MoneyError::NotANumber),
        ("١", MoneyError::NotANumber),
        ("-0.01", MoneyError::Negative),
        ("--1", MoneyError::NotANumber),
        ("0.0000000001", MoneyError::TooFine),
        ("2.5e-9", MoneyError::TooFine),
        ("9223372036.854775808", MoneyError::TooLarge),
        ("1e99", MoneyError::TooLarge),
        ("1e-99999", MoneyError::NotANumber),
    ] {
        assert_eq!(Usd::parse(text), Err(why), "{text:?}");
    }
    assert_eq!(Usd::parse(&"1".repeat(1_000_000)), Err(MoneyError::NotANumber));
}

#[test]
fn an_upstreams_figure_rounds_up() {
    for (text, nano) in
        [("0.0000000001", 1), ("0.00123456789012", 1_234_568), ("1.2e-05", 12_000), ("1e-40", 1)]
    {
        assert_eq!(Usd::parse_rounding_up(text), Ok(Usd::from_nano(nano)), "{text}");
    }
    assert_eq!(Usd::parse_rounding_up("-1"), Err(MoneyError::Negative));
}

#[test]
fn display_is_a_plain_json_number() {
    for (nano, text) in [
        (0, "0"),
        (1, "0.000000001"),
        (-480_000, "-0.00048"),
        (1_000_000_000, "1"),
        (1_250_000_000, "1.25"),
        (i64::MAX, "9223372036.854775807"),
        (i64::MIN, "-9223372036.854775808"),
    ] {
        assert_eq!(Usd::from_nano(nano).to_string(), text);
    }
}

#[test]
fn rates_are_dollars_per_million() {
    assert_eq!(Rate::parse_per_mtok("2.50"), Ok(Rate::from_pico(2_500_000)));
    assert_eq!(Rate::parse_per_mtok("0.0028"), Ok(Rate::from_pico(2_800)));
    assert_eq!(Rate::parse_per_mtok("0.000001"), Ok(Rate::from_pico(1)));
    assert_eq!(Rate::parse_per_mtok("0.0000001"), Err(MoneyError::TooFine));
    assert_eq!(Rate::parse_per_mtok("-1"), Err(MoneyError::Negative));
    assert_eq!(Rate::from_pico(2_800).to_string(), "0.0028");
}

#[test]
fn sums_do_not_wrap() {
    let most = Usd::from_nano(i64::MAX);
    let one = Usd::from_nano(1);
    assert_eq!(most.checked_add(one), None);
    assert_eq!(most.saturating_add(one), most);
    assert_eq!(Usd::from_nano(i64::MIN).checked_sub(one), None);
    assert_eq!(one.checked_sub(Usd::from_nano(3)), Some(Usd::from_nano(-2)));
}

proptest! {
    #[test]
    fn parse_undoes_display(nano in 0..=i64::MAX) {
        let usd = Usd::from_nano(nano);
        prop_assert_eq!(Usd::parse(&usd.to_string()), Ok(usd));
    }

    #[test]
    fn display_is_json_and_short(nano in any::<i64>()) {
        let text = Usd::from_nano(nano).to_string();
        prop_assert!(serde_json::from_str::<serde_json::Number>(&text).is_ok(), "{}", text);
        prop_assert!(!text.contains(['e', 'E', '+']), "{}", text);
        let decimals = text.split_once('.').map_or("", |(_, decimals)| decimals);
        prop_assert!(decimals.len() <= 9 && !decimals.ends_with('0'), "{}", text);
    }

    #[test]
    fn any_text_reads_or_is_refused(text in "\\PC{0,40}") {
        let _ = Usd::parse(&text);
        let _ = Usd::parse_rounding_up(&text);
        let _ = Rate::parse_per_mtok(&text);
    }

    #[test]
    fn rounding_up_is_never_under_and_less_than_one_nano_over(
        whole in 0_i64..1_000_000, fraction in 0_u64..10_u64.pow(15),
    ) {
        let text = format!("{whole}.{fraction:015}");
        let exact = i128::from(whole) * 10_i128.pow(15) + i128::from(fraction);
        let read = i128::from(Usd::parse_rounding_up(&text).unwrap().nano()) * 10_i128.pow(6);
        prop_assert!(read >= exact && read - exact < 10_i128.pow(6));
    }

    #[test]
    fn display_keeps_order(a in 0..=i64::MAX, b in 0..=i64::MAX) {
        let read = |nano| Usd::parse(&Usd::from_nano(nano).to_string()).unwrap();
        prop_assert_eq!(read(a).cmp(&read(b)), a.cmp(&b));
    }
}
