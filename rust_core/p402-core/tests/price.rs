//! Decides whether the one pricing function says what the design's vectors say, to the nano-dollar.
//! Does not load odd files (catalog.rs) or read usage reports (usage.rs).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up must fail loudly"
)]

use p402_core::catalog::{Band, Catalog, Charge, Priced};
use p402_core::money::{Rate, Usd};
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use proptest::prelude::*;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    Catalog::load(&[include_bytes!("../../../p402/catalog/catalog.jsonl")]).unwrap()
});
/// A Friday: DeepSeek's peak begins an hour later.
const FRIDAY: &str = "2026-11-20T00:00:00Z";
const FIVE_PERCENT_PPM: u32 = 50_000;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn usd(text: &str) -> Usd {
    text.strip_prefix('-').map_or_else(
        || Usd::parse(text).unwrap(),
        |rest| Usd::ZERO.saturating_sub(Usd::parse(rest).unwrap()),
    )
}

fn tokens(fresh: u64, output: u64) -> Usage {
    Usage { fresh, output, ..Usage::default() }
}

fn offer(catalog: &Catalog, name: &str) -> usize {
    let named = (0..catalog.offers.len()).find(|at| catalog.offer_name(*at) == name);
    named.unwrap_or_else(|| panic!("{name} is not in the catalogue"))
}

fn price_in(catalog: &Catalog, name: &str, usage: &Usage, when: &str, fee_ppm: u32) -> Priced {
    let charge = Charge { usage, at: at(when), service: None, fee_ppm };
    catalog.price(offer(catalog, name), &charge)
}

fn price(name: &str, usage: &Usage, when: &str) -> Usd {
    price_in(&CATALOG, name, usage, when, 0).total
}

/// `direct_cost` of a name: its home's list price.
fn direct(name: &str, usage: &Usage, when: &str) -> Usd {
    let home = CATALOG.home(name).unwrap();
    let charge = Charge { usage, at: at(when), service: None, fee_ppm: 0 };
    CATALOG.price(home, &charge).upstream
}

#[test]
fn vectors_a_and_b_named_and_auto() {
    let usage = tokens(1_200, 400);
    let haiku = price_in(&CATALOG, "anthropic/claude-haiku-4-5", &usage, FRIDAY, 0);
    assert_eq!(haiku.total, usd("0.0032"));
    let with_fee =
        price_in(&CATALOG, "anthropic/claude-haiku-4-5", &usage, FRIDAY, FIVE_PERCENT_PPM);
    assert_eq!((with_fee.total, with_fee.upstream), (usd("0.00336"), usd("0.0032")));
    let gpt = direct("gpt-5.4", &usage, FRIDAY);
    assert_eq!(gpt, usd("0.009"));
    assert_eq!(gpt.saturating_sub(haiku.total), usd("0.0058"));
    assert_eq!(gpt.saturating_sub(with_fee.total), usd("0.00564"));
    assert_eq!(price("deepseek/deepseek-flash", &usage, "2026-11-20T01:00:00Z"), usd("0.00084"));
    assert_eq!(price("deepseek/deepseek-flash", &usage, FRIDAY), usd("0.00042"));
    assert_eq!(direct("claude-haiku-4-6", &usage, FRIDAY), usd("0.0032"));
    assert_eq!(price("groq/llama-3.3-70b-versatile", &usage, FRIDAY), usd("0.001024"));
    let sonnet =
        price_in(&CATALOG, "anthropic/claude-sonnet-4-6", &usage, FRIDAY, FIVE_PERCENT_PPM);
    assert_eq!((sonnet.upstream, sonnet.total), (usd("0.0096"), usd("0.01008")));
    assert_eq!(sonnet.upstream.saturating_sub(sonnet.total), usd("-0.00048"));
    assert_eq!(direct("gpt-5.4-nano", &usage, FRIDAY), usd("0.00074"));
}

#[test]
fn vectors_d_and_e_cached_tokens_cost_their_own_rate_once() {
    let usage =
        Usage { fresh: 10, cache_write: 1_000, cache_read: 9_000, output: 50, ..Usage::default() };
    let name = "anthropic/claude-sonnet-4-6";
    assert_eq!(price(name, &usage, FRIDAY), usd("0.00723"));
    assert_eq!(price(name, &tokens(10_010, 50), FRIDAY), usd("0.03078"));
    let cold = Usage { fresh: 500, cache_write: 100_000, output: 800, ..Usage::default() };
    let warm = Usage { fresh: 500, cache_read: 100_000, output: 800, ..Usage::default() };
    assert_eq!(price("anthropic/claude-haiku-4-5", &cold, FRIDAY), usd("0.1295"));
    assert_eq!(direct("claude-opus-4-6", &warm, FRIDAY), usd("0.0725"));
    let hour = Usage { cache_write_1h: 1_000_000, ..Usage::default() };
    assert_eq!(price("anthropic/claude-haiku-4-5", &hour, FRIDAY), usd("2"));
}

#[test]
fn vectors_f_to_k_a_band_reprices_the_whole_request() {
    for (name, below, output, cost, above_cost) in [
        ("openai/gpt-5.4", 272_000, 1_000, "0.695", "1.382505"),
        ("xai/grok-4.5", 199_999, 1_000, "0.405998", "0.812"),
        ("anthropic/claude-haiku-5-5", 100_000, 1_000, "0.0105", "0.0525005"),
        ("google/gemini-3.1-pro-preview", 200_000, 1_000, "0.412", "0.818004"),
    ] {
        assert_eq!(price(name, &tokens(below, output), FRIDAY), usd(cost), "{name} {below}");
        assert_eq!(price(name, &tokens(below + 1, output), FRIDAY), usd(above_cost), "{name}");
    }
    let reads = Usage { cache_read: 272_001, ..Usage::default() };
    assert_eq!(price("openai/gpt-5.4", &reads, FRIDAY), usd("0.1360005"));
}

#[test]
fn vector_l_history_changes_on_its_date() {
    let usage = tokens(200_001, 0);
    let opus = "anthropic/claude-opus-4-6";
    assert_eq!(price(opus, &usage, "2026-03-12T12:00:00Z"), usd("2.00001"));
    assert_eq!(price(opus, &usage, "2026-03-13T12:00:00Z"), usd("1.000005"));
}

#[test]
fn vector_m_rounds_up() {
    let catalog = fixture(r#""bands":[{"above":0,"in":2800,"out":2800}]"#, "");
    assert_eq!(price_in(&catalog, "p/m", &tokens(1, 0), FRIDAY, 0).total, usd("0.000000003"));
}

#[test]
fn deepseek_calendar() {
    let usage = tokens(1_200, 400);
    let (peak, off) = (usd("0.00084"), usd("0.00042"));
    for (when, expected) in [
        ("2026-11-20T00:59:59Z", off),
        ("2026-11-20T01:00:00Z", peak),
        ("2026-11-20T03:59:59Z", peak),
        ("2026-11-20T04:00:00Z", off),
        ("2026-11-20T06:00:00Z", peak),
        ("2026-11-20T10:00:00Z", off),
        ("2026-11-21T02:00:00Z", off),
        ("2026-11-22T02:00:00Z", off),
        ("2026-10-01T02:00:00Z", off),
        ("2026-10-08T02:00:00Z", peak),
        ("2026-08-22T01:30:00Z", peak),
        ("2026-08-29T01:30:00Z", off),
    ] {
        let priced = price_in(&CATALOG, "deepseek/deepseek-flash", &usage, when, 0);
        assert_eq!((priced.total, priced.estimated), (expected, false), "{when}");
    }
    // Past the holiday table a weekday is peak, and said to be an assumption.
    for (when, expected, estimated) in [
        ("2027-01-04T02:00:00Z", peak, true),
        ("2027-01-02T02:00:00Z", off, false),
        ("2027-01-04T12:00:00Z", off, false),
    ] {
        let priced = price_in(&CATALOG, "deepseek/deepseek-flash", &usage, when, 0);
        assert_eq!((priced.total, priced.estimated), (expected, estimated), "{when}");
    }
}

/// A window of 15:00–20:00 UTC on Beijing's weekdays.
const WINDOW: &str = concat!(
    r#"{"from":"2026-01-01T00:00:00Z","peak":[[900,1200]],"#,
    r#""days":[1,2,3,4,5],"offset_min":480}"#
);

/// One provider `p` with one offer `m` of these prices.
fn fixture(row: &str, link: &str) -> Catalog {
    let lines = format!(
        r#"{{"t":"header","schema":1,"date":"2026-11-22"}}
{{"t":"provider","id":"p","kind":"first_party","base_url":"https://p.test/v1"}}
{{"t":"window","id":"w","periods":[{WINDOW}]}}
{{"t":"offer","provider":"p","model":"m","context":1000000,"prices":[{{{row}}}]{link}}}"#
    );
    Catalog::load(&[lines.as_bytes()]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_weekday_is_the_providers_not_utcs() {
    let row =
        r#""bands":[{"above":0,"in":2000000,"out":0}],"off":[{"above":0,"in":1000000,"out":0}]"#;
    let catalog = fixture(row, r#","window":"w""#);
    let usage = tokens(1_000_000, 0);
    for (when, expected) in [
        // Friday in UTC and, until 16:00, in Beijing; after it Saturday there.
        ("2026-11-20T15:59:59Z", "2"),
        ("2026-11-20T16:00:00Z", "1"),
        ("2026-11-20T19:59:59Z", "1"),
        // Sunday in UTC, Monday in Beijing.
        ("2026-11-22T15:30:00Z", "1"),
        ("2026-11-22T16:30:00Z", "2"),
        ("2026-11-22T20:00:00Z", "1"),
        // Before the window's first period the list price holds.
        ("2025-11-20T02:00:00Z", "2"),
    ] {
        assert_eq!(price_in(&catalog, "p/m", &usage, when, 0).total, usd(expected), "{when}");
    }
    let held = catalog.price_peak(offer(&catalog, "p/m"), &usage);
    assert_eq!(held, usd("2"), "a claim takes the list price at any hour");
}

#[test]
fn services_have_their_own_bands() {
    let row = r#""bands":[{"above":0,"in":2000000,"out":0},{"above":10,"in":4000000,"out":0}],
        "per_request":5000,
        "service":{"flex":[{"above":0,"in":1000000,"out":0},{"above":10,"in":3000000,"out":0}]}"#
        .replace('\n', "");
    let catalog = fixture(&row, "");
    for (service, fresh, nano) in [
        (None, 10, 25_000),
        (None, 11, 49_000),
        (Some("default"), 10, 25_000),
        (Some("flex"), 10, 15_000),
        (Some("flex"), 11, 38_000),
        (Some("priority"), 10, 25_000),
    ] {
        let usage = tokens(fresh, 0);
        let charge = Charge { usage: &usage, at: at(FRIDAY), service, fee_ppm: 0 };
        let priced = catalog.price(0, &charge);
        assert_eq!(priced.total.nano(), nano, "{service:?} {fresh}");
        assert_eq!(priced.fees.nano(), 5_000);
    }
}

#[test]
fn reasoning_is_billed_once_and_apart_only_where_listed() {
    let usage = Usage { output: 100, reasoning: 40, ..Usage::default() };
    let same = fixture(r#""bands":[{"above":0,"in":1000000,"out":2000000}]"#, "");
    assert_eq!(price_in(&same, "p/m", &usage, FRIDAY, 0).total.nano(), 200_000);
    let apart =
        fixture(r#""bands":[{"above":0,"in":1000000,"out":2000000,"reasoning":3000000}]"#, "");
    assert_eq!(price_in(&apart, "p/m", &usage, FRIDAY, 0).total.nano(), 240_000);
    let claimed = Usage { output: 100, ..Usage::default() };
    assert_eq!(apart.price_peak(0, &claimed).nano(), 300_000, "all of it may be reasoning");
}

#[test]
fn absent_cache_rates_are_the_input_rate() {
    let catalog =
        fixture(r#""bands":[{"above":0,"in":1000000,"out":0,"cache_write":1250000}]"#, "");
    let usage = Usage { cache_read: 10, cache_write: 10, cache_write_1h: 10, ..Usage::default() };
    assert_eq!(price_in(&catalog, "p/m", &usage, FRIDAY, 0).total.nano(), 10_000 + 12_500 + 12_500);
}

#[test]
fn free_is_declared_and_zero_is_no_price() {
    let zero = fixture(r#""bands":[{"above":0,"in":0,"out":0}]"#, "");
    assert!(!zero.is_priced(0));
    let free = fixture(r#""bands":[{"above":0,"in":9,"out":9}]"#, r#","free":true"#);
    assert!(free.is_priced(0));
    assert_eq!(price_in(&free, "p/m", &tokens(9, 9), FRIDAY, 500).total, Usd::ZERO);
    assert_eq!(free.price_peak(0, &tokens(9, 9)), Usd::ZERO);
    assert!(!free.is_priced(7));
    let charge = Charge { usage: &tokens(1, 1), at: at(FRIDAY), service: None, fee_ppm: 0 };
    assert_eq!(free.price(7, &charge), Priced::default());
}

#[test]
fn a_claim_takes_the_dearer_band_from_95_percent() {
    let gpt = offer(&CATALOG, "openai/gpt-5.4");
    // 95 % of 272,000 is 258,400.
    assert_eq!(CATALOG.price_peak(gpt, &tokens(258_400, 0)), usd("0.646"));
    assert_eq!(CATALOG.price_peak(gpt, &tokens(258_401, 0)), usd("1.292005"));
    // Prices of the past are no part of a claim.
    let opus = offer(&CATALOG, "anthropic/claude-opus-4-6");
    assert_eq!(CATALOG.price_peak(opus, &tokens(200_001, 0)), usd("1.000005"));
}

#[test]
fn every_tier_edge_of_the_shipped_file_is_strict() {
    let mut edges = 0;
    for (index, offer) in CATALOG.offers.iter().enumerate() {
        for row in &offer.prices {
            // The instant a row begins, outside any window's doubt: windows have one band each.
            let when = if row.from == Timestamp::BEGINNING {
                at("2000-01-01T00:00:00Z")
            } else {
                row.from
            };
            if offer.window.is_some() {
                continue;
            }
            for pair in row.bands.windows(2) {
                let [low, high] = pair else { continue };
                edges += 1;
                for (tokens_in, band) in
                    [(high.above - 1, low), (high.above, low), (high.above + 1, high)]
                {
                    let usage = tokens(tokens_in, 7);
                    let charge = Charge { usage: &usage, at: when, service: None, fee_ppm: 0 };
                    let pico = i128::from(tokens_in) * i128::from(band.input.pico())
                        + 7 * i128::from(band.output.pico());
                    let nano = (pico + 999) / 1_000 + i128::from(row.per_request.nano());
                    let priced = CATALOG.price(index, &charge);
                    assert_eq!(i128::from(priced.total.nano()), nano, "{}", offer.model);
                }
            }
        }
    }
    assert!(edges >= 100, "only {edges} edges");
}

prop_compose! {
    fn any_usage()(
        fresh in 0_u64..3_000_000, cache_read in 0_u64..3_000_000, cache_write in 0_u64..500_000,
        cache_write_1h in 0_u64..500_000, output in 0_u64..500_000, reasoning in 0_u64..500_000,
    ) -> Usage {
        let reasoning = reasoning.min(output);
        Usage { fresh, cache_read, cache_write, cache_write_1h, output, reasoning }
    }
}

/// A band's rates by class, absent ones as they are billed.
fn rates(band: &Band) -> [Rate; 5] {
    let write = band.cache_write.unwrap_or(band.input);
    let read = band.cache_read.unwrap_or(band.input);
    [band.input, read, write, band.cache_write_1h.unwrap_or(write), band.output]
}

/// The rule of catalog.md § 4 over one flat band, in pico-dollars times a million.
fn exact(usage: &Usage, rates: [i64; 4], fee_ppm: u32) -> i128 {
    let cost = |tokens: u64, rate: i64| i128::from(tokens) * i128::from(rate);
    let [input, read, write, output] = rates;
    let pico = cost(usage.fresh, input)
        + cost(usage.cache_read, read)
        + cost(usage.cache_write + usage.cache_write_1h, write)
        + cost(usage.output, output);
    pico * (1_000_000 + i128::from(fee_ppm))
}

proptest! {
    #[test]
    fn never_under_the_true_sum_and_less_than_a_nano_over(
        usage in any_usage(), rates in proptest::array::uniform4(1_i64..200_000_000),
        fee_ppm in 0_u32..200_000,
    ) {
        let [input, read, write, output] = rates;
        let caches = format!(r#""cache_read":{read},"cache_write":{write}"#);
        let band = format!(r#""bands":[{{"above":0,"in":{input},"out":{output},{caches}}}]"#);
        let catalog = fixture(&band, "");
        let priced = price_in(&catalog, "p/m", &usage, FRIDAY, fee_ppm);
        let over = i128::from(priced.total.nano()) * 1_000_000_000 - exact(&usage, rates, fee_ppm);
        prop_assert!((0..1_000_000_000).contains(&over), "{over}");
        let Priced { input, cache_read, cache_write, output, fees, .. } = priced;
        let parts = [input, cache_read, cache_write, output, fees];
        prop_assert_eq!(parts.iter().map(|part| part.nano()).sum::<i64>(), priced.upstream.nano());
        prop_assert!(parts.iter().all(|part| *part >= Usd::ZERO));
    }

    #[test]
    fn more_tokens_never_cost_less(
        usage in any_usage(), more in 0_u64..100_000, class in 0_usize..3, pick in any::<usize>(),
    ) {
        let index = pick % CATALOG.offers.len();
        // A long-prompt band that is cheaper at some source's word would be that source's fault.
        let rising = CATALOG.offers[index].prices.iter().all(|row| {
            row.bands.windows(2).all(|pair| {
                let (low, high) = (rates(&pair[0]), rates(&pair[1]));
                low.iter().zip(high).all(|(low, high)| *low <= high)
            })
        });
        prop_assume!(rising);
        let mut grown = usage;
        match class {
            0 => grown.fresh += more,
            1 => grown.cache_read += more,
            _ => grown.output += more,
        }
        let cost = |usage: &Usage| {
            let charge = Charge { usage, at: at(FRIDAY), service: None, fee_ppm: 0 };
            CATALOG.price(index, &charge).total
        };
        prop_assert!(cost(&grown) >= cost(&usage));
    }

    #[test]
    fn no_claim_is_below_its_bill(
        fresh in 0_u64..2_000_000, output in 0_u64..200_000, pick in any::<usize>(),
        hour in 0_i64..8_760,
    ) {
        let index = pick % CATALOG.offers.len();
        let usage = tokens(fresh, output);
        let at = Timestamp::from_seconds(at("2026-11-22T00:00:00Z").seconds() + hour * 3_600);
        let bill = CATALOG.price(index, &Charge { usage: &usage, at, service: None, fee_ppm: 0 });
        prop_assert!(CATALOG.price_peak(index, &usage) >= bill.total);
    }

    #[test]
    fn absurd_counts_saturate(
        count in any::<u64>(), output in any::<u64>(), pick in any::<usize>(),
    ) {
        let index = pick % CATALOG.offers.len();
        let usage = Usage {
            fresh: count,
            cache_read: count,
            cache_write: count,
            cache_write_1h: count,
            output,
            reasoning: output,
        };
        let charge = Charge { usage: &usage, at: at(FRIDAY), service: None, fee_ppm: u32::MAX };
        prop_assert!(CATALOG.price(index, &charge).total >= Usd::ZERO);
        prop_assert!(CATALOG.price_peak(index, &usage) >= Usd::ZERO);
    }
}
