//! Decides whether catalogues load, overlay, resolve and list as they should.
//! Does not price (price.rs) beyond what shows that a layer took effect.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up must fail loudly"
)]

use p402_core::catalog::{
    Auth, CapabilityEffort, CapabilityMatch, Catalog, CatalogError, Charge, Confidence, Effort,
    Hardware, ProviderKind, ReasoningControl, Resolved, StreamUsage, Tokenizer, UsageShape,
};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::LazyLock;

const SHIPPED: &[u8] = include_bytes!("../../../p402/catalog/catalog.jsonl");
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::load(&[SHIPPED]).unwrap());
const NINE: [(&str, &str); 9] = [
    ("deepseek-chat", "deepseek/deepseek-flash"),
    ("claude-haiku-4-6", "anthropic/claude-haiku-4-5"),
    ("gemini-3.1-flash", "google/gemini-3.1-flash-lite"),
    ("claude-opus-4-6", "anthropic/claude-opus-4-6"),
    ("gpt-5.4", "openai/gpt-5.4"),
    ("gemini-3.1-ultra", "google/gemini-3.1-pro-preview"),
    ("llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
    ("claude-sonnet-4-6", "anthropic/claude-sonnet-4-6"),
    ("gemini-3.1-pro", "google/gemini-3.1-pro-preview"),
];

fn load(layers: &[&str]) -> Result<Catalog, CatalogError> {
    let layers: Vec<&[u8]> = layers.iter().map(|layer| layer.as_bytes()).collect();
    Catalog::load(&layers)
}

fn shipped_and(config: &str) -> Catalog {
    Catalog::load(&[SHIPPED, config.as_bytes()]).unwrap_or_else(|error| panic!("{error}"))
}

fn named(catalog: &Catalog, name: &str) -> usize {
    match catalog.resolve(name) {
        Resolved::Pin(offers) => offers[0],
        other => panic!("{name} is {other:?}"),
    }
}

fn cost_nano(catalog: &Catalog, offer: usize, fresh: u64, output: u64) -> i64 {
    let usage = Usage { fresh, output, ..Usage::default() };
    let at = Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap();
    catalog.price(offer, &Charge { usage: &usage, at, service: None, fee_ppm: 0 }).total.nano()
}

#[test]
fn shipped_file_reaches_its_bars() {
    let fresh: Vec<_> =
        CATALOG.offers.iter().filter(|offer| offer.confidence != Confidence::Stale).collect();
    for offers in [CATALOG.offers.iter().collect::<Vec<_>>(), fresh] {
        let providers: HashSet<_> = offers.iter().map(|offer| offer.provider).collect();
        let models: HashSet<_> = offers.iter().map(|offer| &offer.canonical).collect();
        assert!(offers.len() >= 600, "{} offers", offers.len());
        assert!(providers.len() >= 60, "{} providers", providers.len());
        assert!(models.len() >= 300, "{} models", models.len());
    }
    assert!(SHIPPED.len() <= 1_572_864, "{} bytes", SHIPPED.len());
    assert!((0..CATALOG.offers.len()).all(|offer| CATALOG.is_priced(offer)));
    assert!(CATALOG.offers.iter().all(|offer| offer.context > 0 && offer.tokens_per_s > 0));
    assert!(CATALOG.attributions.iter().any(|line| line.contains("CC BY 4.0")));
}

#[test]
fn the_nine_names_resolve_are_priced_and_scored() {
    for (name, expected) in NINE {
        let home = CATALOG.home(name).unwrap_or_else(|| panic!("{name} has no home"));
        assert_eq!(CATALOG.offer_name(home), expected, "{name}");
        assert!(CATALOG.is_priced(home) && !CATALOG.offers[home].capability.is_empty(), "{name}");
        match CATALOG.resolve(name) {
            Resolved::Alias { offers } => assert_eq!(CATALOG.offer_name(offers[0]), expected),
            Resolved::Canonical(offers) => assert!(offers.contains(&home)),
            other => panic!("{name} is {other:?}"),
        }
    }
    let Resolved::Alias { offers } = CATALOG.resolve("llama-3.3-70b-versatile") else { panic!() };
    assert_eq!(CATALOG.offer_name(offers[1]), "groq/openai/gpt-oss-120b");
}

#[test]
fn quirks_come_from_flags() {
    let quirks = |id: &str| {
        let found = CATALOG.providers.iter().find(|provider| &*provider.id == id).unwrap();
        found.quirks.clone()
    };
    assert!(quirks("openai").max_completion_tokens && quirks("openai").developer_role);
    assert_eq!(quirks("openrouter").usage_shape, UsageShape::OpenRouterCost);
    assert_eq!(quirks("openrouter").stream_usage, StreamUsage::Always);
    assert!(quirks("openrouter").reported_cost);
    assert_eq!(quirks("deepseek").usage_shape, UsageShape::DeepseekHitMiss);
    assert_eq!(quirks("deepseek").reasoning_control, ReasoningControl::ThinkingType);
    assert!(quirks("groq").drop.iter().any(|field| &**field == "logprobs"));
    assert!(quirks("mistral").tool_id_alnum9 && quirks("mistral").random_seed);
    assert_eq!(quirks("moonshotai").temperature_max_tenths, Some(10));
    // An offer's own flags lie over its provider's.
    let fable = named(&CATALOG, "anthropic/claude-opus-4-7");
    assert_eq!(CATALOG.offers[fable].quirks.reasoning_control, ReasoningControl::AdaptiveOnly);
    assert!(CATALOG.offers[fable].quirks.drop.iter().any(|field| &**field == "temperature"));
}

#[test]
fn speed_priors_follow_the_class() {
    let speed = |name: &str| {
        let offer = &CATALOG.offers[named(&CATALOG, name)];
        (offer.ttft_ms, offer.tokens_per_s)
    };
    assert_eq!(speed("groq/llama-3.3-70b-versatile"), (250, 300));
    assert_eq!(speed("google/gemini-3.1-flash-lite"), (500, 200));
    assert_eq!(speed("google/gemini-3.1-pro-preview"), (1_000, 60));
    assert_eq!(speed("anthropic/claude-haiku-4-5"), (500, 150));
    assert_eq!(speed("openai/gpt-5.4"), (1_000, 60));
    assert_eq!(speed("openrouter/openai/gpt-5.4"), (1_150, 60));
    assert_eq!(Effort::Low.thinking_ms(), 2_000);
}

#[test]
fn tokenizers_follow_the_name() {
    for (name, family) in [
        ("gpt-5.4", Tokenizer::OpenAi),
        ("o4-mini", Tokenizer::OpenAi),
        ("claude-3-5-sonnet", Tokenizer::ClaudeTo46),
        ("claude-opus-4-20250514", Tokenizer::ClaudeTo46),
        ("claude-opus-4-6", Tokenizer::ClaudeTo46),
        ("claude-opus-4-7", Tokenizer::ClaudeFrom47),
        ("claude-haiku-5-5", Tokenizer::ClaudeFrom47),
        ("claude-sonnet-5", Tokenizer::ClaudeFrom47),
        ("gemini-3.1-pro", Tokenizer::Gemini),
        ("deepseek-v4-flash", Tokenizer::DeepSeek),
        ("llama-3.3-70b-instruct", Tokenizer::Unknown),
    ] {
        assert_eq!(Tokenizer::of(name), family, "{name}");
    }
}

const ACME: &str = include_str!("catalog/acme.jsonl");

#[test]
fn config_adds_providers_offers_aliases() {
    let catalog = shipped_and(ACME);
    let large = named(&catalog, "acme/acme-large");
    let offer = &catalog.offers[large];
    let provider = catalog.provider(large);
    assert_eq!((provider.kind, provider.hardware), (ProviderKind::Config, Hardware::Inference));
    assert_eq!((provider.auth, &*provider.base_url), (Auth::Bearer, "http://127.0.0.1:9100/v1"));
    assert_eq!((&*offer.upstream_id, &*offer.canonical), ("acme-large-v2", "acme-large"));
    assert_eq!((offer.ttft_ms, offer.tokens_per_s), (300, 90));
    assert_eq!((offer.confidence, &*offer.source), (Confidence::Config, "config"));
    assert_eq!(offer.capability_match, Some(CapabilityMatch::Config));
    let row = &catalog.capabilities[offer.capability[0]];
    assert_eq!((row.scores, row.conf), ([80.0; 9], [1.0; 9]));
    assert_eq!(cost_nano(&catalog, large, 1_000, 100), 2_500_000 + 1_500_000 + 1_000_000);
    assert_eq!(catalog.resolve("acme-large"), Resolved::Canonical(&[large]));
    assert_eq!(catalog.resolve("house-model"), Resolved::Alias { offers: &[large] });
    assert_eq!(catalog.home("acme-large"), Some(large));

    let free = named(&catalog, "acme/acme-free");
    assert!(catalog.is_priced(free));
    assert_eq!(cost_nano(&catalog, free, 1_000, 1_000), 0);
    let row = &catalog.capabilities[catalog.offers[free].capability[0]];
    assert_eq!((row.scores[1], row.scores[3], row.scores[0]), (70.0, 90.0, 80.0));
    assert_eq!((row.conf[1], row.conf[0]), (1.0, 0.5));
    assert_eq!(row.effort, CapabilityEffort::Best);
}

#[test]
fn later_layers_override_field_by_field() {
    let catalog = shipped_and(include_str!("catalog/overrides.jsonl"));
    let (old, new) = (named(&CATALOG, "openai/gpt-5.4"), named(&catalog, "openai/gpt-5.4"));
    let (before, after) = (&CATALOG.offers[old], &catalog.offers[new]);
    assert_eq!(after.max_output, Some(4_000));
    assert_eq!((after.context, after.confidence), (before.context, before.confidence));
    assert_eq!(after.prices[0].bands, before.prices[0].bands);
    assert_eq!(&*catalog.provider(new).base_url, "http://127.0.0.1:1/v1");
    assert_eq!(catalog.provider(new).quirks, CATALOG.provider(old).quirks);
    let llama = named(&catalog, "groq/llama-3.3-70b-versatile");
    assert_eq!(cost_nano(&catalog, llama, 1_000_000, 0), 1_000);
    assert_eq!(catalog.offers[llama].confidence, Confidence::Config, "the operator's own price");
    assert_ne!(catalog.digest, CATALOG.digest);
    assert_eq!(catalog.digest.len(), 8);
    assert_eq!(Catalog::load(&[SHIPPED]).unwrap().digest, CATALOG.digest);
}

#[test]
fn a_refresh_moves_prices_from_its_day_on() {
    let refresh = |date: &str, rate: u64| {
        let old = r#"{"bands":[{"above":0,"in":2500000,"out":15000000}]}"#;
        let new = format!(
            r#"{{"from":"{date}T00:00:00Z","bands":[{{"above":0,"in":{rate},"out":{rate}}}]}}"#
        );
        shipped_and(&format!(
            concat!(
                r#"{{"t":"header","schema":1,"date":"{date}"}}"#,
                "\n",
                r#"{{"t":"offer","provider":"openai","model":"gpt-5.4","prices":[{old},{new}],"#,
                r#""source":"openrouter","as_of":"2026-12","n_agree":1,"confidence":"single"}}"#
            ),
            date = date,
            old = old,
            new = new
        ))
    };
    let later = refresh("2026-12-24", 7_000_000);
    let gpt = named(&later, "openai/gpt-5.4");
    assert_eq!(&*later.date, "2026-12-24");
    assert_eq!(cost_nano(&later, gpt, 1_000, 0), 2_500_000, "in November the old price held");
    assert_eq!(later.offers[gpt].confidence, Confidence::Single);
    let usage = Usage { fresh: 1_000, ..Usage::default() };
    assert_eq!(later.price_peak(gpt, &usage).nano(), 7_000_000);
    let shown = later.model_json("gpt-5.4", &|_| true).unwrap();
    assert!(String::from_utf8(shown).unwrap().contains(r#""price":{"input":7,"output":7}"#));
    let older = refresh("2026-01-02", 1_000_000);
    assert_eq!(older.date, CATALOG.date, "an old refresh does not set the date back");
}

#[test]
fn bad_layers_name_layer_line_and_reason() {
    for (line, reason) in [
        (r#"{"t":"ofer"}"#, "unknown record type \"ofer\""),
        ("{\"t\":\"offer\"", "EOF"),
        (r#"{"id":"x"}"#, "missing field `t`"),
        (r#"{"t":"provider","id":"q"}"#, "provider q has no base_url"),
        (r#"{"t":"provider","id":"p","flags":["dorp=store"]}"#, "unknown flag \"dorp=store\""),
        (r#"{"t":"provider","id":"p","flags":["drop=tempreture"]}"#, "unknown flag"),
        (r#"{"t":"provider","id":"p","flags":["stream_usage=sometimes"]}"#, "unknown flag"),
        (r#"{"t":"provider","id":"p","auth":"magic"}"#, "unknown auth"),
        (r#"{"t":"provider","id":"p","colour":"red"}"#, "unknown field `colour`"),
        (r#"{"t":"offer","provider":"nobody","model":"m"}"#, "its provider is unknown"),
        (r#"{"t":"offer","provider":"p","model":"m","window":"never"}"#, "no window"),
        (r#"{"t":"offer","provider":"p","model":"m","efforts":["extreme"]}"#, "unknown effort"),
        (r#"{"t":"offer","provider":"p","model":"m","capability":101}"#, "0–100"),
        (r#"{"t":"offer","provider":"p","model":"m","capability":{"juggling":5}}"#, "unknown task"),
        (
            r#"{"t":"offer","provider":"p","model":"m","capability":{"model":"","match":"exact"}}"#,
            "no capability row",
        ),
        (r#"{"t":"alias","name":"a","to":"p/none"}"#, "unknown offer p/none"),
        (r#"{"t":"header","schema":2}"#, "schema is not 1"),
    ] {
        let config = format!("\n{line}\n");
        let base = r#"{"t":"provider","id":"p","kind":"first_party","base_url":"http://p"}"#;
        let error = load(&[base, &config]).unwrap_err();
        assert!(error.reason.contains(reason), "{line}: {error}");
        if !line.contains("schema") {
            assert_eq!((error.layer, error.line), (1, 2), "{line}: {error}");
        }
    }
    let twice = r#"{"t":"provider","id":"p","base_url":"http://p"}"#;
    let error = load(&["", &format!("{twice}\n{twice}")]).unwrap_err();
    assert_eq!((error.layer, error.line), (1, 2));
    assert_eq!(
        error.to_string(),
        "catalog layer 1, line 2: stands twice in this layer, first in line 1"
    );
    assert!(load(&["\u{0}\u{1}"]).is_err());
    assert!(Catalog::load(&[b"\xff\xfe"]).is_err());
}

#[test]
fn bad_rates_are_errors() {
    let base = r#"{"t":"provider","id":"p","kind":"first_party","base_url":"http://p"}"#;
    let load_band = |band: &str| {
        let offer = format!(
            r#"{{"t":"offer","provider":"p","model":"m","prices":[{{"bands":[{band}]}}]}}"#
        );
        load(&[base, &offer])
    };
    assert!(load_band(r#"{"above":0,"in":1,"out":"0.5"}"#).is_ok());
    for band in [
        r#"{"above":0,"in":-1,"out":1}"#,
        r#"{"above":0,"in":1.5,"out":1}"#,
        r#"{"above":0,"in":"-1","out":1}"#,
        r#"{"above":0,"in":"0.0000001","out":1}"#,
        r#"{"above":0,"in":"cheap","out":1}"#,
        r#"{"above":0,"in":null,"out":1}"#,
        r#"{"above":0,"out":1}"#,
        r#"{"above":5,"in":1,"out":1}"#,
        r#"{"above":0,"in":1,"out":1},{"above":0,"in":1,"out":1}"#,
        r#"{"above":0,"in":99999999999999999999,"out":1}"#,
    ] {
        assert!(load_band(band).is_err(), "{band}");
    }
}

#[test]
fn names_resolve_exactly() {
    assert_eq!(CATALOG.resolve(""), Resolved::Free);
    assert_eq!(CATALOG.resolve("auto"), Resolved::Free);
    assert_eq!(CATALOG.resolve("gpt-99-ultra"), Resolved::Unknown);
    assert_eq!(CATALOG.resolve("GPT-5.4"), Resolved::Unknown);
    assert_eq!(CATALOG.home("auto"), None);
    let pin = named(&CATALOG, "groq/openai/gpt-oss-120b");
    assert_eq!(&*CATALOG.offers[pin].model, "openai/gpt-oss-120b");
    for odd in
        ["/", "//", "openai/", "/gpt-5.4", "a/b/c/d/e", "x:y", "мо/ü", "\u{0}", "..", "🦀/🦀"]
    {
        assert_eq!(CATALOG.resolve(odd), Resolved::Unknown, "{odd}");
        assert_eq!(CATALOG.home(odd), None);
        let _ = CATALOG.near(odd);
    }
}

#[test]
fn the_longest_provider_prefix_wins() {
    let price = r#""context":1000,"prices":[{"bands":[{"above":0,"in":1,"out":1}]}]"#;
    let lines = format!(
        r#"{{"t":"provider","id":"a","kind":"aggregator","base_url":"http://a"}}
{{"t":"provider","id":"a/b","kind":"inference_host","base_url":"http://b"}}
{{"t":"offer","provider":"a","model":"b/c",{price}}}
{{"t":"offer","provider":"a/b","model":"c",{price}}}"#
    );
    let catalog = load(&[&lines]).unwrap();
    let offer = named(&catalog, "a/b/c");
    assert_eq!(&*catalog.provider(offer).id, "a/b");
}

#[test]
fn home_is_the_maker_then_the_named_then_the_cheapest() {
    let price = |rate: u64| {
        format!(r#""context":9,"prices":[{{"bands":[{{"above":0,"in":{rate},"out":1}}]}}]"#)
    };
    let offer = |provider: &str, model: &str, rate: u64, more: &str| {
        format!(
            r#"{{"t":"offer","provider":"{provider}","model":"{model}",{}{more}}}"#,
            price(rate)
        )
    };
    let lines = [
        r#"{"t":"provider","id":"maker","kind":"first_party","base_url":"http://m"}"#.to_owned(),
        r#"{"t":"provider","id":"host","kind":"inference_host","base_url":"http://h"}"#.to_owned(),
        r#"{"t":"provider","id":"dear","kind":"inference_host","base_url":"http://d"}"#.to_owned(),
        r#"{"t":"provider","id":"shop","kind":"aggregator","base_url":"http://s"}"#.to_owned(),
        offer("maker", "own", 50, r#","home":true"#),
        offer("host", "own", 5, ""),
        offer("host", "open", 20, r#","home":true"#),
        offer("dear", "open", 30, ""),
        offer("shop", "open", 1, ""),
        offer("shop", "resold", 7, r#","confidence":"stale""#),
        offer("dear", "old", 3, r#","confidence":"stale""#),
        offer("host", "old", 9, r#","confidence":"single""#),
        r#"{"t":"offer","provider":"host","model":"unpriced","context":9}"#.to_owned(),
        r#"{"t":"alias","name":"mine","to":"dear/open"}"#.to_owned(),
    ]
    .join("\n");
    let catalog = load(&[&lines]).unwrap();
    let home = |name: &str| catalog.home(name).map(|offer| catalog.offer_name(offer));
    assert_eq!(home("own").as_deref(), Some("maker/own"), "dearer, but the maker's");
    assert_eq!(home("host/own").as_deref(), Some("maker/own"));
    assert_eq!(home("open").as_deref(), Some("host/open"), "the cheapest that is not resold");
    assert_eq!(home("dear/open").as_deref(), Some("dear/open"), "the one the pin names");
    assert_eq!(home("mine").as_deref(), Some("dear/open"), "the one the alias names");
    assert_eq!(home("resold").as_deref(), Some("shop/resold"), "nothing better sells it");
    assert_eq!(home("old").as_deref(), Some("host/old"), "fresh before cheap");
    assert_eq!(home("unpriced"), None, "no price is invented");
}

#[test]
fn near_names_help_and_stay_few() {
    for (wrong, right) in [
        ("gpt-5,4", "gpt-5.4"),
        ("claude-sonnet-46", "claude-sonnet-4-6"),
        ("Claude-Opus-4-6", "claude-opus-4-6"),
        ("openai/gpt-5.4o", "openai/gpt-5.4"),
    ] {
        let near = CATALOG.near(wrong);
        assert!(near.contains(&right) && near.len() <= 3, "{wrong}: {near:?}");
    }
    assert!(CATALOG.near("zzzzzzzzzzzzzzzzzzzzzzzz").is_empty());
    assert!(CATALOG.near(&"gpt".repeat(10_000)).is_empty());
}

#[test]
fn models_lists_every_name_once_with_its_facts() {
    let groq = CATALOG.providers.iter().position(|provider| &*provider.id == "groq").unwrap();
    let live = |offer: usize| CATALOG.offers[offer].provider == groq;
    let body: serde_json::Value = serde_json::from_slice(&CATALOG.models_json(&live)).unwrap();
    assert_eq!((&body["object"], &body["has_more"]), (&"list".into(), &false.into()));
    let data = body["data"].as_array().unwrap();
    let ids: HashSet<&str> = data.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert!(ids.len() >= 300 && ids.len() == data.len(), "{} ids", ids.len());
    for (name, target) in NINE {
        assert!(ids.contains(name) && ids.contains(target), "{name}");
    }
    for entry in data {
        assert_eq!(entry["object"], "model");
        assert!(entry["created"].as_i64().unwrap() > 0 && entry["owned_by"].is_string());
        let facts = &entry["p402"];
        assert!(facts["context"].as_u64().unwrap() > 0 && facts["price"]["input"].is_number());
        assert!(!facts["providers"].as_array().unwrap().is_empty());
    }
    let entry = |id: &str| -> serde_json::Value {
        let body = CATALOG.model_json(id, &live).unwrap_or_else(|| panic!("{id}"));
        serde_json::from_slice(&body).unwrap()
    };
    let gpt = entry("gpt-5.4");
    assert_eq!(gpt["owned_by"], "openai");
    assert_eq!(gpt["p402"]["price"]["input"].to_string(), "2.5");
    assert_eq!(gpt["p402"]["price"]["cache_read"].to_string(), "0.25");
    assert_eq!(gpt["p402"]["price"]["tiers"][0]["above"], 272_000);
    assert_eq!(gpt["p402"]["price"]["tiers"][0]["output"].to_string(), "22.5");
    assert_eq!((&gpt["p402"]["live"], &gpt["p402"]["n_agree"]).0, false);
    assert!(gpt["p402"]["capability"]["coding"].is_number());
    let alias = entry("claude-haiku-4-6");
    assert_eq!(alias["p402"]["alias_of"], "anthropic/claude-haiku-4-5");
    assert_eq!(alias["p402"]["price"]["output"].to_string(), "5");
    assert_eq!(entry("groq/llama-3.3-70b-versatile")["p402"]["live"], true);
    assert_eq!(data.iter().find(|listed| listed["id"] == "gpt-5.4"), Some(&gpt));
    assert_eq!(CATALOG.model_json("auto", &live), None);
    assert_eq!(CATALOG.model_json("no-such-model", &live), None);
}

#[test]
fn an_empty_catalogue_serves_nobody_and_breaks_nothing() {
    let catalog = load(&[]).unwrap();
    assert_eq!(catalog.resolve("gpt-5.4"), Resolved::Unknown);
    assert_eq!(
        catalog.models_json(&|_| true),
        b"{\"object\":\"list\",\"data\":[],\"has_more\":false}"
    );
    assert_eq!(catalog.price_peak(0, &Usage::default()), Usd::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_name_breaks_the_catalogue(name in "\\PC{0,80}") {
        let _ = CATALOG.resolve(&name);
        let _ = CATALOG.home(&name);
        let _ = CATALOG.model_json(&name, &|_| false);
        prop_assert!(CATALOG.near(&name).len() <= 3);
    }

    #[test]
    fn no_bytes_break_the_loader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Catalog::load(&[&bytes]);
    }

    #[test]
    fn every_offer_is_its_own_pin(pick in any::<usize>()) {
        let offer = pick % CATALOG.offers.len();
        let name = CATALOG.offer_name(offer);
        match CATALOG.resolve(&name) {
            Resolved::Pin(found) => prop_assert_eq!(found, &[offer]),
            // An alias may carry a pin's name and comes first.
            Resolved::Alias { .. } => {}
            other => prop_assert!(false, "{} is {:?}", name, other),
        }
    }
}
