//! Decides whether merged records mean something, and turns them into the catalogue's types.
//! Does not merge (load.rs) or read prices (rates.rs).

use super::flags;
use super::load::{CatalogError, Hashing, Merged, Place, Placed};
use super::offers;
use super::record::{AliasRecord, CapabilityRecord, PeriodRecord, ProviderRecord, WindowRecord};
use super::resolve::Names;
use super::task::Effort;
use super::types::{
    Alias, Auth, Capability, CapabilityEffort, Catalog, DialectName, Hardware, Offer, Provider,
    ProviderKind, Quirks, Window, WindowPeriod,
};
use crate::time::{Day, Timestamp};
use std::collections::HashMap;

/// The schema this code reads.
const SCHEMA: u32 = 1;

/// Ids and keys of one kind of record → their index.
pub(super) type Index = HashMap<Box<str>, usize, Hashing>;

pub(super) fn catalog(mut merged: Merged) -> Result<Catalog, CatalogError> {
    let header = merged.header.take();
    let mut catalog = Catalog::default();
    if let Some(header) = header {
        if header.schema.is_some_and(|schema| schema != SCHEMA) {
            return Err(Place::default().error(format!("schema is not {SCHEMA}")));
        }
        catalog.date = header.date.unwrap_or_default();
        catalog.attributions = header.attributions.unwrap_or_default();
    }
    catalog.built = Day::parse(&catalog.date).map_or(Timestamp::BEGINNING, Day::start);
    merged.providers.rows.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    merged.windows.rows.sort_by(|a, b| a.record.id.cmp(&b.record.id));
    merged.offers.rows.sort_by(|a, b| {
        (&a.record.provider, &a.record.model).cmp(&(&b.record.provider, &b.record.model))
    });
    merged.aliases.rows.sort_by(|a, b| a.record.name.cmp(&b.record.name));
    catalog.providers = each(merged.providers.rows, provider)?;
    catalog.windows = each(merged.windows.rows, window)?;
    catalog.capabilities = each(merged.capabilities.rows, capability)?;
    catalog
        .capabilities
        .sort_by(|a, b| (&a.model, order(a.effort)).cmp(&(&b.model, order(b.effort))));
    offers::fill(&mut catalog, merged.offers.rows)?;
    catalog.aliases = each(merged.aliases.rows, |row, _| alias(row, &catalog))?;
    catalog.names = Names::of(&catalog);
    Ok(catalog)
}

/// Builds each record, naming its place where it means nothing.
pub(super) fn each<R, T>(
    rows: Vec<Placed<R>>,
    mut build: impl FnMut(R, Place) -> Result<T, String>,
) -> Result<Vec<T>, CatalogError> {
    rows.into_iter()
        .map(|row| build(row.record, row.place).map_err(|reason| row.place.error(reason)))
        .collect()
}

pub(super) fn index(keys: impl Iterator<Item = Box<str>>) -> Index {
    keys.enumerate().map(|(at, key)| (key, at)).collect()
}

fn provider(row: ProviderRecord, place: Place) -> Result<Provider, String> {
    let mut quirks = Quirks::default();
    flags::apply(&mut quirks, &row.flags.unwrap_or_default())
        .map_err(|why| format!("provider {}: {why}", row.id))?;
    let base_url = row.base_url.unwrap_or_default();
    let routable = row.routable.unwrap_or(true);
    if base_url.is_empty() && routable {
        return Err(format!("provider {} has no base_url", row.id));
    }
    let said = |word: &Option<Box<str>>, or: &str| word.as_deref().unwrap_or(or).to_owned();
    // Only a file of ours may leave these out; an operator's provider speaks OpenAI with a key.
    let kind = said(&row.kind, if place.layer == 0 { "" } else { "config" });
    let dialect = said(&row.dialect, "openai");
    let auth = said(&row.auth, "bearer");
    let hardware = said(&row.hardware, "");
    let unknown = |what: &str, word: &str| format!("provider {}: unknown {what} {word:?}", row.id);
    Ok(Provider {
        kind: provider_kind(&kind).ok_or_else(|| unknown("kind", &kind))?,
        dialect: dialect_name(&dialect).ok_or_else(|| unknown("dialect", &dialect))?,
        base_url: base_url.trim_end_matches('/').into(),
        auth: auth_of(&auth).ok_or_else(|| unknown("auth", &auth))?,
        env: row.env.unwrap_or_default(),
        env_all: row.env_all.unwrap_or(false),
        hardware: hardware_of(&hardware).ok_or_else(|| unknown("hardware", &hardware))?,
        routable,
        quirks,
        id: row.id.into(),
    })
}

fn provider_kind(word: &str) -> Option<ProviderKind> {
    Some(match word {
        "first_party" => ProviderKind::FirstParty,
        "hyperscaler" => ProviderKind::Hyperscaler,
        "inference_hw" => ProviderKind::InferenceHardware,
        "inference_host" => ProviderKind::InferenceHost,
        "aggregator" => ProviderKind::Aggregator,
        "subscription" => ProviderKind::Subscription,
        "local" => ProviderKind::Local,
        "sandbox" => ProviderKind::Sandbox,
        "config" => ProviderKind::Config,
        _ => return None,
    })
}

fn dialect_name(word: &str) -> Option<DialectName> {
    Some(match word {
        "openai" => DialectName::OpenAi,
        "anthropic" => DialectName::Anthropic,
        "gemini" => DialectName::Gemini,
        "bedrock" => DialectName::Bedrock,
        "none" => DialectName::None,
        _ => return None,
    })
}

fn auth_of(word: &str) -> Option<Auth> {
    Some(match word {
        "bearer" => Auth::Bearer,
        "bearer_optional" => Auth::BearerOptional,
        "none" => Auth::None,
        "x-api-key" => Auth::Header("x-api-key"),
        "x-goog-api-key" => Auth::Header("x-goog-api-key"),
        "api-key" => Auth::Header("api-key"),
        "api-subscription-key" => Auth::Header("api-subscription-key"),
        "cf-aig-authorization" => Auth::Header("cf-aig-authorization"),
        "sigv4" => Auth::SigV4,
        "oauth2" | "exchange" => Auth::Unsupported,
        _ => return None,
    })
}

fn hardware_of(word: &str) -> Option<Hardware> {
    Some(match word {
        "" => Hardware::Unknown,
        "lpu" => Hardware::Lpu,
        "wse" => Hardware::Wse,
        "rdu" => Hardware::Rdu,
        "inference" => Hardware::Inference,
        "tpu" => Hardware::Tpu,
        "gpu_tuned" => Hardware::GpuTuned,
        "mixed" => Hardware::Mixed,
        _ => return None,
    })
}

fn window(row: WindowRecord, _: Place) -> Result<Window, String> {
    let periods = row.periods.unwrap_or_default();
    let periods = periods.iter().map(period).collect::<Option<Vec<_>>>();
    match periods {
        Some(periods) if !periods.is_empty() => Ok(Window { id: row.id, periods }),
        _ => Err(format!("window {}: a period is missing or does not read", row.id)),
    }
}

fn period(row: &PeriodRecord) -> Option<WindowPeriod> {
    let until = match &row.until {
        Some(text) => Some(Timestamp::parse_rfc3339(text)?),
        None => None,
    };
    let covers_to = match &row.covers_to {
        Some(text) => Some(Day::parse(text)?),
        None => None,
    };
    let hours_read = row.peak.iter().all(|(start, end)| start < end && *end <= 1_440);
    let days_read = row.days.iter().all(|day| (1..=7).contains(day));
    let holidays = row.holidays.iter().map(|text| Day::parse(text)).collect::<Option<_>>()?;
    (hours_read && days_read && row.offset_min.abs() < 1_440).then_some(())?;
    Some(WindowPeriod {
        from: Timestamp::parse_rfc3339(&row.from)?,
        until,
        peak: row.peak.clone(),
        days: row.days.iter().fold(0, |set, day| set | 1 << day),
        offset_min: row.offset_min,
        holidays,
        covers_to,
    })
}

fn capability(row: CapabilityRecord, _: Place) -> Result<Capability, String> {
    let effort = match &*row.effort {
        "best" => CapabilityEffort::Best,
        word => CapabilityEffort::At(
            Effort::parse(word).ok_or_else(|| format!("unknown effort {word:?}"))?,
        ),
    };
    let (Some(scores), Some(conf)) = (row.scores, row.conf) else {
        return Err(format!("capability {} has no scores or no conf", row.model));
    };
    let sound = scores.iter().all(|score| (0.0..=100.0).contains(score))
        && conf.iter().all(|conf| (0.0..=1.0).contains(conf));
    if !sound {
        return Err(format!("capability {}: scores are 0–100, conf is 0–1", row.model));
    }
    Ok(Capability { model: row.model, effort, scores, conf })
}

/// `best` first, then from least effort to most.
fn order(effort: CapabilityEffort) -> u8 {
    match effort {
        CapabilityEffort::Best => 0,
        CapabilityEffort::At(effort) => 1 + effort as u8,
    }
}

fn alias(row: AliasRecord, catalog: &Catalog) -> Result<Alias, String> {
    let find = |id: &str| {
        let found = offer_of(catalog, id);
        found.ok_or_else(|| format!("alias {} points to unknown offer {id}", row.name))
    };
    let Some(to) = &row.to else { return Err(format!("alias {} has no target", row.name)) };
    Ok(Alias {
        to: find(to)?,
        next: row.next.iter().flatten().map(|id| find(id)).collect::<Result<_, _>>()?,
        name: row.name,
    })
}

/// The offer that `provider/model` names; either half may hold slashes, the longest provider wins.
fn offer_of(catalog: &Catalog, id: &str) -> Option<usize> {
    id.rmatch_indices('/').find_map(|(slash, _)| {
        let (provider, model) = (id.get(..slash)?, id.get(slash + 1..)?);
        let house = catalog.providers.binary_search_by(|row| (*row.id).cmp(provider)).ok()?;
        let order = |row: &Offer| (row.provider, &*row.model).cmp(&(house, model));
        catalog.offers.binary_search_by(order).ok()
    })
}
