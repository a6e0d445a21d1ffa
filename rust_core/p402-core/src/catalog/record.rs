//! Decides the form of the catalogue's lines as they stand in a file, and how one overlays another.
//! Does not check what they mean (load.rs): every field but the key may be absent.

use crate::money::{Rate, Usd};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What a line says it is.
#[derive(Debug, Deserialize)]
pub(super) struct Tag<'a> {
    #[serde(borrow)]
    pub(super) t: Cow<'a, str>,
}

/// A record whose fields are laid over an earlier one's, each by itself.
pub(super) trait Overlay {
    fn overlay(&mut self, over: Self);
}

macro_rules! record {
    ($name:ident { $($key:ident),* ; $($field:ident : $kind:ty),* $(,)? }) => {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            #[serde(rename = "t")]
            _tag: IgnoredAny,
            $(pub(super) $key: Box<str>,)*
            $(pub(super) $field: Option<$kind>,)*
        }
        impl Overlay for $name {
            fn overlay(&mut self, over: Self) {
                $(if over.$field.is_some() { self.$field = over.$field; })*
            }
        }
    };
}

record!(HeaderRecord {
    ;
    schema: u32,
    date: Box<str>,
    inputs: BTreeMap<Box<str>, Box<str>>,
    attributions: Vec<Box<str>>,
});

record!(ProviderRecord {
    id;
    kind: Box<str>,
    dialect: Box<str>,
    base_url: Box<str>,
    auth: Box<str>,
    env: Vec<Box<str>>,
    env_all: bool,
    hardware: Box<str>,
    routable: bool,
    flags: Vec<Box<str>>,
});

record!(WindowRecord { id; periods: Vec<PeriodRecord> });

record!(CapabilityRecord {
    model, effort;
    scores: [f32; 9],
    conf: [f32; 9],
    basis: Box<str>,
});

record!(OfferRecord {
    provider, model;
    kind: Box<str>,
    canonical: Box<str>,
    home: bool,
    upstream_id: Box<str>,
    context: u64,
    max_input: u64,
    max_output: u64,
    modalities: Vec<Box<str>>,
    tools: bool,
    structured: bool,
    reasoning: bool,
    efforts: Vec<Box<str>>,
    flags: Vec<Box<str>>,
    prices: Vec<PriceRecord>,
    window: Box<str>,
    capability: CapabilityLink,
    ttft_ms: u32,
    tokens_per_s: u32,
    deprecates: Box<str>,
    free: bool,
    source: Box<str>,
    as_of: Box<str>,
    n_agree: u32,
    confidence: Box<str>,
});

record!(AliasRecord {
    name;
    to: Box<str>,
    next: Vec<Box<str>>,
    capability: Box<str>,
    note: Box<str>,
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeriodRecord {
    pub(super) from: Box<str>,
    pub(super) until: Option<Box<str>>,
    pub(super) peak: Vec<(u16, u16)>,
    pub(super) days: Vec<u8>,
    #[serde(default)]
    pub(super) offset_min: i32,
    #[serde(default)]
    pub(super) holidays: Vec<Box<str>>,
    pub(super) covers_to: Option<Box<str>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PriceRecord {
    pub(super) from: Option<Box<str>>,
    pub(super) bands: Vec<BandRecord>,
    #[serde(default)]
    pub(super) off: Vec<BandRecord>,
    pub(super) per_request: Option<UsdField>,
    #[serde(default)]
    pub(super) service: BTreeMap<Box<str>, Vec<BandRecord>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BandRecord {
    pub(super) above: u64,
    #[serde(rename = "in")]
    pub(super) input: RateField,
    #[serde(rename = "out")]
    pub(super) output: RateField,
    pub(super) cache_read: Option<RateField>,
    pub(super) cache_write: Option<RateField>,
    pub(super) cache_write_1h: Option<RateField>,
    pub(super) reasoning: Option<RateField>,
    // Audio is refused before pricing in this release; the rates wait in the file.
    #[serde(rename = "audio_in")]
    pub(super) _audio_in: Option<RateField>,
    #[serde(rename = "audio_out")]
    pub(super) _audio_out: Option<RateField>,
}

/// Where an offer's scores come from: a measured row, or the operator's own figures.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum CapabilityLink {
    Row(RowLink),
    Flat(f32),
    PerTask(BTreeMap<Box<str>, f32>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowLink {
    pub(super) model: Box<str>,
    pub(super) effort: Option<Box<str>>,
    #[serde(rename = "match")]
    pub(super) matched: Box<str>,
}

/// A rate: whole pico-dollars per token, or decimal text in dollars per million tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateField(pub(super) Rate);

/// An amount: whole nano-dollars, or decimal text in dollars.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsdField(pub(super) Usd);

/// Reads integers as they are and text by `parse`; floats and negatives are refused.
struct MoneyVisitor {
    parse: fn(&str) -> Result<i64, crate::money::MoneyError>,
}

impl Visitor<'_> for MoneyVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative, or decimal text")
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
        i64::try_from(value).map_err(|_| E::custom("bad rate: too large"))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        (self.parse)(text).map_err(|why| E::custom(format_args!("bad rate {text:?}: {why}")))
    }
}

impl<'de> Deserialize<'de> for RateField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| Rate::parse_per_mtok(text).map(Rate::pico);
        let pico = deserializer.deserialize_any(MoneyVisitor { parse })?;
        Ok(Self(Rate::from_pico(pico)))
    }
}

impl<'de> Deserialize<'de> for UsdField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| Usd::parse(text).map(Usd::nano);
        let nano = deserializer.deserialize_any(MoneyVisitor { parse })?;
        Ok(Self(Usd::from_nano(nano)))
    }
}
