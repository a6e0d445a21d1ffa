//! The vectors of catalog.md § 13: cost, direct cost and savings on the shipped catalogue.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot set up must fail loudly"
)]

use p402_core::bill::{Bill, DirectBasis, Facts, PriceSource, UsageSource};
use p402_core::catalog::{Catalog, Resolved};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use proptest::prelude::*;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    Catalog::load(&[include_bytes!("../../../p402/catalog/catalog.jsonl")]).unwrap()
});

/// Friday 2026-11-20 07:00 UTC: DeepSeek at its peak.
const PEAK: i64 = 1_795_158_000;
/// The same Friday, 11:00 UTC: off-peak.
const OFF_PEAK: i64 = 1_795_172_400;

fn offer(name: &str) -> usize {
    match CATALOG.resolve(name) {
        Resolved::Pin(offers) | Resolved::Canonical(offers) | Resolved::Alias { offers } => {
            offers[0]
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn tokens(fresh: u64, output: u64) -> Usage {
    Usage { fresh, output, ..Usage::default() }
}

fn facts(served: usize, usage: &Usage) -> Facts<'_> {
    Facts {
        served,
        usage,
        usage_source: UsageSource::Provider,
        at: Timestamp::from_seconds(PEAK),
        service: None,
        service_asked: None,
        reported: None,
        fee_bps: 0,
        baseline: None,
        warm: None,
        wasted: Usd::ZERO,
    }
}

fn told(bill: &Bill) -> (String, String, String) {
    (bill.cost.to_string(), bill.direct.to_string(), bill.savings().to_string())
}

fn want(cost: &str, direct: &str, savings: &str) -> (String, String, String) {
    (cost.to_owned(), direct.to_owned(), savings.to_owned())
}

#[test]
fn a_named_gpt_served_haiku() {
    let usage = tokens(1_200, 400);
    let served = offer("anthropic/claude-haiku-4-5");
    let named = Facts { baseline: CATALOG.home("gpt-5.4"), ..facts(served, &usage) };
    let bill = Bill::of(&CATALOG, &named);
    assert_eq!(told(&bill), want("0.0032", "0.009", "0.0058"));
    assert_eq!(bill.basis, DirectBasis::RequestedModel);
    assert!(bill.estimated);
    let fee = Bill::of(&CATALOG, &Facts { fee_bps: 500, ..named });
    assert_eq!(told(&fee), want("0.00336", "0.009", "0.00564"));
    assert_eq!(fee.fee.to_string(), "0.00016");
}

#[test]
fn a2_the_clock_sets_deepseeks_price() {
    let usage = tokens(1_200, 400);
    let served = offer("deepseek-chat");
    let named = Facts { baseline: CATALOG.home("gpt-5.4"), ..facts(served, &usage) };
    assert_eq!(told(&Bill::of(&CATALOG, &named)), want("0.00084", "0.009", "0.00816"));
    let night = Facts { at: Timestamp::from_seconds(OFF_PEAK), ..named };
    assert_eq!(told(&Bill::of(&CATALOG, &night)), want("0.00042", "0.009", "0.00858"));
}

#[test]
fn a3_an_alias_is_its_home() {
    let usage = tokens(1_200, 400);
    let served = offer("groq/llama-3.3-70b-versatile");
    let named = Facts { baseline: CATALOG.home("claude-haiku-4-6"), ..facts(served, &usage) };
    assert_eq!(told(&Bill::of(&CATALOG, &named)), want("0.001024", "0.0032", "0.002176"));
}

#[test]
fn b_auto_saves_nothing_and_a_fee_is_shown() {
    let usage = tokens(1_200, 400);
    let free = facts(offer("anthropic/claude-sonnet-4-6"), &usage);
    let bill = Bill::of(&CATALOG, &free);
    assert_eq!(told(&bill), want("0.0096", "0.0096", "0"));
    assert_eq!(bill.basis, DirectBasis::ServedModel);
    let fee = Bill::of(&CATALOG, &Facts { fee_bps: 500, ..free });
    assert_eq!(told(&fee), want("0.01008", "0.0096", "-0.00048"));
}

#[test]
fn d_provider_cache_lowers_both_sides() {
    let usage =
        Usage { fresh: 10, cache_write: 1_000, cache_read: 9_000, output: 50, ..Usage::default() };
    let served = offer("anthropic/claude-sonnet-4-6");
    let named = Facts { baseline: Some(served), ..facts(served, &usage) };
    let bill = Bill::of(&CATALOG, &named);
    assert_eq!(told(&bill), want("0.00723", "0.00723", "0"));
    assert_eq!(bill.cache_discount.to_string(), "0.02355");
}

#[test]
fn e_leaving_a_warm_session_shows_as_a_loss() {
    let usage = Usage { fresh: 500, cache_write: 100_000, output: 800, ..Usage::default() };
    let opus = offer("anthropic/claude-opus-4-6");
    let moved = Facts {
        baseline: Some(opus),
        warm: Some((opus, 100_000)),
        ..facts(offer("anthropic/claude-haiku-4-5"), &usage)
    };
    assert_eq!(told(&Bill::of(&CATALOG, &moved)), want("0.1295", "0.0725", "-0.057"));
}

#[test]
fn g_a_dearer_choice_is_shown_as_such() {
    let usage = tokens(1_200, 400);
    let named =
        Facts { baseline: CATALOG.home("gpt-5.4-nano"), ..facts(offer("openai/gpt-5.4"), &usage) };
    assert_eq!(told(&Bill::of(&CATALOG, &named)), want("0.009", "0.00074", "-0.00826"));
}

#[test]
fn a_reported_cost_is_believed_within_ten_times() {
    let usage = tokens(1_200, 400);
    let served = facts(offer("openai/gpt-5.4"), &usage);
    let near = Facts { reported: Some(Usd::from_nano(8_000_000)), fee_bps: 100, ..served };
    let bill = Bill::of(&CATALOG, &near);
    assert_eq!(bill.price_source, PriceSource::Reported);
    assert_eq!(told(&bill).0, "0.00808");
    for absurd in [1_000, 900_000_000] {
        let bill = Bill::of(&CATALOG, &Facts { reported: Some(Usd::from_nano(absurd)), ..served });
        assert!(bill.reported_rejected);
        assert_eq!(told(&bill).0, "0.009");
    }
}

proptest! {
    #[test]
    fn savings_are_the_difference_for_any_pair(
        served in 0_usize..3_000, named in 0_usize..3_000, fresh in 0_u64..2_000_000,
        read in 0_u64..500_000, output in 0_u64..200_000, fee_bps in 0_u32..10_000,
    ) {
        let usage = Usage { fresh, cache_read: read, output, ..Usage::default() };
        let bill = Bill::of(&CATALOG, &Facts {
            baseline: Some(named % CATALOG.offers.len()), fee_bps,
            ..facts(served % CATALOG.offers.len(), &usage)
        });
        prop_assert_eq!(bill.savings().nano(), bill.direct.nano() - bill.cost.nano());
        prop_assert_eq!(bill.cost.nano(), bill.upstream.nano() + bill.fee.nano());
        prop_assert!(bill.fee.nano() >= 0);
    }
}
