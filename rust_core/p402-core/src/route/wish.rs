//! Decides what a request asks for, in the terms that offers are laid out in.
//! Does not look at offers beyond what the name resolves to (eligible.rs judges them).

use super::bits::Bits;
use super::plan::World;
use super::refusal::Refusal;
use super::table::{TOKENIZER, TOKENIZERS};
use super::types::{Ask, Lists, Mode};
use crate::catalog::{
    Catalog, Effort, Input, OfferKind, Resolved, Script, bound_input, estimate_input,
};
use crate::config::Routing;
use crate::envelope::{ResponseFormat, Role, ToolChoice};
use crate::money::Usd;

/// Smallest output cap that is worth sending where the client set none.
pub(super) const CAP_MIN: u64 = 1_024;

/// What the name in `model` pins the request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinned<'a> {
    Not,
    /// These offers alone (`provider/model`).
    Offer(&'a [usize]),
    /// Every offer of this canonical model.
    Model(&'a str),
}

/// A request as routing sees it.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    pub(super) kind: OfferKind,
    pub(super) mode: Mode,
    pub(super) pinned: Pinned<'a>,
    /// The name resolves to something, or asks for nothing in particular.
    pub(super) known: bool,
    pub(super) baseline: Option<usize>,
    pub(super) needs: Bits,
    /// The client's own effort: it must be listed and is left in place.
    pub(super) effort: Option<Effort>,
    /// The client's own output bound.
    pub(super) max_tokens: Option<u64>,
    /// Bound where the client set none; what no model can write asks for its own maximum.
    pub(super) default_cap: u64,
    pub(super) choices: u64,
    pub(super) stream: bool,
    pub(super) service: Option<&'a str>,
    pub(super) max_cost: Option<Usd>,
    pub(super) max_latency_ms: Option<u64>,
    /// What kind of text it is, for the estimate's factors.
    pub(super) script: Script,
    /// Input estimate by tokenizer family, and the bound that claims use.
    pub(super) input: [u64; TOKENIZERS],
    pub(super) bound: [u64; TOKENIZERS],
    /// The body marks prefixes for the upstream's cache: a claim counts their write.
    pub(super) writes_cache: bool,
    pub(super) warnings: Vec<String>,
}

impl<'a> Wish<'a> {
    pub(super) fn read(
        world: &World<'a>,
        ask: &Ask<'a>,
        config: &Routing,
    ) -> Result<Self, Refusal> {
        let (scan, options) = (ask.scan, ask.options);
        check_lists(world, "p402.models", &options.models, true)?;
        check_lists(world, "p402.providers", &options.providers, false)?;
        let input = Input {
            text: &scan.text,
            messages: scan.messages,
            tools: scan.tools,
            schema_bytes: scan.tools_bytes.saturating_add(scan.response_format_bytes),
            images: scan.parts.images,
        };
        let mut wish = Self {
            kind: options.kind,
            mode: options.mode.unwrap_or(world.rules.mode),
            pinned: Pinned::Not,
            known: true,
            baseline: world.catalog.home(&scan.model),
            needs: needs(ask),
            effort: scan.reasoning_effort,
            max_tokens: scan.output_bound(),
            default_cap: world.rules.output_cap.unwrap_or(config.max_output_tokens).max(1),
            choices: u64::from(scan.n.max(1)),
            stream: scan.stream,
            service: scan.service_tier.as_deref(),
            max_cost: options.max_cost,
            max_latency_ms: options.max_latency_ms,
            script: Script::of(&scan.text),
            input: TOKENIZER.map(|tokenizer| estimate_input(&input, tokenizer)),
            bound: TOKENIZER.map(|tokenizer| bound_input(&input, tokenizer)),
            writes_cache: memchr::memmem::find(ask.body, b"cache_control").is_some(),
            warnings: Vec::new(),
        };
        wish.name(world, ask)?;
        Ok(wish)
    }

    /// Reads the name in `model`: free, a pin, or unknown.
    fn name(&mut self, world: &World<'a>, ask: &Ask<'a>) -> Result<(), Refusal> {
        let (catalog, name) = (world.catalog, &*ask.scan.model);
        let asked = ask.options.pin;
        // Vectors, voices and pictures of different models are not each other's: they are named.
        let named = self.kind != OfferKind::Chat;
        let pin = asked || named || world.rules.pin_default;
        let canonical = |offers: &'a [usize]| {
            offers.first().and_then(|offer| catalog.offers.get(*offer)).map(|o| &*o.canonical)
        };
        match catalog.resolve(name) {
            Resolved::Free if asked => {
                return Err(Refusal::Invalid {
                    code: "p402_field_invalid",
                    param: "p402.pin".to_owned(),
                    message: "pin serves the model named in \"model\", and none is named: name \
                              one, or leave pin out"
                        .to_owned(),
                });
            }
            Resolved::Free if named => return Err(not_found(catalog, name)),
            Resolved::Unknown if pin => return Err(not_found(catalog, name)),
            Resolved::Unknown => {
                self.known = false;
                self.warnings.push("model unknown, routed freely".to_owned());
            }
            Resolved::Pin(offers) => self.pinned = Pinned::Offer(offers),
            Resolved::Canonical(offers) | Resolved::Alias { offers } if pin => {
                self.pinned = canonical(offers).map_or(Pinned::Not, Pinned::Model);
            }
            Resolved::Free | Resolved::Canonical(_) | Resolved::Alias { .. } => {}
        }
        self.refuse_unpriced(world, name)
    }

    /// Naming nothing but offers without a price is refused before anything is scored.
    fn refuse_unpriced(&self, world: &World<'a>, name: &str) -> Result<(), Refusal> {
        let catalog = world.catalog;
        let priced = match self.pinned {
            _ if world.rules.allow_unpriced => return Ok(()),
            Pinned::Not => return Ok(()),
            Pinned::Offer(offers) => offers.iter().any(|offer| catalog.is_priced(*offer)),
            Pinned::Model(model) => (0..catalog.offers.len()).any(|offer| {
                catalog.offers.get(offer).is_some_and(|o| &*o.canonical == model)
                    && catalog.is_priced(offer)
            }),
        };
        if priced { Ok(()) } else { Err(Refusal::PriceUnknown { name: name.to_owned() }) }
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.pinned != Pinned::Not
    }

    /// The pin names an offer or a model that this offer is.
    pub(super) fn pin_allows(&self, world: &World<'_>, offer: usize) -> bool {
        match self.pinned {
            Pinned::Not => true,
            Pinned::Offer(offers) => offers.contains(&offer),
            Pinned::Model(model) => {
                world.catalog.offers.get(offer).is_some_and(|offer| &*offer.canonical == model)
            }
        }
    }

    pub(super) fn input_of(&self, tokenizer: u8) -> u64 {
        self.input.get(usize::from(tokenizer)).copied().unwrap_or_default()
    }
    pub(super) fn bound_of(&self, tokenizer: u8) -> u64 {
        self.bound.get(usize::from(tokenizer)).copied().unwrap_or_default()
    }
}

fn not_found(catalog: &Catalog, name: &str) -> Refusal {
    let near = catalog.near(name).into_iter().map(str::to_owned).collect();
    Refusal::ModelNotFound { name: name.to_owned(), near }
}

/// What must be there, one bit each.
fn needs(ask: &Ask<'_>) -> Bits {
    let scan = ask.scan;
    let tools = scan.tools > 0;
    let thinks = scan.reasoning_effort.is_some_and(|effort| effort != Effort::None);
    Bits::default()
        .with(Bits::TOOLS, tools)
        .with(Bits::TOOL_CHOICE, tools && scan.tool_choice == ToolChoice::Required)
        .with(Bits::TOOL_NAMED, tools && scan.tool_choice == ToolChoice::Function)
        .with(Bits::GRAMMAR, scan.grammar)
        .with(Bits::JSON_SCHEMA, scan.response_format == ResponseFormat::JsonSchema)
        .with(Bits::LOGPROBS, scan.logprobs)
        .with(Bits::N, scan.n > 1)
        .with(Bits::REASONING, thinks)
        .with(Bits::VISION, scan.parts.images > 0)
        .with(Bits::AUDIO, scan.parts.audio > 0)
        .with(Bits::FILE, scan.parts.files > 0)
        .with(Bits::LOCAL_URL, scan.parts.local_url)
        .with(Bits::LINK, scan.parts.linked)
        .with(Bits::PREFILL, scan.last_role == Role::Assistant)
        .with(Bits::AUDIO_OUT, scan.audio_out)
}

/// A pattern that matches nothing is a typo, and a typo in a spending rule must not be silent.
fn check_lists(world: &World<'_>, param: &str, lists: &Lists, models: bool) -> Result<(), Refusal> {
    if lists.is_empty() {
        return Ok(());
    }
    let catalog = world.catalog;
    let unmatched =
        if models { lists.unmatched_model(catalog) } else { lists.unmatched_provider(catalog) };
    let Some(pattern) = unmatched else { return Ok(()) };
    let near = catalog.near(pattern);
    let hint = if models && !near.is_empty() {
        format!("; near names: {}", near.join(", "))
    } else {
        String::new()
    };
    let what = if models { "model" } else { "provider" };
    Err(Refusal::Invalid {
        code: "p402_field_invalid",
        param: param.to_owned(),
        message: format!(
            "{pattern:?} matches no {what} of the catalogue (exact name, or one trailing *){hint}"
        ),
    })
}
