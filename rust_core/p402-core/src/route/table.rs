//! Decides how offers and efforts lie in memory: columns per task, bits per wish, priors.
//! Does not read requests and does not change after load: what moves is in router.rs.

use super::bits::Bits;
use super::prior::{self, Evidence, Quantiles, TASKS};
use super::reason::{Reason, Tally};
use crate::catalog::OfferKind;
use crate::catalog::{
    Auth, CapabilityMatch, Catalog, Confidence, Effort, Offer, Provider, ProviderKind,
    ReasoningControl, Tokenizer,
};
use crate::config::Routing;
use std::collections::HashMap;

/// Arms laid out at most; offers beyond it are not routed (a catalogue of that size is a fault).
pub(super) const ARMS_MAX: usize = 65_536;
/// Points under the median that an operator's own offer is given where it states no capability.
const UNSTATED_BELOW_MEDIAN: f32 = 10.0;
const NOT_LIVE: u32 = u32::MAX;

/// An offer at an effort.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arm {
    /// Index into `Catalog::offers`.
    pub(super) offer: u32,
    /// The effort that is sent; `None` sends nothing.
    pub(super) sent: Option<Effort>,
    /// The effort it amounts to, for length and waiting.
    pub(super) level: Effort,
    pub(super) ttft_ms: f32,
    pub(super) ms_per_token: f32,
}

/// What eligibility and order need of an offer, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Where it stands in `Table::facts`: the catalogue's order.
    pub(super) place: u32,
    pub(super) offer: u32,
    pub(super) provider: u32,
    /// Number of its canonical model: equal for the same model at another provider.
    pub(super) model: u32,
    /// First arm: the offer left alone (nothing sent).
    pub(super) plain: u32,
    /// Arms that routing may choose among; the plain one is among them where nothing can be sent.
    pub(super) first: u32,
    pub(super) end: u32,
    pub(super) context: u32,
    pub(super) max_input: u32,
    pub(super) max_output: u32,
    pub(super) has: Bits,
    pub(super) kind: OfferKind,
    pub(super) words: u8,
    pub(super) reasoning: bool,
    pub(super) tokenizer: u8,
    /// Unpriced, stale or unmeasured.
    pub(super) barred: Option<Reason>,
    /// Quality mode puts it first: its rows were measured.
    pub(super) measured: bool,
    pub(super) dedicated: bool,
}

impl Facts {
    /// There is one arm to choose.
    pub(super) const fn is_plain(&self) -> bool {
        self.end.wrapping_sub(self.first) == 1
    }
}

/// Everything about arms that does not change between requests.
#[derive(Debug, Default)]
pub struct Table {
    arms: Vec<Arm>,
    /// By arm: what thinking multiplies its output by.
    factors: Vec<f32>,
    lower: [Vec<f32>; TASKS],
    facts: Vec<Facts>,
    place_of: Vec<u32>,
    /// Places by number of model.
    kin: Vec<Vec<u32>>,
    /// Those of the offers that are not barred, and how many are, by reason.
    open: Vec<Facts>,
    barred: Tally,
    absent: Tally,
    absent_of: Vec<Option<Reason>>,
    quantiles: Quantiles,
    providers: usize,
}

impl Table {
    /// Lays out every offer of a keyed provider that this release can speak to.
    pub fn build(catalog: &Catalog, keyed: &dyn Fn(&str) -> bool, _config: &Routing) -> Self {
        let mut table = Self {
            place_of: vec![NOT_LIVE; catalog.offers.len()],
            absent_of: vec![None; catalog.offers.len()],
            quantiles: Quantiles::build(&catalog.capabilities),
            providers: catalog.providers.len(),
            ..Self::default()
        };
        let standing: Vec<Option<Reason>> =
            catalog.providers.iter().map(|p| standing(p, keyed)).collect();
        let mut models: HashMap<&str, usize> = HashMap::new();
        for (index, offer) in catalog.offers.iter().enumerate() {
            let absent = standing.get(offer.provider).copied().unwrap_or(Some(Reason::Disabled));
            let absent = absent.or((table.arms.len() > ARMS_MAX).then_some(Reason::Disabled));
            if let Some(reason) = absent {
                table.absent.add(reason, 1);
                if let Some(cell) = table.absent_of.get_mut(index) {
                    *cell = Some(reason);
                }
                continue;
            }
            let next = models.len();
            let model = *models.entry(&*offer.canonical).or_insert(next);
            let place = table.facts.len() as u32;
            if let Some(cell) = table.place_of.get_mut(index) {
                *cell = place;
            }
            table.kin.resize_with(models.len(), Vec::new);
            if let Some(kin) = table.kin.get_mut(model) {
                kin.push(place);
            }
            table.lay(catalog, index, model as u32);
        }
        table
    }

    /// How many arms are laid out.
    pub fn arms(&self) -> usize {
        self.arms.len()
    }
    /// Whether this offer can be routed to at all.
    pub fn live(&self, offer: usize) -> bool {
        self.place(offer).is_some()
    }

    pub(super) fn place(&self, offer: usize) -> Option<usize> {
        let place = self.place_of.get(offer).copied()?;
        (place != NOT_LIVE).then_some(place as usize)
    }
    /// The places of one model's offers.
    pub(super) fn kin(&self, model: u32) -> &[u32] {
        self.kin.get(model as usize).map(Vec::as_slice).unwrap_or_default()
    }
    /// The number of the model of an offer.
    pub(super) fn model_at(&self, place: u32) -> u32 {
        self.facts.get(place as usize).map_or(u32::MAX, |facts| facts.model)
    }
    pub(super) fn facts(&self) -> &[Facts] {
        &self.facts
    }
    pub(super) fn arm(&self, arm: u32) -> Option<&Arm> {
        self.arms.get(arm as usize)
    }
    pub(super) fn all_arms(&self) -> &[Arm] {
        &self.arms
    }
    #[inline]
    pub(super) fn factor(&self, arm: u32) -> f32 {
        self.factors.get(arm as usize).copied().unwrap_or(1.0)
    }
    /// Every arm's quality on a mix of tasks.
    pub(super) fn mix(&self, probabilities: &[f32; TASKS], quality: &mut Vec<f32>) {
        quality.clear();
        quality.resize(self.arms.len(), 0.0);
        for (lower, share) in self.lower.iter().zip(probabilities).filter(|(_, p)| **p > 0.0) {
            for (sum, cell) in quality.iter_mut().zip(lower) {
                *sum += share * cell;
            }
        }
    }
    pub(super) fn quantiles(&self) -> &Quantiles {
        &self.quantiles
    }
    pub(super) fn open(&self) -> &[Facts] {
        &self.open
    }
    pub(super) fn barred(&self) -> Tally {
        self.barred
    }
    pub(super) fn absent(&self) -> Tally {
        self.absent
    }
    pub(super) fn absent_of(&self, offer: usize) -> Option<Reason> {
        self.absent_of.get(offer).copied().flatten()
    }
    pub(super) fn providers(&self) -> usize {
        self.providers
    }

    fn lay(&mut self, catalog: &Catalog, index: usize, model: u32) {
        let Some(offer) = catalog.offers.get(index) else { return };
        let Some(provider) = catalog.providers.get(offer.provider) else { return };
        let rows = offer.capability.iter().filter_map(|row| catalog.capabilities.get(*row));
        let evidence = Evidence::new(rows.collect());
        let unstated = evidence.is_empty() && declared(offer, provider);
        let plain = self.arms.len() as u32;
        let floor = unstated.then(|| self.unstated_row());
        let (level, row) = left_alone(offer, &evidence);
        self.push(offer, index, (None, level), floor.unwrap_or(row));
        let sendable = efforts(offer);
        for effort in &sendable {
            let row = floor.unwrap_or_else(|| evidence.lower(*effort));
            self.push(offer, index, (Some(*effort), *effort), row);
        }
        let end = self.arms.len() as u32;
        // A switch has two positions: off is sent, on is the model left alone.
        let alone = sendable.is_empty() || sendable == [Effort::None];
        let first = if alone { plain } else { plain + 1 };
        let barred = barred(catalog, index, offer, unstated);
        let facts = Facts {
            place: self.facts.len() as u32,
            offer: index as u32,
            provider: offer.provider as u32,
            model,
            plain,
            first,
            end,
            context: tokens(Some(offer.context)),
            max_input: tokens(offer.max_input),
            max_output: tokens(offer.max_output),
            has: Bits::of(offer, provider),
            kind: offer.kind,
            words: offer.efforts.words,
            reasoning: offer.reasoning,
            tokenizer: tokenizer_index(offer.tokenizer) as u8,
            barred,
            measured: unstated || measured(offer, &evidence),
            dedicated: provider.hardware.dedicated(),
        };
        match barred {
            Some(reason) => self.barred.add(reason, 1),
            None => self.open.push(facts),
        }
        self.facts.push(facts);
    }

    fn unstated_row(&self) -> prior::Row {
        let mut row = [0.0; TASKS];
        for (task, cell) in row.iter_mut().enumerate() {
            let mut only = [0.0; TASKS];
            if let Some(weight) = only.get_mut(task) {
                *weight = 1.0;
            }
            *cell = (self.quantiles.at(0.5, &only) - UNSTATED_BELOW_MEDIAN).max(0.0);
        }
        row
    }

    fn push(
        &mut self,
        offer: &Offer,
        index: usize,
        effort: (Option<Effort>, Effort),
        row: prior::Row,
    ) {
        let (sent, level) = effort;
        for (column, cell) in self.lower.iter_mut().zip(row) {
            column.push(cell);
        }
        self.factors.push(if offer.reasoning { prior::output_factor(level) } else { 1.0 });
        self.arms.push(Arm {
            offer: index as u32,
            sent,
            level,
            ttft_ms: (offer.ttft_ms.max(1)
                + if offer.reasoning { prior::thinking_ms(level) } else { 0 })
                as f32,
            ms_per_token: 1_000.0 / offer.tokens_per_s.max(1) as f32,
        });
    }
}

/// A limit; an absent one is none.
fn tokens(limit: Option<u64>) -> u32 {
    limit.map_or(u32::MAX, |limit| u32::try_from(limit).unwrap_or(u32::MAX))
}

/// What an offer amounts to when no effort is sent, and its row.
fn left_alone(offer: &Offer, evidence: &Evidence<'_>) -> (Effort, prior::Row) {
    if !offer.reasoning {
        return (Effort::None, evidence.plain());
    }
    if let Some(effort) = offer.capability_effort {
        return (effort, evidence.lower(effort));
    }
    // Where thinking is bought by the token, none is bought unless a budget is sent.
    let bought = offer.efforts.budget && offer.efforts.words == 0 && !offer.efforts.toggle;
    match evidence.rests_by_default() {
        Some(true) => (Effort::None, evidence.lower(Effort::Default)),
        None if bought => (Effort::None, evidence.lower(Effort::None)),
        Some(false) | None => (Effort::Default, evidence.lower(Effort::Default)),
    }
}

/// Why no offer of this provider runs, if so.
fn standing(provider: &Provider, keyed: &dyn Fn(&str) -> bool) -> Option<Reason> {
    let speakable = provider.dialect.is_spoken() && provider.auth != Auth::Unsupported;
    if !keyed(&provider.id) {
        Some(Reason::NoKey)
    } else if provider.routable && speakable {
        None
    } else {
        Some(Reason::Disabled)
    }
}

/// Whether the operator put this offer here by hand (or the sandbox itself did).
fn declared(offer: &Offer, provider: &Provider) -> bool {
    offer.confidence == Confidence::Config
        || matches!(
            provider.kind,
            ProviderKind::Config | ProviderKind::Local | ProviderKind::Sandbox
        )
}

fn barred(catalog: &Catalog, index: usize, offer: &Offer, unstated: bool) -> Option<Reason> {
    let guessed = matches!(offer.capability_match, None | Some(CapabilityMatch::PriceBand));
    if offer.kind != OfferKind::Chat {
        // Nobody is led there who has not come by its door, and named it.
        Some(Reason::Kind)
    } else if !catalog.is_priced(index) {
        Some(Reason::Unpriced)
    } else if offer.confidence == Confidence::Stale {
        Some(Reason::Stale)
    } else if (offer.capability.is_empty() || guessed) && !unstated {
        Some(Reason::Unmeasured)
    } else {
        None
    }
}

fn measured(offer: &Offer, evidence: &Evidence<'_>) -> bool {
    let matched = matches!(
        offer.capability_match,
        Some(CapabilityMatch::Exact | CapabilityMatch::Variant | CapabilityMatch::Config)
    );
    matched && evidence.confidence() >= 0.2
}

/// The efforts that can be sent to this offer, least first.
fn efforts(offer: &Offer) -> Vec<Effort> {
    if !offer.reasoning {
        return Vec::new();
    }
    let worded = |effort: &Effort| offer.efforts.words & (1 << (*effort as u8)) != 0;
    let mut efforts: Vec<Effort> =
        Effort::ALL.into_iter().filter(|e| *e != Effort::Default).filter(worded).collect();
    // These vendors' own field is a switch, whether or not a source lists it as an effort.
    let switch = matches!(
        offer.quirks.reasoning_control,
        ReasoningControl::ThinkingType
            | ReasoningControl::EnableThinking
            | ReasoningControl::ReasoningEnabled
            | ReasoningControl::ChatTemplateArgs
    );
    if (offer.efforts.toggle || switch) && !efforts.contains(&Effort::None) {
        efforts.insert(0, Effort::None);
    }
    efforts
}

pub(super) const TOKENIZERS: usize = 6;
pub(super) const TOKENIZER: [Tokenizer; TOKENIZERS] = [
    Tokenizer::OpenAi,
    Tokenizer::ClaudeTo46,
    Tokenizer::ClaudeFrom47,
    Tokenizer::Gemini,
    Tokenizer::DeepSeek,
    Tokenizer::Unknown,
];

fn tokenizer_index(tokenizer: Tokenizer) -> usize {
    TOKENIZER.iter().position(|known| *known == tokenizer).unwrap_or(TOKENIZERS - 1)
}
