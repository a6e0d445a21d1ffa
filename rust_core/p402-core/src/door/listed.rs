//! Decides how the catalogue reads by Anthropic's and Google's doors: which models, page by page.
//! Does not list it in OpenAI's form (catalog/listing.rs) and does not know who may use a model.

use super::Door;
use crate::catalog::{Catalog, Listed, Offer, OfferKind};
use crate::dialect::Unsaid;
use crate::dialect::wire::json::quoted;
use crate::dialect::wire::object::{Object, array};
use crate::time::Day;

/// The most that both APIs give in one page, and what we give where no number is asked for.
const PAGE_MAX: usize = 1_000;

/// What can be listed: a catalogue, and which of its offers have a key.
#[derive(Clone, Copy)]
pub struct Shelf<'a> {
    pub catalog: &'a Catalog,
    pub live: &'a dyn Fn(usize) -> bool,
}

/// A part of a list.
struct Page<'a> {
    models: &'a [Listed<'a>],
    /// There are more on the side that was asked for.
    more: bool,
}

impl Door {
    /// Lists models in a form of its own.
    pub const fn words_models(self) -> bool {
        matches!(self, Self::Messages | Self::Generate)
    }

    /// One page of the models that this door can ask for.
    ///
    /// # Errors
    /// A parameter with a value that says nothing.
    pub fn models(self, shelf: Shelf<'_>, params: &[(String, String)]) -> Result<Vec<u8>, Unsaid> {
        let stages: Vec<&str> = values(params, &["lifecycle", "lifecycle[]"]).collect();
        let asked_for = |model: &Listed<'_>| {
            let there = model.offers.iter().any(|at| (shelf.live)(*at));
            let kind = model.shown.kind;
            let told =
                kind == OfferKind::Chat || (self == Self::Generate && kind == OfferKind::Embedding);
            let stage = stages.is_empty() || stages.contains(&stage(model.shown));
            there && told && (self == Self::Generate || stage)
        };
        let names = shelf.catalog.listed();
        let found = names.into_iter().filter_map(|name| shelf.catalog.listing(name));
        let models: Vec<Listed<'_>> = found.filter(asked_for).collect();
        if self == Self::Generate {
            let limit = limit(params, "pageSize")?;
            return Ok(googles(&page(&models, (params, ["pageToken", ""]), limit)?));
        }
        let limit = limit(params, "limit")?;
        let page = page(&models, (params, ["after_id", "before_id"]), limit)?;
        Ok(anthropics(&page, shelf.catalog))
    }

    /// One model in this door's form; `None` where nothing has that name.
    pub fn model(self, catalog: &Catalog, id: &str) -> Option<Vec<u8>> {
        let model = catalog.listing(id)?;
        Some(if self == Self::Generate { google(&model) } else { anthropic(&model, catalog) })
    }
}

fn googles(page: &Page<'_>) -> Vec<u8> {
    let list: Vec<Vec<u8>> = page.models.iter().map(google).collect();
    let mut told = Object::default();
    told.set("models", array(list.iter().map(Vec::as_slice)));
    if let Some(last) = page.models.last().filter(|_| page.more) {
        told.set("nextPageToken", quoted(last.id));
    }
    told.write()
}

fn google(model: &Listed<'_>) -> Vec<u8> {
    let offer = model.shown;
    let methods: &[u8] = match offer.kind {
        OfferKind::Chat => br#"["generateContent","streamGenerateContent","countTokens"]"#,
        OfferKind::Embedding => br#"["embedContent","batchEmbedContents"]"#,
        _ => b"[]",
    };
    let mut told = Object::default();
    told.set("name", quoted(&format!("models/{}", model.id)));
    told.set("displayName", quoted(model.id));
    told.set("inputTokenLimit", offer.context.to_string().into_bytes());
    if let Some(most) = offer.max_output {
        told.set("outputTokenLimit", most.to_string().into_bytes());
    }
    told.set("supportedGenerationMethods", methods);
    told.set("thinking", if offer.reasoning { b"true".as_slice() } else { b"false" });
    told.write()
}

fn anthropics(page: &Page<'_>, catalog: &Catalog) -> Vec<u8> {
    let list: Vec<Vec<u8>> = page.models.iter().map(|model| anthropic(model, catalog)).collect();
    let id = |model: Option<&Listed<'_>>| {
        model.map_or_else(|| b"null".to_vec(), |model| quoted(model.id))
    };
    let mut told = Object::default();
    told.set("data", array(list.iter().map(Vec::as_slice)));
    told.set("has_more", if page.more { b"true".as_slice() } else { b"false" });
    told.set("first_id", id(page.models.first()));
    told.set("last_id", id(page.models.last()));
    told.write()
}

fn anthropic(model: &Listed<'_>, catalog: &Catalog) -> Vec<u8> {
    let offer = model.shown;
    let most = offer.max_output.map_or_else(|| b"null".to_vec(), |most| most.to_string().into());
    let ends = offer.deprecates.as_deref().and_then(Day::parse).map(Day::start);
    let mut told = Object::default();
    told.set("type", b"\"model\"".as_slice());
    told.set("id", quoted(model.id));
    told.set("display_name", quoted(model.id));
    told.set("created_at", quoted(&catalog.confirmed(offer).to_rfc3339()));
    told.set("max_input_tokens", offer.context.to_string().into_bytes());
    told.set("max_tokens", most);
    told.set("lifecycle", quoted(stage(offer)));
    told.set("deprecated_at", b"null".as_slice());
    told.set("retires_at", ends.map_or_else(|| b"null".to_vec(), |at| quoted(&at.to_rfc3339())));
    told.set("capabilities", b"null".as_slice());
    told.set("line", b"null".as_slice());
    told.write()
}

/// Anthropic's word for a model that stays, or whose end is known.
const fn stage(offer: &Offer) -> &'static str {
    if offer.deprecates.is_some() { "deprecated" } else { "active" }
}

/// The part that the client asks for: behind one model, before another, or from the start.
fn page<'a>(
    models: &'a [Listed<'a>],
    (params, [after, before]): (&[(String, String)], [&str; 2]),
    limit: usize,
) -> Result<Page<'a>, Unsaid> {
    let place = |name: &str| -> Result<Option<usize>, Unsaid> {
        let Some(id) = value(params, name) else { return Ok(None) };
        let place = models.iter().position(|model| model.id == id);
        place.map(Some).ok_or_else(|| wrong(name, "the id of a listed model"))
    };
    let (start, end) = match (place(after)?, place(before)?) {
        (None, Some(end)) => (end.saturating_sub(limit), end),
        (after, end) => (after.map_or(0, |at| at + 1), end.unwrap_or(models.len())),
    };
    let all = models.get(start..end).unwrap_or_default();
    let models = all.get(..limit).unwrap_or(all);
    let backwards = value(params, after).is_none();
    let more = all.len() > limit || (backwards && start > 0);
    Ok(Page { models, more })
}

fn limit(params: &[(String, String)], name: &str) -> Result<usize, Unsaid> {
    let Some(text) = value(params, name) else { return Ok(PAGE_MAX) };
    let asked = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    asked.ok_or_else(|| wrong(name, &format!("1 to {PAGE_MAX}")))
}

/// What was said under any of these names; nothing is no word.
fn values<'p, 'n>(
    params: &'p [(String, String)],
    names: &'n [&'n str],
) -> impl Iterator<Item = &'p str> + use<'p, 'n> {
    let said = params.iter().filter(|(name, said)| names.contains(&&**name) && !said.is_empty());
    said.map(|(_, said)| &**said)
}

fn value<'p>(params: &'p [(String, String)], name: &str) -> Option<&'p str> {
    values(params, &[name]).next()
}

fn wrong(name: &str, due: &str) -> Unsaid {
    let message = format!("\"{name}\" must be {due}");
    Unsaid { code: "invalid_value", param: name.to_owned(), message }
}
