//! Decides what one offer of the catalogue is: facts, links, defaults for what a record leaves out.
//! Does not read prices (rates.rs), flags (flags.rs) or speed classes (speed.rs).

use super::build::{Index, index};
use super::kind::OfferKind;
use super::load::{CatalogError, Placed};
use super::record::{CapabilityLink, OfferRecord, RowLink};
use super::task::{Effort, Task};
use super::types::{
    Capability, CapabilityEffort, CapabilityMatch, Catalog, Confidence, DialectName, Efforts,
    Modalities, Offer, Tokenizer,
};
use super::{flags, rates, speed};

/// Context of an operator's offer that states none.
const CONTEXT_DEFAULT: u64 = 128_000;

/// What an offer may point at.
struct Known {
    providers: Index,
    windows: Index,
    /// How many capability rows are shared.
    measured: usize,
}

/// Adds every offer, and a private capability row for each one whose scores the operator states.
pub(super) fn fill(
    catalog: &mut Catalog,
    rows: Vec<Placed<OfferRecord>>,
) -> Result<(), CatalogError> {
    let known = Known {
        providers: index(catalog.providers.iter().map(|row| Box::from(&*row.id))),
        windows: index(catalog.windows.iter().map(|row| row.id.clone())),
        measured: catalog.capabilities.len(),
    };
    catalog.offers.reserve_exact(rows.len());
    for row in rows {
        let place = row.place;
        let name = format!("{}/{}", row.record.provider, row.record.model);
        let offer = offer(catalog, &known, row)
            .map_err(|reason| place.error(format!("offer {name}: {reason}")))?;
        catalog.offers.push(offer);
    }
    speed::fill(catalog);
    Ok(())
}

fn offer(catalog: &mut Catalog, known: &Known, row: Placed<OfferRecord>) -> Result<Offer, String> {
    let Placed { record, own_word, place } = row;
    let provider = *known.providers.get(&record.provider).ok_or("its provider is unknown")?;
    let mut quirks =
        catalog.providers.get(provider).map(|row| row.quirks.clone()).unwrap_or_default();
    flags::apply(&mut quirks, record.flags.as_deref().unwrap_or_default())?;
    let window = match &record.window {
        Some(id) => Some(*known.windows.get(id).ok_or_else(|| format!("no window {id:?}"))?),
        None => None,
    };
    let confidence = match record.confidence.as_deref() {
        Some(word) if !own_word => {
            confidence(word).ok_or_else(|| format!("unknown confidence {word:?}"))?
        }
        _ => Confidence::Config,
    };
    let source = record.source.clone().filter(|_| !own_word);
    let context = match record.context {
        Some(context) => context,
        None if place.layer > 0 => CONTEXT_DEFAULT,
        None => return Err("it has no context".to_owned()),
    };
    let kind = kind(catalog, provider, record.kind.as_deref())?;
    let link = link(catalog, known, &record)?;
    let canonical = record.canonical.unwrap_or_else(|| record.model.clone());
    Ok(Offer {
        provider,
        kind,
        upstream_id: record.upstream_id.unwrap_or_else(|| record.model.clone()),
        home: record.home.unwrap_or(false),
        context,
        max_input: record.max_input,
        max_output: record.max_output,
        input: modalities(record.modalities.as_deref().unwrap_or_default())?,
        tools: record.tools.unwrap_or(false),
        structured: record.structured.unwrap_or(false),
        reasoning: record.reasoning.unwrap_or(false),
        efforts: efforts(record.efforts.as_deref().unwrap_or_default())?,
        quirks,
        prices: rates::rows(record.prices.as_deref().unwrap_or_default())?,
        window,
        capability: link.rows,
        capability_effort: link.effort,
        capability_match: link.matched,
        // 0 = not stated: speed.rs fills in the prior of its class.
        ttft_ms: record.ttft_ms.unwrap_or(0),
        tokens_per_s: record.tokens_per_s.unwrap_or(0),
        free: record.free.unwrap_or(false),
        deprecates: record.deprecates,
        source: source.unwrap_or_else(|| "config".into()),
        as_of: record.as_of.unwrap_or_default().into(),
        n_agree: record.n_agree.unwrap_or(1),
        confidence,
        tokenizer: Tokenizer::of(&canonical),
        model: record.model.into(),
        canonical,
    })
}

/// What is no chat passes as bytes: it needs a provider that speaks the clients' own language.
fn kind(catalog: &Catalog, provider: usize, word: Option<&str>) -> Result<OfferKind, String> {
    let Some(word) = word else { return Ok(OfferKind::Chat) };
    let kind = OfferKind::parse(word).ok_or_else(|| format!("unknown kind {word:?}"))?;
    let house = catalog.providers.get(provider);
    let passes = house.is_some_and(|house| house.dialect == DialectName::OpenAi);
    if kind == OfferKind::Chat || passes {
        return Ok(kind);
    }
    Err(format!("a model of the kind {word:?} needs a provider of the dialect openai"))
}

fn confidence(word: &str) -> Option<Confidence> {
    Some(match word {
        "agree" => Confidence::Agree,
        "single" => Confidence::Single,
        "disputed" => Confidence::Disputed,
        "stale" => Confidence::Stale,
        "config" => Confidence::Config,
        _ => return None,
    })
}

fn modalities(words: &[Box<str>]) -> Result<Modalities, String> {
    let mut input = Modalities::default();
    for word in words {
        match &**word {
            "text" => {}
            "image" => input.image = true,
            "audio" => input.audio = true,
            "file" | "pdf" => input.file = true,
            "video" => input.video = true,
            _ => return Err(format!("unknown modality {word:?}")),
        }
    }
    Ok(input)
}

fn efforts(words: &[Box<str>]) -> Result<Efforts, String> {
    let mut efforts = Efforts::default();
    for word in words {
        match &**word {
            "toggle" => efforts.toggle = true,
            "budget" => efforts.budget = true,
            word => {
                let effort =
                    Effort::parse(word).ok_or_else(|| format!("unknown effort {word:?}"))?;
                efforts.words |= 1 << effort as u8;
            }
        }
    }
    Ok(efforts)
}

/// An offer's capability rows and how well they fit.
#[derive(Default)]
struct Link {
    rows: Vec<usize>,
    effort: Option<Effort>,
    matched: Option<CapabilityMatch>,
}

fn link(catalog: &mut Catalog, known: &Known, record: &OfferRecord) -> Result<Link, String> {
    let scores = match &record.capability {
        None => return Ok(Link::default()),
        Some(CapabilityLink::Row(row)) => return row_link(&catalog.capabilities, known, row),
        Some(CapabilityLink::Flat(score)) => [Some(*score); 9],
        Some(CapabilityLink::PerTask(scores)) => {
            let mut given = [None; 9];
            for (name, score) in scores {
                let task = Task::parse(name).ok_or_else(|| format!("unknown task {name:?}"))?;
                if let Some(cell) = given.get_mut(task as usize) {
                    *cell = Some(*score);
                }
            }
            given
        }
    };
    let given: Vec<f32> = scores.iter().flatten().copied().collect();
    if given.is_empty() || !given.iter().all(|score| (0.0..=100.0).contains(score)) {
        return Err("capability scores are 0–100, one at least".to_owned());
    }
    // A task the operator leaves out gets the mean of the others, at half the confidence.
    let mean = given.iter().sum::<f32>() / given.len() as f32;
    catalog.capabilities.push(Capability {
        model: format!("{}/{}", record.provider, record.model).into(),
        effort: CapabilityEffort::Best,
        scores: scores.map(|score| score.unwrap_or(mean)),
        conf: scores.map(|score| if score.is_some() { 1.0 } else { 0.5 }),
    });
    let rows = vec![catalog.capabilities.len() - 1];
    Ok(Link { rows, effort: None, matched: Some(CapabilityMatch::Config) })
}

fn row_link(rows: &[Capability], known: &Known, link: &RowLink) -> Result<Link, String> {
    let matched = match &*link.matched {
        "exact" => CapabilityMatch::Exact,
        "variant" => CapabilityMatch::Variant,
        "family" => CapabilityMatch::Family,
        "price_band" => CapabilityMatch::PriceBand,
        word => return Err(format!("unknown capability match {word:?}")),
    };
    let effort = match link.effort.as_deref() {
        None | Some("best") => None,
        Some(word) => Some(Effort::parse(word).ok_or_else(|| format!("unknown effort {word:?}"))?),
    };
    // The shared rows are sorted by model; an operator's private ones stand after them.
    let shared = rows.get(..known.measured).unwrap_or_default();
    let start = shared.partition_point(|row| row.model < link.model);
    let end = shared.partition_point(|row| row.model <= link.model);
    let rows: Vec<usize> = (start..end).collect();
    if rows.is_empty() {
        return Err(format!("no capability row for {:?}", link.model));
    }
    Ok(Link { rows, effort, matched: Some(matched) })
}
